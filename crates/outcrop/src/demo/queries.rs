//! The queries that run every second, beside the changes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use outcrop_env::Clock;
use tokio_postgres::SimpleQueryMessage;

use super::histogram::Histogram;
use crate::client::Connection;

/// A query with a name for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    pub(super) title: &'static str,
    pub(super) sql: &'static str,
}

/// What a query said last, and how long it took, each time.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) title: &'static str,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    pub(super) latency: Duration,
    pub(super) latencies: Histogram,
}

/// Rows in the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RowCounts {
    pub(super) processes: u64,
    pub(super) samples: u64,
}

/// The session that reads.
#[derive(Debug)]
pub(super) struct Reader {
    connection: Connection,
    clock: Arc<dyn Clock>,
}

impl Reader {
    pub(super) fn new(connection: Connection, clock: Arc<dyn Clock>) -> Self {
        Self { connection, clock }
    }

    /// Runs a query the way psql does and keeps what it says in `answer`.
    pub(super) async fn ask(&self, query: Query, answer: &mut Answer) -> Result<()> {
        let began = self.clock.monotonic();
        let messages = self.connection.client.simple_query(query.sql).await;
        let messages = messages.with_context(|| format!("ask \"{}\"", query.title))?;
        answer.latency = self.clock.monotonic().saturating_sub(began);
        answer.latencies.record(answer.latency);
        answer.rows.clear();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    answer.columns = columns.iter().map(|column| column.name().replace('_', " ")).collect();
                }
                SimpleQueryMessage::Row(row) => {
                    answer.rows.push((0..row.len()).map(|cell| row.get(cell).unwrap_or_default().to_owned()).collect());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Counts the rows of both tables.
    pub(super) async fn count(&self) -> Result<RowCounts> {
        let counts = self.connection.client.query_one(COUNT, &[]).await.context("count the rows")?;
        let count = |column: usize| -> Result<u64> {
            let count: i64 = counts.try_get(column).context("count the rows")?;
            u64::try_from(count).context("count the rows")
        };
        Ok(RowCounts { processes: count(0)?, samples: count(1)? })
    }
}

impl Answer {
    /// Before it was asked.
    pub(super) fn none_yet(query: Query) -> Self {
        let (columns, rows) = (Vec::new(), Vec::new());
        Self { title: query.title, columns, rows, latency: Duration::ZERO, latencies: Histogram::new() }
    }
}

/// A join, an aggregate with windows over it, and a window over time. They return at most ten rows.
pub(super) const QUERIES: [Query; 3] = [
    Query {
        title: "Busiest processes of the last 10 seconds",
        sql: "
SELECT p.pid, p.name, p.state, p.threads,
       (sum(s.cpu_ms) / 100.0)::numeric(12, 1) AS cpu_percent,
       (max(s.resident_bytes) / 1000000.0)::numeric(12, 1) AS memory_mb
FROM samples s JOIN processes p ON p.pid = s.pid AND p.started_at = s.started_at
WHERE s.sampled_at > now() - INTERVAL '10 seconds'
GROUP BY p.pid, p.name, p.state, p.threads
ORDER BY cpu_percent DESC, memory_mb DESC, p.pid
LIMIT 10",
    },
    Query {
        title: "Memory by program",
        sql: "
SELECT name, count(*) AS processes, sum(threads) AS threads,
       (sum(resident_bytes) / 1000000.0)::numeric(12, 1) AS memory_mb,
       (100.0 * sum(resident_bytes) / sum(sum(resident_bytes)) OVER ())::numeric(12, 1) AS percent,
       rank() OVER (ORDER BY sum(cpu_ms) DESC) AS rank_by_cpu
FROM processes
GROUP BY name
ORDER BY memory_mb DESC, name
LIMIT 10",
    },
    Query {
        title: "The machine second by second, with the mean of five",
        sql: "
SELECT to_char(sampled_at, 'HH24:MI:SS') AS utc, count(*) AS processes,
       (sum(cpu_ms) / 10.0)::numeric(12, 1) AS cpu_percent,
       (avg(sum(cpu_ms)) OVER (ORDER BY sampled_at ROWS BETWEEN 4 PRECEDING AND CURRENT ROW) / 10.0)::numeric(12, 1)
           AS mean_cpu_percent,
       (sum(read_bytes) / 1000000.0)::numeric(12, 1) AS read_mb,
       (sum(written_bytes) / 1000000.0)::numeric(12, 1) AS written_mb
FROM samples
WHERE sampled_at > now() - INTERVAL '30 seconds'
GROUP BY sampled_at
ORDER BY sampled_at DESC
LIMIT 10",
    },
];

const COUNT: &str = "SELECT (SELECT count(*) FROM processes), (SELECT count(*) FROM samples)";
