//! Rows in the shape of a table.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{CastOptions, cast_with_options, interleave};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use outcrop_types::error::Constraint;
use outcrop_types::{Condition, DataType, Error, Result, TableSchema};

use super::target::Target;
use crate::error::from_arrow;
use crate::planning::{BindExpression, BoundExpressions};
use crate::session::{Work, rows_without_columns};
use crate::statement::parse_expression;

/// Completes rows that give some columns: the others get their defaults.
#[derive(Clone, Debug)]
pub(crate) struct RowMaker {
    table: Arc<TableSchema>,
    arrow: SchemaRef,
    /// For each column of the table, where its values come from.
    sources: Vec<Source>,
    defaults: Option<BoundExpressions>,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    /// Column of the rows given.
    Given(usize),
    /// Number of the default expression.
    Default(usize),
    Null,
}

impl RowMaker {
    /// For rows whose columns are those at `positions` of the table.
    pub(crate) fn new(work: &Work, target: &Target, positions: &[usize]) -> Result<Self> {
        let mut expressions = Vec::new();
        let mut sources = Vec::with_capacity(target.schema.columns.len());
        for (at, column) in target.schema.columns.iter().enumerate() {
            let given = positions.iter().position(|position| *position == at);
            sources.push(match (given, &column.write_default) {
                (Some(given), _) => Source::Given(given),
                (None, Some(default)) => {
                    expressions.push(BindExpression {
                        expr: parse_expression(default)?,
                        target: Some(column.data_type.clone()),
                    });
                    Source::Default(expressions.len() - 1)
                }
                (None, None) => Source::Null,
            });
        }
        let defaults =
            if expressions.is_empty() { None } else { Some(work.context()?.bind(&expressions, &[], &[])?) };
        Ok(Self { table: Arc::clone(&target.schema), arrow: target.schema.to_arrow(), sources, defaults })
    }

    /// Whole rows.
    pub(crate) fn make(&self, given: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
        let defaults = match &self.defaults {
            Some(defaults) => defaults.evaluate(&rows_without_columns(rows)?)?,
            None => Vec::new(),
        };
        let columns = self
            .sources
            .iter()
            .zip(&self.table.columns)
            .map(|(source, column)| {
                let found = match source {
                    Source::Given(at) => given.get(*at).map(Arc::clone),
                    Source::Default(at) => defaults.get(*at).map(Arc::clone),
                    Source::Null => Some(null_array(&column.data_type, rows)),
                };
                found.ok_or_else(|| Error::internal(format!("no values for column \"{}\"", column.name)))
            })
            .collect::<Result<Vec<_>>>()?;
        table_batch(&self.table, &self.arrow, columns, rows)
    }
}

/// The default of a column as an expression; NULL if it has none.
pub(super) fn default_expression(
    table: &TableSchema,
    position: usize,
) -> Result<datafusion::sql::sqlparser::ast::Expr> {
    match table.columns.get(position).and_then(|column| column.write_default.as_deref()) {
        Some(default) => parse_expression(default),
        None => parse_expression("NULL"),
    }
}

/// So many values of the default of a column; NULL if it has none.
pub(super) fn default_values(work: &Work, target: &Target, position: usize, count: usize) -> Result<ArrayRef> {
    let column = target.schema.columns.get(position);
    let column = column.ok_or_else(|| Error::internal("a column position outside of the table"))?;
    let Some(default) = &column.write_default else {
        return Ok(null_array(&column.data_type, count));
    };
    let expr = BindExpression { expr: parse_expression(default)?, target: Some(column.data_type.clone()) };
    let values = work.context()?.bind(&[expr], &[], &[])?.evaluate(&rows_without_columns(count)?)?;
    values.into_iter().next().ok_or_else(|| Error::internal("a default without values"))
}

pub(super) fn null_array(data_type: &DataType, rows: usize) -> ArrayRef {
    datafusion::arrow::array::new_null_array(&data_type.to_arrow(), rows)
}

/// A batch of a table's columns, in its Arrow types, with NOT NULL checked.
pub(super) fn table_batch(
    table: &TableSchema,
    arrow: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let columns = columns
        .into_iter()
        .zip(arrow.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(column);
            }
            let options = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(&column, field.data_type(), &options).map_err(from_arrow)
        })
        .collect::<Result<Vec<_>>>()?;
    for (column, field) in columns.iter().zip(arrow.fields()) {
        if !field.is_nullable() && column.null_count() > 0 {
            let row = (0..rows).find(|row| column.is_null(*row)).unwrap_or_default();
            return Err(null_violation(table, field.name(), &columns, row));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(arrow), columns, &options).map_err(from_arrow)
}

fn null_violation(table: &TableSchema, column: &str, columns: &[ArrayRef], row: usize) -> Error {
    let options = FormatOptions::default().with_null("null");
    let values: Vec<String> = columns
        .iter()
        .map(|array| {
            ArrayFormatter::try_new(array, &options)
                .map_or_else(|_unknown| "?".to_owned(), |f| f.value(row).to_string())
        })
        .collect();
    Error::new(
        Condition::NotNullViolation,
        format!("null value in column \"{column}\" of relation \"{}\" violates not-null constraint", table.name.table),
    )
    .with_detail(format!("Failing row contains ({}).", values.join(", ")))
    .with_constraint(Constraint {
        schema: table.name.schema.clone(),
        table: table.name.table.clone(),
        column: Some(column.to_owned()),
        name: None,
    })
}

/// Puts the rows of `changed`, one for each true of `matches`, over those of `current`.
pub(super) fn scatter(current: &RecordBatch, changed: &RecordBatch, matches: &BooleanArray) -> Result<RecordBatch> {
    if changed.num_rows() == current.num_rows() {
        return Ok(changed.clone());
    }
    let mut next = 0;
    let indices: Vec<(usize, usize)> = matches
        .iter()
        .enumerate()
        .map(|(at, matched)| {
            if matched == Some(true) {
                next += 1;
                (1, next - 1)
            } else {
                (0, at)
            }
        })
        .collect();
    let columns = current
        .columns()
        .iter()
        .zip(changed.columns())
        .map(|(old, new)| interleave(&[old.as_ref(), new.as_ref()], &indices).map_err(from_arrow))
        .collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(current.schema(), columns).map_err(from_arrow)
}

/// Two batches of equal length side by side.
pub(super) fn beside(left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch> {
    let fields: Vec<_> = left.schema().fields().iter().chain(right.schema().fields()).cloned().collect();
    let columns = left.columns().iter().chain(right.columns()).cloned().collect();
    let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
    RecordBatch::try_new(schema, columns).map_err(from_arrow)
}
