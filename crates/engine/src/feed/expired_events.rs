//! The rows of segments that retention took out, as events: read from the segments, which the cursor keeps.

use std::collections::VecDeque;
use std::sync::Arc;

use outcrop_format::record::Expire;
use outcrop_segment::{DeleteVector, ScanColumn, Segment};
use outcrop_types::{Result, TableSchema, UnitId};

use super::batches::{BatchSize, FeedEvent};
use super::old_rows::OldRows;
use crate::node::SEGMENT_DIR;

/// Deletes, segment by segment, of the rows that were alive.
pub(super) struct ExpiredEvents {
    table: Arc<TableSchema>,
    columns: Vec<ScanColumn>,
    /// Segments that are still to be read, with the rows that were dead before.
    units: VecDeque<(UnitId, Vec<u8>)>,
    /// The one that is being read, and the next row.
    at: Option<(Arc<Segment>, DeleteVector, u32)>,
    size: BatchSize,
}

impl ExpiredEvents {
    pub(super) fn new(table: Arc<TableSchema>, change: &Expire) -> Self {
        let dead = change.deletes.iter().cloned().chain(std::iter::repeat_with(Vec::new));
        Self {
            columns: table.columns.iter().map(|column| ScanColumn::Column(column.id)).collect(),
            table,
            units: change.units.iter().copied().zip(dead).collect(),
            at: None,
            size: BatchSize::new(),
        }
    }

    /// The next event; `None` after the last.
    ///
    /// # Errors
    /// Those of [`OldRows::segment`] and of reading it.
    pub(super) fn next(&mut self, old_rows: &mut OldRows) -> Result<Option<FeedEvent>> {
        loop {
            let Some((segment, deletes, start)) = &mut self.at else {
                let Some((unit, dead)) = self.units.pop_front() else { return Ok(None) };
                let segment = old_rows.segment(self.table.id, unit)?;
                let place = format!("{SEGMENT_DIR}: segment {unit}");
                let deletes = crate::recovery::decode_deletes(&dead, segment.rows(), &place)?;
                self.at = Some((segment, deletes, 0));
                continue;
            };
            let rows = u32::try_from(self.size.rows()).unwrap_or(u32::MAX);
            let range = *start..start.saturating_add(rows).min(segment.rows());
            *start = range.end;
            if range.is_empty() {
                self.at = None;
                continue;
            }
            if deletes.live_in(range.clone()) == 0 {
                continue;
            }
            let live = deletes.live_mask(range.clone());
            let old = segment.scan(&self.table, &self.columns, range, live.as_ref(), None)?.batch;
            self.size.learn(&old);
            return Ok(Some(FeedEvent::Deleted { table: Arc::clone(&self.table), old }));
        }
    }
}
