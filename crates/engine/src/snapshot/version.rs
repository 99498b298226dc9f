//! The whole log at one commit.

use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;
use outcrop_types::{CommitSeq, TableId, TableSchema};

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

/// All tables and the catalog at one `CommitSeq` (W2). Cheap to clone; holding it keeps retired files.
#[derive(Clone)]
pub struct Snapshot {
    version: Arc<Version>,
}

impl Snapshot {
    /// The view of a published version.
    pub(crate) fn new(version: Arc<Version>) -> Self {
        Self { version }
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
        TableSnapshot::new(&self.version, id)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("commit_seq", &self.version.seq).finish_non_exhaustive()
    }
}
