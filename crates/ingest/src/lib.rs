//! Data as clients send and want it, to record batches and back: PostgreSQL's text and binary formats, COPY, JSON.
//!
//! # What it is not
//! It does no I/O, knows no SQL and no protocol messages, and never decides what happens to a bad row: it says which
//! row, which column and why, and the caller decides.
//!
//! # Flow
//! ```text
//! COPY bytes ─▶ copy::CopyDecoder ─┐
//! JSON documents ─▶ json::DocumentDecoder ─┼▶ ColumnBuilder ─▶ RecordBatch ─▶ engine
//! bound parameters ─▶ text::parse, binary::decode ─▶ Value ─▶ query
//! RecordBatch ─▶ Cells (one per column) ─▶ write_text | write_binary | write_json ─▶ DataRow, COPY, REST
//! ```
//!
//! # Invariants
//! - I1. Input never panics: every byte string is a value or an error with PostgreSQL's SQLSTATE and wording.
//! - I2. What `write_text` and `write_binary` print, `parse` and `decode` read back as the same value.
//! - I3. A stored float has one NaN and no -0.0 only after the engine took it; this crate keeps the bits it was given.
//! - I4. A decoder holds at most one unfinished line (of at most [`copy::LINE_BYTES_MAX`]) beside the batch it fills.
//!
//! # Start reading at
//! [`ColumnBuilder`], then [`Cells`], then [`copy`].

pub mod binary;
pub mod builder;
pub mod cells;
pub mod copy;
pub mod json;
pub mod text;

pub use builder::ColumnBuilder;
pub use cells::Cells;
pub use text::TextSettings;
