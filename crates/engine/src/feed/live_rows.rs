//! The rows of segments that were alive at a commit, a batch at a time.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use outcrop_segment::{DeleteVector, ScanColumn, Segment};
use outcrop_types::{Result, RowAddress, RowOrdinal, TableSchema};

use super::batches::BatchSize;
use crate::node::SEGMENT_DIR;
use crate::recovery::decode_deletes;
use crate::stage::RowSet;

/// Rows of segments that came with a commit, or went with it.
pub(super) struct LiveRows {
    table: Arc<TableSchema>,
    columns: Vec<ScanColumn>,
    /// With the rows that were dead then.
    segments: Vec<(Arc<Segment>, DeleteVector)>,
    /// The next row: segment and row.
    at: (usize, u32),
    size: BatchSize,
}

impl LiveRows {
    /// No segment yet.
    pub(super) fn new(table: &Arc<TableSchema>) -> Self {
        let columns = table.columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
        Self { table: Arc::clone(table), columns, segments: Vec::new(), at: (0, 0), size: BatchSize::new() }
    }

    /// Adds a segment; `deletes` are the rows that were dead, encoded, or empty.
    ///
    /// # Errors
    /// `DataCorrupted` when that is not of the segment.
    pub(super) fn add(&mut self, segment: Arc<Segment>, deletes: &[u8]) -> Result<()> {
        let place = format!("{SEGMENT_DIR}: segment {}", segment.unit());
        let deletes = decode_deletes(deletes, segment.rows(), &place)?;
        self.segments.push((segment, deletes));
        Ok(())
    }

    /// The segments, with their dead rows.
    pub(super) fn segments(&self) -> impl Iterator<Item = &(Arc<Segment>, DeleteVector)> {
        self.segments.iter()
    }

    /// The next rows, without those of `left_out`; `None` after the last.
    ///
    /// # Errors
    /// Those of [`Segment::scan`].
    pub(super) fn next(&mut self, left_out: &RowSet) -> Result<Option<RecordBatch>> {
        loop {
            let (number, start) = self.at;
            let Some((segment, deletes)) = self.segments.get(number) else { return Ok(None) };
            if start >= segment.rows() {
                self.at = (number + 1, 0);
                continue;
            }
            let rows = u32::try_from(self.size.rows()).unwrap_or(u32::MAX);
            let range = start..start.saturating_add(rows).min(segment.rows());
            self.at.1 = range.end;
            let mut live = BooleanBufferBuilder::new(range.len());
            match deletes.live_mask(range.clone()) {
                Some(mask) => live.append_buffer(&mask),
                None => live.append_n(range.len(), true),
            }
            for row in range.clone() {
                if left_out.contains(RowAddress::new(segment.unit(), RowOrdinal::new(row))) {
                    live.set_bit(usize::try_from(row - range.start).unwrap_or_default(), false);
                }
            }
            let live: BooleanBuffer = live.finish();
            if live.count_set_bits() == 0 {
                continue;
            }
            let found = segment.scan(&self.table, &self.columns, range, Some(&live), None)?.batch;
            self.size.learn(&found);
            return Ok(Some(found));
        }
    }
}
