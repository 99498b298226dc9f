//! The work of one scan, shared by its partitions: whoever is free takes the next piece (Q2).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outcrop_engine::Morsel;
use outcrop_types::{Result, RowAddress};
use parking_lot::Mutex;

/// Rows fetched by address at once.
const FETCH_ROWS: usize = 8_192;

/// What there is to read; decided when the first partition is polled, so that a join's build side is known by then.
#[derive(Debug)]
pub(super) enum Work {
    /// Pieces of the table.
    Morsels(Vec<Morsel>),
    /// Rows found by key.
    Rows(Vec<RowAddress>),
}

/// One piece of work.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Morsel(Morsel),
    Rows(Range<usize>),
}

/// Hands out the pieces of one execution.
#[derive(Debug, Default)]
pub(super) struct ScanQueue {
    work: Mutex<Option<Arc<Work>>>,
    next: AtomicUsize,
    rows: AtomicUsize,
    /// Bytes of a row in memory, in the last batch; 0 before the first.
    row_bytes: AtomicUsize,
}

impl ScanQueue {
    /// The work, planned by `plan` if nobody did yet. Others wait for it.
    pub(super) fn work(&self, plan: impl FnOnce() -> Result<Work>) -> Result<Arc<Work>> {
        let mut work = self.work.lock();
        if let Some(work) = work.as_ref() {
            return Ok(Arc::clone(work));
        }
        let planned = Arc::new(plan()?);
        *work = Some(Arc::clone(&planned));
        Ok(planned)
    }

    /// Takes the next piece.
    pub(super) fn take(&self, work: &Work) -> Option<Piece> {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        match work {
            Work::Morsels(morsels) => morsels.get(at).cloned().map(Piece::Morsel),
            Work::Rows(rows) => {
                let start = at.checked_mul(FETCH_ROWS).filter(|start| *start < rows.len())?;
                Some(Piece::Rows(start..rows.len().min(start + FETCH_ROWS)))
            }
        }
    }

    /// How many rows to read at once, so that a batch is not much larger than [`BATCH_BYTES`]. Before the first batch only
    /// the stored, compressed size of a row is known, and a few rows are read to learn more.
    pub(super) fn rows_of_batch(&self, stored_row_bytes: u64) -> u32 {
        let (row_bytes, rows_max) = match self.row_bytes.load(Ordering::Relaxed) {
            0 => (usize::try_from(stored_row_bytes).unwrap_or(usize::MAX), FIRST_ROWS),
            known => (known, u32::MAX),
        };
        let rows = u32::try_from(BATCH_BYTES / row_bytes.max(1)).unwrap_or(u32::MAX);
        rows.clamp(ROWS_MIN, rows_max)
    }

    /// A batch of `bytes` bytes was read from a range of `rows` rows.
    pub(super) fn note_width(&self, bytes: usize, rows: usize) {
        if let Some(row_bytes) = bytes.checked_div(rows) {
            self.row_bytes.store(row_bytes.max(1), Ordering::Relaxed);
        }
    }

    /// Whether `limit` rows were handed out.
    pub(super) fn is_satisfied(&self, limit: Option<usize>) -> bool {
        limit.is_some_and(|limit| self.rows.load(Ordering::Relaxed) >= limit)
    }

    /// Of `rows` rows, how many may still leave under `limit`.
    pub(super) fn grant(&self, rows: usize, limit: Option<usize>) -> usize {
        let before = self.rows.fetch_add(rows, Ordering::Relaxed);
        limit.map_or(rows, |limit| rows.min(limit.saturating_sub(before)))
    }
}

/// Memory that a batch of a scan should take at most.
const BATCH_BYTES: usize = 8 << 20;
/// Rows of the first batch.
const FIRST_ROWS: u32 = 2_048;
/// Fewest rows of a batch, however large they are.
const ROWS_MIN: u32 = 16;
