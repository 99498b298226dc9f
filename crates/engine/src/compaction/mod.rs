//! Compaction: fewer and fuller segments (W7).
//!
//! A pure [`plan`] chooses the segments of a table that are worth a rewrite; the worker runs one job at a time, in steps. A job
//! reads the rows alive at a pinned version and installs its output with the rows that died since, as a flush does
//! ([`crate::rewrite`]); in a table with a sort key the rows of its outputs are sorted, and segments whose ranges overlap much
//! are made ones that do not. Writers go on meanwhile: what they kill in an input dies in the output, addresses that open
//! statements hold are translated, and a job whose table is dropped or truncated ends quietly.

//!
//! [`retention`] is the other thing the worker does: rows that are old enough are deleted by commits like any other.

mod asked;
mod history;
mod plan;
mod retention;
mod sizes;
mod worker;

pub(crate) use asked::AskedTables;
pub(crate) use history::History;
pub(crate) use plan::{Limits, debt, small_segments, sorted_rows_max};
pub(crate) use sizes::sizes;
pub(crate) use worker::CompactionWorker;

#[cfg(test)]
mod tests;
