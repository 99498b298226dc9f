//! Rows of constants: `INSERT … VALUES` without a plan (architecture Q5).

use std::collections::HashMap;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;
use outcrop_types::{Condition, DataType, Error, Result, TableSchema};

use super::rows::{default_expression, null_array};
use super::syntax::{constant_query, has_subquery, is_default};
use crate::error::from_datafusion;
use crate::functions::parse_constant;
use crate::planning::BindExpression;
use crate::session::{Work, one_row};
use crate::statement::parameter_number;
use crate::types::value_to_scalar;

/// The rows of a VALUES that is the whole source of an INSERT.
pub(super) fn constant_rows(source: &ast::Query) -> Option<Vec<&[ast::Expr]>> {
    let ast::SetExpr::Values(values) = source.body.as_ref() else {
        return None;
    };
    let plain =
        source.with.is_none() && source.order_by.is_none() && source.limit_clause.is_none() && source.fetch.is_none();
    plain.then(|| values.rows.iter().map(|row| row.content.as_slice()).collect())
}

/// Checks that each row has a value for each column, no more.
pub(super) fn check_widths(rows: &[&[ast::Expr]], columns: usize, listed: bool) -> Result<()> {
    let width = rows.first().map_or(0, |row| row.len());
    if rows.iter().any(|row| row.len() != width) {
        return Err(Error::new(Condition::SyntaxError, "VALUES lists must all be the same length"));
    }
    check_width(width, columns, listed)
}

/// Checks that rows of this width have a value for each column, no more.
pub(super) fn check_width(width: usize, columns: usize, listed: bool) -> Result<()> {
    if width > columns {
        return Err(Error::new(Condition::SyntaxError, "INSERT has more expressions than target columns"));
    }
    if width < columns && listed {
        return Err(Error::new(Condition::SyntaxError, "INSERT has more target columns than expressions"));
    }
    Ok(())
}

/// Values of the cells that hold queries, by row and column of the VALUES.
pub(super) type Queried = HashMap<(usize, usize), ScalarValue>;

/// Runs the queries inside of cells.
pub(super) async fn query_cells(
    work: &Work,
    table: &TableSchema,
    positions: &[usize],
    rows: &[&[ast::Expr]],
) -> Result<Queried> {
    let mut queried = Queried::new();
    for (row, cells) in rows.iter().enumerate() {
        for (at, (expr, position)) in cells.iter().zip(positions).enumerate() {
            if let Some(column) = table.columns.get(*position)
                && has_subquery(expr)
            {
                let planned = work.context()?.plan_query(&constant_query(expr)?, &work.types())?;
                let assigned = [(column.name.clone(), column.data_type.clone())];
                let planned = work.context()?.coerce_assignment(&planned, 0, &assigned)?;
                let rows = work.context()?.execute(&planned, &work.values()).await?;
                let batches: Vec<RecordBatch> = rows.stream.try_collect().await.map_err(from_datafusion)?;
                let value = batches.iter().find(|batch| batch.num_rows() > 0).and_then(|batch| batch.columns().first());
                let value = value.ok_or_else(|| Error::internal("a constant query without rows"))?;
                queried.insert((row, at), ScalarValue::try_from_array(value, 0).map_err(from_datafusion)?);
            }
        }
    }
    Ok(queried)
}

/// One array for each of the columns at `positions`, of the table's types.
pub(super) fn evaluate(
    work: &Work,
    table: &TableSchema,
    positions: &[usize],
    rows: &[&[ast::Expr]],
    queried: &Queried,
) -> Result<Vec<ArrayRef>> {
    positions
        .iter()
        .enumerate()
        .map(|(at, position)| {
            let column = table
                .columns
                .get(*position)
                .ok_or_else(|| Error::internal("a column position outside of the table"))?;
            let mut scalars = Vec::with_capacity(rows.len());
            for (number, row) in rows.iter().enumerate() {
                if let Some(value) = queried.get(&(number, at)) {
                    scalars.push(value.clone());
                    continue;
                }
                let expr = row.get(at).ok_or_else(|| Error::internal("a VALUES row is too short"))?;
                scalars.push(cell(work, table, *position, expr, &column.data_type)?);
            }
            if scalars.iter().all(ScalarValue::is_null) {
                return Ok(null_array(&column.data_type, scalars.len()));
            }
            ScalarValue::iter_to_array(scalars).map_err(from_datafusion)
        })
        .collect()
}

fn cell(
    work: &Work,
    table: &TableSchema,
    position: usize,
    expr: &ast::Expr,
    data_type: &DataType,
) -> Result<ScalarValue> {
    if is_default(expr) {
        return bound(work, &default_expression(table, position)?, data_type);
    }
    if let Some(number) = parameter_number(expr)
        && let Some((given, value)) = number.checked_sub(1).and_then(|at| work.parameters.get(at))
        && given == data_type
    {
        return value_to_scalar(value, data_type);
    }
    match constant(expr, data_type, &work.view().time_zone)? {
        Some(scalar) => Ok(scalar),
        None => bound(work, expr, data_type),
    }
}

/// Any expression without columns.
fn bound(work: &Work, expr: &ast::Expr, data_type: &DataType) -> Result<ScalarValue> {
    let expression = BindExpression { expr: expr.clone(), target: Some(data_type.clone()) };
    let arrays = work.context()?.bind(&[expression], &[], &work.parameters)?.evaluate(&one_row()?)?;
    let array = arrays.first().ok_or_else(|| Error::internal("an expression without value"))?;
    ScalarValue::try_from_array(array, 0).map_err(from_datafusion)
}

/// A literal as a value of the column's type; `None` where the general rules of expressions must decide.
pub(crate) fn constant(expr: &ast::Expr, data_type: &DataType, time_zone: &str) -> Result<Option<ScalarValue>> {
    let (value, negative) = match expr {
        ast::Expr::Value(value) => (&value.value, false),
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => match expr.as_ref() {
            ast::Expr::Value(value) if matches!(value.value, ast::Value::Number(..)) => (&value.value, true),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest are literals of other databases")]
    match value {
        ast::Value::Null => ScalarValue::try_from(&data_type.to_arrow()).map(Some).map_err(from_datafusion),
        ast::Value::Boolean(value) if *data_type == DataType::Bool => Ok(Some(ScalarValue::Boolean(Some(*value)))),
        ast::Value::SingleQuotedString(text) | ast::Value::EscapedStringLiteral(text) => {
            text_constant(text, data_type, time_zone).map(Some)
        }
        ast::Value::DollarQuotedString(text) => text_constant(&text.value, data_type, time_zone).map(Some),
        ast::Value::Number(digits, _) => number_constant(digits, negative, data_type, time_zone),
        _ => Ok(None),
    }
}

/// A string as a value of a column's type.
pub(crate) fn text_constant(text: &str, data_type: &DataType, time_zone: &str) -> Result<ScalarValue> {
    if let DataType::Varchar { length } = data_type {
        let most = usize::try_from(*length).unwrap_or(usize::MAX);
        // As PostgreSQL does, only spaces may be cut off.
        if text.chars().skip(most).any(|c| c != ' ') {
            return Err(Error::new(
                Condition::StringDataRightTruncation,
                format!("value too long for type {data_type}"),
            ));
        }
    }
    parse_constant(text, data_type, time_zone)
}

/// A number as a value of a column's type; `None` where the general rules of expressions must decide.
pub(crate) fn number_constant(
    digits: &str,
    negative: bool,
    data_type: &DataType,
    time_zone: &str,
) -> Result<Option<ScalarValue>> {
    let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
    let decimal = digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'));
    let text = if negative { format!("-{digits}") } else { digits.to_owned() };
    match data_type {
        DataType::Int2 | DataType::Int4 | DataType::Int8 if whole => parse_constant(&text, data_type, time_zone)
            .map(Some)
            .map_err(|_wide| Error::new(Condition::NumericValueOutOfRange, format!("{data_type} out of range"))),
        DataType::Float4 | DataType::Float8 | DataType::Numeric { .. } if decimal => {
            parse_constant(&text, data_type, time_zone).map(Some)
        }
        DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Numeric { .. }
        | DataType::Bool
        | DataType::Text
        | DataType::Varchar { .. }
        | DataType::Bytea
        | DataType::Date
        | DataType::Time
        | DataType::Timestamp
        | DataType::TimestampTz
        | DataType::Uuid
        | DataType::Jsonb
        | DataType::Array(_) => Ok(None),
    }
}
