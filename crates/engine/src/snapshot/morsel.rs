//! Pieces of a table that are scanned at once.

use std::ops::Range;

use outcrop_format::meta::BLOCK_ROWS;
use outcrop_segment::DeleteVector;
use outcrop_types::UnitId;

use super::ShardState;
use crate::memtable::Generation;

/// A piece of a table that one thread scans at once: rows of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Morsel {
    /// Generation or segment.
    pub unit: UnitId,
    /// Rows of it, dead ones included.
    pub rows: Range<u32>,
    /// Rows alive in it, exactly.
    pub live: u32,
}

/// The pieces of a shard, of about `rows` rows each; those without live rows are left out.
pub(super) fn cut_shard(shard: &ShardState, rows: u32) -> Vec<Morsel> {
    let segments = shard.segments().flat_map(|segment| cut_segment(segment.segment.unit(), segment.deletes, rows));
    segments.chain(shard.all_generations().flat_map(|generation| cut_generation(generation, rows))).collect()
}

/// A piece in smaller ones of about `rows` rows.
pub(super) fn cut_morsel(shard: &ShardState, piece: &Morsel, rows: u32) -> Vec<Morsel> {
    let Some(deletes) = shard.deletes(piece.unit) else { return Vec::new() };
    // Whole blocks, unless they are larger than what is wanted.
    let step = if rows < BLOCK_ROWS { rows.max(1) } else { rows / BLOCK_ROWS * BLOCK_ROWS };
    steps(piece.rows.clone(), step).filter_map(|rows| morsel(piece.unit, deletes, rows)).collect()
}

/// The pieces of one unit.
pub(super) fn cut_unit(shard: &ShardState, unit: UnitId, rows: u32) -> Vec<Morsel> {
    match (shard.generation(unit), shard.segment(unit)) {
        (Some(generation), _) => cut_generation(generation, rows),
        (None, Some(segment)) => cut_segment(unit, segment.deletes, rows),
        (None, None) => Vec::new(),
    }
}

/// Ranges of a segment that begin at blocks, so that no block is decoded twice and zone maps fit.
fn cut_segment(unit: UnitId, deletes: &DeleteVector, rows: u32) -> Vec<Morsel> {
    let step = rows.div_ceil(BLOCK_ROWS).max(1).saturating_mul(BLOCK_ROWS);
    steps(0..deletes.rows(), step).filter_map(|rows| morsel(unit, deletes, rows)).collect()
}

/// Runs of whole chunks, and pieces of chunks that are larger than a morsel.
fn cut_generation(generation: &Generation, rows: u32) -> Vec<Morsel> {
    let step = rows.max(1);
    let mut morsels = Vec::new();
    let mut open = 0..0;
    let mut close = |open: &Range<u32>| {
        morsels
            .extend(steps(open.clone(), step).filter_map(|rows| morsel(generation.unit(), generation.deletes(), rows)));
    };
    for chunk in generation.chunks() {
        if !open.is_empty() && chunk.rows().end - open.start > step {
            close(&open);
            open = chunk.rows();
        } else {
            open.end = chunk.rows().end;
        }
    }
    close(&open);
    morsels
}

fn morsel(unit: UnitId, deletes: &DeleteVector, rows: Range<u32>) -> Option<Morsel> {
    let live = deletes.live_in(rows.clone());
    (live > 0).then_some(Morsel { unit, rows, live })
}

fn steps(range: Range<u32>, step: u32) -> impl Iterator<Item = Range<u32>> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let rows = start..start.saturating_add(step).min(range.end);
        start = rows.end;
        (!rows.is_empty()).then_some(rows)
    })
}
