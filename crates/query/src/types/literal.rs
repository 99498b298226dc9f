//! Constants between [`Value`] and DataFusion's scalars.

use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::i256;
use datafusion::arrow::datatypes::{DataType as ArrowType, IntervalUnit, TimeUnit};
use datafusion::common::ScalarValue;
use outcrop_types::data_type::UTC;
use outcrop_types::{Condition, DataType, Error, Result, Value};

/// The scalar of a value of type `data_type`, in the Arrow type that batches hold.
///
/// # Errors
/// `DatatypeMismatch` if the value is not of the type; `NumericValueOutOfRange` if it does not fit.
pub(crate) fn value_to_scalar(value: &Value, data_type: &DataType) -> Result<ScalarValue> {
    let out_of_range = || {
        Error::new(Condition::NumericValueOutOfRange, format!("value \"{value}\" is out of range for type {data_type}"))
    };
    Ok(match (value, data_type) {
        (Value::Null, _) => ScalarValue::try_from(&data_type.to_arrow()).map_err(crate::error::from_datafusion)?,
        (Value::Bool(v), DataType::Bool) => ScalarValue::Boolean(Some(*v)),
        (Value::Int(v), DataType::Int2) => ScalarValue::Int16(Some(i16::try_from(*v).map_err(|_wide| out_of_range())?)),
        (Value::Int(v), DataType::Int4) => ScalarValue::Int32(Some(i32::try_from(*v).map_err(|_wide| out_of_range())?)),
        (Value::Int(v), DataType::Int8) => ScalarValue::Int64(Some(*v)),
        #[expect(clippy::cast_possible_truncation, reason = "a real is held as the double nearest to it")]
        (Value::Float(v), DataType::Float4) => ScalarValue::Float32(Some(*v as f32)),
        (Value::Float(v), DataType::Float8) => ScalarValue::Float64(Some(*v)),
        (Value::Decimal(digits, scale), DataType::Numeric { precision, scale: wanted }) => {
            let digits = rescale(*digits, *scale, *wanted).ok_or_else(out_of_range)?;
            if *precision <= 38 {
                ScalarValue::Decimal128(Some(digits), *precision, *wanted)
            } else {
                ScalarValue::Decimal256(Some(i256::from_i128(digits)), *precision, *wanted)
            }
        }
        (Value::Text(v), DataType::Text | DataType::Varchar { .. } | DataType::Jsonb) => {
            ScalarValue::Utf8View(Some(v.clone()))
        }
        (Value::Bytes(v), DataType::Bytea) => ScalarValue::BinaryView(Some(v.clone())),
        (Value::Date(v), DataType::Date) => ScalarValue::Date32(Some(*v)),
        (Value::Time(v), DataType::Time) => ScalarValue::Time64Microsecond(Some(*v)),
        (Value::Timestamp(v), DataType::Timestamp) => ScalarValue::TimestampMicrosecond(Some(*v), None),
        (Value::TimestampTz(v), DataType::TimestampTz) => ScalarValue::TimestampMicrosecond(Some(*v), Some(UTC.into())),
        (Value::Uuid(v), DataType::Uuid) => ScalarValue::FixedSizeBinary(16, Some(v.to_vec())),
        (Value::Array(items), DataType::Array(item_type)) => array_scalar(items, item_type)?,
        _ => {
            return Err(Error::new(
                Condition::DatatypeMismatch,
                format!("value \"{value}\" is not of type {data_type}"),
            ));
        }
    })
}

fn array_scalar(items: &[Value], item_type: &DataType) -> Result<ScalarValue> {
    let scalars = items.iter().map(|item| value_to_scalar(item, item_type)).collect::<Result<Vec<_>>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&scalars, &item_type.to_arrow())))
}

/// The value of a scalar that is exactly of the Arrow type of `data_type`; `None` for any other scalar.
pub(crate) fn scalar_to_value(scalar: &ScalarValue, data_type: &DataType) -> Option<Value> {
    if scalar.is_null() {
        return Some(Value::Null);
    }
    Some(match (scalar, data_type) {
        (ScalarValue::Boolean(Some(v)), DataType::Bool) => Value::Bool(*v),
        (ScalarValue::Int16(Some(v)), DataType::Int2) => Value::Int(i64::from(*v)),
        (ScalarValue::Int32(Some(v)), DataType::Int4) => Value::Int(i64::from(*v)),
        (ScalarValue::Int64(Some(v)), DataType::Int8) => Value::Int(*v),
        (ScalarValue::Float32(Some(v)), DataType::Float4) => Value::Float(f64::from(*v)),
        (ScalarValue::Float64(Some(v)), DataType::Float8) => Value::Float(*v),
        (ScalarValue::Decimal128(Some(v), _, scale), DataType::Numeric { scale: wanted, .. }) if scale == wanted => {
            Value::Decimal(*v, *scale)
        }
        (ScalarValue::Decimal256(Some(v), _, scale), DataType::Numeric { scale: wanted, .. }) if scale == wanted => {
            Value::Decimal(v.to_i128()?, *scale)
        }
        (ScalarValue::List(list), DataType::Array(item_type)) => {
            let items = list.value(0);
            let item = |row| scalar_to_value(&ScalarValue::try_from_array(&items, row).ok()?, item_type);
            Value::Array((0..items.len()).map(item).collect::<Option<Vec<_>>>()?)
        }
        (
            ScalarValue::Utf8(Some(v)) | ScalarValue::LargeUtf8(Some(v)) | ScalarValue::Utf8View(Some(v)),
            DataType::Text | DataType::Varchar { .. } | DataType::Jsonb,
        ) => Value::Text(v.clone()),
        (
            ScalarValue::Binary(Some(v)) | ScalarValue::LargeBinary(Some(v)) | ScalarValue::BinaryView(Some(v)),
            DataType::Bytea,
        ) => Value::Bytes(v.clone()),
        (ScalarValue::Date32(Some(v)), DataType::Date) => Value::Date(*v),
        (ScalarValue::Time64Microsecond(Some(v)), DataType::Time) => Value::Time(*v),
        (ScalarValue::TimestampMicrosecond(Some(v), None), DataType::Timestamp) => Value::Timestamp(*v),
        (ScalarValue::TimestampMicrosecond(Some(v), Some(_)), DataType::TimestampTz) => Value::TimestampTz(*v),
        (ScalarValue::FixedSizeBinary(16, Some(v)), DataType::Uuid) => {
            Value::Uuid(<[u8; 16]>::try_from(v.as_slice()).ok()?)
        }
        _ => return None,
    })
}

fn rescale(digits: i128, from: i8, to: i8) -> Option<i128> {
    let steps = u32::from(from.abs_diff(to));
    let factor = 10_i128.checked_pow(steps)?;
    if to >= from {
        return digits.checked_mul(factor);
    }
    let half = factor / 2;
    Some(if digits >= 0 { digits.checked_add(half)? } else { digits.checked_sub(half)? } / factor)
}

/// The Arrow type of intervals.
pub(crate) const INTERVAL: ArrowType = ArrowType::Interval(IntervalUnit::MonthDayNano);

/// The Arrow type of `timestamp`.
pub(crate) const TIMESTAMP: ArrowType = ArrowType::Timestamp(TimeUnit::Microsecond, None);
