//! Rows named by their primary keys, one or a list, without a plan (architecture Q5).

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use outcrop_engine::{ScanColumn, TableSnapshot};
use outcrop_types::{Column, DataType, Error, Result, RowAddress, TableSchema};

use super::bound::BoundChange;
use super::change::ChangePlan;
use super::target::Target;
use super::values::constant;
use crate::error::{from_arrow, from_datafusion};
use crate::session::{Work, blocking};
use crate::statement::{name_of, parameter_number};
use crate::types::value_to_scalar;

/// The keys that a WHERE names, as expressions.
pub(super) struct NamedKeys<'e> {
    /// For each key column, in key order, what it may equal: one expression, but for one column that may have a list.
    choices: Vec<&'e [ast::Expr]>,
    /// Whether WHERE says nothing else.
    pub(super) is_all: bool,
}

/// The keys that an UPDATE or DELETE names. `None` if WHERE names none, or something needs a plan.
pub(super) fn change_keys<'e>(work: &Work, plan: &'e ChangePlan) -> Option<NamedKeys<'e>> {
    if plan.needs_plan() { None } else { named_keys(work, &plan.target, plan.selection.as_ref()?) }
}

/// For each key column of the target, in key order, the expression that a WHERE says it equals. `None` if it names no
/// single key.
pub(crate) fn key_expressions(work: &Work, target: &Target, selection: Option<&ast::Expr>) -> Option<Vec<ast::Expr>> {
    let named = named_keys(work, target, selection?)?;
    let single = |choice: &&[ast::Expr]| match *choice {
        [expr] => Some(expr.clone()),
        _ => None,
    };
    named.choices.iter().map(single).collect()
}

fn named_keys<'e>(work: &Work, target: &Target, selection: &'e ast::Expr) -> Option<NamedKeys<'e>> {
    let key = target.schema.primary_key()?;
    if !work.view().access_path.looks_up() {
        return None;
    }
    let mut conditions = Vec::new();
    collect_conditions(selection, target, &mut conditions);
    let choices = key.columns.iter().map(|id| {
        let position = target.schema.position(*id)?;
        let of_column = conditions.iter().flatten().filter(|(at, _)| *at == position);
        of_column.map(|(_, choice)| *choice).min_by_key(|choice| choice.len())
    });
    let choices = choices.collect::<Option<Vec<_>>>()?;
    let lists = choices.iter().filter(|choice| choice.len() != 1).count();
    let is_all = conditions.len() == choices.len();
    (lists <= 1).then_some(NamedKeys { choices, is_all })
}

/// The keys as a batch, NULL left out because it equals nothing. `None` for values that only the general rules can compare,
/// such as `id = 1.5`.
pub(super) fn keys_batch(work: &Work, table: &TableSchema, keys: &NamedKeys<'_>) -> Result<Option<RecordBatch>> {
    let rows = keys.choices.iter().map(|choice| choice.len()).find(|length| *length != 1).unwrap_or(1);
    let mut columns = Vec::with_capacity(keys.choices.len());
    for (choice, column) in keys.choices.iter().zip(key_columns(table)) {
        let column = column?;
        let values = choice.iter().map(|expr| key_value(work, expr, &column.data_type));
        let Some(mut values) = values.collect::<Option<Vec<_>>>() else { return Ok(None) };
        if choice.len() == 1 {
            values = vec![values.swap_remove(0); rows];
        } else {
            values.retain(|value| !value.is_null());
        }
        columns.push((column, values));
    }
    let known = columns.iter().map(|(_, values)| values.len()).min().unwrap_or(0);
    let has_null = |values: &[ScalarValue]| values.iter().any(ScalarValue::is_null);
    if known == 0 || columns.iter().any(|(_, values)| has_null(values)) {
        return Ok(None);
    }
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for (column, values) in columns {
        fields.push(column.data_type.to_field(&column.name, false));
        arrays.push(ScalarValue::iter_to_array(values.into_iter().take(known)).map_err(from_datafusion)?);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map(Some).map_err(from_arrow)
}

/// The columns of the primary key, in its order.
fn key_columns(table: &TableSchema) -> impl Iterator<Item = Result<&Column>> {
    let key = table.primary_key().into_iter().flat_map(|key| &key.columns);
    key.map(|id| table.column(*id).ok_or_else(|| Error::internal("a key column is not in its table")))
}

/// The key as a batch of one row. `None` for values that only the general rules can compare, such as `id = 1.5`.
pub(crate) fn key_batch(work: &Work, table: &TableSchema, expressions: &[ast::Expr]) -> Result<Option<RecordBatch>> {
    let choices = expressions.iter().map(std::slice::from_ref).collect();
    if table.primary_key().is_none() {
        Ok(None)
    } else {
        keys_batch(work, table, &NamedKeys { choices, is_all: false })
    }
}

/// Where the live rows with these keys are.
pub(super) async fn addresses(work: &Work, target: &Target, keys: RecordBatch) -> Result<Vec<RowAddress>> {
    let table = target_rows(work, target)?;
    blocking(move || Ok(table.lookup(&keys)?.into_iter().flatten().collect())).await
}

/// The rows with these keys that the change matches: addresses and new rows.
pub(super) async fn changed_rows(
    work: &Work,
    target: &Target,
    keys: RecordBatch,
    change: &BoundChange,
) -> Result<(Vec<RowAddress>, RecordBatch)> {
    let table = target_rows(work, target)?;
    let (addresses, rows) = blocking(move || find_rows(&table, &keys)).await?;
    let (matches, rows) = change.judge(&rows, &rows, &work.parameters)?;
    let addresses = addresses.into_iter().zip(matches.values()).filter_map(|(address, found)| found.then_some(address));
    Ok((addresses.collect(), filter_record_batch(&rows, &matches).map_err(from_arrow)?))
}

fn target_rows(work: &Work, target: &Target) -> Result<TableSnapshot> {
    let table = work.snapshot.table(target.schema.id);
    table.ok_or_else(|| Error::internal("the target table is not in the snapshot"))
}

/// The live row with this key, and where it is. Blocks.
pub(crate) fn find_row(table: &TableSnapshot, key: &RecordBatch) -> Result<Option<(RowAddress, RecordBatch)>> {
    let (addresses, rows) = find_rows(table, key)?;
    Ok(addresses.first().map(|address| (*address, rows)))
}

/// The live rows with these keys, each once, and where they are. Blocks.
fn find_rows(table: &TableSnapshot, keys: &RecordBatch) -> Result<(Vec<RowAddress>, RecordBatch)> {
    let mut seen = HashSet::new();
    let found = table.lookup(keys)?.into_iter().flatten();
    let addresses: Vec<RowAddress> = found.filter(|address| seen.insert(*address)).collect();
    if addresses.is_empty() {
        return Ok((addresses, RecordBatch::new_empty(table.schema().to_arrow())));
    }
    let columns: Vec<ScanColumn> = table.schema().columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
    let rows = table.fetch(&addresses, &columns)?;
    Ok((addresses, rows))
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

/// The conditions of a chain of ANDs; of `column = expression` and `column IN (expressions)` the column, by its position, and
/// the expressions.
fn collect_conditions<'e>(expr: &'e ast::Expr, target: &Target, out: &mut Vec<Option<(usize, &'e [ast::Expr])>>) {
    match expr {
        ast::Expr::Nested(inner) => collect_conditions(inner, target, out),
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
            collect_conditions(left, target, out);
            collect_conditions(right, target, out);
        }
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Eq, right } => {
            let of = |column: &ast::Expr, other: &'e ast::Expr| {
                column_position(column, target).map(|position| (position, std::slice::from_ref(other)))
            };
            out.push(of(left, right).or_else(|| of(right, left)));
        }
        ast::Expr::InList { expr, list, negated: false } => {
            out.push(column_position(expr, target).map(|position| (position, list.as_slice())));
        }
        _ => out.push(None),
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
