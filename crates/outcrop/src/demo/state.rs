//! What the screen and the summary tell.

use std::net::SocketAddr;
use std::time::Duration;

use super::histogram::Histogram;
use super::queries::{Answer, QUERIES, RowCounts};

/// Everything so far.
#[derive(Debug)]
pub(super) struct State {
    pub(super) addresses: Addresses,
    /// Where the data is, and whether it stays.
    pub(super) place: String,
    pub(super) elapsed: Duration,
    /// When the demo ends by itself.
    pub(super) ends_after: Option<Duration>,
    pub(super) rows: RowCounts,
    /// The newest turn.
    pub(super) last: Turn,
    /// All turns together.
    pub(super) total: Changes,
    /// From sending a change to its acknowledgement.
    pub(super) acknowledged: Histogram,
    /// From sending a change to seeing it in another session.
    pub(super) freshness: Histogram,
    /// One for each of [`QUERIES`].
    pub(super) answers: Vec<Answer>,
}

/// Where other programs can connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) postgres: SocketAddr,
    pub(super) http: Option<SocketAddr>,
}

/// Rows that were changed and acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) upserted: u64,
    pub(super) deleted: u64,
    pub(super) appended: u64,
}

/// One look at the processes, written to the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) changes: Changes,
    /// Processes that are new since the turn before.
    pub(super) started: u64,
    /// Processes that are gone since the turn before.
    pub(super) ended: u64,
    /// Time since the turn before.
    pub(super) interval: Duration,
}

impl State {
    pub(super) fn new(addresses: Addresses, place: String, ends_after: Option<Duration>) -> Self {
        Self {
            addresses,
            place,
            elapsed: Duration::ZERO,
            ends_after,
            rows: RowCounts::default(),
            last: Turn::default(),
            total: Changes::default(),
            acknowledged: Histogram::new(),
            freshness: Histogram::new(),
            answers: QUERIES.map(Answer::none_yet).into(),
        }
    }

    /// Whether the demo has had its time. Asked before each turn: where turns take longer than their period, the next is
    /// always due, and waiting for the end would never win.
    pub(super) fn is_over(&self, elapsed: Duration) -> bool {
        self.ends_after.is_some_and(|end| elapsed >= end)
    }

    pub(super) fn add(&mut self, turn: Turn) {
        self.last = turn;
        self.total.upserted += turn.changes.upserted;
        self.total.deleted += turn.changes.deleted;
        self.total.appended += turn.changes.appended;
    }
}

impl Changes {
    pub(super) fn all(&self) -> u64 {
        self.upserted + self.deleted + self.appended
    }

    /// Changes for each second of `time`, rounded down.
    pub(super) fn per_second(&self, time: Duration) -> u64 {
        let us = time.as_micros().max(1);
        u64::try_from(u128::from(self.all()) * 1_000_000 / us).unwrap_or(u64::MAX)
    }
}

impl Addresses {
    /// What to type to be a session of one's own.
    pub(super) fn psql(&self) -> String {
        format!("psql -h {} -p {} outcrop", self.postgres.ip(), self.postgres.port())
    }

    /// How to connect, in one short line.
    pub(super) fn short(&self) -> String {
        match self.http {
            Some(address) => format!("{}   REST: http://{address}", self.psql()),
            None => self.psql(),
        }
    }

    /// What to type to ask over REST.
    pub(super) fn curl(&self) -> Option<String> {
        let query = r#"{"sql": {"query": "SELECT count(*) FROM samples"}}"#;
        let address = self.http?;
        Some(format!("curl http://{address}/v1/orgs/self/queries -H 'Content-Type: application/json' -d '{query}'"))
    }
}

/// Median and 99th percentile.
pub(super) fn percentiles(latencies: &Histogram) -> String {
    let text = |percent| latencies.percentile(percent).map_or_else(|| "–".to_owned(), crate::terminal::duration);
    format!("p50 {}, p99 {}", text(50), text(99))
}
