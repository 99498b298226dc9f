//! Rows as `jsonb`, as PostgreSQL's `to_jsonb` makes it of them.

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::common::ScalarValue;
use outcrop_types::{DataType, Error, Result, TableSchema, jsonb};

use crate::error::from_datafusion;
use crate::functions::format_scalar;

/// The rows of a batch, which has the columns of the table. Each is in the normal form of `jsonb`.
pub(super) fn objects(table: &TableSchema, rows: &RecordBatch) -> Result<Vec<String>> {
    if rows.num_columns() != table.columns.len() {
        return Err(Error::internal("a row of a feed has other columns than its table"));
    }
    (0..rows.num_rows())
        .map(|row| {
            let mut text = String::from("{");
            for (column, array) in table.columns.iter().zip(rows.columns()) {
                if text.len() > 1 {
                    text.push(',');
                }
                jsonb::write_string(&mut text, &column.name);
                text.push(':');
                write_value(&mut text, array, row, &column.data_type)?;
            }
            text.push('}');
            jsonb::normalize(&text)
        })
        .collect()
}

fn write_value(out: &mut String, array: &ArrayRef, at: usize, data_type: &DataType) -> Result<()> {
    if array.is_null(at) {
        out.push_str("null");
        return Ok(());
    }
    let scalar = ScalarValue::try_from_array(array, at).map_err(from_datafusion)?;
    if let (ScalarValue::List(list), DataType::Array(item)) = (&scalar, data_type) {
        let items = list.value(0);
        out.push('[');
        for at in 0..items.len() {
            if at > 0 {
                out.push(',');
            }
            write_value(out, &items, at, item)?;
        }
        out.push(']');
        return Ok(());
    }
    let text = format_scalar(&scalar, Some(data_type));
    let is_finite = || text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte));
    match data_type {
        DataType::Bool | DataType::Jsonb => out.push_str(&text),
        DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Numeric { .. }
            if is_finite() =>
        {
            out.push_str(&text);
        }
        DataType::Timestamp => jsonb::write_string(out, &text.replacen(' ', "T", 1)),
        DataType::TimestampTz => {
            let minutes = if text.ends_with("+00") { ":00" } else { "" };
            jsonb::write_string(out, &format!("{}{minutes}", text.replacen(' ', "T", 1)));
        }
        _ => jsonb::write_string(out, &text),
    }
    Ok(())
}
