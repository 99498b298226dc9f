//! Rows of values to Arrow batches and back.

#![expect(clippy::wildcard_enum_match_arm, reason = "a value or array of any other kind is the same mistake")]

use std::sync::Arc;

use arrow_array::builder::{BinaryViewBuilder, BooleanBuilder, FixedSizeBinaryBuilder, StringViewBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, ListArray, PrimitiveArray, RecordBatch, RecordBatchOptions};
use arrow_buffer::{NullBuffer, OffsetBuffer, i256};
use arrow_schema::{DataType as ArrowType, TimeUnit};
use outcrop_types::{DataType, TableSchema, Value};

use crate::Row;

/// The batch that holds `rows`, in the Arrow schema of `schema`.
///
/// # Panics
/// If a value is not of its column's type, or NULL where the column allows none.
pub fn batch_of(schema: &TableSchema, rows: &[Row]) -> RecordBatch {
    let arrays = schema
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let values: Vec<&Value> = rows.iter().map(|row| &row[index]).collect();
            array_of(&column.data_type, &values)
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.to_arrow(), arrays, &options).expect("rows obey their schema")
}

/// The rows of a batch.
///
/// # Panics
/// If a column has a type that no value has.
pub fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|array| value_at(array, row)).collect()).collect()
}

/// An array of these values, in the Arrow type of `data_type`.
///
/// # Panics
/// If a value is not of this type.
pub fn array_of(data_type: &DataType, values: &[&Value]) -> ArrayRef {
    match data_type {
        DataType::Bool => {
            let mut builder = BooleanBuilder::new();
            values.iter().for_each(|value| {
                builder.append_option(valid(value).map(|value| match value {
                    Value::Bool(v) => *v,
                    other => wrong(data_type, other),
                }))
            });
            Arc::new(builder.finish())
        }
        DataType::Int2 => numbers::<Int16Type>(data_type, values, |value| i16::try_from(int(value)?).ok()),
        DataType::Int4 => numbers::<Int32Type>(data_type, values, |value| i32::try_from(int(value)?).ok()),
        DataType::Int8 => numbers::<Int64Type>(data_type, values, int),
        #[expect(clippy::cast_possible_truncation, reason = "the value of a real column is an f32 in an f64")]
        DataType::Float4 => numbers::<Float32Type>(data_type, values, |value| float(value).map(|v| v as f32)),
        DataType::Float8 => numbers::<Float64Type>(data_type, values, float),
        DataType::Numeric { precision, scale } if *precision <= 38 => {
            numbers::<Decimal128Type>(data_type, values, |value| digits(value, *scale))
        }
        DataType::Numeric { scale, .. } => {
            numbers::<Decimal256Type>(data_type, values, |value| digits(value, *scale).map(i256::from_i128))
        }
        DataType::Text | DataType::Varchar { .. } | DataType::Jsonb => {
            let mut builder = StringViewBuilder::new();
            values.iter().for_each(|value| {
                builder.append_option(valid(value).map(|value| match value {
                    Value::Text(v) => v,
                    other => wrong(data_type, other),
                }))
            });
            Arc::new(builder.finish())
        }
        DataType::Bytea => {
            let mut builder = BinaryViewBuilder::new();
            values.iter().for_each(|value| {
                builder.append_option(valid(value).map(|value| match value {
                    Value::Bytes(v) => v,
                    other => wrong(data_type, other),
                }))
            });
            Arc::new(builder.finish())
        }
        DataType::Date => numbers::<Date32Type>(data_type, values, |value| match value {
            Value::Date(v) => Some(*v),
            _ => None,
        }),
        DataType::Time => numbers::<Time64MicrosecondType>(data_type, values, |value| match value {
            Value::Time(v) => Some(*v),
            _ => None,
        }),
        DataType::Timestamp => numbers::<TimestampMicrosecondType>(data_type, values, |value| match value {
            Value::Timestamp(v) => Some(*v),
            _ => None,
        }),
        DataType::TimestampTz => numbers::<TimestampMicrosecondType>(data_type, values, |value| match value {
            Value::TimestampTz(v) => Some(*v),
            _ => None,
        }),
        DataType::Uuid => {
            let mut builder = FixedSizeBinaryBuilder::new(16);
            for value in values {
                match value {
                    Value::Null => builder.append_null(),
                    Value::Uuid(v) => builder.append_value(v).expect("16 bytes"),
                    other => wrong(data_type, other),
                }
            }
            Arc::new(builder.finish())
        }
        DataType::Array(item) => lists(data_type, item, values),
    }
}

/// The value in one row of an array.
///
/// # Panics
/// If the array has a type that no value has.
pub fn value_at(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        ArrowType::Null => Value::Null,
        ArrowType::Boolean => Value::Bool(array.as_boolean().value(row)),
        ArrowType::Int16 => Value::Int(i64::from(array.as_primitive::<Int16Type>().value(row))),
        ArrowType::Int32 => Value::Int(i64::from(array.as_primitive::<Int32Type>().value(row))),
        ArrowType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        ArrowType::UInt32 => Value::Int(i64::from(array.as_primitive::<UInt32Type>().value(row))),
        ArrowType::UInt64 => {
            let value = array.as_primitive::<UInt64Type>().value(row);
            Value::Int(i64::try_from(value).expect("a number of a test fits"))
        }
        ArrowType::Float32 => Value::Float(f64::from(array.as_primitive::<Float32Type>().value(row))),
        ArrowType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        ArrowType::Decimal128(_, scale) => Value::Decimal(array.as_primitive::<Decimal128Type>().value(row), *scale),
        ArrowType::Decimal256(_, scale) => {
            let digits = array.as_primitive::<Decimal256Type>().value(row).to_i128();
            Value::Decimal(digits.expect("a number of a test fits"), *scale)
        }
        ArrowType::Utf8View => Value::Text(array.as_string_view().value(row).to_owned()),
        ArrowType::Utf8 => Value::Text(array.as_string::<i32>().value(row).to_owned()),
        ArrowType::LargeUtf8 => Value::Text(array.as_string::<i64>().value(row).to_owned()),
        ArrowType::BinaryView => Value::Bytes(array.as_binary_view().value(row).to_vec()),
        ArrowType::Binary => Value::Bytes(array.as_binary::<i32>().value(row).to_vec()),
        ArrowType::LargeBinary => Value::Bytes(array.as_binary::<i64>().value(row).to_vec()),
        ArrowType::Date32 => Value::Date(array.as_primitive::<Date32Type>().value(row)),
        ArrowType::Time64(TimeUnit::Microsecond) => {
            Value::Time(array.as_primitive::<Time64MicrosecondType>().value(row))
        }
        ArrowType::Timestamp(TimeUnit::Microsecond, zone) => {
            let us = array.as_primitive::<TimestampMicrosecondType>().value(row);
            if zone.is_some() { Value::TimestampTz(us) } else { Value::Timestamp(us) }
        }
        ArrowType::FixedSizeBinary(16) => {
            let bytes = array.as_fixed_size_binary().value(row);
            Value::Uuid(bytes.try_into().expect("16 bytes"))
        }
        ArrowType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|item| value_at(&items, item)).collect())
        }
        other => panic!("no value has the Arrow type {other}"),
    }
}

fn valid(value: &Value) -> Option<&Value> {
    Some(value).filter(|value| **value != Value::Null)
}

fn wrong(data_type: &DataType, value: &Value) -> ! {
    panic!("{value:?} in a column of type {data_type}")
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(v) => Some(*v),
        _ => None,
    }
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(v) => Some(*v),
        _ => None,
    }
}

fn digits(value: &Value, scale: i8) -> Option<i128> {
    match value {
        Value::Decimal(digits, found) if *found == scale => Some(*digits),
        _ => None,
    }
}

fn numbers<T: ArrowPrimitiveType>(
    data_type: &DataType,
    values: &[&Value],
    convert: impl Fn(&Value) -> Option<T::Native>,
) -> ArrayRef {
    let array: PrimitiveArray<T> = values
        .iter()
        .map(|value| valid(value).map(|value| convert(value).unwrap_or_else(|| wrong(data_type, value))))
        .collect();
    Arc::new(array.with_data_type(data_type.to_arrow()))
}

fn lists(data_type: &DataType, item: &DataType, values: &[&Value]) -> ArrayRef {
    let mut items = Vec::new();
    let mut lengths = Vec::new();
    for value in values {
        let list: &[Value] = match value {
            Value::Null => &[],
            Value::Array(list) => list,
            other => wrong(data_type, other),
        };
        items.extend(list);
        lengths.push(list.len());
    }
    let nulls: NullBuffer = values.iter().map(|value| **value != Value::Null).collect();
    let field = Arc::new(item.to_field("item", true));
    let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
    Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), array_of(item, &items), nulls))
}
