//! SQL over the engine: sessions, statements, plans.
//!
//! # What it is not
//! It opens no socket and speaks no protocol; bytes of COPY and of results are made elsewhere. It keeps no rows: it reads
//! snapshots and writes statements of `outcrop-engine`. DataFusion appears in no public signature.
//!
//! # Flow
//! ```text
//! text ─▶ Session::parse ─▶ Statement ─▶ prepare (names, types) ─▶ Prepared ─▶ execute
//!   reads:   one Snapshot ─▶ planning ─▶ access paths ─▶ RowStream (query runtime)
//!   writes:  plan of (address, new row) ─▶ TableWrite ─▶ commit ─▶ tag, RETURNING
//! ```
//!
//! # Invariants
//! - Q1. A statement reads one snapshot; a block's statements read the same one.
//! - Q2. A result is read as it is made: at most a few batches wait for the reader.
//! - Q3. A write that fails, or is dropped before its commit, changes nothing.
//! - Q4. A row count is exact only if it is the live count of the snapshot.
//! - Q5. A prepared statement holds no snapshot and no parameter value.
//!
//! # Start reading at
//! [`Session`], then [`Prepared`], then the module of the statement: `ddl`, `dml`, `copy`.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "enums of Arrow, DataFusion, sqlparser and wire crates grow with their releases"
)]

/// Stack that threads of the query runtime must have: planning walks trees by recursion, and statements of the deepest
/// nesting that is accepted need much of it in a debug build.
pub const QUERY_STACK_BYTES: usize = 32 << 20;

mod access;
mod apply;
mod catalog;
mod context;
mod copy;
mod ddl;
mod dialect;
mod dml;
mod error;
mod explain;
mod feed;
mod functions;
mod literal;
mod lookup;
mod pacing;
mod planning;
mod provider;
mod result;
mod rules;
mod session;
mod settings;
mod statement;
mod types;

pub use copy::{CopyConflict, CopyFormat, CopyHeader, CopyIn, CopyOptions, CopyOut};
pub use result::{CatalogType, CommandTag, Execution, ResultColumn, ResultType, RowStream};
pub use session::{
    CancellationHandle, Database, DatabaseOptions, ExecuteOptions, Notice, Position, Session, SessionInfo, Severity,
    TransactionStatus,
};
pub use statement::{Prepared, Statement, StatementKind};
