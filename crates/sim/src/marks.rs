//! Rare branches that a batch of seeds must come to.

use std::collections::BTreeMap;

/// Every mark in the code of the log and the engine that a simulation reaches.
pub const MARKS: &[&str] = &[
    "engine.poisoned",
    "feed.cursor_ended",
    "feed.old_row_from_the_log",
    "feed.old_row_of_a_segment_that_left",
    "flush.must_wait",
    "install.rows_died_since_the_pin",
    "keys.runs_merged",
    "log.end_written_again",
    "log.file_used_again",
    "retention.segment_left_whole",
    "start.files_left_over",
    "start.install_replayed",
    "start.key_run_built_anew",
    "start.staged_commit_replayed",
    "write.delayed",
    "write.refused_by_a_full_disk",
    "write.row_had_moved",
    "write.stalled",
];

/// Marks that were never reached, and reached ones that are not on the list.
pub fn missing(counts: &BTreeMap<&'static str, u64>) -> (Vec<&'static str>, Vec<&'static str>) {
    let never = MARKS.iter().copied().filter(|mark| !counts.contains_key(mark)).collect();
    let unknown = counts.keys().copied().filter(|mark| !MARKS.contains(mark)).collect();
    (never, unknown)
}
