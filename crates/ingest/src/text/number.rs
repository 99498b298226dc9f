//! Integers, floats and decimals as text.

use arrow_buffer::i256;
use outcrop_types::{Condition, Error, Result, plain};

use super::calendar::write_fmt;
use super::invalid_text;

/// Largest exponent that a decimal literal may have; PostgreSQL refuses greater ones too.
const EXPONENT_MAX: i64 = 131_072;

/// Reads an integer of type `name`.
///
/// # Errors
/// `InvalidTextRepresentation`, `NumericValueOutOfRange`.
pub fn parse_integer<T: TryFrom<i64>>(text: &str, name: &str) -> Result<T> {
    let trimmed = trim(text);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid_text(name, text));
    }
    let value = trimmed.parse::<i64>().ok().and_then(|value| T::try_from(value).ok());
    value.ok_or_else(|| {
        Error::new(Condition::NumericValueOutOfRange, format!("value \"{trimmed}\" is out of range for type {name}"))
    })
}

/// Reads a `double precision`.
///
/// # Errors
/// `InvalidTextRepresentation`; `NumericValueOutOfRange` where the number overflows or vanishes.
pub fn parse_float8(text: &str) -> Result<f64> {
    let trimmed = trim(text);
    let value: f64 = trimmed.parse().map_err(|_not_a_float| invalid_text("double precision", text))?;
    if is_lost(trimmed, value) {
        return Err(float_range(trimmed, "double precision"));
    }
    Ok(value)
}

/// Reads a `real`.
///
/// # Errors
/// As [`parse_float8`].
pub fn parse_float4(text: &str) -> Result<f32> {
    let trimmed = trim(text);
    let value: f32 = trimmed.parse().map_err(|_not_a_float| invalid_text("real", text))?;
    if is_lost(trimmed, f64::from(value)) {
        return Err(float_range(trimmed, "real"));
    }
    Ok(value)
}

/// Reads a decimal and rounds it, half away from zero, to `scale` digits after the point.
///
/// # Errors
/// `InvalidTextRepresentation`; `NumericValueOutOfRange` beyond `precision` digits, and for NaN and infinity.
pub fn parse_decimal(text: &str, precision: u8, scale: i8) -> Result<i256> {
    let literal = DecimalLiteral::parse(text)?;
    let digits = literal.rounded(scale, usize::from(precision)).ok_or_else(|| decimal_overflow(precision, scale))?;
    let signed = if literal.negative { format!("-{digits}") } else { digits };
    i256::from_string(&signed).ok_or_else(|| decimal_overflow(precision, scale))
}

/// [`parse_decimal`] for up to 38 digits.
///
/// # Errors
/// As [`parse_decimal`].
pub fn parse_decimal128(text: &str, precision: u8, scale: i8) -> Result<i128> {
    plain::decimal(text, precision, scale).map_or_else(|| any_decimal128(text, precision, scale), Ok)
}

/// A decimal of up to 38 digits in any form.
pub(super) fn any_decimal128(text: &str, precision: u8, scale: i8) -> Result<i128> {
    let literal = DecimalLiteral::parse(text)?;
    let digits = literal.rounded(scale, usize::from(precision)).ok_or_else(|| decimal_overflow(precision, scale))?;
    let magnitude: i128 = digits.parse().map_err(|_too_long| decimal_overflow(precision, scale))?;
    Ok(if literal.negative { -magnitude } else { magnitude })
}

/// A number that has more digits than `numeric(precision, scale)` holds.
pub fn decimal_overflow(precision: u8, scale: i8) -> Error {
    let digits = i32::from(precision) - i32::from(scale);
    Error::new(Condition::NumericValueOutOfRange, "numeric field overflow").with_detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {}.",
        if digits == 0 { "1".to_owned() } else { format!("10^{digits}") }
    ))
}

/// Writes an integer.
pub fn write_integer<I: itoa::Integer>(out: &mut Vec<u8>, value: I) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes the shortest digits that read back as the same `double precision`.
pub fn write_float8(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if write_not_finite(out, value) {
    } else if magnitude != 0.0 && !(1e-4..1e15).contains(&magnitude) {
        write_scientific(out, &format!("{value:e}"));
    } else {
        write_fmt(out, format_args!("{value}"));
    }
}

/// Writes the shortest digits that read back as the same `real`.
pub fn write_float4(out: &mut Vec<u8>, value: f32) {
    let magnitude = value.abs();
    if write_not_finite(out, f64::from(value)) {
    } else if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        write_scientific(out, &format!("{value:e}"));
    } else {
        write_fmt(out, format_args!("{value}"));
    }
}

/// Writes `digits` (an integer with an optional sign) with the point before the last `scale` digits.
pub fn write_decimal(out: &mut Vec<u8>, digits: &str, scale: i8) {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    out.extend_from_slice(sign.as_bytes());
    match usize::try_from(scale) {
        Ok(0) => out.extend_from_slice(digits.as_bytes()),
        Ok(scale) => {
            let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
            out.extend_from_slice(if whole.is_empty() { b"0" } else { whole.as_bytes() });
            out.push(b'.');
            out.resize(out.len() + scale - fraction.len(), b'0');
            out.extend_from_slice(fraction.as_bytes());
        }
        Err(_negative) if digits == "0" => out.push(b'0'),
        Err(_negative) => {
            out.extend_from_slice(digits.as_bytes());
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
    }
}

/// A decimal literal, cut in its parts.
struct DecimalLiteral {
    negative: bool,
    /// All digits, without leading zeros.
    digits: String,
    /// How many of `digits` stand before the point; may be negative or beyond the last.
    point: i64,
}

impl DecimalLiteral {
    fn parse(text: &str) -> Result<Self> {
        let invalid = || invalid_text("numeric", text);
        let trimmed = trim(text);
        let (negative, rest) = match trimmed.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
        };
        if ["nan", "inf", "infinity"].iter().any(|special| rest.eq_ignore_ascii_case(special)) {
            return Err(Error::new(
                Condition::NumericValueOutOfRange,
                format!("\"{trimmed}\" is out of range for type numeric"),
            )
            .with_detail("A numeric value is a finite number; use double precision for NaN and infinity."));
        }
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent).ok_or_else(invalid)?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
            return Err(invalid());
        }
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0').to_owned();
        let zeros = length(all.len() - digits.len());
        Ok(Self { negative, digits, point: length(whole.len()) - zeros + exponent })
    }

    /// The digits of the number times 10^scale, rounded; `None` if they are more than `precision`.
    fn rounded(&self, scale: i8, precision: usize) -> Option<String> {
        let kept = self.point + i64::from(scale);
        let Ok(kept) = usize::try_from(kept) else { return Some("0".to_owned()) };
        if self.digits.is_empty() {
            return Some("0".to_owned());
        }
        if kept > precision {
            return None;
        }
        let Some((head, tail)) = self.digits.split_at_checked(kept) else {
            return Some(format!("{:0<kept$}", self.digits));
        };
        let digits = if tail.starts_with(|c| c >= '5') { increment(head) } else { head.to_owned() };
        if digits.len() > precision {
            return None;
        }
        Some(if digits.is_empty() { "0".to_owned() } else { digits })
    }
}

/// Adds one to a number without leading zeros.
fn increment(digits: &str) -> String {
    let nines = digits.len() - digits.trim_end_matches('9').len();
    let (head, tail) = digits.split_at(digits.len() - nines);
    let zeros = "0".repeat(tail.len());
    match head.char_indices().next_back() {
        Some((at, last)) => {
            let next = char::from_digit(last.to_digit(10).unwrap_or(0) + 1, 10).unwrap_or('0');
            format!("{}{next}{zeros}", head.get(..at).unwrap_or_default())
        }
        None => format!("1{zeros}"),
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX).min(EXPONENT_MAX);
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// Whether a finite, non-zero literal became infinite or zero.
fn is_lost(text: &str, value: f64) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let is_finite = mantissa.contains(|c: char| c.is_ascii_digit());
    is_finite && (value.is_infinite() || (value == 0.0 && mantissa.contains(|c| matches!(c, '1'..='9'))))
}

fn float_range(text: &str, name: &str) -> Error {
    Error::new(Condition::NumericValueOutOfRange, format!("\"{text}\" is out of range for type {name}"))
}

fn write_not_finite(out: &mut Vec<u8>, value: f64) -> bool {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"Infinity".as_slice() } else { b"-Infinity".as_slice() });
    }
    !value.is_finite()
}

/// Turns Rust's `1.5e-7` into C's `1.5e-07`.
fn write_scientific(out: &mut Vec<u8>, text: &str) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    write_fmt(out, format_args!("{mantissa}e{sign}{digits:0>2}"));
}

/// PostgreSQL ignores ASCII space around numbers.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}'])
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX / 4)
}
