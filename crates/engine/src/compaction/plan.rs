//! Which segments to rewrite. Pure: same input, same plan.

use std::cmp::Reverse;

use outcrop_segment::SEGMENT_ROWS_MAX;
use outcrop_types::UnitId;

use crate::EngineOptions;

/// A segment, as far as plans care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentSize {
    pub(crate) unit: UnitId,
    /// Rows, dead and alive.
    pub(crate) rows: u32,
    pub(crate) live: u32,
    /// Bytes of its files.
    pub(crate) bytes: u64,
}

impl SegmentSize {
    /// About the bytes that its live rows take.
    pub(crate) fn live_bytes(&self) -> u64 {
        let bytes = u128::from(self.bytes) * u128::from(self.live) / u128::from(self.rows.max(1));
        u64::try_from(bytes).unwrap_or(self.bytes)
    }

    fn is_dead_enough(&self, limits: &Limits) -> bool {
        let dead = u64::from(self.rows - self.live);
        dead > 0 && dead * 100 >= u64::from(self.rows) * u64::from(limits.dead_percent)
    }

    /// Whether a rewrite together with others makes a better segment.
    fn is_small(&self, limits: &Limits) -> bool {
        self.live_bytes() <= limits.target_bytes / 2 && self.live <= limits.rows_max / 2
    }

    /// Segments of one tier differ in size by less than [`TIER_RATIO`].
    fn tier(&self) -> u32 {
        (self.live_bytes() / TIER_BYTES_MIN).max(1).ilog(TIER_RATIO)
    }
}

/// When a rewrite pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes that a segment should have.
    pub(crate) target_bytes: u64,
    /// Most live rows of an output.
    pub(crate) rows_max: u32,
    /// A segment with this share of dead rows is rewritten.
    pub(crate) dead_percent: u32,
    /// So many small segments of about one size are merged.
    pub(crate) small_segments: usize,
}

impl Limits {
    /// For the background: what is rewritten must be worth it.
    pub(crate) fn background(options: &EngineOptions) -> Self {
        Self {
            target_bytes: options.compaction_bytes_target,
            rows_max: OUTPUT_ROWS_MAX,
            dead_percent: options.compaction_dead_percent,
            small_segments: SMALL_SEGMENTS,
        }
    }

    /// For those who ask for it: everything that can be better.
    pub(crate) fn asked(options: &EngineOptions) -> Self {
        Self { dead_percent: 0, small_segments: 2, ..Self::background(options) }
    }
}

/// The next segments of a table to rewrite as one; `None` when nothing is worth it. Segments without live rows come first,
/// because they only have to go; then the cheapest tier of small ones that is full; then those with most dead rows.
pub(crate) fn plan(segments: &[SegmentSize], limits: &Limits) -> Option<Vec<UnitId>> {
    let empty: Vec<UnitId> =
        segments.iter().filter(|segment| segment.live == 0).map(|segment| segment.unit).take(INPUTS_MAX).collect();
    if !empty.is_empty() {
        return Some(empty);
    }
    let mut small: Vec<SegmentSize> = segments.iter().copied().filter(|segment| segment.is_small(limits)).collect();
    small.sort_unstable_by_key(|segment| (segment.tier(), segment.unit));
    let mut start = 0;
    for tier in small.chunk_by(|a, b| a.tier() == b.tier()) {
        // With the tiers below: a few smaller ones do not wait for others of their size.
        let upto = start + tier.len();
        let candidates = small.get(..upto).unwrap_or_default();
        if candidates.len() >= limits.small_segments {
            let inputs = fitting(candidates.iter(), limits);
            if inputs.len() > 1 {
                return Some(in_order(inputs));
            }
        }
        start = upto;
    }
    let mut dead: Vec<&SegmentSize> = segments.iter().filter(|segment| segment.is_dead_enough(limits)).collect();
    dead.sort_unstable_by_key(|segment| {
        (Reverse(u64::from(segment.rows - segment.live) * 1_000 / u64::from(segment.rows.max(1))), segment.unit)
    });
    let inputs = fitting(dead.into_iter(), limits);
    (!inputs.is_empty()).then(|| in_order(inputs))
}

/// Bytes that the next rewrites would write: how far compaction is behind.
pub(crate) fn debt(segments: &[SegmentSize], limits: &Limits) -> u64 {
    let small = segments.iter().filter(|segment| segment.live > 0 && segment.is_small(limits));
    let (count, bytes) = small.fold((0, 0), |(count, bytes), segment| (count + 1, bytes + segment.live_bytes()));
    let of_small = if count >= limits.small_segments { bytes } else { 0 };
    let large = segments.iter().filter(|segment| !segment.is_small(limits) && segment.is_dead_enough(limits));
    of_small + large.map(SegmentSize::live_bytes).sum::<u64>()
}

/// As many of them as fit in one output.
fn fitting<'a>(segments: impl Iterator<Item = &'a SegmentSize>, limits: &Limits) -> Vec<UnitId> {
    let (mut bytes, mut rows) = (0, 0_u32);
    let mut inputs = Vec::new();
    for segment in segments {
        bytes += segment.live_bytes();
        rows = rows.saturating_add(segment.live);
        let fits = bytes <= limits.target_bytes && rows <= limits.rows_max;
        if inputs.len() == INPUTS_MAX || (!inputs.is_empty() && !fits) {
            break;
        }
        inputs.push(segment.unit);
    }
    inputs
}

/// Older rows come first in the output.
fn in_order(mut inputs: Vec<UnitId>) -> Vec<UnitId> {
    inputs.sort_unstable();
    inputs
}

/// Most segments that one job reads: each needs a file and a remap.
const INPUTS_MAX: usize = 16;
/// So many small segments of about one size are merged in the background: each row is written log4 times.
const SMALL_SEGMENTS: usize = 4;
const TIER_RATIO: u64 = 4;
/// Segments below this are of one tier.
const TIER_BYTES_MIN: u64 = 1 << 20;
/// Most live rows of an output; an input may have more. Their keys are in memory until the output is complete.
const OUTPUT_ROWS_MAX: u32 = SEGMENT_ROWS_MAX / 8;
