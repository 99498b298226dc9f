//! The engine: one log, its tables, and the workers that keep them.

use std::time::Duration;

use outcrop_env::Env;
use outcrop_types::{CommitSeq, LogId, Result, TableId};

use crate::{CommitHandle, Ddl, EngineOptions, Snapshot, TableWrite, WriteMode};

/// An open database directory. Clones share it; the last clone, or [`Engine::close`], stops the workers.
#[derive(Clone, Debug)]
pub struct Engine {}

/// Counters and gauges of an engine, read at one moment. Sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStatus {
    /// Newest commit that readers see.
    pub published: CommitSeq,
    /// Rows alive in all tables.
    pub live_rows: u64,
    /// Memory held by memtables.
    pub memtable_bytes: u64,
    /// Memory held by key indexes.
    pub key_index_bytes: u64,
    /// Segments of all tables.
    pub segments: u64,
    /// Bytes of segment files.
    pub segment_bytes: u64,
    /// Log that recovery would read.
    pub log_bytes: u64,
    /// Commits since start.
    pub commits: u64,
    /// Log groups (syncs) since start.
    pub groups: u64,
    /// Flushes installed since start.
    pub flushes: u64,
    /// Why writes are delayed, if they are.
    pub stall_reason: Option<&'static str>,
    /// Why writes are refused for good, if they are (W9).
    pub poisoned: Option<String>,
}

impl Engine {
    /// Opens the database in the root directory of `env.disk`, or creates it in an empty one; recovers, starts workers.
    ///
    /// # Errors
    /// `ObjectInUse` if another process has it, `UnsupportedVersion` for a directory of another format, `DataCorrupted`
    /// with file and offset, `IoError`.
    pub fn open(env: &Env, options: EngineOptions) -> Result<Self> {
        let _ = (env, options);
        todo!()
    }

    /// The newest published snapshot. Lock-free; never waits.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }

    /// A snapshot that includes `seq`; waits up to `timeout` for it. Blocks the calling thread.
    ///
    /// # Errors
    /// `QueryCanceled` when the time is over.
    pub fn snapshot_at_least(&self, seq: CommitSeq, timeout: Duration) -> Result<Snapshot> {
        let _ = (seq, timeout);
        todo!()
    }

    /// Changes the catalog.
    pub fn ddl(&self, change: Ddl) -> CommitHandle {
        let _ = change;
        todo!()
    }

    /// Begins a statement that writes to one table. `snapshot` is what the statement read; addresses given later are of it.
    ///
    /// # Errors
    /// `UndefinedTable`; `FeatureNotSupported` for UPDATE or DELETE of an `append_only` table; `Poisoned`.
    pub fn write(&self, snapshot: &Snapshot, table: TableId, mode: WriteMode) -> Result<TableWrite> {
        let _ = (snapshot, table, mode);
        todo!()
    }

    /// Seals and flushes the open generations of one table or of all, and waits. Blocks the calling thread.
    pub fn flush(&self, table: Option<TableId>) -> Result<()> {
        let _ = table;
        todo!()
    }

    /// Writes a manifest checkpoint and drops log files that it makes needless. Blocks the calling thread.
    pub fn checkpoint(&self) -> Result<()> {
        todo!()
    }

    /// Counters and gauges.
    pub fn status(&self) -> EngineStatus {
        todo!()
    }

    /// Identity of the log; part of opaque positions (F7).
    pub fn log_id(&self) -> LogId {
        todo!()
    }

    /// Refuses new writes, syncs what was accepted, checkpoints and stops the workers. Idempotent.
    pub fn close(&self) -> Result<()> {
        todo!()
    }
}
