//! The mutable engine: shards, memtables, snapshots, commits, flushes and recovery over the log and the segments.
//!
//! # What it is not
//! It knows no SQL and no network. Callers bring batches, addresses and callbacks; they get snapshots and commits.
//!
//! # Flow
//! ```text
//! TableWrite ─▶ shard turn: conflicts, victims ─▶ CommitRecord ─▶ log group ─▶ fdatasync ─▶ Version published ─▶ CommitHandle done
//! Snapshot (one Arc<Version>) ─▶ TableSnapshot ─▶ morsels ─▶ data AND mask ─▶ RecordBatch
//! sealed generation ─▶ flush: segment from the rows alive at a pin ─▶ install record ─▶ manifest checkpoint ─▶ log truncated
//! cursor ─▶ Feed: durable records ─▶ new rows, old rows by address ─▶ events of each commit
//! small, half-dead or overlapping segments ─▶ compaction: segments from their rows alive at a pin ─▶ install record ─▶ files removed
//! held manifest, the files it names, log to one commit ─▶ backup ─▶ restore ─▶ a database of another log
//! rows beyond their table's retention ─▶ delete and expire records
//! ```
//!
//! # Invariants
//! - E1. Readers see published ≤ durable ≤ tail (architecture W3).
//! - E2. A published `Version` holds every table of its log at one `CommitSeq` (W2).
//! - E3. At most one row of a key is alive in any `Version` (W4, W6).
//! - E4. A record names resolved victims; replay looks no key up (W1).
//! - E5. After a failed sync no commit is acknowledged (W9).
//! - E6. A file named by the manifest was synced and published before the manifest was (S5).
//! - E7. Stored rows are read under every later schema: columns by id, never by name; a younger one has its initial default, a
//!   widened one is widened. No column id is given twice.
//! - E8. What a feed cursor may still have to show is kept until it has passed or was ended; no writer waits for it.
//!
//! What went wrong in other engines, and which test looks for it here: `docs/pitfalls.md`.
//!
//! # Start reading at
//! [`Engine`], then [`Snapshot`], then [`TableWrite`].

#[cfg(test)]
#[path = "../tests/it/support/allocations.rs"]
mod allocations;
pub mod backup;
pub mod catalog;
pub mod check;
mod commit;
mod compaction;
mod engine;
pub mod feed;
mod files;
mod flush;
mod key_index;
mod manifest;
mod memtable;
mod node;
pub mod options;
mod recovery;
mod rewrite;
pub mod snapshot;
mod stage;
pub mod status;
pub mod write;

pub use backup::{BackupRange, BackupReport, Restored, Until};
pub use catalog::{AlterAction, Catalog, Ddl, NewColumn, NewTable};
pub use check::{CheckProblem, CheckReport, TableReport};
pub use engine::Engine;
pub use feed::{Feed, FeedCommit, FeedCursor, FeedEvent, FeedTables};
pub use options::EngineOptions;
pub use outcrop_segment::ScanColumn;
pub use rewrite::{Fill, FillColumns};
pub use snapshot::{ColumnStatistics, Morsel, Snapshot, TableSnapshot};
pub use status::EngineStatus;
pub use write::{
    AppliedRows, Commit, CommitHandle, ConflictRows, ConflictUpdate, LastWord, OnConflict, ReadyWrite, Recheck,
    Rechecked, RowOutcome, TableWrite, WriteMode,
};

/// The server's file of users. It may be in a data directory before the database is; the engine never reads it.
pub const USERS_FILE: &str = "users.toml";
