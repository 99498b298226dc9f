//! Rows that a statement wrote, for `RETURNING`.

use std::collections::VecDeque;
use std::fmt;

use arrow_array::RecordBatch;
use outcrop_format::record::{Op, Ops};
use outcrop_types::{Result, RowAddress};

use super::decision::Decision;
use super::tail::all_columns;
use crate::snapshot::TableSnapshot;

/// Rows that a statement wrote, for `RETURNING`: from memory or from its staged segments, one batch at a time.
#[derive(Default)]
pub struct AppliedRows {
    parts: VecDeque<Part>,
}

enum Part {
    /// New rows that are still in memory.
    Memory(RecordBatch),
    /// Rows by address: deleted ones in the state before the commit, staged ones in the state after it.
    Stored { table: Box<TableSnapshot>, rows: Vec<RowAddress>, next: usize },
}

impl AppliedRows {
    /// The rows of a decision, in the order of its operations; `before` is the state it was made on.
    pub(crate) fn of_decision(decision: &Decision, before: &TableSnapshot) -> Self {
        let mut applied = Self::default();
        match &decision.ops {
            Ops::AllInserts { .. } => applied.push_memory(decision.rows.clone()),
            Ops::List(ops) => {
                let mut next = 0;
                for run in ops.chunk_by(|a, b| is_delete(a) == is_delete(b)) {
                    if run.first().is_some_and(is_delete) {
                        let rows = run.iter().filter_map(victim).collect();
                        applied.push_stored(before.clone(), rows);
                    } else {
                        applied.push_memory(decision.rows.slice(next, run.len()));
                        next += run.len();
                    }
                }
            }
        }
        applied
    }

    /// Adds rows by address.
    pub(crate) fn push_stored(&mut self, table: TableSnapshot, rows: Vec<RowAddress>) {
        if !rows.is_empty() {
            self.parts.push_back(Part::Stored { table: Box::new(table), rows, next: 0 });
        }
    }

    /// Adds the rows of another statement part behind these.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.parts.append(&mut other.parts);
    }

    fn push_memory(&mut self, rows: RecordBatch) {
        if rows.num_rows() > 0 {
            self.parts.push_back(Part::Memory(rows));
        }
    }
}

impl Iterator for AppliedRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.parts.pop_front()? {
            Part::Memory(rows) => Some(Ok(rows)),
            Part::Stored { table, rows, next } => {
                let end = rows.len().min(next + BATCH_ROWS);
                let batch = table.fetch(rows.get(next..end).unwrap_or_default(), &all_columns(table.schema()));
                if end < rows.len() && batch.is_ok() {
                    self.parts.push_front(Part::Stored { table, rows, next: end });
                }
                Some(batch)
            }
        }
    }
}

impl fmt::Debug for AppliedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppliedRows").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}

fn is_delete(op: &Op) -> bool {
    matches!(op, Op::Delete(_))
}

fn victim(op: &Op) -> Option<RowAddress> {
    match op {
        Op::Insert => None,
        Op::Update(victim) | Op::Delete(victim) => Some(*victim),
    }
}

/// Rows of one batch that is read back.
const BATCH_ROWS: usize = 8_192;
