//! Queries whose answer is fetched later: asynchronous ones, and results in pages.
//!
//! Their rows wait in memory as JSON, within limits for one result and for all; what is ended is kept for a while. A query
//! that outgrows them fails, and says so: without `async` and pages a result is streamed and may have any size.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow_array::TimestampMicrosecondArray;
use axum::http::StatusCode;
use outcrop_ingest::{Cells, TextSettings};
use parking_lot::Mutex;
use serde_json::{Value as JsonValue, json};
use tokio_util::sync::CancellationToken;

use super::super::failure::{Failure, FailureType, Result};

/// Queries that run or are kept, at most.
const QUERIES_MAX: usize = 1_000;
/// Bytes of one result, as with Rockset.
const RESULT_BYTES_MAX: usize = 100 << 20;
/// How long a result is kept after its query has ended.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(30 * 60);
/// What a row costs beside its bytes.
const ROW_BYTES: usize = size_of::<usize>();

/// All of a server.
#[derive(Debug)]
pub(in crate::rest) struct KeptQueries {
    queries: Mutex<HashMap<String, Arc<KeptQuery>>>,
    bytes: Arc<AtomicUsize>,
    /// Bytes of all results.
    bytes_max: usize,
}

/// One query.
#[derive(Debug)]
pub(super) struct KeptQuery {
    pub(super) id: String,
    pub(super) user: String,
    pub(super) sql: String,
    /// Wall clock, µs since 1970.
    submitted_us: i64,
    /// Monotonic clock.
    started: Duration,
    pub(super) cancel: CancellationToken,
    /// Cancelled when the query has ended.
    pub(super) ended: CancellationToken,
    progress: Mutex<Progress>,
    /// Bytes of all queries, this one among them.
    all_bytes: Arc<AtomicUsize>,
    all_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Progress {
    /// JSON objects one behind the other, and where each ends.
    rows: Vec<u8>,
    ends: Vec<usize>,
    end: Option<(End, Duration)>,
}

/// How a query ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// With the members that its answer has beside the rows.
    Completed(JsonValue),
    Failed(Failure),
    Cancelled,
}

/// Rows of a result, as a JSON array without its brackets.
pub(super) struct Page {
    pub(super) rows: Vec<u8>,
    pub(super) count: usize,
    pub(super) total: usize,
    /// The first row behind it, if there is one.
    pub(super) next: Option<usize>,
}

impl KeptQueries {
    /// None yet; their results may take so many bytes together.
    pub(in crate::rest) fn new(bytes_max: usize) -> Self {
        Self { queries: Mutex::default(), bytes: Arc::default(), bytes_max }
    }

    /// A query that begins.
    ///
    /// # Errors
    /// 429 if too many are kept.
    pub(super) fn add(&self, query: KeptQuery) -> Result<Arc<KeptQuery>> {
        let mut queries = self.queries.lock();
        queries.retain(|_, kept| !kept.is_expired(query.started));
        if queries.len() >= QUERIES_MAX {
            return Err(Failure::new(
                StatusCode::TOO_MANY_REQUESTS,
                FailureType::RateLimitExceeded,
                format!("{QUERIES_MAX} queries run or wait to be fetched"),
            )
            .with_hint("Send it again later, or without \"async\"."));
        }
        let query = Arc::new(query);
        queries.insert(query.id.clone(), Arc::clone(&query));
        Ok(query)
    }

    /// A new one, that is not yet among them.
    pub(super) fn begin(&self, id: String, user: String, sql: String, wall_us: i64, now: Duration) -> KeptQuery {
        KeptQuery {
            id,
            user,
            sql,
            submitted_us: wall_us,
            started: now,
            cancel: CancellationToken::new(),
            ended: CancellationToken::new(),
            progress: Mutex::default(),
            all_bytes: Arc::clone(&self.bytes),
            all_bytes_max: self.bytes_max,
        }
    }

    /// The query with an id, for the user who sent it.
    ///
    /// # Errors
    /// 404 also for queries of others: ids tell nothing.
    pub(super) fn get(&self, id: &str, user: &str, now: Duration) -> Result<Arc<KeptQuery>> {
        let mut queries = self.queries.lock();
        queries.retain(|_, kept| !kept.is_expired(now));
        queries.get(id).filter(|kept| kept.user == user).map(Arc::clone).ok_or_else(|| {
            let shown: String = id.chars().take(64).collect();
            Failure::not_found(format!("there is no query {shown}")).with_hint("Results are kept for half an hour.")
        })
    }

    /// Those of a user that run, the oldest first.
    pub(super) fn running(&self, user: &str) -> Vec<Arc<KeptQuery>> {
        let queries = self.queries.lock();
        let running = queries.values().filter(|kept| kept.user == user && kept.end().is_none());
        let mut running: Vec<_> = running.map(Arc::clone).collect();
        running.sort_by_key(|kept| kept.submitted_us);
        running
    }

    /// Nobody will ask for it again.
    pub(super) fn forget(&self, id: &str) {
        self.queries.lock().remove(id);
    }
}

impl KeptQuery {
    /// Takes a row, as JSON.
    ///
    /// # Errors
    /// `ResourceExceeded` beyond the limits.
    pub(super) fn push(&self, row: &[u8]) -> Result<()> {
        let mut progress = self.progress.lock();
        let cost = row.len() + ROW_BYTES;
        let all = self.all_bytes.fetch_add(cost, Ordering::Relaxed) + cost;
        progress.rows.extend_from_slice(row);
        let end = progress.rows.len();
        progress.ends.push(end);
        let own = end + progress.ends.len() * ROW_BYTES;
        if own > RESULT_BYTES_MAX || all > self.all_bytes_max {
            let whose = if own > RESULT_BYTES_MAX { "the result is" } else { "results that wait to be fetched are" };
            let limit = if own > RESULT_BYTES_MAX { RESULT_BYTES_MAX } else { self.all_bytes_max };
            return Err(Failure::new(
                StatusCode::BAD_REQUEST,
                FailureType::ResourceExceeded,
                format!("{whose} larger than {} MiB", limit >> 20),
            )
            .with_hint("Leave out \"async\" and \"max_initial_results\": rows are then sent as they are produced."));
        }
        Ok(())
    }

    /// The query has ended.
    pub(super) fn end_with(&self, end: End, now: Duration) {
        let mut progress = self.progress.lock();
        if !matches!(end, End::Completed(_)) {
            self.give_back(&progress);
            (progress.rows, progress.ends) = Default::default();
        }
        progress.rows.shrink_to_fit();
        progress.end = Some((end, now));
        drop(progress);
        self.ended.cancel();
    }

    /// How it ended, if it has.
    pub(super) fn end(&self) -> Option<End> {
        self.progress.lock().end.as_ref().map(|(end, _)| end.clone())
    }

    fn is_expired(&self, now: Duration) -> bool {
        self.progress.lock().end.as_ref().is_some_and(|(_, ended)| now.saturating_sub(*ended) > KEPT_FOR)
    }

    /// Rows from one on.
    ///
    /// # Errors
    /// What the query failed with; 409 while it runs.
    pub(super) fn page(&self, from: usize, most: usize) -> Result<Page> {
        let progress = self.progress.lock();
        match &progress.end {
            Some((End::Completed(_), _)) => {}
            Some((End::Failed(failure), _)) => return Err(failure.clone()),
            Some((End::Cancelled, _)) => return Err(cancelled().with_query_id(&self.id)),
            None => {
                let message = "the query is still running";
                return Err(Failure::new(StatusCode::CONFLICT, FailureType::Conflict, message).with_query_id(&self.id));
            }
        }
        let total = progress.ends.len();
        let chosen = from.min(total)..from.saturating_add(most).min(total);
        let mut rows = Vec::new();
        for row in chosen.clone() {
            if row > chosen.start {
                rows.push(b',');
            }
            rows.extend_from_slice(progress.rows.get(progress.row(row)).unwrap_or_default());
        }
        Ok(Page { rows, count: chosen.len(), total, next: Some(chosen.end).filter(|next| *next < total) })
    }

    /// Rockset's `QueryInfo`.
    pub(super) fn info(&self, now: Duration) -> JsonValue {
        let progress = self.progress.lock();
        let ended = progress.end.as_ref().map(|(_, ended)| *ended);
        let elapsed = ended.unwrap_or(now).saturating_sub(self.started);
        let mut info = serde_json::Map::new();
        let mut put = |name: &str, value: JsonValue| drop(info.insert(name.to_owned(), value));
        put("query_id", self.id.as_str().into());
        put("sql", self.sql.as_str().into());
        put("executed_by", self.user.as_str().into());
        put("submitted_at", time_text(self.submitted_us).into());
        put(
            "stats",
            json!({
                "elapsed_time_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                "throttled_time_micros": 0,
                "result_set_document_count": progress.ends.len(),
                "result_set_bytes_size": progress.rows.len(),
            }),
        );
        if let Some(ended) = ended {
            let after = ended.saturating_sub(self.started).saturating_add(KEPT_FOR);
            let after_us = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
            put("expires_at", time_text(self.submitted_us.saturating_add(after_us)).into());
        }
        match progress.end.as_ref().map(|(end, _)| end) {
            None => put("status", "RUNNING".into()),
            Some(End::Cancelled) => put("status", "CANCELLED".into()),
            Some(End::Failed(failure)) => {
                put("status", "ERROR".into());
                put("query_errors", json!([failure.to_query_error()]));
            }
            Some(End::Completed(members)) => {
                put("status", "COMPLETED".into());
                put("pagination", json!({ "start_cursor": cursor(0) }));
                if let Some(offset) = members.get("last_offset") {
                    put("last_offset", offset.clone());
                }
            }
        }
        JsonValue::Object(info)
    }

    fn give_back(&self, progress: &Progress) {
        let bytes = progress.rows.len() + progress.ends.len() * ROW_BYTES;
        self.all_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for KeptQuery {
    fn drop(&mut self) {
        self.give_back(&self.progress.lock());
    }
}

impl Progress {
    fn row(&self, row: usize) -> Range<usize> {
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        start..self.ends.get(row).copied().unwrap_or(start)
    }
}

/// The failure of a query that was cancelled.
pub(super) fn cancelled() -> Failure {
    Failure::new(StatusCode::REQUEST_TIMEOUT, FailureType::QueryCancelled, "the query was cancelled")
}

/// Names a row; clients give it back as it is.
pub(super) fn cursor(row: usize) -> String {
    format!("r{row}")
}

/// The row that a cursor names.
pub(super) fn row_of_cursor(cursor: &str) -> Option<usize> {
    cursor.strip_prefix('r')?.parse().ok()
}

/// `2024-05-01T10:00:00Z`
fn time_text(us: i64) -> String {
    let array = TimestampMicrosecondArray::from(vec![us]).with_timezone("UTC");
    let mut text = Vec::new();
    if let Ok(cells) = Cells::try_new(&array) {
        cells.write_json(0, &TextSettings::default(), &mut text);
    }
    String::from_utf8_lossy(&text).trim_matches('"').to_owned()
}
