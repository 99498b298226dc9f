//! The rows that one record has itself, as events.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use outcrop_format::decode_batch;
use outcrop_format::record::{Op, Ops, RowChange};
use outcrop_types::{ColumnId, CommitSeq, Result, RowAddress, TableSchema};

use super::batches::{BatchSize, FeedEvent};
use super::old_rows::{OldRows, pick};
use crate::node::LOG_DIR;

/// Deletes, then updates, then inserts of a change, a batch at a time.
pub(super) struct RowEvents {
    table: Arc<TableSchema>,
    columns: Vec<ColumnId>,
    rows: RecordBatch,
    deleted: Vec<RowAddress>,
    /// Victims, and their new rows in `rows`.
    updated: Vec<(RowAddress, u32)>,
    inserted: Vec<u32>,
    /// How many of each were shown.
    shown: [usize; 3],
    size: BatchSize,
}

impl RowEvents {
    /// The events of a change.
    ///
    /// # Errors
    /// `DataCorrupted` when its rows are not of the table.
    pub(super) fn new(
        seq: CommitSeq,
        table: &Arc<TableSchema>,
        change: &RowChange,
        deletes: OwnDeletes,
    ) -> Result<Self> {
        let rows = if change.row_count == 0 {
            RecordBatch::new_empty(table.to_arrow())
        } else {
            decode_batch(&change.rows, table)
                .map_err(|error| error.in_file(format!("{LOG_DIR}: rows of record {seq}"), 0))?
        };
        let (mut deleted, mut updated, mut inserted) = (Vec::new(), Vec::new(), Vec::new());
        match &change.ops {
            Ops::AllInserts { count } => inserted.extend(0..*count),
            Ops::List(ops) => {
                let mut row = 0;
                for op in ops {
                    match op {
                        Op::Insert => inserted.push(row),
                        Op::Update(victim) => updated.push((*victim, row)),
                        Op::Delete(victim) if deletes == OwnDeletes::Shown => deleted.push(*victim),
                        Op::Delete(_) => {}
                    }
                    row += u32::from(!matches!(op, Op::Delete(_)));
                }
            }
        }
        let columns = table.columns.iter().map(|column| column.id).collect();
        let (table, size) = (Arc::clone(table), BatchSize::new());
        Ok(Self { table, columns, rows, deleted, updated, inserted, shown: [0; 3], size })
    }

    /// The next event; `None` after the last.
    ///
    /// # Errors
    /// Those of [`OldRows::fetch`].
    pub(super) fn next(&mut self, old_rows: &mut OldRows) -> Result<Option<FeedEvent>> {
        let [deleted, updated, inserted] = &mut self.shown;
        let table = Arc::clone(&self.table);
        if *deleted < self.deleted.len() {
            let range = self.size.next(*deleted, self.deleted.len());
            *deleted = range.end;
            let old = old_rows.fetch(&table, &self.columns, self.deleted.get(range).unwrap_or_default())?;
            self.size.learn(&old);
            return Ok(Some(FeedEvent::Deleted { table, old }));
        }
        if *updated < self.updated.len() {
            let range = self.size.next(*updated, self.updated.len());
            *updated = range.end;
            let pairs = self.updated.get(range).unwrap_or_default();
            let victims: Vec<RowAddress> = pairs.iter().map(|(victim, _)| *victim).collect();
            let old = old_rows.fetch(&table, &self.columns, &victims)?;
            let new = pick(&self.rows, &UInt32Array::from_iter_values(pairs.iter().map(|(_, row)| *row)))?;
            self.size.learn(&old);
            return Ok(Some(FeedEvent::Updated { table, old, new }));
        }
        if *inserted < self.inserted.len() {
            let range = self.size.next(*inserted, self.inserted.len());
            *inserted = range.end;
            let wanted = self.inserted.get(range).unwrap_or_default().iter().copied();
            let new = pick(&self.rows, &UInt32Array::from_iter_values(wanted))?;
            self.size.learn(&new);
            return Ok(Some(FeedEvent::Inserted { table, new }));
        }
        Ok(None)
    }
}

/// Whether rows that a change deletes are shown with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnDeletes {
    Shown,
    /// The staged part of the commit may have brought the rows that replace them.
    Elsewhere,
}
