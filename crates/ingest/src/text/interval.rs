//! Output of `interval`, which results have and tables do not.

use super::calendar::{write_fmt, write_fraction, write_two};

/// Writes an interval as `IntervalStyle = postgres` does: `1 year 2 mons -3 days +04:05:06.5`.
pub fn write_interval(out: &mut Vec<u8>, months: i32, days: i32, us: i64) {
    let mut is_first = true;
    let mut after_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value == 0 {
            continue;
        }
        let space = if is_first { "" } else { " " };
        let plus = if after_negative && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        write_fmt(out, format_args!("{space}{plus}{value} {unit}{plural}"));
        is_first = false;
        after_negative = value < 0;
    }
    if us != 0 || is_first {
        if !is_first {
            out.push(b' ');
        }
        if us < 0 {
            out.push(b'-');
        } else if after_negative {
            out.push(b'+');
        }
        let magnitude = us.unsigned_abs();
        // 2^64 µs are less than 2^43 s.
        let seconds = i64::try_from(magnitude / 1_000_000).unwrap_or(i64::MAX);
        write_two(out, seconds / 3_600);
        out.push(b':');
        write_two(out, seconds / 60 % 60);
        out.push(b':');
        write_two(out, seconds % 60);
        write_fraction(out, us % 1_000_000);
    }
}
