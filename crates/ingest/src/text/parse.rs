//! Text to [`Value`].

use outcrop_types::{Condition, DataType, Error, Result, Value, jsonb};

use super::TextSettings;
use super::array::{Element, split_array};
use super::bytea::parse_bytea;
use super::datetime::{parse_date, parse_time, parse_timestamp, parse_timestamptz};
use super::number::{parse_decimal128, parse_float4, parse_float8, parse_integer};

/// Reads `text` as a value of `data_type`, by PostgreSQL's input rules.
///
/// # Errors
/// `InvalidTextRepresentation`, `InvalidDatetimeFormat`, `DatetimeFieldOverflow`, `NumericValueOutOfRange`,
/// `StringDataRightTruncation`, `CharacterNotInRepertoire`, each with PostgreSQL's wording. A [`Value`] holds decimals of
/// up to 38 digits; columns of more are read by [`crate::ColumnBuilder`].
pub fn parse(data_type: &DataType, text: &str, settings: &TextSettings) -> Result<Value> {
    Ok(match data_type {
        DataType::Bool => Value::Bool(parse_bool(text)?),
        DataType::Int2 => Value::Int(i64::from(parse_integer::<i16>(text, "smallint")?)),
        DataType::Int4 => Value::Int(i64::from(parse_integer::<i32>(text, "integer")?)),
        DataType::Int8 => Value::Int(parse_integer(text, "bigint")?),
        DataType::Float4 => Value::Float(f64::from(parse_float4(text)?)),
        DataType::Float8 => Value::Float(parse_float8(text)?),
        DataType::Numeric { precision, scale } => Value::Decimal(parse_decimal128(text, *precision, *scale)?, *scale),
        DataType::Text => Value::Text(parse_text(text, None)?.to_owned()),
        DataType::Varchar { length } => Value::Text(parse_text(text, Some(*length))?.to_owned()),
        DataType::Bytea => Value::Bytes(parse_bytea(text)?),
        DataType::Date => Value::Date(parse_date(text, settings)?),
        DataType::Time => Value::Time(parse_time(text, settings)?),
        DataType::Timestamp => Value::Timestamp(parse_timestamp(text, settings)?),
        DataType::TimestampTz => Value::TimestampTz(parse_timestamptz(text, settings)?),
        DataType::Uuid => Value::Uuid(parse_uuid(text)?),
        DataType::Jsonb => Value::Text(jsonb::normalize(text)?),
        DataType::Array(item) => {
            let elements = split_array(text)?;
            let parse_element = |element: &Element| match element {
                Element::Null => Ok(Value::Null),
                Element::Text(text) => parse(item, text, settings),
            };
            Value::Array(elements.iter().map(parse_element).collect::<Result<_>>()?)
        }
    })
}

/// Reads a `boolean`: any unique prefix of true, false, yes, no, on, off, or 1 or 0.
pub(crate) fn parse_bool(text: &str) -> Result<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => Ok(true),
        "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => Ok(false),
        _ => Err(invalid_text("boolean", text)),
    }
}

/// Checks text against NUL and the length of `varchar(length)`; of spaces beyond it the surplus goes.
pub(crate) fn parse_text(text: &str, length: Option<u32>) -> Result<&str> {
    if text.as_bytes().contains(&0) {
        return Err(Error::new(
            Condition::CharacterNotInRepertoire,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    let Some(length) = length else { return Ok(text) };
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    if text.len() <= wanted {
        return Ok(text);
    }
    let Some((end, _)) = text.char_indices().nth(wanted) else { return Ok(text) };
    let (kept, surplus) = text.split_at(end);
    if surplus.bytes().all(|byte| byte == b' ') {
        return Ok(kept);
    }
    Err(Error::new(
        Condition::StringDataRightTruncation,
        format!("value too long for type character varying({length})"),
    ))
}

/// Reads a `uuid` in any of the usual forms.
pub(crate) fn parse_uuid(text: &str) -> Result<[u8; 16]> {
    let uuid = uuid::Uuid::parse_str(text.trim()).map_err(|_not_a_uuid| invalid_text("uuid", text))?;
    Ok(uuid.into_bytes())
}

/// `invalid input syntax for type integer: "abc"`
pub(crate) fn invalid_text(name: &str, text: &str) -> Error {
    Error::new(Condition::InvalidTextRepresentation, format!("invalid input syntax for type {name}: \"{text}\""))
}
