//! The handler of queries.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures::{FutureExt as _, StreamExt as _};
use outcrop_ingest::TextSettings;
use outcrop_query::{CommandTag, ExecuteOptions, Execution, Prepared, RowStream, Session, Statement};
use outcrop_types::{Condition, DataType, Error, Value};
use serde_json::{Value as JsonValue, json};

use super::super::body::{parse, receive};
use super::super::failure::{Failure, Result};
use super::super::guard::Caller;
use super::super::service::RestServices;
use super::kept::{End, KeptQuery};
use super::named::{Numbered, number_parameters, place_of};
use super::pages::{PAGE_ROWS_MAX, first_answer};
use super::parameters::{assumed_type, declared_type, value};
use super::request::{QueryParameter, QueryRequest};
use super::results::{Results, copy_refused, set, trailer};

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
    let locate = move |failure: Failure| {
        failure.with_query_id(&id).with_place(|position| place_of(&sql, map.original(position)))
    };
    let query = Query { services, session, request, numbered, query_id, started };
    match query.is_kept() {
        true => Box::pin(query.answer_later(caller.user, locate)).await,
        false => Box::pin(query.answer()).await.map_err(locate),
    }
}

/// What a statement came to, before its rows are read.
enum Outcome {
    Rows(Box<Results>),
    /// A whole answer.
    Done(JsonValue),
}

impl Query {
    /// Sends the rows while they are produced.
    async fn answer(self) -> Result<Response> {
        match self.execute().await? {
            Outcome::Done(body) => Ok(Json(body).into_response()),
            Outcome::Rows(results) => {
                let mut response = Body::from_stream(results.into_body(TextSettings::default())).into_response();
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Ok(response)
            }
        }
    }

    /// Whether the result is to be fetched later, all of it or what does not fit in the first answer.
    fn is_kept(&self) -> bool {
        self.request.is_async == Some(true) || self.request.max_initial_results.is_some()
    }

    /// Runs the query by itself, and answers with what there is when the request does not want to wait any more.
    ///
    /// # Cancel safety
    /// Dropped, as when the client goes away, a query that is not asynchronous is cancelled.
    async fn answer_later(
        self,
        user: String,
        locate: impl FnOnce(Failure) -> Failure + Send + 'static,
    ) -> Result<Response> {
        let services = Arc::clone(&self.services);
        let options = self.request.async_options.as_ref();
        let most = self.request.max_initial_results.or_else(|| options.and_then(|options| options.max_initial_results));
        if most.is_some_and(|most| most > PAGE_ROWS_MAX) {
            return Err(locate(Failure::invalid(format!("max_initial_results is outside 0 to {PAGE_ROWS_MAX}"))));
        }
        let is_async = self.request.is_async == Some(true);
        let patience = options.and_then(|options| options.client_timeout_ms).unwrap_or(0);
        let (id, sql) = (self.query_id.clone(), self.request.sql.query.clone());
        let kept = services.kept.begin(id, user, sql, services.env.clock.wall_us(), self.started);
        let kept = services.kept.add(kept)?;
        let running = Arc::clone(&kept);
        // It ends with its query, which a cancel and the end of the server end; the runtime of the server owns it.
        drop(tokio::spawn(async move {
            let (clock, shutdown) = (Arc::clone(&self.services.env.clock), self.services.shutdown.clone());
            let end = tokio::select! {
                biased;
                () = running.cancel.cancelled() => End::Cancelled,
                () = shutdown.cancelled() => End::Cancelled,
                filled = AssertUnwindSafe(Box::pin(self.fill(&running))).catch_unwind() => match filled {
                    Ok(Ok(members)) => End::Completed(members),
                    Ok(Err(failure)) => End::Failed(locate(failure)),
                    Err(_panic) => End::Failed(Error::internal("the query panicked").into()),
                },
            };
            running.end_with(end, clock.monotonic());
        }));
        if is_async {
            // What has not ended by then goes on.
            let patience = Duration::from_millis(patience);
            tokio::time::timeout(patience, kept.ended.cancelled()).await.unwrap_or_default();
        } else {
            let guard = kept.cancel.clone().drop_guard();
            kept.ended.cancelled().await;
            guard.disarm();
        }
        let answer = first_answer(&services, &kept, most);
        if answer.is_err() {
            services.kept.forget(&kept.id);
        }
        answer
    }

    /// Executes and keeps the rows; returns the other members of the answer.
    async fn fill(self, kept: &KeptQuery) -> Result<JsonValue> {
        match self.execute().await? {
            Outcome::Rows(results) => results.drain(TextSettings::default(), |row| kept.push(row)).await,
            Outcome::Done(mut body) => {
                let rows = body.as_object_mut().and_then(|members| members.remove("results"));
                for row in rows.as_ref().and_then(JsonValue::as_array).into_iter().flatten() {
                    kept.push(row.to_string().as_bytes())?;
                }
                Ok(body)
            }
        }
    }

    async fn execute(mut self) -> Result<Outcome> {
        let options = self.request.async_options.as_ref();
        let timeout_ms = self.request.timeout_ms.or_else(|| options.and_then(|options| options.timeout_ms));
        if let Some(timeout_ms) = timeout_ms.filter(|timeout| *timeout > 0) {
            self.session.set_default("statement_timeout", &format!("{timeout_ms}ms"))?;
        }
        let statement = self.statement().await?;
        let prepared = self.prepare(statement).await?;
        let parameters = self.parameters(&prepared)?;
        let row_limit = self.request.sql.default_row_limit.filter(|_| !self.numbered.has_limit);
        let options = ExecuteOptions { max_rows: row_limit };
        match self.session.execute(&prepared, &parameters, options).await? {
            Execution::Rows(rows) => self.rows(rows, row_limit, prepared.writes()).await,
            Execution::Done(tag) => Ok(Outcome::Done(self.done(&tag))),
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

    async fn rows(self, mut rows: RowStream, row_limit: Option<u64>, writes: bool) -> Result<Outcome> {
        let first = rows.next().await.transpose()?;
        let collections = self.collections(&rows);
        Ok(Outcome::Rows(Box::new(Results {
            services: self.services,
            session: self.session,
            rows,
            first,
            query_id: self.query_id,
            row_limit,
            started: self.started,
            collections,
            writes,
        })))
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
    fn done(self, tag: &CommandTag) -> JsonValue {
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
        let fields: JsonValue = results.iter().map(|_| json!({ "name": counted, "type": "int" })).collect();
        set(&mut body, "column_fields", fields);
        set(&mut body, "results_total_doc_count", results.iter().count());
        set(&mut body, "results", results.into_iter().collect::<JsonValue>());
        set(&mut body, "query_id", self.query_id);
        set(&mut body, "last_offset", position);
        body
    }
}
