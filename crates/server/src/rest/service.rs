//! What serves the REST interface, and its routes.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use outcrop_env::Env;
use outcrop_query::Database;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::BodyMemory;
use super::failure::{Failure, FailureType};
use super::listener::HttpListener;
use super::{collections, documents, guard, metrics, queries};
use crate::access::Access;
use crate::session::Registry;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct RestServices {
    pub(crate) database: Database,
    pub(crate) env: Env,
    pub(crate) access: Arc<Access>,
    /// Host names that requests may name beside addresses and `localhost`.
    pub(crate) hosts: Vec<String>,
    pub(crate) limits: RestLimits,
    pub(super) body_memory: BodyMemory,
    /// Asynchronous queries and results in pages.
    pub(super) kept: queries::KeptQueries,
    /// Sessions of the PostgreSQL protocol, for the metrics.
    pub(crate) registry: Arc<Registry>,
    pub(crate) shutdown: CancellationToken,
}

/// Limits of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RestLimits {
    /// Longest body. Default 64 MiB.
    pub(crate) body_bytes_max: usize,
    /// Memory for all bodies that are being received or worked on. Default 256 MiB.
    pub(crate) body_memory_bytes: u64,
    /// Memory for results that wait to be fetched. Default 256 MiB.
    pub(crate) result_memory_bytes: usize,
    /// Longest from the head of a request to the end of its body.
    pub(crate) body_timeout: Duration,
    /// Connections at once.
    pub(crate) connections_max: usize,
    /// Longest that a client may be silent: before the head of its request is whole, between two pieces of its body, and
    /// while its answer waits.
    pub(crate) idle_timeout: Duration,
    /// How long running requests may go on after the server was told to stop.
    pub(crate) drain_timeout: Duration,
}

impl RestServices {
    /// The services behind a listener.
    pub(crate) fn new(
        database: Database,
        env: Env,
        access: Arc<Access>,
        limits: RestLimits,
        registry: Arc<Registry>,
        shutdown: CancellationToken,
    ) -> Self {
        let body_memory = BodyMemory::new(limits.body_memory_bytes);
        Self {
            database,
            env,
            access,
            hosts: Vec::new(),
            limits,
            body_memory,
            kept: queries::KeptQueries::new(limits.result_memory_bytes),
            registry,
            shutdown,
        }
    }

    /// Host names that requests may name.
    #[must_use]
    pub(crate) fn with_hosts(mut self, hosts: Vec<String>) -> Self {
        self.hosts = hosts;
        self
    }
}

/// Serves until the shutdown token; then requests in progress may end within the drain timeout.
///
/// # Cancel safety
/// Dropping it closes the listener; connections end with the runtime.
pub(crate) async fn serve(listener: TcpListener, services: Arc<RestServices>) {
    let (shutdown, limits) = (services.shutdown.clone(), services.limits);
    let connections = TaskTracker::new();
    let access = Arc::clone(&services.access);
    HttpListener::new(listener, access, router(services), limits).serve(&connections, &shutdown).await;
    connections.close();
    if tokio::time::timeout(limits.drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "dropping HTTP requests that do not end");
    }
}

/// All routes.
pub(super) fn router(services: Arc<RestServices>) -> Router {
    Router::new()
        .route("/", get(greet))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/orgs/self/queries", post(queries::query).get(queries::list))
        .route("/v1/orgs/self/queries/{id}", get(queries::info).delete(queries::cancel))
        .route("/v1/orgs/self/queries/{id}/pages", get(queries::pages))
        .route("/v1/orgs/self/ws", get(collections::list_workspaces))
        .route("/v1/orgs/self/collections", get(collections::list_all))
        .route("/v1/orgs/self/ws/{workspace}/collections", get(collections::list))
        .route("/v1/orgs/self/ws/{workspace}/collections/{collection}", get(collections::describe))
        .route(
            "/v1/orgs/self/ws/{workspace}/collections/{collection}/docs",
            post(documents::add).delete(documents::delete),
        )
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&services), guard::admit))
        .layer(middleware::from_fn_with_state(Arc::clone(&services), guard::answer))
        .with_state(services)
}

/// `GET /`: product and version. Rockset's Go client compares `message` with this very text.
async fn greet() -> impl IntoResponse {
    Json(json!({ "message": "GO ROCKSET!", "product": "Outcrop", "version": env!("CARGO_PKG_VERSION") }))
}

async fn unknown_route(uri: Uri) -> Failure {
    Failure::not_found(format!("there is no {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        FailureType::MethodNotAllowed,
        format!("{} does not take {method}", uri.path()),
    )
}
