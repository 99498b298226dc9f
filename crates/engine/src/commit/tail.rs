//! The tail: everything that has a `CommitSeq`, synced or not (W3).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outcrop_env::{Clock, kill_point};
use outcrop_format::CommitRecord;
use outcrop_format::record::Change;
use outcrop_log::Permit;
use outcrop_types::{CommitSeq, Condition, Epoch, Error, Result, TableId};

use super::ticket::Ticket;
use crate::snapshot::{TableState, Version};
use crate::write::Commit;

/// The newest version, and the group that waits for the log worker.
#[derive(Debug)]
pub(crate) struct Tail {
    version: Version,
    epoch: Epoch,
    /// Wall clock of the last record; the clock may go back, records do not (F3).
    wall_us: i64,
    group: Group,
    refusal: Option<Refusal>,
}

/// Commits and answers on their way to the log, in order.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Records to write.
    pub(crate) records: Vec<(CommitSeq, Bytes)>,
    /// When each of them got its place, by the monotonic clock.
    pub(crate) sequenced_at: Vec<Duration>,
    /// Space set aside for them.
    pub(crate) permits: Vec<Permit>,
    /// Whom to answer once they are durable.
    pub(crate) answers: Vec<Answer>,
    /// The version after the last record.
    pub(crate) version: Option<Version>,
}

/// An answer that must not leave yet. One that is dropped unsent says that the outcome is unknown: nobody waits for ever.
#[derive(Debug)]
pub(crate) struct Answer {
    ticket: Arc<Ticket>,
    result: Option<Result<Commit>>,
    asked_at: Option<Duration>,
}

impl Answer {
    pub(crate) fn new(ticket: &Arc<Ticket>, result: Result<Commit>) -> Self {
        Self { ticket: Arc::clone(ticket), result: Some(result), asked_at: None }
    }

    /// The answer of a statement that wished to commit at that time of the monotonic clock.
    pub(crate) fn of_statement(ticket: &Arc<Ticket>, result: Result<Commit>, asked_at: Duration) -> Self {
        Self { ticket: Arc::clone(ticket), result: Some(result), asked_at: Some(asked_at) }
    }

    /// When its statement wished to commit.
    pub(crate) fn asked_at(&self) -> Option<Duration> {
        self.asked_at
    }

    /// What it waited for is durable.
    pub(crate) fn send(mut self) {
        if let Some(result) = self.result.take() {
            self.ticket.complete(result);
        }
    }

    /// What it waited for may never be.
    pub(crate) fn refuse(mut self, reason: &str) {
        self.result = None;
        self.ticket.complete(Err(poisoned(reason)));
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.result.take().is_none() {
            return;
        }
        let unknown = Err(poisoned("the log worker ended before it answered"));
        // It may be dropped by a panic, and a second one would end the process.
        if catch_unwind(AssertUnwindSafe(|| self.ticket.complete(unknown))).is_err() {
            tracing::error!("a callback of a commit panicked");
        }
    }
}

/// Why no commit is accepted any more.
#[derive(Clone, Debug)]
enum Refusal {
    Closing,
    Poisoned(String),
}

/// A commit that got its place.
#[derive(Debug)]
pub(crate) struct Sequenced {
    pub(crate) version: Version,
    pub(crate) changes: Vec<Change>,
    pub(crate) permit: Permit,
}

impl Tail {
    pub(crate) fn new(version: Version, epoch: Epoch, wall_us: i64) -> Self {
        Self { version, epoch, wall_us, group: Group::default(), refusal: None }
    }

    /// Puts a commit behind all others. Its version must have been made from [`Tail::version`] under the same lock, with
    /// the number of [`Tail::next_seq`].
    ///
    /// # Panics
    /// If it was not: the order of the log would be another than that of the versions (W3).
    pub(crate) fn push(&mut self, commit: Sequenced, clock: &dyn Clock) {
        let Sequenced { version, changes, permit } = commit;
        assert!(
            Some(version.seq) == self.version.seq.next(),
            "W3 violated: commit {} after {}",
            version.seq,
            self.version.seq
        );
        self.wall_us = self.wall_us.max(clock.wall_us());
        let record = CommitRecord {
            seq: version.seq,
            epoch: self.epoch,
            wall_us: self.wall_us,
            transaction: 0,
            token: None,
            offsets: Vec::new(),
            changes,
        };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        // A log that finds no room for a record of the tail can only poison.
        debug_assert!(permit.covers(bytes.len() as u64), "W9 violated: {} has {} bytes", version.seq, bytes.len());
        self.group.records.push((version.seq, Bytes::from(bytes)));
        self.group.sequenced_at.push(clock.monotonic());
        self.group.permits.push(permit);
        self.group.version = Some(version.clone());
        self.version = version;
        kill_point("commit", "sequenced");
    }

    /// Divides time: commits so far have at most the time, in µs, that this gives back, and later ones have a later one.
    pub(crate) fn divide_time(&mut self, clock: &dyn Clock) -> i64 {
        let until = self.wall_us.max(clock.wall_us());
        self.wall_us = until.saturating_add(1);
        until
    }

    /// Puts another state of a table in the newest version, without a commit: only what no record says may differ, as which
    /// generation is open.
    pub(crate) fn replace_table(&mut self, table: Arc<TableState>) {
        self.version.tables.insert(table.schema.id, table);
    }

    /// Adds an answer that leaves when everything before it is durable.
    pub(crate) fn answer(&mut self, answer: Answer) {
        self.group.answers.push(answer);
    }

    /// What waits for the log worker.
    pub(crate) fn take_group(&mut self) -> Group {
        std::mem::take(&mut self.group)
    }

    /// No further commit (W9). The first reason stays.
    pub(crate) fn poison(&mut self, reason: &str) {
        if self.poisoned().is_none() {
            self.refusal = Some(Refusal::Poisoned(reason.to_owned()));
        }
    }

    /// No further commit: the engine is closing.
    pub(crate) fn close(&mut self) {
        if self.refusal.is_none() {
            self.refusal = Some(Refusal::Closing);
        }
    }

    /// Refuses when no commit is accepted any more.
    pub(crate) fn check_open(&self) -> Result<()> {
        match &self.refusal {
            None => Ok(()),
            Some(Refusal::Closing) => Err(Error::new(Condition::AdminShutdown, "the database is closing")),
            Some(Refusal::Poisoned(reason)) => Err(poisoned(reason)),
        }
    }

    /// Refuses when what is in the tail may never become durable.
    pub(crate) fn check_durable(&self) -> Result<()> {
        self.poisoned().map_or(Ok(()), |reason| Err(poisoned(reason)))
    }

    /// Why the node is poisoned, if it is.
    pub(crate) fn poisoned(&self) -> Option<&str> {
        match &self.refusal {
            Some(Refusal::Poisoned(reason)) => Some(reason),
            Some(Refusal::Closing) | None => None,
        }
    }

    /// The newest version.
    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    /// A table in the newest version.
    pub(crate) fn table(&self, id: TableId) -> Option<&Arc<TableState>> {
        self.version.tables.get(&id)
    }

    /// The number of the next commit.
    ///
    /// # Errors
    /// `ProgramLimitExceeded` after 2^64 commits.
    pub(crate) fn next_seq(&self) -> Result<CommitSeq> {
        self.version.seq.next().ok_or_else(|| Error::new(Condition::ProgramLimitExceeded, "the log is full for ever"))
    }

    /// The epoch of this reign.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// 58P02 with the first cause.
pub(crate) fn poisoned(reason: &str) -> Error {
    Error::new(Condition::Poisoned, "writes stopped after a failed write to disk")
        .with_detail(format!("The first failure was: {reason}."))
        .with_hint("Reads go on. Restart the server: it recovers every acknowledged commit.")
}
