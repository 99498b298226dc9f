//! Text as values, as PostgreSQL reads it.

use datafusion::arrow::datatypes::i256;
use datafusion::common::ScalarValue;
use outcrop_types::data_type::UTC;
use outcrop_types::{Condition, DataType, Error, Result};

use super::super::dates::{parse_date, parse_time, parse_timestamp};

/// Reads a constant of a type.
///
/// # Errors
/// 22P02, 22003, 22007, 22008 in PostgreSQL's words.
pub(crate) fn parse_constant(text: &str, data_type: &DataType, time_zone: &str) -> Result<ScalarValue> {
    let trimmed = text.trim();
    Ok(match data_type {
        DataType::Bool => ScalarValue::Boolean(Some(parse_bool(trimmed).ok_or_else(|| invalid("boolean", text))?)),
        DataType::Int2 => ScalarValue::Int16(Some(parse_integer(trimmed, text, data_type)?)),
        DataType::Int4 => ScalarValue::Int32(Some(parse_integer(trimmed, text, data_type)?)),
        DataType::Int8 => ScalarValue::Int64(Some(parse_integer(trimmed, text, data_type)?)),
        DataType::Float4 => ScalarValue::Float32(Some(parse_real(trimmed, text)?)),
        DataType::Float8 => ScalarValue::Float64(Some(parse_double(trimmed, text)?)),
        DataType::Numeric { precision, scale } => parse_numeric(trimmed, text, *precision, *scale)?,
        DataType::Text => ScalarValue::Utf8View(Some(text.to_owned())),
        DataType::Varchar { length } => {
            let most = usize::try_from(*length).unwrap_or(usize::MAX);
            ScalarValue::Utf8View(Some(text.chars().take(most).collect()))
        }
        DataType::Bytea => ScalarValue::BinaryView(Some(parse_bytea(text)?)),
        DataType::Date => ScalarValue::Date32(Some(parse_date(trimmed)?)),
        DataType::Time => ScalarValue::Time64Microsecond(Some(parse_time(trimmed)?)),
        DataType::Timestamp => ScalarValue::TimestampMicrosecond(Some(parse_timestamp(trimmed, None)?), None),
        DataType::TimestampTz => {
            ScalarValue::TimestampMicrosecond(Some(parse_timestamp(trimmed, Some(time_zone))?), Some(UTC.into()))
        }
        DataType::Uuid => {
            let uuid = uuid::Uuid::parse_str(trimmed).map_err(|_malformed| invalid("uuid", text))?;
            ScalarValue::FixedSizeBinary(16, Some(uuid.as_bytes().to_vec()))
        }
        DataType::Jsonb => ScalarValue::Utf8View(Some(outcrop_types::jsonb::normalize(text)?)),
        DataType::Array(item) => parse_array(trimmed, item, time_zone)?,
    })
}

/// Reads JSON; `jsonb` keeps its normal form.
pub(in crate::functions) fn parse_json(text: &str) -> Result<serde_json::Value> {
    serde_json::from_str(text).map_err(|error| {
        Error::new(Condition::InvalidTextRepresentation, "invalid input syntax for type json")
            .with_detail(format!("{error}."))
    })
}

/// A double as a numeric, by its shortest decimal digits.
pub(super) fn numeric_of_float(value: f64, precision: u8, scale: i8) -> Result<ScalarValue> {
    if !value.is_finite() {
        return Err(Error::new(Condition::FeatureNotSupported, "NaN and infinity are not supported in numeric"));
    }
    let text = format!("{value:e}");
    parse_numeric(&text, &text, precision, scale)
}

/// Moves the point; halves away from zero.
pub(in crate::functions) fn rescale(value: i256, from: i32, to: i32) -> Option<i256> {
    let ten = i256::from_i128(10);
    if to >= from {
        return value.checked_mul(ten.checked_pow(u32::try_from(to - from).ok()?)?);
    }
    let Some(factor) = ten.checked_pow(u32::try_from(from - to).ok()?) else {
        return Some(i256::ZERO);
    };
    let quotient = value.checked_div(factor)?;
    let rest = value.checked_rem(factor)?.wrapping_abs();
    if rest.checked_add(rest)? < factor {
        return Some(quotient);
    }
    quotient.checked_add(if value.is_negative() { i256::MINUS_ONE } else { i256::ONE })
}

fn parse_bool(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let is_prefix_of = |word: &str| !text.is_empty() && word.starts_with(&text);
    if is_prefix_of("true") || is_prefix_of("yes") || text == "on" || text == "1" {
        return Some(true);
    }
    if is_prefix_of("false") || is_prefix_of("no") || text == "of" || text == "off" || text == "0" {
        return Some(false);
    }
    None
}

fn parse_integer<T: TryFrom<i128>>(trimmed: &str, text: &str, data_type: &DataType) -> Result<T> {
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid(&data_type.to_string(), text));
    }
    trimmed.parse::<i128>().ok().and_then(|value| T::try_from(value).ok()).ok_or_else(|| {
        Error::new(Condition::NumericValueOutOfRange, format!("value \"{text}\" is out of range for type {data_type}"))
    })
}

fn parse_double(trimmed: &str, text: &str) -> Result<f64> {
    let value = parse_float_word(trimmed).or_else(|| {
        let numeric =
            trimmed.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
        numeric.then(|| trimmed.parse::<f64>().ok()).flatten()
    });
    let value = value.ok_or_else(|| invalid("double precision", text))?;
    if value.is_infinite() && parse_float_word(trimmed).is_none() {
        return Err(out_of_range(text, "double precision"));
    }
    Ok(value + 0.0)
}

fn parse_real(trimmed: &str, text: &str) -> Result<f32> {
    let value = match parse_float_word(trimmed) {
        #[expect(clippy::cast_possible_truncation, reason = "NaN and infinity have no digits")]
        Some(word) => word as f32,
        None => {
            let value: f32 = trimmed.parse().map_err(|_malformed| invalid("real", text))?;
            if value.is_infinite() {
                return Err(out_of_range(text, "real"));
            }
            value
        }
    };
    Ok(value + 0.0)
}

fn parse_float_word(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "infinity" | "inf" | "+infinity" | "+inf" => Some(f64::INFINITY),
        "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn parse_numeric(trimmed: &str, text: &str, precision: u8, scale: i8) -> Result<ScalarValue> {
    let overflow = || {
        Error::new(Condition::NumericValueOutOfRange, "numeric field overflow").with_detail(format!(
            "A field with precision {precision}, scale {scale} must round to an absolute value less than 10^{}.",
            i32::from(precision) - i32::from(scale)
        ))
    };
    let (digits, point) = decimal_digits(trimmed).ok_or_else(|| invalid("numeric", text))?;
    let value = i256::from_string(&digits).ok_or_else(overflow)?;
    let value = if value == i256::ZERO { Some(value) } else { rescale(value, point, i32::from(scale)) };
    let value = value.ok_or_else(overflow)?;
    let limit = i256::from_i128(10).checked_pow(u32::from(precision)).ok_or_else(overflow)?;
    if value >= limit || value <= limit.wrapping_neg() {
        return Err(overflow());
    }
    if precision <= 38 {
        return Ok(ScalarValue::Decimal128(Some(value.to_i128().ok_or_else(overflow)?), precision, scale));
    }
    Ok(ScalarValue::Decimal256(Some(value), precision, scale))
}

/// Sign and digits without the point, and how many of them are behind it.
fn decimal_digits(text: &str) -> Option<(String, i32)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, unsigned) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !all_digits || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let point = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    Some((format!("{sign}0{whole}{fraction}"), point))
}

fn parse_bytea(text: &str) -> Result<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if !digits.len().is_multiple_of(2) {
            return Err(Error::new(Condition::InvalidParameterValue, "invalid hexadecimal data: odd number of digits"));
        }
        return digits
            .chunks(2)
            .map(|pair| {
                std::str::from_utf8(pair)
                    .ok()
                    .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                    .ok_or_else(|| Error::new(Condition::InvalidParameterValue, "invalid hexadecimal digit in bytea"))
            })
            .collect();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'\\') => bytes.push(b'\\'),
            Some(first @ b'0'..=b'3') => {
                let octal: Option<String> = [Some(first), rest.next(), rest.next()]
                    .into_iter()
                    .map(|digit| digit.filter(|digit| (b'0'..=b'7').contains(digit)).map(char::from))
                    .collect();
                let value = octal.and_then(|octal| u8::from_str_radix(&octal, 8).ok());
                bytes.push(value.ok_or_else(|| invalid("bytea", text))?);
            }
            _ => return Err(invalid("bytea", text)),
        }
    }
    Ok(bytes)
}

fn parse_array(text: &str, item: &DataType, time_zone: &str) -> Result<ScalarValue> {
    let items = array_items(text)?;
    let scalars = items
        .into_iter()
        .map(|value| match value {
            Some(value) => parse_constant(&value, item, time_zone),
            None => ScalarValue::try_from(&item.to_arrow()).map_err(crate::error::from_datafusion),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&scalars, &item.to_arrow())))
}

/// The items of `{a,"b c",NULL}`.
fn array_items(text: &str) -> Result<Vec<Option<String>>> {
    let malformed = |detail: &str| {
        Error::new(Condition::InvalidTextRepresentation, format!("malformed array literal: \"{text}\""))
            .with_detail(detail)
    };
    let inner = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or_else(|| malformed("Array value must start with \"{\" and end with \"}\"."))?;
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Ok(items);
    }
    let mut chars = inner.chars().peekable();
    loop {
        let mut value = String::new();
        let mut quoted = false;
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next_if_eq(&'"').is_some() {
            quoted = true;
            loop {
                match chars.next().ok_or_else(|| malformed("Unexpected end of input."))? {
                    '"' => break,
                    '\\' => value.push(chars.next().ok_or_else(|| malformed("Unexpected end of input."))?),
                    c => value.push(c),
                }
            }
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                match c {
                    '{' | '}' | '"' => {
                        return Err(malformed("Arrays of more than one dimension are not supported."));
                    }
                    '\\' => value.push(chars.next().ok_or_else(|| malformed("Unexpected end of input."))?),
                    c => value.push(c),
                }
            }
            value.truncate(value.trim_end().len());
            if value.is_empty() {
                return Err(malformed("Unexpected \",\" character."));
            }
        }
        items.push(if !quoted && value.eq_ignore_ascii_case("null") { None } else { Some(value) });
        match chars.next() {
            Some(',') => {}
            None => return Ok(items),
            Some(_) => return Err(malformed("Unexpected array element.")),
        }
    }
}

fn invalid(type_name: &str, text: &str) -> Error {
    Error::new(Condition::InvalidTextRepresentation, format!("invalid input syntax for type {type_name}: \"{text}\""))
}

fn out_of_range(text: &str, type_name: &str) -> Error {
    Error::new(Condition::NumericValueOutOfRange, format!("\"{text}\" is out of range for type {type_name}"))
}
