//! The bytes of one key column.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use outcrop_types::DataType;

use super::KeyError;

/// Bytes of the encoding of every value of a type, if that is the same for all.
pub(super) fn fixed_width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Bool => Some(1),
        DataType::Date => Some(4),
        DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Time
        | DataType::Timestamp
        | DataType::TimestampTz => Some(8),
        DataType::Uuid => Some(16),
        DataType::Numeric { .. }
        | DataType::Text
        | DataType::Varchar { .. }
        | DataType::Bytea
        | DataType::Jsonb
        | DataType::Array(_) => None,
    }
}

/// Appends a column of fixed width to keys that are built as numbers.
pub(super) fn append_fixed(keys: &mut [u128], array: &ArrayRef, data_type: &DataType) -> Result<(), KeyError> {
    match data_type {
        DataType::Bool => shift_in(keys, 8, array.as_boolean().values().iter().map(u128::from)),
        DataType::Date => shift_in(keys, 32, bits::<Date32Type>(array, |v| u128::from(flip_32(v)))),
        DataType::Int2 => shift_in(keys, 64, bits::<Int16Type>(array, |v| u128::from(flip(i64::from(v))))),
        DataType::Int4 => shift_in(keys, 64, bits::<Int32Type>(array, |v| u128::from(flip(i64::from(v))))),
        DataType::Int8 => shift_in(keys, 64, bits::<Int64Type>(array, |v| u128::from(flip(v)))),
        DataType::Float4 => shift_in(keys, 64, bits::<Float32Type>(array, |v| u128::from(order(f64::from(v))))),
        DataType::Float8 => shift_in(keys, 64, bits::<Float64Type>(array, |v| u128::from(order(v)))),
        DataType::Time => shift_in(keys, 64, bits::<Time64MicrosecondType>(array, |v| u128::from(flip(v)))),
        DataType::Timestamp | DataType::TimestampTz => {
            shift_in(keys, 64, bits::<TimestampMicrosecondType>(array, |v| u128::from(flip(v))));
        }
        DataType::Uuid => {
            let whole = |bytes: &[u8]| bytes.iter().fold(0, |key, byte| key << 8 | u128::from(*byte));
            let array = array.as_fixed_size_binary();
            shift_in(keys, 128, (0..array.len()).map(|row| whole(array.value(row))));
        }
        DataType::Numeric { .. }
        | DataType::Text
        | DataType::Varchar { .. }
        | DataType::Bytea
        | DataType::Jsonb
        | DataType::Array(_) => return Err(KeyError::Columns),
    }
    Ok(())
}

/// Appends the encoding of one value.
pub(super) fn append_value(
    key: &mut Vec<u8>,
    array: &ArrayRef,
    row: usize,
    data_type: &DataType,
    is_last: bool,
) -> Result<(), KeyError> {
    match data_type {
        DataType::Bool => key.push(u8::from(array.as_boolean().value(row))),
        DataType::Date => key.extend(flip_32(value::<Date32Type>(array, row)).to_be_bytes()),
        DataType::Int2 => key.extend(flip(i64::from(value::<Int16Type>(array, row))).to_be_bytes()),
        DataType::Int4 => key.extend(flip(i64::from(value::<Int32Type>(array, row))).to_be_bytes()),
        DataType::Int8 => key.extend(flip(value::<Int64Type>(array, row)).to_be_bytes()),
        DataType::Float4 => key.extend(order(f64::from(value::<Float32Type>(array, row))).to_be_bytes()),
        DataType::Float8 => key.extend(order(value::<Float64Type>(array, row)).to_be_bytes()),
        DataType::Time => key.extend(flip(value::<Time64MicrosecondType>(array, row)).to_be_bytes()),
        DataType::Timestamp | DataType::TimestampTz => {
            key.extend(flip(value::<TimestampMicrosecondType>(array, row)).to_be_bytes());
        }
        DataType::Numeric { precision, scale } if *precision <= 38 => {
            append_decimal(key, &value::<Decimal128Type>(array, row).to_string(), *scale)?;
        }
        DataType::Numeric { scale, .. } => {
            append_decimal(key, &value::<Decimal256Type>(array, row).to_string(), *scale)?;
        }
        DataType::Uuid => key.extend(array.as_fixed_size_binary().value(row)),
        DataType::Text | DataType::Varchar { .. } => {
            append_bytes(key, array.as_string_view().value(row).as_bytes(), is_last);
        }
        DataType::Bytea => append_bytes(key, array.as_binary_view().value(row), is_last),
        DataType::Jsonb | DataType::Array(_) => return Err(KeyError::Columns),
    }
    Ok(())
}

fn append_bytes(key: &mut Vec<u8>, bytes: &[u8], is_last: bool) {
    if is_last {
        key.extend(bytes);
        return;
    }
    for &byte in bytes {
        key.push(byte);
        if byte == 0 {
            key.push(0xFF);
        }
    }
    key.extend([0, 1]);
}

/// A number in decimal digits, perhaps with a sign, divided by ten to the power of `scale`.
fn append_decimal(key: &mut Vec<u8>, digits: &str, scale: i8) -> Result<(), KeyError> {
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits.as_bytes()),
        None => (false, digits.as_bytes()),
    };
    let Some(last) = digits.iter().rposition(|digit| *digit != b'0') else {
        key.push(DECIMAL_ZERO);
        return Ok(());
    };
    let exponent = i32::try_from(digits.len()).map_err(|_too_long| KeyError::Columns)? - i32::from(scale);
    let exponent = u8::try_from(128 + exponent).map_err(|_out_of_range| KeyError::Columns)?;
    key.push(if negative { DECIMAL_NEGATIVE } else { DECIMAL_POSITIVE });
    let flip = if negative { 0xFF } else { 0 };
    key.push(exponent ^ flip);
    for pair in digits.get(..=last).unwrap_or_default().chunks(2) {
        let digit = |at: usize| pair.get(at).map_or(0, |digit| digit - b'0');
        key.push((digit(0) * 10 + digit(1) + 1) ^ flip);
    }
    key.push(flip);
    Ok(())
}

fn shift_in(keys: &mut [u128], width: u32, values: impl Iterator<Item = u128>) {
    for (key, value) in keys.iter_mut().zip(values) {
        *key = key.checked_shl(width).unwrap_or(0) | value;
    }
}

fn bits<T: ArrowPrimitiveType>(array: &ArrayRef, bits: impl Fn(T::Native) -> u128) -> impl Iterator<Item = u128> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    array.values().iter().map(move |value| bits(*value))
}

fn value<T: ArrowPrimitiveType>(array: &ArrayRef, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

fn flip(value: i64) -> u64 {
    value.cast_unsigned() ^ (1 << 63)
}

fn flip_32(value: i32) -> u32 {
    value.cast_unsigned() ^ (1 << 31)
}

/// Bits in the order of the values. Adding zero turns -0.0 into 0.0 and leaves the rest alone.
fn order(value: f64) -> u64 {
    let bits = if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() };
    if bits >> 63 == 0 { bits ^ (1 << 63) } else { !bits }
}

const DECIMAL_NEGATIVE: u8 = 0;
const DECIMAL_ZERO: u8 = 1;
const DECIMAL_POSITIVE: u8 = 2;
