//! `numeric` in binary: digits of base 10,000 with a weight.

use outcrop_types::{Condition, Error, Result, plain};

use super::decode::{Reader, invalid_binary};
use crate::text::number::parse_decimal128;

const NEGATIVE: u16 = 0x4000;
const NOT_FINITE: u16 = 0xC000;

/// Reads the binary form as a `numeric(precision, scale)` of up to 38 digits: a count of 10^-`scale`, rounded half away from
/// zero.
///
/// # Errors
/// As [`numeric_to_text`]; `NumericValueOutOfRange` beyond `precision` digits.
pub(crate) fn numeric_to_decimal128(bytes: &[u8], precision: u8, scale: i8) -> Result<i128> {
    match short_numeric(bytes, precision, scale) {
        Some(value) => Ok(value),
        None => parse_decimal128(&numeric_to_text(bytes)?, precision, scale),
    }
}

/// A number of up to sixteen digits, as far as it is well-formed and needs no rounding.
fn short_numeric(bytes: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (header, groups) = bytes.split_first_chunk::<8>()?;
    let [count, weight, sign, _] = header.as_chunks::<2>().0 else { return None };
    let (groups, rest) = groups.as_chunks::<2>();
    let is_negative = match u16::from_be_bytes(*sign) {
        0 => false,
        NEGATIVE => true,
        _ => return None,
    };
    if groups.len() > SHORT_GROUPS || groups.len() != usize::from(u16::from_be_bytes(*count)) || !rest.is_empty() {
        return None;
    }
    let mut value = 0_u64;
    for group in groups {
        let group = u16::from_be_bytes(*group);
        if group > 9_999 {
            return None;
        }
        value = value * 10_000 + u64::from(group);
    }
    // The last group counts 10,000^(weight + 1 - groups), a column 10^-scale.
    let groups = i32::try_from(groups.len()).ok()?;
    let exponent = (i32::from(i16::from_be_bytes(*weight)) + 1 - groups) * 4 + i32::from(scale);
    let value = match usize::try_from(exponent) {
        Ok(zeros) => i128::from(value).checked_mul(plain::power_of_ten(zeros)?)?,
        Err(_negative) => {
            let divisor = 10_u64.checked_pow(exponent.unsigned_abs())?;
            value.is_multiple_of(divisor).then_some(i128::from(value / divisor))?
        }
    };
    (value < plain::power_of_ten(usize::from(precision))?).then_some(if is_negative { -value } else { value })
}

/// Of four digits each.
const SHORT_GROUPS: usize = 4;

/// Reads the binary form and writes it as a decimal literal.
///
/// # Errors
/// `InvalidBinaryRepresentation`; `NumericValueOutOfRange` for NaN and infinity.
pub fn numeric_to_text(bytes: &[u8]) -> Result<String> {
    let mut reader = Reader::new(bytes, "numeric");
    let count = reader.u16()?;
    let weight = i32::from(reader.i16()?);
    let sign = reader.u16()?;
    let _scale = reader.u16()?;
    if sign & NOT_FINITE == NOT_FINITE {
        return Err(Error::new(
            Condition::NumericValueOutOfRange,
            "NaN and infinity are out of range for type numeric",
        )
        .with_detail("A numeric value is a finite number; use double precision for NaN and infinity."));
    }
    if sign != 0 && sign != NEGATIVE {
        return Err(invalid_binary("numeric"));
    }
    let mut digits = String::with_capacity(usize::from(count) * 4);
    for _ in 0..count {
        let group = reader.u16()?;
        if group > 9_999 {
            return Err(invalid_binary("numeric"));
        }
        digits.push_str(&format!("{group:04}"));
    }
    reader.finish()?;
    // The weight is the power of 10,000 of the first group; as an exponent no padding is needed.
    let exponent = (weight + 1 - i32::from(count)) * 4;
    let digits = if digits.is_empty() { "0" } else { &digits };
    let sign = if sign == NEGATIVE { "-" } else { "" };
    Ok(format!("{sign}{digits}e{exponent}"))
}

/// Writes a count of 10^-`scale` in binary.
pub(crate) fn write_decimal128(out: &mut Vec<u8>, value: i128, scale: i8) {
    if write_short_numeric(out, value, scale).is_none() {
        write_numeric(out, itoa::Buffer::new().format(value), scale);
    }
}

/// Writes what fits machine words; nothing otherwise.
fn write_short_numeric(out: &mut Vec<u8>, value: i128, scale: i8) -> Option<()> {
    let magnitude = u64::try_from(value.unsigned_abs()).ok()?;
    let scale = u32::try_from(scale).ok().filter(|scale| *scale <= SHORT_SCALE)?;
    let unit = 10_u64.checked_pow(scale)?;
    // Groups are counted from the point, so the fraction is filled up to whole ones.
    let fraction_groups = scale.div_ceil(4);
    let (mut whole, mut fraction) =
        (magnitude / unit, (magnitude % unit).checked_mul(10_u64.checked_pow(fraction_groups * 4 - scale)?)?);
    // Four of the fraction, and five of a whole of 64 bits.
    let mut groups = [0_u16; 9];
    let (mut length, mut whole_groups) = (0_u32, 0_i16);
    for slot in groups.iter_mut().rev() {
        let rest = if length < fraction_groups { &mut fraction } else { &mut whole };
        if length >= fraction_groups {
            if *rest == 0 {
                break;
            }
            whole_groups += 1;
        }
        *slot = u16::try_from(*rest % 10_000).ok()?;
        *rest /= 10_000;
        length += 1;
    }
    let used = groups.len() - usize::try_from(length).ok()?;
    write_groups(out, groups.get(used..)?, whole_groups, value < 0, i16::try_from(scale).ok()?);
    Some(())
}

/// Writes groups of four digits, of which `whole_groups` are before the point.
fn write_groups(out: &mut Vec<u8>, groups: &[u16], whole_groups: i16, is_negative: bool, scale: i16) {
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
    let significant = groups.get(leading..groups.len().saturating_sub(trailing)).unwrap_or_default();
    let is_zero = significant.is_empty();
    let weight = if is_zero { 0 } else { whole_groups - 1 - small(leading) };
    out.extend_from_slice(&small(significant.len()).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&(if is_negative && !is_zero { NEGATIVE } else { 0 }).to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    for group in significant {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// With more digits behind the point a fraction of whole groups might not fit 64 bits.
const SHORT_SCALE: u32 = 16;

/// Writes `digits` (an integer with an optional sign) with `scale` digits after the point in binary.
pub(crate) fn write_numeric(out: &mut Vec<u8>, digits: &str, scale: i8) {
    let (is_negative, digits) = digits.strip_prefix('-').map_or((false, digits), |digits| (true, digits));
    let (digits, scale) = match usize::try_from(scale) {
        Ok(scale) => (digits.to_owned(), scale),
        Err(_negative) => (format!("{digits}{}", "0".repeat(usize::from(scale.unsigned_abs()))), 0),
    };
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let whole_groups = whole.len().div_ceil(4);
    let aligned = format!(
        "{whole:0>whole_width$}{fraction:0<fraction_width$}",
        whole_width = whole_groups * 4,
        fraction_width = fraction.len().div_ceil(4) * 4
    );
    let groups: Vec<u16> =
        aligned.as_bytes().chunks(4).map(|group| group.iter().fold(0, |n, c| n * 10 + u16::from(c - b'0'))).collect();
    write_groups(out, &groups, small(whole_groups), is_negative, small(scale));
}

/// Counts of a decimal of at most 76 digits.
fn small(count: usize) -> i16 {
    i16::try_from(count).unwrap_or(i16::MAX)
}
