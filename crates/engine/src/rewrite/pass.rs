//! Reading the rows of an output once: for one group of its columns, in the order in which they are written.

use std::collections::VecDeque;
use std::ops::Range;

use arrow_array::RecordBatch;
use outcrop_types::Result;

use super::job::{STEP_BYTES, STEP_ROWS};
use super::order::SortedRows;
use crate::ScanColumn;
use crate::snapshot::{Morsel, TableSnapshot};
use crate::write::batch_bytes;

/// Some columns of rows, a batch at a time.
pub(crate) struct Pass {
    columns: Vec<ScanColumn>,
    left: Left,
    /// Bytes of a row in the last batch; 0 before the first.
    row_bytes: u64,
}

enum Left {
    /// Pieces of units, which are read one after the other.
    Pieces(VecDeque<Morsel>),
    /// Places of sorted rows.
    Places {
        places: Range<u32>,
        /// Memory that a window may take. Rows that lie everywhere in their units are read in large ones, because each goes
        /// through all of them.
        window_bytes: u64,
        /// Rows of the last window.
        window_rows: u32,
        /// What is left of it.
        window: Option<RecordBatch>,
    },
}

impl Pass {
    /// Rows as they are in their units.
    pub(crate) fn in_order(morsels: Vec<Morsel>, columns: Vec<ScanColumn>) -> Self {
        Self { columns, left: Left::Pieces(morsels.into()), row_bytes: 0 }
    }

    /// Sorted rows, read in windows of so many bytes.
    pub(crate) fn by_place(places: Range<u32>, columns: Vec<ScanColumn>, window_bytes: u64) -> Self {
        let left = Left::Places { places, window_bytes, window_rows: 0, window: None };
        Self { columns, left, row_bytes: 0 }
    }

    /// The next rows; `None` at the end. `order` is where the places are.
    ///
    /// # Errors
    /// Those of [`TableSnapshot::scan`].
    pub(crate) fn next(&mut self, pinned: &TableSnapshot, order: Option<&SortedRows>) -> Result<Option<RecordBatch>> {
        let rows_max = self.rows_for(STEP_BYTES, FIRST_ROWS).min(STEP_ROWS);
        let row_bytes = self.row_bytes;
        match &mut self.left {
            Left::Pieces(pieces) => {
                let Some(piece) = next_piece(pieces, pinned, rows_max) else { return Ok(None) };
                let batch = pinned.scan(&piece, &self.columns, None)?;
                self.note_size(&batch);
                Ok(Some(batch))
            }
            Left::Places { places, window_bytes, window_rows, window } => {
                if let Some(kept) = window.take() {
                    return Ok(Some(cut(kept, window, rows_max)));
                }
                if places.start >= places.end {
                    return Ok(None);
                }
                // A guess from few rows is not trusted with many.
                let rows = rows_in(*window_bytes, row_bytes, FIRST_ROWS).min((*window_rows).max(FIRST_ROWS / 4) * 4);
                let end = places.start.saturating_add(rows).min(places.end);
                let addresses = order.map(|order| order.addresses(places.start..end)).unwrap_or_default();
                (*window_rows, places.start) = (rows, end);
                let batch = pinned.fetch(&addresses, &self.columns)?;
                let first = cut(batch, window, rows_max.max(FIRST_ROWS));
                self.note_size(&first);
                Ok(Some(first))
            }
        }
    }

    fn rows_for(&self, bytes: u64, first: u32) -> u32 {
        rows_in(bytes, self.row_bytes, first)
    }

    fn note_size(&mut self, batch: &RecordBatch) {
        let rows = batch.num_rows().max(1) as u64;
        self.row_bytes = (batch_bytes(batch) / rows).max(1);
    }
}

/// Rows that take so many bytes; `first` while it is not known how large they are.
fn rows_in(bytes: u64, row_bytes: u64, first: u32) -> u32 {
    match row_bytes {
        0 => first,
        row_bytes => u32::try_from(bytes / row_bytes).unwrap_or(u32::MAX).max(STEP_ROWS_MIN),
    }
}

/// The first rows of a batch; the others are kept for later.
fn cut(batch: RecordBatch, kept: &mut Option<RecordBatch>, rows_max: u32) -> RecordBatch {
    let rows_max = usize::try_from(rows_max).unwrap_or(usize::MAX);
    if batch.num_rows() <= rows_max {
        return batch;
    }
    *kept = Some(batch.slice(rows_max, batch.num_rows() - rows_max));
    batch.slice(0, rows_max)
}

/// As many rows of a unit as are read at once.
fn next_piece(pieces: &mut VecDeque<Morsel>, pinned: &TableSnapshot, rows_max: u32) -> Option<Morsel> {
    let morsel = pieces.pop_front()?;
    if morsel.rows.end - morsel.rows.start <= rows_max {
        return Some(morsel);
    }
    let mut smaller = pinned.cut(&morsel, rows_max).into_iter();
    let first = smaller.next();
    smaller.rev().for_each(|piece| pieces.push_front(piece));
    first
}

/// Rows of the first step, which tells how large they are.
const FIRST_ROWS: u32 = 2_048;
/// Fewest rows of a step, however large they are.
const STEP_ROWS_MIN: u32 = 16;
