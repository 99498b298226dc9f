//! The commit log: what was written here and synced is what the database is (architecture W1).
//!
//! # What it is not
//! It does not know what a record means, never decides when to sync or to truncate, and starts no thread of its own
//! beyond the worker that prepares files ahead. It has no asynchronous code. Offsets and file names never leave it: the
//! outside knows positions as `CommitSeq` (architecture F7).
//!
//! # Flow
//! ```text
//! LogSpace::admit ─▶ Log::write_group ─▶ Log::sync ─▶ (idle) Log::write_synced_mark
//!        ▲                  │ pages in files that were zero-filled before
//! preparer: NNN.new ─▶ zeros, header, sync ─▶ publish NNN.log          Log::truncate_before ─▶ recycled or removed
//!
//! Log::extents ─▶ LogReader::next_group: durable groups, while more are written
//! Log::recover: headers ─▶ walk of groups ─▶ visit(record) … ─▶ end      RecoveredLog::start: write and sync its end ─▶ new epoch
//! ```
//!
//! # Invariants
//! - L1. After a crash the log holds a prefix of the written groups, and all of the synced ones.
//! - L2. A bad page before the highest valid `synced_to` is corruption; at or after it, the log ends there (W11).
//! - L3. A page counts only at its own position, in its own log, and in an epoch not older than the page before it. An
//!   epoch begins with a group of its own, synced before the first record of that epoch is written.
//! - L4. Space comes from zero-filled files only: a full disk shows while a file is prepared, before the first byte of a
//!   group is written (W9).
//! - L5. After a failed write or sync nothing more is written: every later call is refused as poisoned.
//! - L6. A file goes only when all its records are older than the caller's limit and a durable group stands behind it.
//!
//! # Start reading at
//! [`Log`], then `walk` (how a log is read), then `prepare` (where space comes from).

#![forbid(unsafe_code)]

mod error;
mod files;
mod log;
mod options;
mod prepare;
mod reader;
mod recovery;
mod verify;
mod walk;

pub use log::Log;
pub use options::LogOptions;
pub use prepare::{LogSpace, Permit, SpaceClass};
pub use reader::{LogExtent, LogGroup, LogPart, LogReader, RecordPlace};
pub use recovery::{Reach, RecoveredLog, is_unused};
pub use verify::{LogProblem, LogReport, verify};
