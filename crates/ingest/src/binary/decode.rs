//! Binary to [`Value`].

use outcrop_types::{Condition, DataType, Error, Result, Value, jsonb};

use super::numeric::numeric_to_decimal128;
use super::oid;
use crate::text::calendar::Civil;
use crate::text::parse_text;

/// 2000-01-01, from which PostgreSQL counts, in days since 1970-01-01.
pub(crate) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(crate) const EPOCH_US: i64 = 10_957 * Civil::US_PER_DAY;

/// Reads `bytes` as a value of `data_type` in PostgreSQL's binary format.
///
/// # Errors
/// `InvalidBinaryRepresentation`; `CharacterNotInRepertoire` for text that is not UTF-8; and what the type itself
/// refuses, as in [`crate::text::parse`].
pub fn decode(data_type: &DataType, bytes: &[u8]) -> Result<Value> {
    let mut reader = Reader::new(bytes, "value");
    let value = match data_type {
        DataType::Bool => Value::Bool(reader.u8()? != 0),
        DataType::Int2 => Value::Int(i64::from(reader.i16()?)),
        DataType::Int4 => Value::Int(i64::from(reader.i32()?)),
        // Clients send oids, which are bigint here, in four bytes.
        DataType::Int8 if bytes.len() == 4 => Value::Int(i64::from(reader.u32()?)),
        DataType::Int8 => Value::Int(reader.i64()?),
        DataType::Float4 => Value::Float(f64::from(f32::from_be_bytes(reader.array()?))),
        DataType::Float8 => Value::Float(f64::from_be_bytes(reader.array()?)),
        DataType::Numeric { precision, scale } => {
            Value::Decimal(numeric_to_decimal128(reader.rest(), *precision, *scale)?, *scale)
        }
        DataType::Text => Value::Text(parse_text(utf8(reader.rest())?, None)?.to_owned()),
        DataType::Varchar { length } => Value::Text(parse_text(utf8(reader.rest())?, Some(*length))?.to_owned()),
        DataType::Bytea => Value::Bytes(reader.rest().to_vec()),
        DataType::Date => Value::Date(date(reader.i32()?)?),
        DataType::Time => match reader.i64()? {
            us @ 0..=Civil::US_PER_DAY => Value::Time(us),
            _ => return Err(Error::new(Condition::DatetimeFieldOverflow, "time out of range")),
        },
        DataType::Timestamp => Value::Timestamp(timestamp(reader.i64()?)?),
        DataType::TimestampTz => Value::TimestampTz(timestamp(reader.i64()?)?),
        DataType::Uuid => Value::Uuid(reader.array()?),
        DataType::Jsonb => {
            // Version 1; parameters declared as json come without it.
            let text = match reader.rest() {
                [1, text @ ..] => text,
                text => text,
            };
            Value::Text(jsonb::normalize(utf8(text)?)?)
        }
        DataType::Array(item) => array(item, &mut reader)?,
    };
    reader.finish()?;
    Ok(value)
}

/// Takes fixed-size big-endian numbers off a byte string.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(length).ok_or_else(|| invalid_binary(self.what))?;
        self.bytes = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.bytes.split_first_chunk().ok_or_else(|| invalid_binary(self.what))?;
        self.bytes = tail;
        Ok(*head)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(crate) fn finish(&self) -> Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { Err(invalid_binary(self.what)) }
    }
}

pub(crate) fn invalid_binary(what: &str) -> Error {
    Error::new(Condition::InvalidBinaryRepresentation, format!("incorrect binary data format of a {what}"))
}

/// The bytes of a value whose length never differs.
pub(crate) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_other_length| invalid_binary("value"))
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| invalid_utf8(bytes, &error))
}

/// `invalid byte sequence for encoding "UTF8": 0xe4 0x20`
pub(crate) fn invalid_utf8(bytes: &[u8], error: &std::str::Utf8Error) -> Error {
    let start = error.valid_up_to();
    let length = error.error_len().unwrap_or(usize::MAX).clamp(1, 4);
    let shown: Vec<String> = bytes.iter().skip(start).take(length).map(|byte| format!("0x{byte:02x}")).collect();
    Error::new(
        Condition::CharacterNotInRepertoire,
        format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
    )
}

pub(crate) fn date(days: i32) -> Result<i32> {
    match days {
        i32::MIN | i32::MAX => Ok(days),
        days => days
            .checked_add(EPOCH_DAYS)
            .filter(|days| *days != i32::MAX)
            .ok_or_else(|| Error::new(Condition::DatetimeFieldOverflow, "date out of range")),
    }
}

pub(crate) fn timestamp(us: i64) -> Result<i64> {
    match us {
        i64::MIN | i64::MAX => Ok(us),
        us => us
            .checked_add(EPOCH_US)
            .filter(|us| *us != i64::MAX)
            .ok_or_else(|| Error::new(Condition::DatetimeFieldOverflow, "timestamp out of range")),
    }
}

fn array(item: &DataType, reader: &mut Reader<'_>) -> Result<Value> {
    let dimensions = reader.i32()?;
    let _has_nulls = reader.i32()?;
    let item_oid = reader.u32()?;
    if item_oid != oid::oid(item) && oid::data_type(item_oid).is_none_or(|given| oid::oid(&given) != oid::oid(item)) {
        return Err(Error::new(Condition::DatatypeMismatch, "wrong element type in a binary array")
            .with_detail(format!("The elements have the type with oid {item_oid}, expected is {item}.")));
    }
    if dimensions == 0 {
        return Ok(Value::Array(Vec::new()));
    }
    if dimensions != 1 {
        return Err(Error::new(Condition::FeatureNotSupported, "arrays of more than one dimension are not supported"));
    }
    let count = usize::try_from(reader.i32()?).map_err(|_negative| invalid_binary("array"))?;
    let _lower_bound = reader.i32()?;
    // Each element takes four bytes at least, so that a forged count allocates nothing.
    if count > reader.bytes.len() / 4 {
        return Err(invalid_binary("array"));
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(match reader.i32()? {
            -1 => Value::Null,
            length => {
                let length = usize::try_from(length).map_err(|_negative| invalid_binary("array"))?;
                decode(item, reader.take(length)?)?
            }
        });
    }
    Ok(Value::Array(items))
}
