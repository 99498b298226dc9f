//! Rare branches that a batch of seeds must come to.

use std::collections::BTreeMap;

/// Every mark in the code of the log and the engine that a simulation reaches.
pub const MARKS: &[&str] = &[];

/// Marks that were never reached, and reached ones that are not on the list.
pub fn missing(counts: &BTreeMap<&'static str, u64>) -> (Vec<&'static str>, Vec<&'static str>) {
    let never = MARKS.iter().copied().filter(|mark| !counts.contains_key(mark)).collect();
    let unknown = counts.keys().copied().filter(|mark| !MARKS.contains(mark)).collect();
    (never, unknown)
}
