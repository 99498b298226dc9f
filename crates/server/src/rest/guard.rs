//! Who may ask: `Host`, `Origin`, API key. And the frame around every answer.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use outcrop_query::SessionInfo;

use super::failure::{Failure, FailureType, Result, render};
use super::service::RestServices;
use crate::auth::Authentication;

/// Who asks. An extension of every request that the guard let through.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) user: String,
    pub(super) application_name: String,
}

impl Caller {
    pub(super) fn session_info(&self) -> SessionInfo {
        SessionInfo {
            user: self.user.clone(),
            database: DATABASE.to_owned(),
            application_name: self.application_name.clone(),
            process_id: 0,
            client_addr: None,
        }
    }
}

/// `current_database()` of REST sessions.
const DATABASE: &str = "outcrop";
/// The user of whoever asks where everyone is trusted.
const TRUSTED_USER: &str = "outcrop";
const TRACE_ID: HeaderName = HeaderName::from_static("x-outcrop-trace-id");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What is kept of a `User-Agent`.
const AGENT_CHARS_MAX: usize = 64;

/// Gives each request a trace id and turns failures into their JSON.
pub(super) async fn answer(State(services): State<Arc<RestServices>>, request: Request, next: Next) -> Response {
    let trace_id = format!("{:016x}", services.env.rng.next_u64());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        tracing::debug!(trace_id, %method, path, status = failure.status().as_u16(), "{}", failure.message());
        let headers = std::mem::take(response.headers_mut());
        response = render(&failure, &trace_id);
        for (name, value) in &headers {
            if !response.headers().contains_key(name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        if failure.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
        }
    }
    if let Ok(value) = HeaderValue::from_str(&trace_id) {
        response.headers_mut().insert(TRACE_ID, value);
    }
    response
}

/// Lets a request through if its host, its origin and its key are right.
pub(super) async fn admit(State(services): State<Arc<RestServices>>, mut request: Request, next: Next) -> Response {
    match check(&services, request.uri(), request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

fn check(services: &RestServices, uri: &Uri, headers: &HeaderMap) -> Result<Caller> {
    let admission = services.access.current();
    let needs_key = matches!(admission.authentication, Authentication::Users(_));
    let host = check_host(services, needs_key, uri, headers)?;
    check_origin(&host, headers)?;
    let user = match &admission.authentication {
        Authentication::Trust => TRUSTED_USER.to_owned(),
        // The greeting is what load balancers and clients ask before they have a key.
        Authentication::Users(_) if uri.path() == "/" => TRUSTED_USER.to_owned(),
        Authentication::Users(users) => {
            let user = api_key(headers).and_then(|key| users.user_of_key(key));
            user.ok_or_else(unauthorized)?.to_owned()
        }
    };
    let agent = headers.get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or("rest");
    Ok(Caller { user, application_name: agent.chars().take(AGENT_CHARS_MAX).collect() })
}

/// The host that was asked for. A web page can make a browser ask us under a name of its own (DNS rebinding), never under
/// an address. Where a key is needed the page has none, so any name will do unless names are configured.
fn check_host(services: &RestServices, needs_key: bool, uri: &Uri, headers: &HeaderMap) -> Result<String> {
    let misdirected = |message: String| {
        Failure::new(StatusCode::MISDIRECTED_REQUEST, FailureType::Forbidden, message)
            .with_hint("Ask by address or as localhost, or add the name to http_hosts in the configuration.")
    };
    let header = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = uri.authority().map(axum::http::uri::Authority::as_str).or(header);
    let Some(authority) = authority else {
        return Err(misdirected("the request names no host".to_owned()));
    };
    let name = host_name(authority).to_ascii_lowercase();
    let is_local = name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok();
    let is_configured = services.hosts.iter().any(|host| host.eq_ignore_ascii_case(&name));
    if is_local || is_configured || (needs_key && services.hosts.is_empty()) {
        return Ok(authority.to_ascii_lowercase());
    }
    Err(misdirected(format!("this server does not answer for the host \"{name}\"")))
}

/// The name of `name:port`, of `[v6]:port`, or of an address without port.
pub(super) fn host_name(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.contains(':') => name,
        Some(_) | None => authority,
    }
}

/// Browsers say where a page that asks is from. Only a page from here may ask.
fn check_origin(host: &str, headers: &HeaderMap) -> Result<()> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(origin) = text(&ORIGIN) {
        let origin_host = origin.split_once("://").map_or("", |(_, host)| host).trim_end_matches('/');
        if !origin_host.eq_ignore_ascii_case(host) {
            return Err(foreign(format!("requests from pages of \"{origin}\" are not allowed")));
        }
    } else if text(&SEC_FETCH_SITE).is_some_and(|site| site.eq_ignore_ascii_case("cross-site")) {
        return Err(foreign("requests from pages of other sites are not allowed".to_owned()));
    }
    Ok(())
}

fn foreign(message: String) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, FailureType::Forbidden, message)
        .with_hint("Call the API from a program or from a server, not from a web page.")
}

/// The key of `Authorization: ApiKey KEY`; clients spell the scheme in different cases.
fn api_key(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("apikey").then(|| key.trim())
}

fn unauthorized() -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, FailureType::AuthException, "a valid API key is needed")
        .with_hint("Send the header \"Authorization: ApiKey KEY\". `outcrop user add NAME --api-key` makes keys.")
}
