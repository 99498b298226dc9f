//! Arrays of one repeated value, for columns that are younger than the segment.

use std::sync::Arc;

use arrow_array::types::{Float32Type, Int16Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, ListArray, PrimitiveArray,
    StringViewArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow_buffer::{OffsetBuffer, i256};
use arrow_schema::ArrowError;
use arrow_select::concat::concat;
use arrow_select::take::take;
use outcrop_types::data_type::UTC;
use outcrop_types::{DataType, Error, Result, Value};

/// `rows` times `value` as an array of `data_type`.
pub(crate) fn repeat(value: &Value, data_type: &DataType, rows: usize) -> Result<ArrayRef> {
    let failed = |error: ArrowError| Error::internal("a column default does not fit its type").with_source(error);
    if *value == Value::Null {
        return Ok(new_null_array(&data_type.to_arrow(), rows));
    }
    let one = single(value, data_type)?.map_err(failed)?;
    let indices = UInt32Array::from(vec![0; rows]);
    take(&one, &indices, None).map_err(failed)
}

/// An array with this value alone.
fn single(value: &Value, data_type: &DataType) -> Result<Result<ArrayRef, ArrowError>> {
    let array: ArrayRef = match (value, data_type) {
        (Value::Bool(v), DataType::Bool) => Arc::new(BooleanArray::from(vec![*v])),
        (Value::Int(v), DataType::Int2) => narrow::<Int16Type, _>(*v, Int16Array::from_value)?,
        (Value::Int(v), DataType::Int4) => narrow::<Int32Type, _>(*v, Int32Array::from_value)?,
        (Value::Int(v), DataType::Int8) => Arc::new(Int64Array::from_value(*v, 1)),
        (Value::Float(v), DataType::Float4) => Arc::new(Float32Array::from_value(to_f32(*v), 1)),
        (Value::Float(v), DataType::Float8) => Arc::new(Float64Array::from_value(*v, 1)),
        (Value::Decimal(digits, value_scale), DataType::Numeric { precision, scale }) if value_scale == scale => {
            return Ok(decimal(*digits, *precision, *scale));
        }
        (Value::Text(v), DataType::Text | DataType::Varchar { .. } | DataType::Jsonb) => {
            Arc::new(StringViewArray::from_iter_values([v]))
        }
        (Value::Bytes(v), DataType::Bytea) => Arc::new(BinaryViewArray::from_iter_values([v])),
        (Value::Date(v), DataType::Date) => Arc::new(Date32Array::from_value(*v, 1)),
        (Value::Time(v), DataType::Time) => Arc::new(Time64MicrosecondArray::from_value(*v, 1)),
        (Value::Timestamp(v), DataType::Timestamp) => Arc::new(TimestampMicrosecondArray::from_value(*v, 1)),
        (Value::TimestampTz(v), DataType::TimestampTz) => {
            Arc::new(TimestampMicrosecondArray::from_value(*v, 1).with_timezone(UTC))
        }
        (Value::Uuid(v), DataType::Uuid) => {
            return Ok(FixedSizeBinaryArray::try_from_iter([v].into_iter()).map(|array| Arc::new(array) as ArrayRef));
        }
        (Value::Array(items), DataType::Array(item)) => return list(items, item),
        (
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Decimal(..)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Date(_)
            | Value::Time(_)
            | Value::Timestamp(_)
            | Value::TimestampTz(_)
            | Value::Uuid(_)
            | Value::Array(_),
            _,
        ) => return Err(Error::internal(format!("{value} is not a value of type {data_type}"))),
    };
    Ok(Ok(array))
}

fn narrow<T, F>(value: i64, array: F) -> Result<ArrayRef>
where
    T: arrow_array::ArrowPrimitiveType,
    T::Native: TryFrom<i64>,
    F: FnOnce(T::Native, usize) -> PrimitiveArray<T>,
{
    let value = T::Native::try_from(value)
        .map_err(|_too_large| Error::internal(format!("the default {value} does not fit its column")))?;
    Ok(Arc::new(array(value, 1)))
}

/// The nearest float of single precision.
#[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is what `real` means")]
fn to_f32(value: f64) -> <Float32Type as arrow_array::ArrowPrimitiveType>::Native {
    value as f32
}

fn decimal(digits: i128, precision: u8, scale: i8) -> Result<ArrayRef, ArrowError> {
    if precision <= 38 {
        let array = Decimal128Array::from_value(digits, 1).with_precision_and_scale(precision, scale)?;
        return Ok(Arc::new(array));
    }
    let array = Decimal256Array::from_value(i256::from_i128(digits), 1).with_precision_and_scale(precision, scale)?;
    Ok(Arc::new(array))
}

fn list(items: &[Value], item: &DataType) -> Result<Result<ArrayRef, ArrowError>> {
    let parts = items.iter().map(|value| repeat(value, item, 1)).collect::<Result<Vec<_>>>()?;
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    let values = if parts.is_empty() { Ok(new_null_array(&item.to_arrow(), 0)) } else { concat(&parts) };
    let field = Arc::new(item.to_field("item", true));
    Ok(values.and_then(|values| {
        let list = ListArray::try_new(field, OffsetBuffer::from_lengths([values.len()]), values, None)?;
        Ok(Arc::new(list) as ArrayRef)
    }))
}
