//! What is known of a table without reading its rows.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use outcrop_segment::Segment;
use outcrop_types::{Column, Value};

use super::{ShardState, TableState};
use crate::memtable::Chunk;

/// What is known of a column without reading it. Bounds may be wider than the truth: rows die, bounds do not shrink.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnStatistics {
    /// No live value is smaller.
    pub min: Option<Value>,
    /// No live value is greater.
    pub max: Option<Value>,
    /// NULLs, dead rows included.
    pub null_count: Option<u64>,
}

/// Merges what segments and chunks know of one column.
pub(super) struct StatisticsBuilder<'a> {
    column: &'a Column,
    min: Extreme,
    max: Extreme,
    null_count: u64,
}

/// The least or greatest bound so far.
enum Extreme {
    /// No value yet.
    Empty,
    /// The bound.
    Known(Value),
    /// Some unit with values did not know.
    Unknown,
}

impl<'a> StatisticsBuilder<'a> {
    pub(super) fn new(column: &'a Column) -> Self {
        Self { column, min: Extreme::Empty, max: Extreme::Empty, null_count: 0 }
    }

    /// Adds all units that have live rows.
    pub(super) fn add_shard(&mut self, shard: &ShardState) {
        for segment in shard.segments().filter(|segment| segment.deletes.live() > 0) {
            let meta = segment.segment.meta();
            match meta.column(self.column.id) {
                Some(known) => self.add(known.min.as_ref(), known.max.as_ref(), known.null_count, meta.rows),
                None => self.add_default(meta.rows),
            }
        }
        for generation in shard.all_generations().filter(|generation| generation.deletes().live() > 0) {
            self.add_chunks(generation.chunks());
        }
    }

    /// Adds chunks of a generation.
    pub(super) fn add_chunks<'c>(&mut self, chunks: impl IntoIterator<Item = &'c Arc<Chunk>>) {
        for chunk in chunks {
            match chunk.bounds(self.column.id) {
                Some(known) => self.add(known.min.as_ref(), known.max.as_ref(), known.null_count, known.rows),
                None => self.add_default(chunk.len()),
            }
        }
    }

    /// Adds the blocks of a segment that a range of its rows touches.
    pub(super) fn add_zones(&mut self, segment: &Segment, rows: Range<u32>) {
        match segment.zones(self.column.id, rows.clone()) {
            Some(zones) => zones.for_each(|zone| self.add(zone.min, zone.max, zone.null_count, zone.rows)),
            None => self.add_default(rows.end.saturating_sub(rows.start)),
        }
    }

    pub(super) fn finish(self) -> ColumnStatistics {
        let known = |extreme| match extreme {
            Extreme::Known(value) => Some(value),
            Extreme::Empty | Extreme::Unknown => None,
        };
        ColumnStatistics { min: known(self.min), max: known(self.max), null_count: Some(self.null_count) }
    }

    /// Bounds of a unit may be older than the column's type.
    fn add(&mut self, min: Option<&Value>, max: Option<&Value>, null_count: u32, rows: u32) {
        self.null_count += u64::from(null_count);
        if null_count < rows {
            let widened = |bound: &Value| bound.widened(&self.column.data_type);
            let (min, max) = (min.and_then(widened), max.and_then(widened));
            self.min.widen(min.as_ref(), Ordering::Less);
            self.max.widen(max.as_ref(), Ordering::Greater);
        }
    }

    /// Rows that are older than the column.
    fn add_default(&mut self, rows: u32) {
        let default = &self.column.initial_default;
        let null_count = if *default == Value::Null { rows } else { 0 };
        self.add(Some(default), Some(default), null_count, rows);
    }
}

impl Extreme {
    /// Takes `bound` in if it is `wider` than what is known.
    fn widen(&mut self, bound: Option<&Value>, wider: Ordering) {
        *self = match (std::mem::replace(self, Self::Unknown), bound) {
            (Self::Unknown, _) | (_, None) => Self::Unknown,
            (Self::Empty, Some(bound)) => Self::Known(bound.clone()),
            (Self::Known(known), Some(bound)) => match bound.compare(&known) {
                Some(order) => Self::Known(if order == wider { bound.clone() } else { known }),
                None => Self::Unknown,
            },
        };
    }
}

/// Approximate bytes of a row: what the units hold, spread over their rows.
pub(super) fn row_bytes(table: &TableState) -> u64 {
    let (mut bytes, mut rows) = (0, 0);
    for shard in &table.shards {
        bytes += shard.memtable_bytes() + shard.segments().map(|segment| segment.segment.bytes()).sum::<u64>();
        rows += shard.generations().map(|generation| u64::from(generation.rows)).sum::<u64>();
        rows += shard.segments().map(|segment| u64::from(segment.segment.rows())).sum::<u64>();
    }
    let columns = u64::try_from(table.schema.columns.len()).unwrap_or(u64::MAX);
    bytes.checked_div(rows).unwrap_or(columns * EMPTY_COLUMN_BYTES).max(1)
}

/// Bytes that a column is taken to have while its table is empty.
const EMPTY_COLUMN_BYTES: u64 = 8;
