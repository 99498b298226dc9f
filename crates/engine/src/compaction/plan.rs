//! Which segments to rewrite. Pure: same input, same plan.

use std::cmp::Reverse;

use outcrop_format::meta::BLOCK_ROWS;
use outcrop_segment::SEGMENT_ROWS_MAX;
use outcrop_types::UnitId;

use crate::EngineOptions;
use crate::rewrite::sortable_rows;

/// A segment, as far as plans care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentSize {
    pub(crate) unit: UnitId,
    /// Rows, dead and alive.
    pub(crate) rows: u32,
    pub(crate) live: u32,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// Whether its rows have the order of the table's sort key; always, if there is none.
    pub(crate) sorted: bool,
    /// What its rows span of the first column of the sort key, if that is known.
    pub(crate) range: Option<KeyRange>,
}

/// A range of values, by their ranks among the bounds of all segments of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl KeyRange {
    /// Whether there are values above `rank` in it, and none of them is below its first one: two ranges that only touch share
    /// no rank in this sense, and a range of one value has none.
    fn spans(&self, rank: u32) -> bool {
        self.first <= rank && rank < self.last
    }
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
    /// Rows that can be sorted at once.
    pub(crate) sort_rows_max: u64,
    /// So many segments may have rows of one value of the sort key.
    pub(crate) overlap_max: usize,
    /// Whether small segments count among them, which are merged with others of their size soon.
    pub(crate) small_overlap: bool,
}

impl Limits {
    /// For the background: what is rewritten must be worth it.
    pub(crate) fn background(options: &EngineOptions) -> Self {
        Self {
            target_bytes: options.compaction_bytes_target,
            rows_max: OUTPUT_ROWS_MAX,
            dead_percent: options.compaction_dead_percent,
            small_segments: SMALL_SEGMENTS,
            sort_rows_max: sortable_rows(options.compaction_memory_bytes),
            overlap_max: OVERLAP_MAX,
            small_overlap: false,
        }
    }

    /// For those who ask for it: everything that can be better.
    pub(crate) fn asked(options: &EngineOptions) -> Self {
        Self { dead_percent: 0, small_segments: 2, overlap_max: 1, small_overlap: true, ..Self::background(options) }
    }

    /// For a table with a sort key.
    pub(crate) fn sorting(self) -> Self {
        Self { rows_max: sorted_rows_max(self.sort_rows_max), ..self }
    }
}

/// Most live rows of an output that is sorted: two of them can be sorted together, and come apart.
pub(crate) fn sorted_rows_max(sort_rows_max: u64) -> u32 {
    u32::try_from(sort_rows_max / 2).unwrap_or(u32::MAX).clamp(1, OUTPUT_ROWS_MAX)
}

/// The next segments of a table to rewrite together; `None` when nothing is worth it. Segments without live rows come first,
/// because they only have to go; then the cheapest tier of small ones that is full; then those with most dead rows; then one
/// that is not in the order of the sort key; then those that overlap most.
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
    if !inputs.is_empty() {
        return Some(in_order(inputs));
    }
    if let Some(unsorted) = segments.iter().find(|segment| is_worth_sorting(segment, limits)) {
        return Some(vec![unsorted.unit]);
    }
    let inputs = overlapping(segments, limits);
    (!inputs.is_empty()).then(|| in_order(inputs.into_iter().map(|segment| segment.unit).collect()))
}

/// Rows of one block are found by its zone map alike, whatever their order.
fn is_worth_sorting(segment: &SegmentSize, limits: &Limits) -> bool {
    !segment.sorted && segment.live > BLOCK_ROWS && u64::from(segment.live) <= limits.sort_rows_max
}

/// Where more segments than are allowed have rows of one value: the smallest of them that can be sorted together, two at least.
/// What they make overlaps no more, and overlaps others as they did; so all of them come apart in the end.
fn overlapping<'a>(segments: &'a [SegmentSize], limits: &Limits) -> Vec<&'a SegmentSize> {
    let counts = |segment: &&SegmentSize| limits.small_overlap || !segment.is_small(limits);
    let ranges: Vec<(&SegmentSize, KeyRange)> =
        segments.iter().filter(counts).filter_map(|segment| Some((segment, segment.range?))).collect();
    // The value that most segments have is the first one of some segment.
    let at = |rank: u32| ranges.iter().filter(move |(_, range)| range.spans(rank)).map(|(segment, _)| *segment);
    let deepest = ranges.iter().map(|(_, range)| range.first).max_by_key(|first| (at(*first).count(), Reverse(*first)));
    let mut there: Vec<&SegmentSize> = deepest.map(|first| at(first).collect()).unwrap_or_default();
    if there.len() <= limits.overlap_max {
        return Vec::new();
    }
    there.sort_unstable_by_key(|segment| (segment.live_bytes(), segment.unit));
    let mut rows = 0;
    let fits = |segment: &&SegmentSize| {
        rows += u64::from(segment.live);
        rows <= limits.sort_rows_max
    };
    let inputs: Vec<&SegmentSize> = there.into_iter().take(INPUTS_MAX).take_while(fits).collect();
    if inputs.len() < 2 { Vec::new() } else { inputs }
}

/// How many segments wait to be merged with others.
pub(crate) fn small_segments(segments: &[SegmentSize], limits: &Limits) -> usize {
    segments.iter().filter(|segment| segment.is_small(limits)).count()
}

/// Bytes that the next rewrites would write: how far compaction is behind.
pub(crate) fn debt(segments: &[SegmentSize], limits: &Limits) -> u64 {
    let small = segments.iter().filter(|segment| segment.live > 0 && segment.is_small(limits));
    let (count, bytes) = small.fold((0, 0), |(count, bytes), segment| (count + 1, bytes + segment.live_bytes()));
    let of_small = if count >= limits.small_segments { bytes } else { 0 };
    let large = segments.iter().filter(|segment| !segment.is_small(limits) && segment.is_dead_enough(limits));
    let unsorted = segments.iter().filter(|segment| !segment.is_small(limits) && is_worth_sorting(segment, limits));
    let overlapping = overlapping(segments, limits).into_iter();
    of_small + large.chain(unsorted).chain(overlapping).map(SegmentSize::live_bytes).sum::<u64>()
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
/// In the background: a look-up of one value reads so many segments at most.
const OVERLAP_MAX: usize = 3;
/// Segments below this are of one tier.
const TIER_BYTES_MIN: u64 = 1 << 20;
/// Most live rows of an output; an input may have more. Their keys are in memory until the output is complete.
const OUTPUT_ROWS_MAX: u32 = SEGMENT_ROWS_MAX / 8;
