//! What tests share: a model database to compare with, generators of schemas, rows and operations, checkers, and the runner
//! of the SQL files.
//!
//! # What it is not
//! It shares no code with the engine, and is naive on purpose: maps, clones and linear searches that a reader can check by
//! eye. It is not fast, not durable, and no production crate depends on it. It reports by panicking.
//!
//! # Flow
//! ```text
//! seed ─▶ generate (schema, steps) ─┬▶ engine ─▶ RecordBatch ─▶ rows ─┐
//!                                   └▶ model  ─▶ rows ────────────────┴▶ compare ─▶ difference, or nothing
//! ```
//!
//! # Invariants
//! - K1. The model's state at a `CommitSeq` depends only on the changes up to it.
//! - K2. A change that violates a constraint changes nothing.
//! - K3. The same seed gives the same test.
//!
//! # Start reading at
//! [`model`], then [`generate`].

#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a crate for tests reports by panicking"
)]

pub mod compare;
pub mod generate;
pub mod model;
pub mod mutation;
pub mod rows;
pub mod seed;
pub mod slt;

pub use compare::{Difference, Key, assert_same_rows, compare_values, same_rows};
pub use model::{Alteration, Applied, Model, Operation, Tables, Violation};
pub use rows::{array_of, batch_of, rows_of, value_at};

/// A row: one value for each column of its schema, in declaration order.
pub type Row = Vec<outcrop_types::Value>;

/// Root of the repository whose test is running. Asked of Cargo at run time: clones share a target directory, so another clone
/// may have compiled the test.
///
/// # Panics
/// If Cargo did not start the test.
pub fn repository() -> std::path::PathBuf {
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").expect("Cargo runs the tests, and says where their package is");
    std::path::Path::new(&package).join("../..")
}

#[cfg(test)]
mod tests;
