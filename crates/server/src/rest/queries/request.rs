//! The body of a query.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Rockset's `QueryRequest`, as far as it means something here. Other members are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct QueryRequest {
    pub(super) sql: QuerySql,
    /// `true` asks for an answer before the result is there.
    #[serde(default, rename = "async")]
    pub(super) is_async: Option<bool>,
    /// How long the answer to an asynchronous query may wait for its end.
    #[serde(default)]
    pub(super) async_options: Option<AsyncOptions>,
    /// Most rows of the first answer; the others come in pages.
    #[serde(default)]
    pub(super) max_initial_results: Option<usize>,
    /// Longest that the statement may run.
    #[serde(default)]
    pub(super) timeout_ms: Option<u64>,
}

/// Rockset's `AsyncQueryOptions`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct AsyncOptions {
    #[serde(default)]
    pub(super) client_timeout_ms: Option<u64>,
    /// Deprecated there; the one of the request wins.
    #[serde(default)]
    pub(super) timeout_ms: Option<u64>,
    /// Likewise.
    #[serde(default)]
    pub(super) max_initial_results: Option<usize>,
}

/// The statement.
#[derive(Debug, Deserialize)]
pub(super) struct QuerySql {
    pub(super) query: String,
    #[serde(default)]
    pub(super) parameters: Option<Vec<QueryParameter>>,
    /// Most rows returned where the text has no LIMIT.
    #[serde(default)]
    pub(super) default_row_limit: Option<u64>,
}

/// A parameter; without a name it is for the next `?`, or for `$n` by its place.
#[derive(Debug, Deserialize)]
pub(super) struct QueryParameter {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default, rename = "type")]
    pub(super) type_name: Option<String>,
    #[serde(default)]
    pub(super) value: Option<Box<RawValue>>,
}
