//! `INSERT … VALUES` of nothing but literals and parameters: from text to columns, without a syntax tree of its rows.
//!
//! The scanner ([`scan`]) takes a statement only if every cell is a literal whose meaning does not depend on anything else, and
//! leaves it alone otherwise. What it took becomes columns ([`columns`]); where a cell does not fit its column, or anything
//! else is wrong, the statement is parsed and executed the general way, which so gives every error and every rare value.
//!
//! # Invariants
//! - L1. Both ways give the same rows. Of the errors only those come from this one that say nothing about the text: of the engine,
//!   such as a full disk, and cancellation.

mod cells;
mod columns;
mod scan;
mod statement;

pub(crate) use cells::LiteralRows;
pub(crate) use columns::LiteralColumns;
pub(crate) use scan::{Scanned, scan};
pub(crate) use statement::LiteralInsert;

#[cfg(test)]
mod tests;
