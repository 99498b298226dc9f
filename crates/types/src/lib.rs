//! The vocabulary of Outcrop: ids, data types, values, table schemas and errors.
//!
//! # What it is not
//! It does no I/O, reads no clock and knows no file format. It holds what every other crate must agree on, and nothing
//! that only one of them needs.
//!
//! # Flow
//! ```text
//! SQL / JSON ─▶ TableSchema, Value ─▶ engine (ids, addresses) ─▶ Error ─▶ SQLSTATE and REST type
//! ```
//!
//! # Invariants
//! - T1. A `CommitSeq` orders commits of one log totally; `CommitSeq::ZERO` is before the first.
//! - T2. A `UnitId` is never reused within a log.
//! - T3. Every `Condition` has exactly one SQLSTATE and one `ErrorKind`; [`error`] is that table.
//!
//! # Start reading at
//! [`ids`], then [`schema`], then [`error`].

pub mod data_type;
pub mod error;
pub mod ids;
pub mod jsonb;
pub mod plain;
pub mod predicate;
pub mod schema;
pub mod value;
mod widen;

pub use data_type::DataType;
pub use error::{Condition, Error, ErrorKind, Result};
pub use ids::{
    ColumnId, CommitSeq, Epoch, IndexId, LogId, RowAddress, RowOrdinal, SchemaVersion, ShardId, Slot, TableId, UnitId,
};
pub use predicate::{Bounds, CompareOp, Predicate};
pub use schema::{Column, Comments, KeyIndex, KeySecret, Retention, TableName, TableOptions, TableSchema};
pub use value::Value;
