//! Rows that are not in a segment yet.
//!
//! A [`Generation`] is a list of [`Chunk`]s: batches of rows in log order, each with the commit of every row. Commits of
//! a few rows make small chunks; [`coalesce`] merges them while more arrive, so that a scan meets few chunks and each row
//! is copied a handful of times at most. Nothing changes a row's number (W1) and nothing changes a chunk: a generation is
//! persistent, and a reader of an older version keeps the chunks it had.

mod bounds;
mod chunk;
mod coalesce;
mod generation;

pub(crate) use bounds::{ColumnBounds, value_at};
pub(crate) use chunk::Chunk;
pub(crate) use generation::Generation;

#[cfg(test)]
mod tests;
