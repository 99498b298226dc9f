//! Which key runs to merge. Pure: same input, same plan.

use outcrop_format::key_run::SEGMENTS_MAX;
use outcrop_types::UnitId;

/// A run, as far as a plan wants to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunSize {
    pub(super) unit: UnitId,
    /// Entries, of dead rows too.
    pub(super) entries: u64,
    /// Rows of its segments that are alive.
    pub(super) live: u64,
    /// Segments that are still there.
    pub(super) segments: usize,
}

/// The runs to merge into one: the smallest ones of the lowest tier that has [`FAN_IN`] of them, or a single run most of
/// whose entries are of no use. A tier is a factor of four in size, so an entry is written again about `log4` of the number
/// of segments times, and a shard has at most three runs of each tier.
pub(super) fn runs_to_merge(runs: &[RunSize]) -> Option<Vec<UnitId>> {
    let mut sorted: Vec<&RunSize> = runs.iter().collect();
    sorted.sort_unstable_by_key(|run| (tier(run.entries), run.unit));
    for of_tier in sorted.chunk_by(|a, b| tier(a.entries) == tier(b.entries)) {
        let mut segments = 0;
        let fit = of_tier.iter().take(FAN_IN_MAX).take_while(|run| {
            segments += run.segments;
            segments <= SEGMENTS_MAX
        });
        let units: Vec<UnitId> = fit.map(|run| run.unit).collect();
        if units.len() >= FAN_IN {
            return Some(units);
        }
    }
    let stale = sorted.iter().find(|run| run.entries >= STALE_ENTRIES_MIN && run.live < run.entries / 2)?;
    Some(vec![stale.unit])
}

fn tier(entries: u64) -> u32 {
    entries.max(1).ilog2() / 2
}

/// Runs of one size that are merged.
const FAN_IN: usize = 4;
/// Most runs of a merge.
const FAN_IN_MAX: usize = 8;
/// A smaller run is not written again for its dead entries alone.
const STALE_ENTRIES_MIN: u64 = 4_096;

#[cfg(test)]
mod tests;
