//! The proleptic Gregorian calendar over the whole range of `date` and `timestamp`.

use std::io::Write as _;

/// A calendar date. Year 0 is 1 BC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Astronomical year.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Civil {
    /// Microseconds of a day.
    pub const US_PER_DAY: i64 = 86_400_000_000;

    /// The date, if it exists.
    pub fn new(year: i64, month: u8, day: u8) -> Option<Self> {
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            _ => return None,
        };
        (1..=days).contains(&day).then_some(Self { year, month, day })
    }

    /// The date that is `days` after 1970-01-01 (after Howard Hinnant's `civil_from_days`).
    pub fn from_days(days: i64) -> Self {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        // Month and day are below 32 by construction.
        Self { year, month: u8::try_from(month).unwrap_or(1), day: u8::try_from(day).unwrap_or(1) }
    }

    /// Days since 1970-01-01 (after Howard Hinnant's `days_from_civil`).
    pub fn to_days(self) -> i64 {
        let month = i64::from(self.month);
        let year = self.year - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted_month = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }
}

/// Writes `2024-02-29`, and says whether the year is BC: the suffix goes behind the time.
fn write_civil(out: &mut Vec<u8>, days: i64) -> bool {
    let date = Civil::from_days(days);
    let before_christ = date.year <= 0;
    let year = if before_christ { 1 - date.year } else { date.year };
    if (0..=9_999).contains(&year) {
        write_two(out, year / 100);
        write_two(out, year % 100);
    } else {
        write_number(out, year);
    }
    out.push(b'-');
    write_two(out, i64::from(date.month));
    out.push(b'-');
    write_two(out, i64::from(date.day));
    before_christ
}

/// Writes a `date`.
pub fn write_date(out: &mut Vec<u8>, days: i32) {
    match days {
        i32::MIN => out.extend_from_slice(b"-infinity"),
        i32::MAX => out.extend_from_slice(b"infinity"),
        days => {
            if write_civil(out, i64::from(days)) {
                out.extend_from_slice(b" BC");
            }
        }
    }
}

/// Writes a `time`: microseconds since midnight.
pub fn write_time(out: &mut Vec<u8>, us: i64) {
    let seconds = us / 1_000_000;
    write_two(out, seconds / 3_600);
    out.push(b':');
    write_two(out, seconds / 60 % 60);
    out.push(b':');
    write_two(out, seconds % 60);
    write_fraction(out, us % 1_000_000);
}

/// Writes `.25` for 250,000 µs and nothing for 0.
pub fn write_fraction(out: &mut Vec<u8>, us: i64) {
    if us != 0 {
        let digits = format!("{:06}", us.abs());
        out.push(b'.');
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
}

/// Writes a `timestamp` with `separator` between date and time.
pub fn write_timestamp(out: &mut Vec<u8>, us: i64, separator: u8) {
    if write_infinity(out, us) {
        return;
    }
    let before_christ = write_civil(out, us.div_euclid(Civil::US_PER_DAY));
    out.push(separator);
    write_time(out, us.rem_euclid(Civil::US_PER_DAY));
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// Writes a `timestamptz` as it is on a clock `offset` seconds east of UTC.
pub fn write_timestamptz(out: &mut Vec<u8>, us: i64, offset: i32, separator: u8) {
    if write_infinity(out, us) {
        return;
    }
    let local = i128::from(us) + i128::from(offset) * 1_000_000;
    // Less than 300,000 years: it fits.
    let days = i64::try_from(local.div_euclid(i128::from(Civil::US_PER_DAY))).unwrap_or(0);
    let rest = i64::try_from(local.rem_euclid(i128::from(Civil::US_PER_DAY))).unwrap_or(0);
    let before_christ = write_civil(out, days);
    out.push(separator);
    write_time(out, rest);
    write_offset(out, offset);
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

fn write_offset(out: &mut Vec<u8>, offset: i32) {
    out.push(if offset < 0 { b'-' } else { b'+' });
    let seconds = i64::from(offset.abs());
    write_two(out, seconds / 3_600);
    if seconds % 3_600 != 0 {
        out.push(b':');
        write_two(out, seconds / 60 % 60);
    }
    if seconds % 60 != 0 {
        out.push(b':');
        write_two(out, seconds % 60);
    }
}

fn write_infinity(out: &mut Vec<u8>, us: i64) -> bool {
    match us {
        i64::MIN => out.extend_from_slice(b"-infinity"),
        i64::MAX => out.extend_from_slice(b"infinity"),
        _ => return false,
    }
    true
}

/// Writes at least two digits.
pub(crate) fn write_two(out: &mut Vec<u8>, number: i64) {
    match u8::try_from(number) {
        Ok(small @ 0..=99) => out.extend_from_slice(&[b'0' + small / 10, b'0' + small % 10]),
        Ok(_) | Err(_) => write_number(out, number),
    }
}

/// Writes an integer.
pub(crate) fn write_number(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes formatted text; a vector takes everything.
pub(crate) fn write_fmt(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    out.write_fmt(arguments).unwrap_or_default();
}
