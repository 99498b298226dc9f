//! `numeric` in binary: digits of base 10,000 with a weight.

use outcrop_types::{Condition, Error, Result};

use super::decode::{Reader, invalid_binary};

const NEGATIVE: u16 = 0x4000;
const NOT_FINITE: u16 = 0xC000;

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

/// Writes `digits` (an integer with an optional sign) with `scale` digits after the point in binary.
pub(crate) fn write_numeric(out: &mut Vec<u8>, digits: &str, scale: i8) {
    let (sign, digits) = digits.strip_prefix('-').map_or((0, digits), |digits| (NEGATIVE, digits));
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
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
    let significant = groups.get(leading..groups.len().saturating_sub(trailing)).unwrap_or_default();
    let is_zero = significant.is_empty();
    let weight = if is_zero { 0 } else { small(whole_groups) - 1 - small(leading) };
    out.extend_from_slice(&small(significant.len()).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&(if is_zero { 0 } else { sign }).to_be_bytes());
    out.extend_from_slice(&small(scale).to_be_bytes());
    for group in significant {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// Counts of a decimal of at most 76 digits.
fn small(count: usize) -> i16 {
    i16::try_from(count).unwrap_or(i16::MAX)
}
