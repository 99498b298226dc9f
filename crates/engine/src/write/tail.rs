//! The shard as a statement sees it while it decides: the newest rows, synced or not (W3).

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use outcrop_types::error::Constraint;
use outcrop_types::{CommitSeq, Condition, Error, Result, RowAddress, TableSchema};

use crate::ScanColumn;
use crate::commit::{Journal, Remaps};
use crate::key_index::{KeyHash, ShardKeys};
use crate::snapshot::{ShardState, TableSnapshot};

/// One shard at one moment.
pub(crate) struct TailView<'a> {
    pub(crate) schema: &'a Arc<TableSchema>,
    pub(crate) state: &'a ShardState,
    pub(crate) remaps: &'a Remaps,
    /// Keys written while staged statements resolve theirs; inside the turn only.
    pub(crate) journal: Option<&'a Journal>,
    pub(crate) seq: CommitSeq,
}

impl TailView<'_> {
    /// Where the live rows with these keys are. A table without primary key has none.
    ///
    /// # Errors
    /// Those of [`ShardKeys::lookup_live`].
    pub(crate) fn lookup(&self, keys: &[KeyHash]) -> Result<Vec<Option<RowAddress>>> {
        self.keys().map_or_else(|| Ok(vec![None; keys.len()]), |index| index.lookup_live(keys, self.state))
    }

    /// Where a row is now, if it is alive: an address of an earlier version follows its flushes and compactions.
    pub(crate) fn locate(&self, address: RowAddress) -> Option<RowAddress> {
        let now = if self.state.has_unit(address.unit) { address } else { self.remaps.translate(address)? };
        self.state.is_live(now).then_some(now)
    }

    /// Whole rows, in the given order.
    pub(crate) fn fetch(&self, rows: &[RowAddress]) -> Result<RecordBatch> {
        self.snapshot().fetch(rows, &all_columns(self.schema))
    }

    /// The shard behind the same interface that readers use.
    pub(crate) fn snapshot(&self) -> TableSnapshot {
        TableSnapshot::of_state(Arc::clone(self.schema), self.state.clone(), self.seq)
    }

    /// The key index.
    pub(crate) fn keys(&self) -> Option<&ShardKeys> {
        self.state.keys().map(|keys| &**keys)
    }

    /// The hashes of the primary keys of rows; empty for a table without primary key.
    pub(crate) fn key_hashes(&self, rows: &RecordBatch) -> Result<Vec<KeyHash>> {
        key_hashes(self.keys(), self.schema, rows)
    }

    /// 23505 for a row of `rows`.
    pub(crate) fn unique_violation(&self, rows: &RecordBatch, row: usize) -> Error {
        unique_violation(self.keys(), self.schema, rows, row)
    }
}

/// All columns of a table, in declaration order.
pub(crate) fn all_columns(schema: &TableSchema) -> Vec<ScanColumn> {
    schema.columns.iter().map(|column| ScanColumn::Column(column.id)).collect()
}

/// The columns of the primary key, in key order.
pub(crate) fn key_columns(schema: &TableSchema, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let Some(key) = schema.primary_key() else { return Ok(Vec::new()) };
    key.columns
        .iter()
        .map(|id| {
            let column = schema.position(*id).and_then(|position| rows.columns().get(position));
            column.map(Arc::clone).ok_or_else(|| Error::internal("a batch without a key column"))
        })
        .collect()
}

/// The hashes of the primary keys of whole rows; empty for a table without primary key.
pub(crate) fn key_hashes(keys: Option<&ShardKeys>, schema: &TableSchema, rows: &RecordBatch) -> Result<Vec<KeyHash>> {
    keys.map_or_else(|| Ok(Vec::new()), |index| index.encoder().encode(&key_columns(schema, rows)?))
}

/// 23505: `Key (id)=(1) already exists.`
pub(crate) fn unique_violation(
    keys: Option<&ShardKeys>,
    schema: &TableSchema,
    rows: &RecordBatch,
    row: usize,
) -> Error {
    let name = schema.primary_key().map(|key| key.name.clone()).unwrap_or_default();
    let detail = keys.map(|index| index.encoder().describe(rows, row)).unwrap_or_default();
    let constraint = Constraint {
        schema: schema.name.schema.clone(),
        table: schema.name.table.clone(),
        column: None,
        name: Some(name.clone()),
    };
    Error::new(Condition::UniqueViolation, format!("duplicate key value violates unique constraint \"{name}\""))
        .with_detail(detail)
        .with_constraint(constraint)
}
