//! Single values and data types.
//!
//! A value is a tag byte and a payload; it does not say its SQL type. A data type is a tag byte and its parameters.
//! Tags are never reused.

use outcrop_types::{DataType, Value};

use crate::cursor::{Decoder, Encoder};
use crate::error::{DecodeError, DecodeProblem};

/// Deepest nesting of arrays, in types and in values.
pub const ARRAY_DEPTH_MAX: usize = 8;

mod value_tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const INT: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const DECIMAL: u8 = 5;
    pub(super) const TEXT: u8 = 6;
    pub(super) const BYTES: u8 = 7;
    pub(super) const DATE: u8 = 8;
    pub(super) const TIME: u8 = 9;
    pub(super) const TIMESTAMP: u8 = 10;
    pub(super) const TIMESTAMP_TZ: u8 = 11;
    pub(super) const UUID: u8 = 12;
    pub(super) const ARRAY: u8 = 13;
}

mod type_tag {
    pub(super) const BOOL: u8 = 1;
    pub(super) const INT2: u8 = 2;
    pub(super) const INT4: u8 = 3;
    pub(super) const INT8: u8 = 4;
    pub(super) const FLOAT4: u8 = 5;
    pub(super) const FLOAT8: u8 = 6;
    pub(super) const NUMERIC: u8 = 7;
    pub(super) const TEXT: u8 = 8;
    pub(super) const VARCHAR: u8 = 9;
    pub(super) const BYTEA: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const TIME: u8 = 12;
    pub(super) const TIMESTAMP: u8 = 13;
    pub(super) const TIMESTAMP_TZ: u8 = 14;
    pub(super) const UUID: u8 = 15;
    pub(super) const JSONB: u8 = 16;
    pub(super) const ARRAY: u8 = 17;
}

/// Appends a value. Floats keep every bit.
pub fn encode_value(value: &Value, out: &mut Encoder<'_>) {
    match value {
        Value::Null => out.put_u8(value_tag::NULL),
        Value::Bool(false) => out.put_u8(value_tag::FALSE),
        Value::Bool(true) => out.put_u8(value_tag::TRUE),
        Value::Int(v) => {
            out.put_u8(value_tag::INT);
            out.put_signed(*v);
        }
        Value::Float(v) => {
            out.put_u8(value_tag::FLOAT);
            out.put_u64(v.to_bits());
        }
        Value::Decimal(digits, scale) => {
            out.put_u8(value_tag::DECIMAL);
            out.put_u8(scale.cast_unsigned());
            out.put_raw(&digits.to_le_bytes());
        }
        Value::Text(v) => {
            out.put_u8(value_tag::TEXT);
            out.put_text(v);
        }
        Value::Bytes(v) => {
            out.put_u8(value_tag::BYTES);
            out.put_bytes(v);
        }
        Value::Date(v) => {
            out.put_u8(value_tag::DATE);
            out.put_signed(i64::from(*v));
        }
        Value::Time(v) => {
            out.put_u8(value_tag::TIME);
            out.put_signed(*v);
        }
        Value::Timestamp(v) => {
            out.put_u8(value_tag::TIMESTAMP);
            out.put_signed(*v);
        }
        Value::TimestampTz(v) => {
            out.put_u8(value_tag::TIMESTAMP_TZ);
            out.put_signed(*v);
        }
        Value::Uuid(v) => {
            out.put_u8(value_tag::UUID);
            out.put_raw(v);
        }
        Value::Array(items) => {
            out.put_u8(value_tag::ARRAY);
            out.put_count(items.len());
            items.iter().for_each(|item| encode_value(item, out));
        }
    }
}

/// Reads a value.
///
/// # Errors
/// Any [`DecodeProblem`] of its parts; `Tag`; `Limit` for arrays nested deeper than [`ARRAY_DEPTH_MAX`].
pub fn decode_value(bytes: &mut Decoder<'_>) -> Result<Value, DecodeError> {
    decode_value_at(bytes, 0)
}

fn decode_value_at(bytes: &mut Decoder<'_>, depth: usize) -> Result<Value, DecodeError> {
    let at = bytes.offset();
    Ok(match bytes.u8()? {
        value_tag::NULL => Value::Null,
        value_tag::FALSE => Value::Bool(false),
        value_tag::TRUE => Value::Bool(true),
        value_tag::INT => Value::Int(bytes.signed()?),
        value_tag::FLOAT => Value::Float(f64::from_bits(bytes.u64()?)),
        value_tag::DECIMAL => {
            let scale = bytes.u8()?.cast_signed();
            Value::Decimal(i128::from_le_bytes(bytes.take_array()?), scale)
        }
        value_tag::TEXT => Value::Text(bytes.text()?.to_owned()),
        value_tag::BYTES => Value::Bytes(bytes.bytes()?.to_vec()),
        value_tag::DATE => {
            let days = bytes.signed()?;
            let out_of_range = DecodeProblem::Inconsistent("date out of range");
            Value::Date(i32::try_from(days).map_err(|_too_large| DecodeError::new(at, out_of_range))?)
        }
        value_tag::TIME => Value::Time(bytes.signed()?),
        value_tag::TIMESTAMP => Value::Timestamp(bytes.signed()?),
        value_tag::TIMESTAMP_TZ => Value::TimestampTz(bytes.signed()?),
        value_tag::UUID => Value::Uuid(bytes.take_array()?),
        value_tag::ARRAY => {
            let depth = deeper(depth, at)?;
            let count = bytes.count("array items", 1)?;
            Value::Array((0..count).map(|_| decode_value_at(bytes, depth)).collect::<Result<_, _>>()?)
        }
        found => return Err(DecodeError::new(at, DecodeProblem::Tag { what: "value", found })),
    })
}

/// Appends a data type with its parameters.
pub fn encode_data_type(data_type: &DataType, out: &mut Encoder<'_>) {
    match data_type {
        DataType::Bool => out.put_u8(type_tag::BOOL),
        DataType::Int2 => out.put_u8(type_tag::INT2),
        DataType::Int4 => out.put_u8(type_tag::INT4),
        DataType::Int8 => out.put_u8(type_tag::INT8),
        DataType::Float4 => out.put_u8(type_tag::FLOAT4),
        DataType::Float8 => out.put_u8(type_tag::FLOAT8),
        DataType::Numeric { precision, scale } => {
            out.put_u8(type_tag::NUMERIC);
            out.put_u8(*precision);
            out.put_u8(scale.cast_unsigned());
        }
        DataType::Text => out.put_u8(type_tag::TEXT),
        DataType::Varchar { length } => {
            out.put_u8(type_tag::VARCHAR);
            out.put_varint(u64::from(*length));
        }
        DataType::Bytea => out.put_u8(type_tag::BYTEA),
        DataType::Date => out.put_u8(type_tag::DATE),
        DataType::Time => out.put_u8(type_tag::TIME),
        DataType::Timestamp => out.put_u8(type_tag::TIMESTAMP),
        DataType::TimestampTz => out.put_u8(type_tag::TIMESTAMP_TZ),
        DataType::Uuid => out.put_u8(type_tag::UUID),
        DataType::Jsonb => out.put_u8(type_tag::JSONB),
        DataType::Array(item) => {
            out.put_u8(type_tag::ARRAY);
            encode_data_type(item, out);
        }
    }
}

/// Reads a data type.
///
/// # Errors
/// Any [`DecodeProblem`] of its parts; `Tag`; `Limit` for arrays nested deeper than [`ARRAY_DEPTH_MAX`];
/// `Inconsistent` for a numeric that no Arrow decimal can hold.
pub fn decode_data_type(bytes: &mut Decoder<'_>) -> Result<DataType, DecodeError> {
    decode_data_type_at(bytes, 0)
}

fn decode_data_type_at(bytes: &mut Decoder<'_>, depth: usize) -> Result<DataType, DecodeError> {
    let at = bytes.offset();
    Ok(match bytes.u8()? {
        type_tag::BOOL => DataType::Bool,
        type_tag::INT2 => DataType::Int2,
        type_tag::INT4 => DataType::Int4,
        type_tag::INT8 => DataType::Int8,
        type_tag::FLOAT4 => DataType::Float4,
        type_tag::FLOAT8 => DataType::Float8,
        type_tag::NUMERIC => {
            let (precision, scale) = (bytes.u8()?, bytes.u8()?.cast_signed());
            let is_possible = (1..=76).contains(&precision) && (0..=precision.cast_signed()).contains(&scale);
            if !is_possible {
                return Err(DecodeError::new(at, DecodeProblem::Inconsistent("impossible precision or scale")));
            }
            DataType::Numeric { precision, scale }
        }
        type_tag::TEXT => DataType::Text,
        type_tag::VARCHAR => DataType::Varchar { length: bytes.varint_u32("varchar length")? },
        type_tag::BYTEA => DataType::Bytea,
        type_tag::DATE => DataType::Date,
        type_tag::TIME => DataType::Time,
        type_tag::TIMESTAMP => DataType::Timestamp,
        type_tag::TIMESTAMP_TZ => DataType::TimestampTz,
        type_tag::UUID => DataType::Uuid,
        type_tag::JSONB => DataType::Jsonb,
        type_tag::ARRAY => DataType::Array(Box::new(decode_data_type_at(bytes, deeper(depth, at)?)?)),
        found => return Err(DecodeError::new(at, DecodeProblem::Tag { what: "data type", found })),
    })
}

fn deeper(depth: usize, at: u64) -> Result<usize, DecodeError> {
    if depth >= ARRAY_DEPTH_MAX {
        let (found, max) = (depth as u64 + 1, ARRAY_DEPTH_MAX as u64);
        return Err(DecodeError::new(at, DecodeProblem::Limit { what: "array depth", found, max }));
    }
    Ok(depth + 1)
}

#[cfg(test)]
mod tests;
