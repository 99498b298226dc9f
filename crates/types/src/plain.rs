//! Numbers, dates and times as programs write them, read from their bytes without an allocation. `None` is every other form,
//! right or wrong: a general reader knows what it means, or what to say.

const US_PER_SECOND: i64 = 1_000_000;
const US_PER_DAY: i64 = 86_400 * US_PER_SECOND;

/// 10^0 to 10^38.
const POWERS: [i128; 39] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
    10_000_000_000_000,
    100_000_000_000_000,
    1_000_000_000_000_000,
    10_000_000_000_000_000,
    100_000_000_000_000_000,
    1_000_000_000_000_000_000,
    10_000_000_000_000_000_000,
    100_000_000_000_000_000_000,
    1_000_000_000_000_000_000_000,
    10_000_000_000_000_000_000_000,
    100_000_000_000_000_000_000_000,
    1_000_000_000_000_000_000_000_000,
    10_000_000_000_000_000_000_000_000,
    100_000_000_000_000_000_000_000_000,
    1_000_000_000_000_000_000_000_000_000,
    10_000_000_000_000_000_000_000_000_000,
    100_000_000_000_000_000_000_000_000_000,
    1_000_000_000_000_000_000_000_000_000_000,
    10_000_000_000_000_000_000_000_000_000_000,
    100_000_000_000_000_000_000_000_000_000_000,
    1_000_000_000_000_000_000_000_000_000_000_000,
    10_000_000_000_000_000_000_000_000_000_000_000,
    100_000_000_000_000_000_000_000_000_000_000_000,
    1_000_000_000_000_000_000_000_000_000_000_000_000,
    10_000_000_000_000_000_000_000_000_000_000_000_000,
    100_000_000_000_000_000_000_000_000_000_000_000_000,
];

/// 10 to a power that an `i128` holds.
pub fn power_of_ten(exponent: usize) -> Option<i128> {
    POWERS.get(exponent).copied()
}

/// A decimal without exponent and with no more digits behind the point than `scale`, as a count of 10^-`scale`; nothing is
/// ever rounded.
pub fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (is_negative, unsigned) = match text.as_bytes() {
        [b'-', unsigned @ ..] => (true, unsigned),
        unsigned => (false, unsigned),
    };
    let (mut value, mut digits, mut fraction) = (0_u64, 0_usize, None);
    for byte in unsigned {
        if let digit @ 0..=9 = byte.wrapping_sub(b'0') {
            value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
            digits += 1;
        } else if *byte == b'.' && fraction.is_none() {
            fraction = Some(digits);
        } else {
            return None;
        }
    }
    if digits == 0 {
        return None;
    }
    let behind = digits - fraction.unwrap_or(digits);
    let zeros = usize::try_from(scale).ok()?.checked_sub(behind)?;
    let value = i128::from(value).checked_mul(power_of_ten(zeros)?)?;
    (value < power_of_ten(usize::from(precision))?).then_some(if is_negative { -value } else { value })
}

/// `YYYY-MM-DD`: days since 1970.
pub fn date(text: &str) -> Option<i32> {
    let (days, rest) = days(text.as_bytes())?;
    rest.is_empty().then_some(days)
}

/// `YYYY-MM-DD HH:MM:SS` with up to six digits behind it, then an offset: µs since 1970 on the clock that is written, and how
/// far it is ahead of UTC, in µs, if that is said.
pub fn timestamp(text: &str) -> Option<(i64, Option<i64>)> {
    let (days, rest) = days(text.as_bytes())?;
    let (b' ' | b'T', rest) = rest.split_first()? else { return None };
    let (hours, rest) = two_digits(rest)?;
    let (minutes, rest) = two_digits(rest.strip_prefix(b":")?)?;
    let (seconds, rest) = two_digits(rest.strip_prefix(b":")?)?;
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let (fraction, rest) = fraction(rest)?;
    let clock = i64::from((hours * 60 + minutes) * 60 + seconds) * US_PER_SECOND + fraction;
    let us = i64::from(days).checked_mul(US_PER_DAY)?.checked_add(clock)?;
    Some((us, offset(rest)?))
}

fn days(text: &[u8]) -> Option<(i32, &[u8])> {
    let (century, rest) = two_digits(text)?;
    let (year, rest) = two_digits(rest)?;
    let (month, rest) = two_digits(rest.strip_prefix(b"-")?)?;
    let (day, rest) = two_digits(rest.strip_prefix(b"-")?)?;
    let year = century * 100 + year;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i32::from(is_leap),
        _ => return None,
    };
    if year == 0 || !(1..=month_days).contains(&day) {
        return None;
    }
    // After Howard Hinnant's `days_from_civil`, for years after 0.
    let year = year - i32::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era - 719_468, rest))
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
    (hours <= 14 && minutes <= 59).then_some(Some(sign * i64::from(hours * 60 + minutes) * 60 * US_PER_SECOND))
}

fn two_digits(text: &[u8]) -> Option<(i32, &[u8])> {
    let ([tens @ b'0'..=b'9', ones @ b'0'..=b'9'], rest) = text.split_first_chunk()? else { return None };
    Some((i32::from(tens - b'0') * 10 + i32::from(ones - b'0'), rest))
}

#[cfg(test)]
mod tests {
    use super::{date, decimal, timestamp};

    #[test]
    fn decimals_are_counts_of_their_last_digit() {
        for (text, precision, scale, value) in [
            ("12.5", 6, 2, Some(1_250)),
            ("-12.50", 6, 2, Some(-1_250)),
            ("7", 1, 0, Some(7)),
            (".5", 3, 3, Some(500)),
            ("5.", 3, 1, Some(50)),
            ("99999999999999999999999999999999999999", 38, 0, None),
            ("18446744073709551615", 38, 18, Some(18_446_744_073_709_551_615_i128 * 1_000_000_000_000_000_000)),
            ("1234567890123456789", 38, 19, Some(12_345_678_901_234_567_890_000_000_000_000_000_000)),
            ("1234567890123456789", 38, 20, None),
            ("0.001", 6, 2, None),
            ("10000", 6, 2, None),
            ("", 6, 2, None),
            (".", 6, 2, None),
            ("-", 6, 2, None),
            ("+1", 6, 2, None),
            ("1e1", 6, 2, None),
            ("1.1.1", 6, 2, None),
            (" 1", 6, 2, None),
            ("NaN", 6, 2, None),
        ] {
            assert_eq!(decimal(text, precision, scale), value, "{text:?} as numeric({precision},{scale})");
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (text, days) in [
            ("1970-01-01", Some(0)),
            ("2024-02-29", Some(19_782)),
            ("2000-02-29", Some(11_016)),
            ("1900-02-29", None),
            ("2023-02-29", None),
            ("0001-01-01", Some(-719_162)),
            ("9999-12-31", Some(2_932_896)),
            ("0000-01-01", None),
            ("2024-13-01", None),
            ("2024-00-01", None),
            ("2024-04-31", None),
            ("2024-1-1", None),
            ("2024-01-01 ", None),
        ] {
            assert_eq!(date(text), days, "{text:?}");
        }
    }

    #[test]
    fn moments_are_clocks_and_offsets() {
        for (text, moment) in [
            ("1970-01-01 00:00:00", Some((0, None))),
            ("1970-01-01T00:00:01.5Z", Some((1_500_000, Some(0)))),
            ("1970-01-02 00:00:00+02", Some((86_400_000_000, Some(7_200_000_000)))),
            ("1970-01-01 00:00:00.000001-03:30", Some((1, Some(-12_600_000_000)))),
            ("1970-01-01 24:00:00", None),
            ("1970-01-01 00:00:60", None),
            ("1970-01-01 00:00:00.", None),
            ("1970-01-01 00:00:00.1234567", None),
            ("1970-01-01 00:00:00 +02", None),
            ("1970-01-01 00:00:00+0200", None),
            ("1970-01-01 00:00:00+15", None),
            ("1970-01-01", None),
        ] {
            assert_eq!(timestamp(text), moment, "{text:?}");
        }
    }
}
