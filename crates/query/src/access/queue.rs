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
