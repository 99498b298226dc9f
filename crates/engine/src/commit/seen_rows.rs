//! Whether a column has NULLs, asked of the rows of a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::Array;
use outcrop_types::error::Constraint;
use outcrop_types::{ColumnId, CommitSeq, Condition, Error, Predicate, Result, TableId, TableSchema, UnitId};

use crate::ScanColumn;
use crate::catalog::WithoutNulls;
use crate::snapshot::{Morsel, ShardState, TableSnapshot};

/// Rows that were looked at already: no row changes, so only new ones are looked at again.
#[derive(Debug, Default)]
pub(crate) struct SeenRows {
    /// By column, the first row of each unit that was not looked at.
    seen: BTreeMap<(TableId, ColumnId), BTreeMap<UnitId, u32>>,
}

impl SeenRows {
    /// Looks at the live rows of `state` that were not looked at before. Zone maps leave out what they can.
    ///
    /// # Errors
    /// `NotNullViolation`; those of [`TableSnapshot::scan`].
    pub(crate) fn look(&mut self, wanted: &WithoutNulls, state: &ShardState, seq: CommitSeq) -> Result<()> {
        let WithoutNulls { schema, column } = wanted;
        let seen = self.seen.entry((schema.id, *column)).or_default();
        let table = TableSnapshot::of_state(Arc::new(schema.with_nulls()), state.clone(), seq);
        let is_null = Predicate::IsNull(*column);
        for morsel in table.morsels(MORSEL_ROWS) {
            let start = seen.get(&morsel.unit).map_or(morsel.rows.start, |seen| morsel.rows.start.max(*seen));
            if start >= morsel.rows.end {
                continue;
            }
            let morsel = Morsel { rows: start..morsel.rows.end, ..morsel };
            if !table.may_match(&morsel, &is_null) {
                continue;
            }
            let found = table.scan(&morsel, &[ScanColumn::Column(*column)], Some(&is_null))?;
            if found.columns().iter().any(|array| array.logical_null_count() > 0) {
                return Err(contains_nulls(schema, *column));
            }
        }
        let generations = state.generations().map(|generation| (generation.unit, generation.rows));
        let segments = state.segments().map(|view| (view.segment.unit(), view.segment.rows()));
        seen.extend(generations.chain(segments));
        Ok(())
    }
}

/// 23502, of a column that gets NOT NULL.
pub(crate) fn contains_nulls(schema: &TableSchema, column: ColumnId) -> Error {
    let (table, name) = (&schema.name.table, schema.column(column).map(|column| column.name.clone()));
    let message =
        format!("column \"{}\" of relation \"{table}\" contains null values", name.clone().unwrap_or_default());
    let constraint = Constraint { schema: schema.name.schema.clone(), table: table.clone(), column: name, name: None };
    Error::new(Condition::NotNullViolation, message).with_constraint(constraint)
}

/// Rows that are read at once.
const MORSEL_ROWS: u32 = 65_536;
