//! Dates and times as programs write them: `YYYY-MM-DD`, then `HH:MM:SS` with up to six digits behind it, then an offset. All
//! other forms are left to the general reader.

use chrono::NaiveDate;

const US_PER_SECOND: i64 = 1_000_000;
const US_PER_DAY: i64 = 86_400 * US_PER_SECOND;

/// Days since 1970.
pub(super) fn read_date(text: &str) -> Option<i32> {
    let (days, rest) = days(text.as_bytes())?;
    rest.is_empty().then_some(days)
}

/// µs since 1970 on the clock that is written, and how far it is ahead of UTC, in µs, if that is said.
pub(super) fn read_timestamp(text: &str) -> Option<(i64, Option<i64>)> {
    let (days, rest) = days(text.as_bytes())?;
    let (b' ' | b'T', rest) = rest.split_first()? else { return None };
    let (hours, rest) = two_digits(rest)?;
    let (minutes, rest) = two_digits(rest.strip_prefix(b":")?)?;
    let (seconds, rest) = two_digits(rest.strip_prefix(b":")?)?;
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let (fraction, rest) = fraction(rest)?;
    let clock = ((hours * 60 + minutes) * 60 + seconds) * US_PER_SECOND + fraction;
    let us = i64::from(days).checked_mul(US_PER_DAY)?.checked_add(clock)?;
    Some((us, offset(rest)?))
}

fn days(text: &[u8]) -> Option<(i32, &[u8])> {
    let (century, rest) = two_digits(text)?;
    let (year, rest) = two_digits(rest)?;
    let (month, rest) = two_digits(rest.strip_prefix(b"-")?)?;
    let (day, rest) = two_digits(rest.strip_prefix(b"-")?)?;
    let year = i32::try_from(century * 100 + year).ok().filter(|year| *year > 0)?;
    let date = NaiveDate::from_ymd_opt(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?;
    Some((date.to_epoch_days(), rest))
}

/// `.25` are 250,000 µs.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    if !(1..=6).contains(&count) {
        return None;
    }
    let (digits, rest) = digits.split_at(count);
    let value = digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    let zeros = u32::try_from(6 - count).ok()?;
    Some((value * 10_i64.pow(zeros), rest))
}

/// Nothing, `Z`, `+02`, `-03:30`.
fn offset(text: &[u8]) -> Option<Option<i64>> {
    let (sign, rest) = match text.split_first() {
        None => return Some(None),
        Some((b'Z', [])) => return Some(Some(0)),
        Some((b'+', rest)) => (1, rest),
        Some((b'-', rest)) => (-1, rest),
        Some(_) => return None,
    };
    let (hours, rest) = two_digits(rest)?;
    let minutes = match rest {
        [] => 0,
        [b':', minutes @ ..] => match two_digits(minutes)? {
            (minutes, []) => minutes,
            _ => return None,
        },
        _ => return None,
    };
    (hours <= 14 && minutes <= 59).then_some(Some(sign * (hours * 60 + minutes) * 60 * US_PER_SECOND))
}

fn two_digits(text: &[u8]) -> Option<(i64, &[u8])> {
    let ([tens @ b'0'..=b'9', ones @ b'0'..=b'9'], rest) = text.split_first_chunk()? else { return None };
    Some((i64::from(tens - b'0') * 10 + i64::from(ones - b'0'), rest))
}
