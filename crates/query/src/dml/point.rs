//! Rows named by their whole primary key, without a plan (architecture Q5).

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use outcrop_engine::{ScanColumn, TableSnapshot};
use outcrop_types::{DataType, Error, Result, RowAddress, TableSchema};

use super::bound::BoundChange;
use super::change::ChangePlan;
use super::target::Target;
use super::values::constant;
use crate::error::{from_arrow, from_datafusion};
use crate::session::{Work, blocking};
use crate::statement::{name_of, parameter_number};
use crate::types::value_to_scalar;

/// For each key column, in key order, the expression that an UPDATE or DELETE says it equals. `None` if WHERE names no
/// single key, or something needs a plan.
pub(super) fn change_key(work: &Work, plan: &ChangePlan) -> Option<Vec<ast::Expr>> {
    if plan.needs_plan() { None } else { key_expressions(work, &plan.target, plan.selection.as_ref()) }
}

/// For each key column of the target, in key order, the expression that a WHERE says it equals. `None` if it names no
/// single key.
pub(crate) fn key_expressions(work: &Work, target: &Target, selection: Option<&ast::Expr>) -> Option<Vec<ast::Expr>> {
    let key = target.schema.primary_key()?;
    let selection = selection?;
    if !work.view().access_path.looks_up() {
        return None;
    }
    let mut equalities = Vec::new();
    collect_equalities(selection, target, &mut equalities);
    key.columns
        .iter()
        .map(|id| {
            let position = target.schema.position(*id)?;
            equalities.iter().find(|(at, _)| *at == position).map(|(_, expr)| (*expr).clone())
        })
        .collect()
}

/// The key as a batch of one row. `None` for values that only the general rules can compare, such as `id = 1.5`.
pub(crate) fn key_batch(work: &Work, table: &TableSchema, expressions: &[ast::Expr]) -> Result<Option<RecordBatch>> {
    let Some(key) = table.primary_key() else {
        return Ok(None);
    };
    let mut fields = Vec::with_capacity(expressions.len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(expressions.len());
    for (id, expr) in key.columns.iter().zip(expressions) {
        let column = table.column(*id).ok_or_else(|| Error::internal("a key column is not in its table"))?;
        let Some(scalar) = key_value(work, expr, &column.data_type).filter(|scalar| !scalar.is_null()) else {
            return Ok(None);
        };
        fields.push(column.data_type.to_field(&column.name, false));
        columns.push(scalar.to_array().map_err(from_datafusion)?);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map(Some).map_err(from_arrow)
}

/// The row with this key that the change matches: its address and the new row.
pub(super) async fn changed_row(
    work: &Work,
    target: &Target,
    key: RecordBatch,
    change: &BoundChange,
) -> Result<Option<(RowAddress, RecordBatch)>> {
    let table = work.snapshot.table(target.schema.id);
    let table = table.ok_or_else(|| Error::internal("the target table is not in the snapshot"))?;
    let Some((address, row)) = blocking(move || find_row(&table, &key)).await? else {
        return Ok(None);
    };
    let (matches, rows) = change.judge(&row, &row, &work.parameters)?;
    if matches.true_count() == 0 {
        return Ok(None);
    }
    filter_record_batch(&rows, &matches).map(|rows| Some((address, rows))).map_err(from_arrow)
}

/// The live row with this key, and where it is. Blocks.
pub(crate) fn find_row(table: &TableSnapshot, key: &RecordBatch) -> Result<Option<(RowAddress, RecordBatch)>> {
    let Some(address) = table.lookup(key)?.into_iter().flatten().next() else {
        return Ok(None);
    };
    let columns: Vec<ScanColumn> = table.schema().columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
    table.fetch(&[address], &columns).map(|row| Some((address, row)))
}

/// A constant as a value of the key column; what does not fit it is left to the general rules.
fn key_value(work: &Work, expr: &ast::Expr, data_type: &DataType) -> Option<ScalarValue> {
    if let Some(number) = parameter_number(expr) {
        let (given, value) = work.parameters.get(number.checked_sub(1)?)?;
        let exact = given == data_type || (is_text(given) && is_text(data_type));
        return if exact { value_to_scalar(value, data_type).ok() } else { None };
    }
    // A literal that is longer than its column is cut when it is stored, but compared whole.
    let compared = if is_text(data_type) { &DataType::Text } else { data_type };
    constant(expr, compared, &work.view().time_zone).ok().flatten()
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Text | DataType::Varchar { .. })
}

/// `column = expression` of a chain of ANDs.
fn collect_equalities<'a>(expr: &'a ast::Expr, target: &Target, out: &mut Vec<(usize, &'a ast::Expr)>) {
    match expr {
        ast::Expr::Nested(inner) => collect_equalities(inner, target, out),
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
            collect_equalities(left, target, out);
            collect_equalities(right, target, out);
        }
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Eq, right } => {
            if let Some(position) = column_position(left, target) {
                out.push((position, right));
            } else if let Some(position) = column_position(right, target) {
                out.push((position, left));
            }
        }
        _ => {}
    }
}

fn column_position(expr: &ast::Expr, target: &Target) -> Option<usize> {
    let name = match expr {
        ast::Expr::Identifier(ident) => name_of(ident),
        ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, column] if name_of(table) == target.alias => name_of(column),
            _ => return None,
        },
        ast::Expr::Nested(inner) => return column_position(inner, target),
        _ => return None,
    };
    target.schema.columns.iter().position(|column| column.name == name)
}
