//! One value, as often as wanted: what rows older than a column hold.

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, ListArray,
    PrimitiveArray, StringViewArray, new_null_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer, i256};
use arrow_data::transform::MutableArrayData;
use outcrop_types::{DataType, Value};

use crate::error::EncodeError;

/// An array of `rows` times `value`, in the Arrow type of `data_type`.
///
/// # Errors
/// `ValueType` if the value is not one of `data_type`; `Limit` if the array would be too long for Arrow.
pub fn constant_array(value: &Value, data_type: &DataType, rows: usize) -> Result<ArrayRef, EncodeError> {
    let mismatch = || EncodeError::ValueType(data_type.clone());
    Ok(match (data_type, value) {
        (_, Value::Null) => new_null_array(&data_type.to_arrow(), rows),
        (DataType::Bool, Value::Bool(v)) => {
            let bits = if *v { BooleanBuffer::new_set(rows) } else { BooleanBuffer::new_unset(rows) };
            Arc::new(BooleanArray::new(bits, None))
        }
        (DataType::Int2, Value::Int(v)) => repeat::<Int16Type>(narrow(*v).ok_or_else(mismatch)?, data_type, rows),
        (DataType::Int4, Value::Int(v)) => repeat::<Int32Type>(narrow(*v).ok_or_else(mismatch)?, data_type, rows),
        (DataType::Int8, Value::Int(v)) => repeat::<Int64Type>(*v, data_type, rows),
        (DataType::Float4, Value::Float(v)) => {
            #[expect(clippy::cast_possible_truncation, reason = "the value of a real column is an f32 in an f64")]
            let v = *v as f32;
            repeat::<Float32Type>(v, data_type, rows)
        }
        (DataType::Float8, Value::Float(v)) => repeat::<Float64Type>(*v, data_type, rows),
        (DataType::Numeric { precision, scale }, Value::Decimal(digits, found)) if scale == found => {
            if *precision <= 38 {
                repeat::<Decimal128Type>(*digits, data_type, rows)
            } else {
                repeat::<Decimal256Type>(i256::from_i128(*digits), data_type, rows)
            }
        }
        (DataType::Text | DataType::Varchar { .. } | DataType::Jsonb, Value::Text(v)) => Arc::new(
            StringViewArray::try_new(repeat_view(v.as_bytes(), rows)?, view_buffers(v.as_bytes()), None)
                .map_err(|_not_text| mismatch())?,
        ),
        (DataType::Bytea, Value::Bytes(v)) => Arc::new(
            BinaryViewArray::try_new(repeat_view(v, rows)?, view_buffers(v), None).map_err(|_not_bytes| mismatch())?,
        ),
        (DataType::Date, Value::Date(v)) => repeat::<Date32Type>(*v, data_type, rows),
        (DataType::Time, Value::Time(v)) => repeat::<Time64MicrosecondType>(*v, data_type, rows),
        (DataType::Timestamp, Value::Timestamp(v)) | (DataType::TimestampTz, Value::TimestampTz(v)) => {
            repeat::<TimestampMicrosecondType>(*v, data_type, rows)
        }
        (DataType::Uuid, Value::Uuid(v)) => {
            let values = Buffer::from_vec(v.repeat(rows));
            Arc::new(FixedSizeBinaryArray::try_new(16, values, None).map_err(|_wrong_width| mismatch())?)
        }
        (DataType::Array(item), Value::Array(values)) => repeat_list(values, item, data_type, rows)?,
        _ => return Err(mismatch()),
    })
}

fn narrow<T: TryFrom<i64>>(value: i64) -> Option<T> {
    T::try_from(value).ok()
}

fn repeat<T: ArrowPrimitiveType>(value: T::Native, data_type: &DataType, rows: usize) -> ArrayRef {
    let values = ScalarBuffer::from(vec![value; rows]);
    Arc::new(PrimitiveArray::<T>::new(values, None).with_data_type(data_type.to_arrow()))
}

/// Views of one value, all on the same bytes.
fn repeat_view(value: &[u8], rows: usize) -> Result<ScalarBuffer<u128>, EncodeError> {
    if i32::try_from(value.len()).is_err() {
        let (found, max) = (value.len() as u64, u64::from(i32::MAX.cast_unsigned()));
        return Err(EncodeError::Limit { what: "bytes of a value", found, max });
    }
    Ok(ScalarBuffer::from(vec![arrow_array::builder::make_view(value, 0, 0); rows]))
}

fn view_buffers(value: &[u8]) -> Vec<Buffer> {
    if value.len() <= super::decode::INLINE_BYTES_MAX { Vec::new() } else { vec![Buffer::from(value)] }
}

fn repeat_list(values: &[Value], item: &DataType, data_type: &DataType, rows: usize) -> Result<ArrayRef, EncodeError> {
    let mismatch = || EncodeError::ValueType(data_type.clone());
    let total = values.len().checked_mul(rows).and_then(|total| i32::try_from(total).ok());
    let Some(total) = total else {
        let found = (values.len() as u64).saturating_mul(rows as u64);
        return Err(EncodeError::Limit { what: "array items", found, max: u64::from(i32::MAX.cast_unsigned()) });
    };
    let one: Vec<ArrayRef> = values.iter().map(|value| constant_array(value, item, 1)).collect::<Result<_, _>>()?;
    let data: Vec<_> = one.iter().map(|array| array.to_data()).collect();
    let items = if data.is_empty() {
        new_null_array(&item.to_arrow(), 0)
    } else {
        let mut items = MutableArrayData::new(data.iter().collect(), true, usize::try_from(total).unwrap_or(0));
        for _ in 0..rows {
            (0..data.len()).try_for_each(|index| items.try_extend(index, 0, 1)).map_err(|_overflow| mismatch())?;
        }
        arrow_array::make_array(items.freeze())
    };
    let offsets = OffsetBuffer::from_repeated_length(values.len(), rows);
    ListArray::try_new(Arc::new(item.to_field("item", true)), offsets, items, None)
        .map(|list| Arc::new(list) as ArrayRef)
        .map_err(|_wrong_items| mismatch())
}
