//! What the rules of a statement make of it, against one state of the shard.

use std::collections::HashSet;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use arrow_select::interleave::interleave_record_batch;
use outcrop_format::record::{Op, Ops};
use outcrop_types::{Condition, Error, Result, RowAddress, TableSchema};

use super::api::RowOutcome;
use super::tail::TailView;
use crate::key_index::KeyHash;

/// Rows that enter, rows that die, and what to answer.
#[derive(Debug)]
pub(crate) struct Decision {
    /// The new rows, in the order of their operations.
    pub(crate) rows: RecordBatch,
    /// Their keys; empty for a table without primary key.
    pub(crate) row_keys: Vec<KeyHash>,
    /// What happens, in order.
    pub(crate) ops: Ops,
    /// What became of each row given.
    pub(crate) outcomes: Vec<RowOutcome>,
}

impl Decision {
    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.ops {
            Ops::AllInserts { count } => *count == 0,
            Ops::List(ops) => ops.is_empty(),
        }
    }

    /// The rows that die.
    pub(crate) fn victims(&self) -> Vec<RowAddress> {
        self.ops.victims().collect()
    }
}

/// Every row enters and replaces nothing.
pub(crate) fn insert_all(rows: RecordBatch, row_keys: Vec<KeyHash>) -> Result<Decision> {
    let count = row_count(&rows)?;
    let outcomes = vec![RowOutcome::Inserted; rows.num_rows()];
    Ok(Decision { rows, row_keys, ops: Ops::AllInserts { count }, outcomes })
}

/// Uniqueness at the end of the statement: no two new rows have one key, and none has that of a row that stays.
pub(crate) fn check_unique(view: &TailView<'_>, rows: &RecordBatch, keys: &[KeyHash], ops: &Ops) -> Result<()> {
    let victims: HashSet<RowAddress> = ops.victims().collect();
    let mut seen = HashSet::with_capacity(keys.len());
    for (row, (key, existing)) in keys.iter().zip(view.lookup(keys)?).enumerate() {
        let taken = existing.is_some_and(|address| !victims.contains(&address));
        if taken || !seen.insert(*key) {
            return Err(view.unique_violation(rows, row));
        }
    }
    Ok(())
}

/// Rows of several batches, picked by (batch, row).
pub(crate) fn gather(schema: &TableSchema, sources: &[RecordBatch], picks: &[(usize, usize)]) -> Result<RecordBatch> {
    let sources: Vec<&RecordBatch> = sources.iter().collect();
    if picks.is_empty() || sources.is_empty() {
        return Ok(RecordBatch::new_empty(schema.to_arrow()));
    }
    interleave_record_batch(&sources, picks)
        .map_err(|error| Error::internal("cannot gather the rows of a statement").with_source(error))
}

/// Batches as one.
pub(crate) fn concat(schema: &TableSchema, batches: &[RecordBatch]) -> Result<RecordBatch> {
    match batches {
        [one] => Ok(one.clone()),
        _ => concat_batches(&schema.to_arrow(), batches)
            .map_err(|error| Error::internal("cannot join the batches of a statement").with_source(error)),
    }
}

/// Number of rows of a batch, as records count them.
pub(crate) fn row_count(batch: &RecordBatch) -> Result<u32> {
    u32::try_from(batch.num_rows()).map_err(|error| {
        Error::new(Condition::ProgramLimitExceeded, "too many rows in one statement").with_source(error)
    })
}

/// All operations as one list, or as plain inserts when they are that.
pub(crate) fn ops_from(list: Vec<Op>) -> Result<Ops> {
    if list.iter().all(|op| matches!(op, Op::Insert)) {
        let count = u32::try_from(list.len()).map_err(|error| {
            Error::new(Condition::ProgramLimitExceeded, "too many rows in one statement").with_source(error)
        })?;
        return Ok(Ops::AllInserts { count });
    }
    Ok(Ops::List(list))
}
