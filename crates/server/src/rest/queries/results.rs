//! The body of an answer, written while the rows arrive.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use axum::body::Bytes;
use futures::{Stream, StreamExt as _};
use outcrop_ingest::TextSettings;
use outcrop_query::{ResultColumn, RowStream, Session};
use outcrop_types::{Condition, Error};
use serde_json::{Value as JsonValue, json};

use super::super::failure::Failure;
use super::super::service::RestServices;
use super::cells::{RowWriter, type_name};

/// Bytes that are sent at once, about.
const CHUNK_BYTES: usize = 64 << 10;

/// A result on its way out.
pub(super) struct Results {
    pub(super) services: Arc<RestServices>,
    pub(super) session: Session,
    pub(super) rows: RowStream,
    /// Read before the status line was written, so that early errors have a status of their own.
    pub(super) first: Option<RecordBatch>,
    pub(super) query_id: String,
    pub(super) row_limit: Option<u64>,
    pub(super) started: Duration,
    pub(super) collections: Vec<String>,
    /// `ParameterStatus`-like text of the newest commit is `last_offset` where the statement wrote.
    pub(super) writes: bool,
}

enum Stage {
    Head,
    Rows(Option<RecordBatch>, usize),
    End,
}

impl Results {
    /// The body, at most a batch and a chunk of it in memory.
    ///
    /// # Cancel safety
    /// Dropping the stream, as when the client goes away, cancels the query.
    pub(super) fn into_body(self, settings: TextSettings) -> impl Stream<Item = io::Result<Bytes>> + Send {
        let writer = RowWriter::new(self.rows.columns(), settings);
        let state = Body { results: self, writer, written: 0, stage: Stage::Head };
        futures::stream::unfold(state, |mut state| async move {
            let chunk = state.next().await?;
            Some((Ok(Bytes::from(chunk)), state))
        })
    }
}

impl Results {
    /// Gives all rows as JSON objects, one at a time; returns the other members of the answer.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the query.
    pub(super) async fn drain(
        mut self,
        settings: TextSettings,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<JsonValue, Failure> {
        let writer = RowWriter::new(self.rows.columns(), settings);
        let mut next = self.first.take();
        let mut written = 0;
        let mut text = Vec::new();
        let is_full = |written: u64| self.row_limit.is_some_and(|limit| written >= limit);
        while !is_full(written) {
            let batch = match next.take() {
                Some(batch) => batch,
                None => match self.rows.next().await {
                    Some(batch) => batch?,
                    None => break,
                },
            };
            let cells = writer.cells(&batch)?;
            for row in 0..batch.num_rows() {
                if is_full(written) {
                    break;
                }
                text.clear();
                writer.write(&cells, row, &mut text);
                take(&text)?;
                written += 1;
            }
        }
        Ok(self.tail(written))
    }

    /// The members that follow so many rows.
    fn tail(&self, written: u64) -> JsonValue {
        let elapsed = self.services.env.clock.monotonic().saturating_sub(self.started);
        let position = self.session.commit_seq().to_string();
        let mut tail = trailer(self.rows.columns(), &self.collections, elapsed, &position);
        set(&mut tail, "results_total_doc_count", written);
        if self.writes {
            set(&mut tail, "last_offset", position);
        }
        tail
    }
}

struct Body {
    results: Results,
    writer: RowWriter,
    /// Rows written.
    written: u64,
    stage: Stage,
}

impl Body {
    async fn next(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.stage, Stage::End) {
            Stage::Head => {
                let first = self.results.first.take();
                self.stage = Stage::Rows(first, 0);
                let id = JsonValue::from(self.results.query_id.as_str());
                Some(format!("{{\"query_id\":{id},\"results\":[").into_bytes())
            }
            Stage::Rows(batch, row) => Some(self.rows(batch, row).await),
            Stage::End => None,
        }
    }

    /// Fills a chunk; at the end of the rows with the end of the body.
    async fn rows(&mut self, mut batch: Option<RecordBatch>, mut row: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(CHUNK_BYTES + (CHUNK_BYTES >> 2));
        loop {
            if self.is_full() {
                return self.end(out, None);
            }
            if batch.as_ref().is_none_or(|batch| row >= batch.num_rows()) {
                match self.results.rows.next().await {
                    Some(Ok(next)) => (batch, row) = (Some(next), 0),
                    Some(Err(error)) => return self.end(out, Some(error)),
                    None => return self.end(out, None),
                }
            }
            if let Some(batch) = &batch {
                match self.write(batch, row, &mut out) {
                    Ok(next) => row = next,
                    Err(error) => return self.end(out, Some(error)),
                }
            }
            if out.len() >= CHUNK_BYTES {
                self.stage = Stage::Rows(batch, row);
                return out;
            }
        }
    }

    /// Writes rows of a batch until the chunk is full; returns the next row.
    fn write(&mut self, batch: &RecordBatch, from: usize, out: &mut Vec<u8>) -> Result<usize, Error> {
        let cells = self.writer.cells(batch)?;
        for row in from..batch.num_rows() {
            if out.len() >= CHUNK_BYTES || self.is_full() {
                return Ok(row);
            }
            if self.written > 0 {
                out.push(b',');
            }
            self.writer.write(&cells, row, out);
            self.written += 1;
        }
        Ok(batch.num_rows())
    }

    fn is_full(&self) -> bool {
        self.results.row_limit.is_some_and(|limit| self.written >= limit)
    }

    /// What follows the rows. The status line is long gone, so an error is told in the body.
    fn end(&mut self, mut out: Vec<u8>, error: Option<Error>) -> Vec<u8> {
        let mut tail = self.results.tail(self.written);
        if let Some(error) = error {
            set(&mut tail, "status", "ERROR");
            set(&mut tail, "query_errors", json!([Failure::from(error).to_query_error()]));
        }
        out.extend_from_slice(b"],");
        // The members of the object, without its opening brace.
        out.extend_from_slice(tail.to_string().trim_start_matches('{').as_bytes());
        self.stage = Stage::End;
        out
    }
}

/// The members that every result has beside its rows.
pub(super) fn trailer(
    columns: &[ResultColumn],
    collections: &[String],
    elapsed: Duration,
    position: &str,
) -> JsonValue {
    let fields = columns.iter().map(|column| json!({ "name": column.name, "type": type_name(&column.data_type) }));
    json!({
        "column_fields": fields.collect::<Vec<_>>(),
        "collections": collections,
        "stats": {
            "elapsed_time_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            "throttled_time_micros": 0,
        },
        "commit_seq": position,
        "status": "COMPLETED",
    })
}

/// Sets a member of an object.
pub(super) fn set(object: &mut JsonValue, name: &str, value: impl Into<JsonValue>) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
}

/// COPY has no place in HTTP.
pub(super) fn copy_refused() -> Error {
    Error::new(Condition::FeatureNotSupported, "COPY works over the PostgreSQL protocol only")
        .with_hint("Use POST …/docs for documents, or `outcrop load` for files.")
}
