//! Which generations to seal. Pure: same input, same plan.

use std::time::Duration;

use outcrop_types::{CommitSeq, TableId};

use crate::EngineOptions;

/// An open generation with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenGeneration {
    pub(crate) table: TableId,
    pub(crate) bytes: u64,
    pub(crate) first_seq: CommitSeq,
    pub(crate) age: Duration,
}

/// The node as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) memtable_bytes: u64,
    pub(crate) log_bytes: u64,
    /// Whether a sealed generation waits already: then neither memory nor log are a reason to seal more.
    pub(crate) flush_waits: bool,
}

/// The tables whose open generation is to be sealed: old ones; the oldest when the log is too long, because it holds the
/// log; the largest when memory is half full and no single one is large.
pub(crate) fn generations_to_seal(open: &[OpenGeneration], load: Load, limits: &EngineOptions) -> Vec<TableId> {
    let mut tables: Vec<TableId> = open
        .iter()
        .filter(|generation| generation.age >= limits.flush_age_max)
        .map(|generation| generation.table)
        .collect();
    if !load.flush_waits && tables.is_empty() {
        if load.log_bytes > limits.log_bytes_max {
            tables.extend(open.iter().min_by_key(|generation| generation.first_seq).map(|generation| generation.table));
        } else if load.memtable_bytes > limits.memtable_bytes_max / 2 {
            tables.extend(open.iter().max_by_key(|generation| generation.bytes).map(|generation| generation.table));
        }
    }
    tables
}

/// How long until the oldest generation is due by age.
pub(crate) fn next_due(open: &[OpenGeneration], limits: &EngineOptions) -> Option<Duration> {
    open.iter().map(|generation| limits.flush_age_max.saturating_sub(generation.age)).min()
}

#[cfg(test)]
mod tests;
