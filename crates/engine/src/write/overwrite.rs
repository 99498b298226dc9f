//! `INSERT … ON CONFLICT DO UPDATE SET c = EXCLUDED.c`: replaces rows, or some of their columns, without a callback.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_select::interleave::interleave;
use outcrop_format::record::Op;
use outcrop_types::{ColumnId, Error, Result, RowAddress, TableSchema};

use super::api::{ConflictRows, ConflictUpdate, RowOutcome};
use super::decision::{Decision, ops_from};
use super::insert::meets_row_twice;
use super::tail::TailView;
use crate::ScanColumn;
use crate::key_index::KeyHash;

/// Judges a statement whose rows are in memory. No key changes, so there is nothing else to check: the rows that die are
/// exactly those with the keys of the new ones.
pub(super) fn insert_or_overwrite(
    view: &TailView<'_>,
    rows: &RecordBatch,
    keys: &[KeyHash],
    columns: &[ColumnId],
) -> Result<Decision> {
    let mut seen = HashSet::with_capacity(keys.len());
    if !keys.iter().all(|key| seen.insert(*key)) {
        return Err(meets_row_twice());
    }
    let existing = view.lookup(keys)?;
    let outcome = |found: &Option<RowAddress>| if found.is_some() { RowOutcome::Updated } else { RowOutcome::Inserted };
    let outcomes = existing.iter().map(outcome).collect();
    let rows = with_kept_columns(view, rows, &existing, columns)?;
    let ops = ops_from(existing.into_iter().map(|found| found.map_or(Op::Insert, Op::Update)).collect())?;
    Ok(Decision { rows, row_keys: keys.to_vec(), ops, outcomes })
}

/// The proposed rows, with the values of the rows there in the columns that keep them.
fn with_kept_columns(
    view: &TailView<'_>,
    rows: &RecordBatch,
    existing: &[Option<RowAddress>],
    columns: &[ColumnId],
) -> Result<RecordBatch> {
    let kept = kept_columns(view.schema, columns);
    let addresses: Vec<RowAddress> = existing.iter().flatten().copied().collect();
    if kept.is_empty() || addresses.is_empty() {
        return Ok(rows.clone());
    }
    let wanted: Vec<ScanColumn> = kept.iter().map(|(_, id)| ScanColumn::Column(*id)).collect();
    let there = view.snapshot().fetch(&addresses, &wanted)?;
    let mut next = 0;
    let places: Vec<(usize, usize)> = existing
        .iter()
        .enumerate()
        .map(|(row, found)| match found {
            None => (0, row),
            Some(_) => {
                next += 1;
                (1, next - 1)
            }
        })
        .collect();
    let mut arrays = rows.columns().to_vec();
    for ((position, _), there) in kept.iter().zip(there.columns()) {
        if let Some(array) = arrays.get_mut(*position) {
            *array = merged(array, there, &places)?;
        }
    }
    RecordBatch::try_new(rows.schema(), arrays).map_err(unexpected)
}

fn merged(proposed: &ArrayRef, there: &ArrayRef, places: &[(usize, usize)]) -> Result<ArrayRef> {
    let sources: [&dyn Array; 2] = [proposed.as_ref(), there.as_ref()];
    interleave(&sources, places).map_err(unexpected)
}

/// Positions and ids of the columns that keep their values. Those of the key are the same in both rows.
fn kept_columns(schema: &TableSchema, overwritten: &[ColumnId]) -> Vec<(usize, ColumnId)> {
    let in_key = |id: &ColumnId| schema.primary_key().is_some_and(|key| key.columns.contains(id));
    let columns = schema.columns.iter().map(|column| column.id).enumerate();
    columns.filter(|(_, id)| !overwritten.contains(id) && !in_key(id)).collect()
}

/// The same as a callback, for statements that are staged.
pub(crate) struct Overwriting {
    /// Positions of the columns that keep their values.
    kept: Vec<usize>,
}

impl Overwriting {
    pub(crate) fn new(schema: &TableSchema, columns: &[ColumnId]) -> Self {
        Self { kept: kept_columns(schema, columns).into_iter().map(|(position, _)| position).collect() }
    }
}

impl ConflictUpdate for Overwriting {
    fn update(&mut self, existing: &RecordBatch, proposed: &RecordBatch) -> Result<ConflictRows> {
        let mut arrays = proposed.columns().to_vec();
        for position in &self.kept {
            if let (Some(array), Some(there)) = (arrays.get_mut(*position), existing.columns().get(*position)) {
                *array = Arc::clone(there);
            }
        }
        let rows = RecordBatch::try_new(proposed.schema(), arrays).map_err(unexpected)?;
        Ok(ConflictRows { matches: BooleanArray::from(vec![true; proposed.num_rows()]), rows })
    }
}

fn unexpected(error: arrow_schema::ArrowError) -> Error {
    Error::internal("the columns of an upsert do not fit together").with_source(error)
}
