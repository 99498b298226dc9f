//! The whole log at one commit.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use outcrop_env::Clock;
use outcrop_types::{CommitSeq, Condition, Error, Result, TableId, TableSchema};

use super::live::LiveMark;
use super::{ShardState, TableSnapshot};
use crate::Catalog;
use crate::feed::Feeds;

/// All tables and the catalog of a log after commit `seq` (W2). Cloning is cheap: the writer clones its tail, changes the
/// clone and publishes it through [`super::LiveVersions::publish`].
#[derive(Clone)]
pub(crate) struct Version {
    /// The newest commit in it.
    pub(crate) seq: CommitSeq,
    /// Schemas and tables.
    pub(crate) catalog: Arc<Catalog>,
    /// Contents of the tables. Has an entry for each table of the catalog.
    pub(crate) tables: OrdMap<TableId, Arc<TableState>>,
    /// Feed cursors, and what is kept for them.
    pub(crate) feeds: Arc<Feeds>,
    /// Set when published; clones have none. Its drop tells [`super::LiveVersions`] that nobody reads this version.
    pub(super) mark: LiveMark,
}

impl Version {
    /// A version that is not published yet.
    pub(crate) fn new(
        seq: CommitSeq,
        catalog: Arc<Catalog>,
        tables: OrdMap<TableId, Arc<TableState>>,
        feeds: Arc<Feeds>,
    ) -> Self {
        Self { seq, catalog, tables, feeds, mark: LiveMark::default() }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version").field("seq", &self.seq).field("tables", &self.tables.len()).finish_non_exhaustive()
    }
}

/// Schema and contents of one table.
#[derive(Clone, Debug)]
pub(crate) struct TableState {
    /// The schema at this version.
    pub(crate) schema: Arc<TableSchema>,
    /// Its shards; one today.
    pub(crate) shards: Vec<Arc<ShardState>>,
}

/// All tables and the catalog at one `CommitSeq` (W2). Cheap to clone; holding it keeps retired files, and so it can be read
/// for [`EngineOptions::snapshot_age_max`](crate::EngineOptions) only.
#[derive(Clone)]
pub struct Snapshot {
    version: Arc<Version>,
    limit: Option<ReadLimit>,
}

/// Until when a snapshot may be read.
#[derive(Clone, Debug)]
pub(crate) struct ReadLimit {
    clock: Arc<dyn Clock>,
    until: Duration,
    age_max: Duration,
}

impl ReadLimit {
    /// From now on for so long.
    pub(crate) fn new(clock: &Arc<dyn Clock>, age_max: Duration) -> Self {
        Self { clock: Arc::clone(clock), until: clock.monotonic().saturating_add(age_max), age_max }
    }

    fn left(&self) -> Duration {
        self.until.saturating_sub(self.clock.monotonic())
    }

    /// # Errors
    /// `SnapshotTooOld` when the time is over.
    pub(super) fn check(&self) -> Result<()> {
        if self.left().is_zero() { Err(snapshot_too_old(self.age_max)) } else { Ok(()) }
    }
}

impl Snapshot {
    /// The view of a published version.
    pub(crate) fn new(version: Arc<Version>) -> Self {
        Self { version, limit: None }
    }

    /// The same, to be read within a limit.
    pub(crate) fn within(self, limit: ReadLimit) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// How long it can still be read; `None` without a limit.
    pub fn time_left(&self) -> Option<Duration> {
        self.limit.as_ref().map(ReadLimit::left)
    }

    /// How long it could be read when it was taken; `None` without a limit.
    pub fn age_max(&self) -> Option<Duration> {
        self.limit.as_ref().map(|limit| limit.age_max)
    }

    /// The version behind it.
    pub(crate) fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// The newest commit in it.
    pub fn commit_seq(&self) -> CommitSeq {
        self.version.seq
    }

    /// Schemas and tables.
    pub fn catalog(&self) -> &Catalog {
        &self.version.catalog
    }

    /// The rows of a table.
    pub fn table(&self, id: TableId) -> Option<TableSnapshot> {
        Some(TableSnapshot::new(&self.version, id)?.within(self.limit.clone()))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("commit_seq", &self.version.seq).finish_non_exhaustive()
    }
}

/// 72000 for whoever reads a snapshot after its time.
pub fn snapshot_too_old(age_max: Duration) -> Error {
    Error::new(Condition::SnapshotTooOld, "snapshot too old")
        .with_detail(format!(
            "A snapshot can be read for {} s: it keeps files that nobody else needs.",
            age_max.as_secs_f64()
        ))
        .with_hint("Repeat the statement or the transaction; engine.snapshot_age_max is the limit.")
}
