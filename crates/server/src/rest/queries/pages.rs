//! Queries by their id: what became of them, their rows in pages, and cancelling.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as UrlQuery, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use super::super::failure::{Failure, Result};
use super::super::guard::Caller;
use super::super::service::RestServices;
use super::kept::{End, KeptQuery, Page, cancelled, cursor, row_of_cursor};

/// Rows of a page where the request names no number.
const PAGE_ROWS: usize = 10_000;
/// As Rockset.
pub(super) const PAGE_ROWS_MAX: usize = 100_000;
/// How long a cancelled query is waited for.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// `?cursor=&docs=&offset=`
#[derive(Debug, Deserialize)]
pub(in crate::rest) struct PageRequest {
    cursor: Option<String>,
    docs: Option<usize>,
    offset: Option<usize>,
}

/// `GET /v1/orgs/self/queries`: those that run.
pub(in crate::rest) async fn list(
    State(services): State<Arc<RestServices>>,
    Extension(caller): Extension<Caller>,
) -> Json<JsonValue> {
    let now = services.env.clock.monotonic();
    let running = services.kept.running(&caller.user);
    Json(json!({ "data": running.iter().map(|kept| kept.info(now)).collect::<Vec<_>>() }))
}

/// `GET /v1/orgs/self/queries/{id}`
pub(in crate::rest) async fn info(
    State(services): State<Arc<RestServices>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<JsonValue>> {
    let now = services.env.clock.monotonic();
    Ok(enveloped(&services.kept.get(&id, &caller.user, now)?.info(now)))
}

/// `DELETE /v1/orgs/self/queries/{id}`
pub(in crate::rest) async fn cancel(
    State(services): State<Arc<RestServices>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<JsonValue>> {
    let kept = services.kept.get(&id, &caller.user, services.env.clock.monotonic())?;
    kept.cancel.cancel();
    // A write may have reached its commit: what is told is what became of it.
    tokio::time::timeout(CANCEL_PATIENCE, kept.ended.cancelled()).await.unwrap_or_default();
    Ok(enveloped(&kept.info(services.env.clock.monotonic())))
}

/// `GET /v1/orgs/self/queries/{id}/pages`
pub(in crate::rest) async fn pages(
    State(services): State<Arc<RestServices>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    request: Result<UrlQuery<PageRequest>, QueryRejection>,
) -> Result<Response> {
    let UrlQuery(request) = request.map_err(|rejected| Failure::invalid(rejected.body_text()))?;
    let kept = services.kept.get(&id, &caller.user, services.env.clock.monotonic())?;
    let start = match request.cursor.as_deref() {
        None | Some("") => 0,
        Some(text) => row_of_cursor(text).ok_or_else(|| Failure::invalid("the cursor is none of this query"))?,
    };
    let most = request.docs.unwrap_or(PAGE_ROWS);
    if !(1..=PAGE_ROWS_MAX).contains(&most) {
        return Err(Failure::invalid(format!("docs is outside 1 to {PAGE_ROWS_MAX}")));
    }
    let page = kept.page(start.saturating_add(request.offset.unwrap_or(0)), most)?;
    let mut pagination = pagination(&kept, &page);
    if let (None, Some(members)) = (page.next, pagination.as_object_mut()) {
        members.insert("next_cursor".to_owned(), JsonValue::Null);
    }
    Ok(with_rows(&page, json!({ "pagination": pagination })))
}

/// The answer to the request that began a query.
///
/// # Errors
/// What the query failed with.
pub(super) fn first_answer(services: &RestServices, kept: &KeptQuery, most: Option<usize>) -> Result<Response> {
    let mut members = match kept.end() {
        None => {
            let mut info = kept.info(services.env.clock.monotonic());
            if let Some(members) = info.as_object_mut() {
                members.retain(|name, _| matches!(name.as_str(), "query_id" | "status" | "stats"));
                members.insert("collections".to_owned(), json!([]));
                members.insert("results".to_owned(), json!([]));
            }
            return Ok(Json(info).into_response());
        }
        Some(End::Failed(failure)) => return Err(failure),
        Some(End::Cancelled) => return Err(cancelled()),
        Some(End::Completed(members)) => members,
    };
    let page = kept.page(0, most.unwrap_or(usize::MAX))?;
    if let Some(members) = members.as_object_mut() {
        members.insert("query_id".to_owned(), kept.id.as_str().into());
        members.insert("pagination".to_owned(), pagination(kept, &page));
    }
    Ok(with_rows(&page, members))
}

/// Rockset's `PaginationInfo`, without members that are null: its Python client takes none in a first answer.
fn pagination(kept: &KeptQuery, page: &Page) -> JsonValue {
    let mut info = json!({ "current_page_doc_count": page.count });
    if let (Some(next), Some(members)) = (page.next, info.as_object_mut()) {
        let link = format!("/v1/orgs/self/queries/{}/pages?cursor={}", kept.id, cursor(next));
        members.insert("next_cursor".to_owned(), cursor(next).into());
        members.insert("next_cursor_offset".to_owned(), next.into());
        members.insert("next_page_link".to_owned(), link.into());
        members.insert("start_cursor".to_owned(), cursor(next.saturating_sub(page.count)).into());
    }
    info
}

/// An object with the rows of a page, which are JSON already, and other members.
fn with_rows(page: &Page, mut members: JsonValue) -> Response {
    if let Some(members) = members.as_object_mut() {
        members.insert("results_total_doc_count".to_owned(), page.total.into());
    }
    let mut body = b"{\"results\":[".to_vec();
    body.extend_from_slice(&page.rows);
    body.extend_from_slice(b"],");
    // The members of the object, without its opening brace.
    body.extend_from_slice(members.to_string().trim_start_matches('{').as_bytes());
    let mut response = body.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Clients look for `last_offset` beside `data`.
fn enveloped(info: &JsonValue) -> Json<JsonValue> {
    let last_offset = info.get("last_offset").cloned();
    let mut body = json!({ "data": info });
    if let (Some(offset), Some(members)) = (last_offset, body.as_object_mut()) {
        members.insert("last_offset".to_owned(), offset);
    }
    Json(body)
}
