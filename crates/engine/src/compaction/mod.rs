//! Compaction: fewer and fuller segments (W7).
//!
//! A pure [`plan`] chooses the segments of a table that are worth a rewrite; the worker runs one job at a time, in steps. A job
//! reads the rows alive at a pinned version and installs its output with the rows that died since, as a flush does
//! ([`crate::rewrite`]). Writers go on meanwhile: what they kill in an input dies in the output, addresses that open
//! statements hold are translated, and a job whose table is dropped or truncated ends quietly.

mod history;
mod plan;
mod worker;

pub(crate) use history::History;
pub(crate) use plan::{Limits, debt};
pub(crate) use worker::{CompactionWorker, sizes};

#[cfg(test)]
mod tests;
