//! The handler of queries.

#![allow(clippy::indexing_slicing, reason = "assigning to a key of a JSON object inserts it")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures::StreamExt as _;
use outcrop_ingest::TextSettings;
use outcrop_query::{CommandTag, ExecuteOptions, Execution, Prepared, RowStream, Session, Statement};
use outcrop_types::{Condition, DataType, Error, Value};
use serde_json::json;

use super::super::body::{parse, receive};
use super::super::failure::{Failure, Result};
use super::super::guard::Caller;
use super::super::service::RestServices;
use super::named::{Numbered, number_parameters, place_of};
use super::parameters::{assumed_type, declared_type, value};
use super::request::{QueryParameter, QueryRequest};
use super::results::{Results, copy_refused, trailer};

/// One query, while it is answered.
struct Query {
    services: Arc<RestServices>,
    session: Session,
    request: QueryRequest,
    numbered: Numbered,
    query_id: String,
    started: Duration,
}

/// `POST /v1/orgs/self/queries`
pub(in crate::rest) async fn query(
    State(services): State<Arc<RestServices>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response> {
    let started = services.env.clock.monotonic();
    let received = receive(&services, request).await?;
    let request: QueryRequest = parse(&received)?;
    drop(received);
    let query_id = format!("{:016x}{:016x}", services.env.rng.next_u64(), services.env.rng.next_u64());
    let session = services.database.session(caller.session_info());
    let sql = request.sql.query.clone();
    let parameters = request.sql.parameters.as_deref().unwrap_or_default();
    let names: Vec<_> = parameters.iter().map(|parameter| parameter.name.as_deref()).collect();
    let numbered = number_parameters(&sql, &names).map_err(|failure| failure.with_query_id(&query_id))?;
    let map = numbered.clone();
    let id = query_id.clone();
    let query = Query { services, session, request, numbered, query_id, started };
    Box::pin(query.answer())
        .await
        .map_err(|failure| failure.with_query_id(&id).with_place(|position| place_of(&sql, map.original(position))))
}

impl Query {
    async fn answer(mut self) -> Result<Response> {
        if self.request.is_async == Some(true) {
            return Err(Failure::not_implemented("asynchronous queries are not supported")
                .with_hint("Leave \"async\" out: rows are sent as they are produced, however long it takes."));
        }
        if let Some(timeout_ms) = self.request.timeout_ms.filter(|timeout| *timeout > 0) {
            self.session.set_default("statement_timeout", &format!("{timeout_ms}ms"))?;
        }
        let statement = self.statement().await?;
        let prepared = self.prepare(statement).await?;
        let parameters = self.parameters(&prepared)?;
        let row_limit = self.request.sql.default_row_limit.filter(|_| !self.numbered.has_limit);
        let options = ExecuteOptions { max_rows: row_limit };
        match self.session.execute(&prepared, &parameters, options).await? {
            Execution::Rows(rows) => self.rows(rows, row_limit, prepared.writes()).await,
            Execution::Done(tag) => Ok(self.done(&tag)),
            Execution::CopyIn(_) | Execution::CopyOut(_) => Err(copy_refused().into()),
            Execution::Empty => Err(Failure::invalid("the query is empty")),
        }
    }

    async fn statement(&self) -> Result<Statement> {
        let mut statements = self.session.parse(&self.numbered.text).await?.into_iter();
        match (statements.next(), statements.next()) {
            (Some(statement), None) => Ok(statement),
            (None, _) => Err(Failure::invalid("the query is empty")),
            (Some(_), Some(_)) => Err(Failure::invalid("a request holds one statement")
                .with_hint("Send each statement in a request of its own.")),
        }
    }

    /// Parameters whose type neither the request nor their place tells get one by the look of their value.
    async fn prepare(&mut self, statement: Statement) -> Result<Prepared> {
        let ordered = self.ordered();
        let declared = ordered.iter().map(|parameter| declared_type(parameter)).collect::<Result<Vec<_>>>()?;
        let assumed: Vec<Option<DataType>> = ordered
            .iter()
            .zip(&declared)
            .map(|(parameter, declared)| declared.clone().or_else(|| Some(assumed_type(parameter))))
            .collect();
        match self.session.prepare(statement.clone(), &declared).await {
            Err(error) if error.condition() == Condition::IndeterminateDatatype => {
                Ok(self.session.prepare(statement, &assumed).await?)
            }
            answer => Ok(answer?),
        }
    }

    fn parameters(&self, prepared: &Prepared) -> Result<Vec<Value>> {
        let ordered = self.ordered();
        if ordered.len() != prepared.parameters().len() {
            return Err(Error::new(
                Condition::UndefinedParameter,
                format!(
                    "the request gives {} parameters, but the statement requires {}",
                    ordered.len(),
                    prepared.parameters().len()
                ),
            )
            .into());
        }
        ordered.iter().zip(prepared.parameters()).map(|(parameter, data_type)| value(parameter, data_type)).collect()
    }

    /// The parameters that the statement uses, in the order of their numbers.
    fn ordered(&self) -> Vec<&QueryParameter> {
        let given = self.request.sql.parameters.as_deref().unwrap_or_default();
        self.numbered.order.iter().filter_map(|index| given.get(*index)).collect()
    }

    async fn rows(self, mut rows: RowStream, row_limit: Option<u64>, writes: bool) -> Result<Response> {
        let first = rows.next().await.transpose()?;
        let collections = self.collections(&rows);
        let results = Results {
            services: self.services,
            session: self.session,
            rows,
            first,
            query_id: self.query_id,
            row_limit,
            started: self.started,
            collections,
            writes,
        };
        let mut response = Body::from_stream(results.into_body(TextSettings::default())).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    /// Tables whose columns are in the result.
    fn collections(&self, rows: &RowStream) -> Vec<String> {
        let snapshot = self.services.database.engine().snapshot();
        let mut names: Vec<String> = rows
            .columns()
            .iter()
            .filter_map(|column| snapshot.catalog().table_by_id(column.table?))
            .map(|schema| schema.name.to_string())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The answer for statements without rows. What Rockset says of INSERT is said of the others likewise.
    fn done(self, tag: &CommandTag) -> Response {
        let elapsed = self.services.env.clock.monotonic().saturating_sub(self.started);
        let position = self.session.commit_seq().to_string();
        let mut body = trailer(&[], &[], elapsed, &position);
        let counted = match tag.command() {
            "INSERT" => "num_docs_inserted",
            "UPDATE" => "num_docs_updated",
            "DELETE" => "num_docs_deleted",
            _ => "num_docs",
        };
        let results = tag.rows().map(|rows| json!({ counted: rows }));
        body["column_fields"] = results.iter().map(|_| json!({ "name": counted, "type": "int" })).collect();
        body["results_total_doc_count"] = results.iter().count().into();
        body["results"] = results.into_iter().collect();
        body["query_id"] = self.query_id.into();
        body["last_offset"] = position.into();
        Json(body).into_response()
    }
}
