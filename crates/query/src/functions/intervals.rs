//! Arithmetic of intervals, by PostgreSQL's rules: a month is 30 days and a day 24 hours where one must be cut.

use datafusion::arrow::array::types::IntervalMonthDayNano;

const NANOS_PER_MICRO: i64 = 1_000;
const MICROS_PER_DAY: i128 = 86_400_000_000;
const DAYS_PER_MONTH: i32 = 30;
const SECONDS_PER_DAY: f64 = 86_400.0;
const MICROS_PER_SECOND: f64 = 1_000_000.0;
/// One more than the greatest count of months and of days.
const FIELD_END: f64 = 2_147_483_648.0;
/// Times beyond this do not fit in 64 bits of nanoseconds.
const MICROS_END: f64 = 9.2e15;

/// How long it is, for comparisons.
pub(super) fn microseconds(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * i128::from(DAYS_PER_MONTH) + i128::from(interval.days);
    days * MICROS_PER_DAY + i128::from(interval.nanoseconds / NANOS_PER_MICRO)
}

/// Field by field; beyond their range the fields stop at their ends.
pub(super) fn sum(left: IntervalMonthDayNano, right: IntervalMonthDayNano) -> IntervalMonthDayNano {
    IntervalMonthDayNano {
        months: left.months.saturating_add(right.months),
        days: left.days.saturating_add(right.days),
        nanoseconds: left.nanoseconds.saturating_add(right.nanoseconds),
    }
}

/// Every field with the other sign.
pub(super) fn negative(interval: IntervalMonthDayNano) -> IntervalMonthDayNano {
    IntervalMonthDayNano {
        months: interval.months.saturating_neg(),
        days: interval.days.saturating_neg(),
        nanoseconds: interval.nanoseconds.saturating_neg(),
    }
}

/// `interval_mul` and `interval_div`: what a factor leaves of months goes to days, what it leaves of days to the time.
/// `scaled` multiplies or divides a field. `None` beyond the range of the fields.
pub(super) fn scaled(interval: IntervalMonthDayNano, scaled: impl Fn(f64) -> f64) -> Option<IntervalMonthDayNano> {
    let months = scaled(f64::from(interval.months));
    let days = scaled(f64::from(interval.days));
    let rounded = |value: f64| (value * MICROS_PER_SECOND).round_ties_even() / MICROS_PER_SECOND;
    let days_of_months = rounded((months - months.trunc()) * f64::from(DAYS_PER_MONTH));
    let mut seconds = rounded((days - days.trunc() + days_of_months - days_of_months.trunc()) * SECONDS_PER_DAY);
    let mut whole_days = days.trunc() + days_of_months.trunc();
    if seconds.abs() >= SECONDS_PER_DAY {
        let more = (seconds / SECONDS_PER_DAY).trunc();
        whole_days += more;
        seconds -= more * SECONDS_PER_DAY;
    }
    #[expect(clippy::cast_precision_loss, reason = "PostgreSQL multiplies microseconds as doubles too")]
    let micros =
        (scaled((interval.nanoseconds / NANOS_PER_MICRO) as f64) + seconds * MICROS_PER_SECOND).round_ties_even();
    let in_range = |value: f64, most: f64| value.is_finite() && value.abs() < most;
    if !in_range(months, FIELD_END) || !in_range(whole_days, FIELD_END) || !in_range(micros, MICROS_END) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    Some(IntervalMonthDayNano {
        months: months.trunc() as i32,
        days: whole_days as i32,
        nanoseconds: (micros as i64).saturating_mul(NANOS_PER_MICRO),
    })
}

/// A fraction between 0 and 1 of an interval, which is in its range.
pub(super) fn fraction(interval: IntervalMonthDayNano, fraction: f64) -> IntervalMonthDayNano {
    scaled(interval, |field| field * fraction).unwrap_or(interval)
}
