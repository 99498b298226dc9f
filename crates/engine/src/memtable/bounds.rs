//! Single values of batches, and bounds over them.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_ord::ord::make_comparator;
use arrow_schema::SortOptions;
use outcrop_types::predicate::Bounds;
use outcrop_types::{DataType, Value};

/// Longest text or bytes kept as a bound; with a longer one the bound is unknown.
const BOUND_BYTES_MAX: usize = 64;

/// Least and greatest value of one column of a chunk, and its NULLs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ColumnBounds {
    /// Least value; `None` when there is none or it is unknown.
    pub(crate) min: Option<Value>,
    /// Greatest value; `None` when there is none or it is unknown.
    pub(crate) max: Option<Value>,
    /// Rows that are NULL.
    pub(crate) null_count: u32,
    /// All rows.
    pub(crate) rows: u32,
}

impl ColumnBounds {
    /// Reads the bounds off an array.
    pub(super) fn of(array: &ArrayRef, data_type: &DataType) -> Self {
        let count = |rows: usize| u32::try_from(rows).unwrap_or(u32::MAX);
        let (null_count, rows) = (count(array.logical_null_count()), count(array.len()));
        let (min, max) = match extremes(array, data_type) {
            Some((min, max)) => (bound(value_at(array, min, data_type)), bound(value_at(array, max, data_type))),
            None => (None, None),
        };
        Self { min, max, null_count, rows }
    }

    /// The form that predicates ask for.
    pub(crate) fn as_bounds(&self) -> Bounds<'_> {
        Bounds { min: self.min.as_ref(), max: self.max.as_ref(), null_count: self.null_count, rows: self.rows }
    }
}

/// The value of one row of a column. `NULL` also where the row does not exist.
pub(crate) fn value_at(array: &ArrayRef, row: usize, data_type: &DataType) -> Value {
    if row >= array.len() || array.is_null(row) {
        return Value::Null;
    }
    match data_type {
        DataType::Bool => Value::Bool(array.as_boolean().value(row)),
        DataType::Int2 => Value::Int(native::<Int16Type>(array, row).into()),
        DataType::Int4 => Value::Int(native::<Int32Type>(array, row).into()),
        DataType::Int8 => Value::Int(native::<Int64Type>(array, row)),
        DataType::Float4 => Value::Float(native::<Float32Type>(array, row).into()),
        DataType::Float8 => Value::Float(native::<Float64Type>(array, row)),
        DataType::Numeric { precision, scale } if *precision <= 38 => {
            Value::Decimal(native::<Decimal128Type>(array, row), *scale)
        }
        DataType::Numeric { scale, .. } => match native::<Decimal256Type>(array, row).to_i128() {
            Some(digits) => Value::Decimal(digits, *scale),
            None => Value::Text(array.as_primitive::<Decimal256Type>().value_as_string(row)),
        },
        DataType::Text | DataType::Varchar { .. } | DataType::Jsonb => {
            Value::Text(array.as_string_view().value(row).to_owned())
        }
        DataType::Bytea => Value::Bytes(array.as_binary_view().value(row).to_vec()),
        DataType::Date => Value::Date(native::<Date32Type>(array, row)),
        DataType::Time => Value::Time(native::<Time64MicrosecondType>(array, row)),
        DataType::Timestamp => Value::Timestamp(native::<TimestampMicrosecondType>(array, row)),
        DataType::TimestampTz => Value::TimestampTz(native::<TimestampMicrosecondType>(array, row)),
        DataType::Uuid => array.as_fixed_size_binary().value(row).try_into().map_or(Value::Null, Value::Uuid),
        DataType::Array(item) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|row| value_at(&items, row, item)).collect())
        }
    }
}

fn native<T: ArrowPrimitiveType>(array: &ArrayRef, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

/// The rows of the least and the greatest value; `None` without values and for types that keep no bounds: arrays, jsonb
/// (its order is not that of its text) and decimals beyond 38 digits.
fn extremes(array: &ArrayRef, data_type: &DataType) -> Option<(usize, usize)> {
    match data_type {
        DataType::Jsonb | DataType::Array(_) => return None,
        DataType::Numeric { precision, .. } if *precision > 38 => return None,
        DataType::Bool
        | DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Numeric { .. }
        | DataType::Text
        | DataType::Varchar { .. }
        | DataType::Bytea
        | DataType::Date
        | DataType::Time
        | DataType::Timestamp
        | DataType::TimestampTz
        | DataType::Uuid => {}
    }
    let order = make_comparator(array, &Arc::clone(array), SortOptions::default()).ok()?;
    let mut rows = (0..array.len()).filter(|row| array.is_valid(*row));
    let first = rows.next()?;
    Some(rows.fold((first, first), |(min, max), row| {
        let min = if order(row, min).is_lt() { row } else { min };
        let max = if order(row, max).is_gt() { row } else { max };
        (min, max)
    }))
}

/// A value as a bound; `None` for long ones, which are not worth their memory.
fn bound(value: Value) -> Option<Value> {
    let is_long = match &value {
        Value::Text(text) => text.len() > BOUND_BYTES_MAX,
        Value::Bytes(bytes) => bytes.len() > BOUND_BYTES_MAX,
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(..)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Timestamp(_)
        | Value::TimestampTz(_)
        | Value::Uuid(_)
        | Value::Array(_) => false,
    };
    (!is_long).then_some(value)
}
