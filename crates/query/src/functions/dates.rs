//! Dates and times: reading them, their parts, zones and formats.

use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};
use datafusion::arrow::array::{ArrayRef, AsArray, Decimal128Array, Float64Array, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{
    DataType as ArrowType, FieldRef, IntervalMonthDayNano, IntervalMonthDayNanoType, TimestampMicrosecondType,
};
use datafusion::common::{Result as PlanResult, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use outcrop_types::data_type::UTC;
use outcrop_types::{Condition, DataType, Error, Result};

use super::simple::{RowBody, RowFunction, integer_arg, text_arg, text_or_null};
use super::zone::Zone;
use crate::context::SessionExtension;
use crate::error::{from_arrow, to_datafusion};

const US_PER_SECOND: i64 = 1_000_000;
const US_PER_DAY: i64 = 86_400_000_000;

/// Functions over rows.
pub(super) fn functions() -> Vec<RowFunction> {
    let of = |name, returns: DataType, arguments: &[usize], body: RowBody| {
        let field: FieldRef = Arc::new(returns.to_field("", true));
        RowFunction::any(name, arguments, field, Volatility::Stable, body)
    };
    vec![
        of("to_char", DataType::Text, &[2], |args, session| {
            if let Some(value) = args.first()
                && !matches!(value.data_type(), ArrowType::Null | ArrowType::Date32 | ArrowType::Timestamp(..))
            {
                return Err(Error::new(Condition::FeatureNotSupported, "to_char takes dates and timestamps only")
                    .with_hint("Numbers become text by a cast; round() gives them their digits."));
            }
            let (Some(us), Some(format)) = (args.first().and_then(micros_of), text_arg(args, 1)) else {
                return Ok(text_or_null(None));
            };
            let us = match args.first().map(ScalarValue::data_type) {
                Some(ArrowType::Timestamp(_, Some(_))) => session_zone(session)?.to_local(us),
                _ => us,
            };
            Ok(text_or_null(DateTime::from_timestamp_micros(us).map(|time| to_char(&time.naive_utc(), format))))
        }),
        of("to_timestamp", DataType::TimestampTz, &[1], |args, session| {
            let us = match args.first() {
                Some(scalar) if scalar.data_type().is_numeric() => {
                    let ScalarValue::Float64(seconds) =
                        scalar.cast_to(&ArrowType::Float64).map_err(crate::error::from_datafusion)?
                    else {
                        return Ok(ScalarValue::TimestampMicrosecond(None, Some(UTC.into())));
                    };
                    seconds.map(seconds_to_micros).transpose()?
                }
                _ => {
                    let zone = session.map_or("UTC", |session| session.view.time_zone.as_str());
                    text_arg(args, 0).map(|text| parse_timestamp(text, Some(zone))).transpose()?
                }
            };
            Ok(ScalarValue::TimestampMicrosecond(us, Some(UTC.into())))
        }),
        of("make_date", DataType::Date, &[3], |args, _| {
            let (Some(year), Some(month), Some(day)) =
                (integer_arg(args, 0), integer_arg(args, 1), integer_arg(args, 2))
            else {
                return Ok(ScalarValue::Date32(None));
            };
            civil_days(year, month, day).map(|days| ScalarValue::Date32(Some(days))).ok_or_else(|| {
                Error::new(
                    Condition::DatetimeFieldOverflow,
                    format!("date field value out of range: {year}-{month:02}-{day:02}"),
                )
            })
        }),
        of("isfinite", DataType::Bool, &[1], |args, _| {
            let finite = args.first().filter(|scalar| !scalar.is_null()).map(|scalar| match scalar {
                ScalarValue::Date32(Some(day)) => *day != i32::MIN && *day != i32::MAX,
                other => micros_of(other).is_none_or(|us| us != i64::MIN && us != i64::MAX),
            });
            Ok(ScalarValue::Boolean(finite))
        }),
    ]
}

fn session_zone(session: Option<&SessionExtension>) -> Result<Zone> {
    session.map_or(Ok(Zone::Fixed(0)), |session| Zone::parse(&session.view.time_zone))
}

/// Functions over arrays.
pub(super) fn kernels() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::new_from_impl(DatePart {
            extract: None,
            signature: Signature::any(2, Volatility::Stable),
        })),
        Arc::new(ScalarUDF::new_from_impl(AtTimeZone { signature: Signature::any(2, Volatility::Stable) })),
    ]
}

/// `EXTRACT(field FROM source)`: numeric, with six digits where the field has fractions.
pub(crate) fn extract(field: &str, source: Expr) -> Expr {
    let scale = match Part::of_name(field) {
        Some(Part::Epoch | Part::Second | Part::Milliseconds) => 6,
        _ => 0,
    };
    let function = DatePart { extract: Some(scale), signature: Signature::any(2, Volatility::Stable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(
        Arc::new(ScalarUDF::new_from_impl(function)),
        vec![lit(field.to_lowercase()), source],
    ))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Century,
    Day,
    Decade,
    DayOfWeek,
    DayOfYear,
    Epoch,
    Hour,
    IsoDayOfWeek,
    IsoYear,
    Microseconds,
    Millennium,
    Milliseconds,
    Minute,
    Month,
    Quarter,
    Second,
    Week,
    Year,
}

impl Part {
    fn of_name(name: &str) -> Option<Self> {
        Some(match name.trim_matches('\'').to_lowercase().as_str() {
            "century" | "centuries" => Self::Century,
            "day" | "days" => Self::Day,
            "decade" | "decades" => Self::Decade,
            "dow" | "dayofweek" => Self::DayOfWeek,
            "doy" | "dayofyear" => Self::DayOfYear,
            "epoch" => Self::Epoch,
            "hour" | "hours" => Self::Hour,
            "isodow" => Self::IsoDayOfWeek,
            "isoyear" => Self::IsoYear,
            "microsecond" | "microseconds" => Self::Microseconds,
            "millennium" => Self::Millennium,
            "millisecond" | "milliseconds" => Self::Milliseconds,
            "minute" | "minutes" => Self::Minute,
            "month" | "months" => Self::Month,
            "quarter" => Self::Quarter,
            "second" | "seconds" => Self::Second,
            "week" | "weeks" => Self::Week,
            "year" | "years" => Self::Year,
            _ => return None,
        })
    }

    /// In millionths.
    fn of_time(self, us: i64) -> Option<i128> {
        let time = DateTime::from_timestamp_micros(us)?.naive_utc();
        let year = i64::from(time.year());
        let in_minute = us.rem_euclid(60 * US_PER_SECOND);
        let whole = match self {
            Self::Epoch => return Some(i128::from(us)),
            Self::Second => return Some(i128::from(in_minute)),
            Self::Milliseconds => return Some(i128::from(in_minute) * 1_000),
            Self::Microseconds => in_minute,
            Self::Minute => i64::from(time.minute()),
            Self::Hour => i64::from(time.hour()),
            Self::Day => i64::from(time.day()),
            Self::DayOfWeek => i64::from(time.weekday().num_days_from_sunday()),
            Self::IsoDayOfWeek => i64::from(time.weekday().number_from_monday()),
            Self::DayOfYear => i64::from(time.ordinal()),
            Self::Week => i64::from(time.iso_week().week()),
            Self::Month => i64::from(time.month()),
            Self::Quarter => i64::from(time.month0() / 3 + 1),
            Self::Year => {
                if year > 0 {
                    year
                } else {
                    year - 1
                }
            }
            Self::IsoYear => i64::from(time.iso_week().year()),
            Self::Decade => year.div_euclid(10),
            Self::Century => {
                if year > 0 {
                    (year + 99) / 100
                } else {
                    year.div_euclid(100)
                }
            }
            Self::Millennium => {
                if year > 0 {
                    (year + 999) / 1000
                } else {
                    year.div_euclid(1000)
                }
            }
        };
        Some(i128::from(whole) * i128::from(US_PER_SECOND))
    }

    /// In millionths.
    fn of_interval(self, interval: IntervalMonthDayNano) -> i128 {
        let us = i128::from(interval.nanoseconds / 1_000);
        let second = i128::from(US_PER_SECOND);
        let (years, months, days) =
            (i128::from(interval.months / 12), i128::from(interval.months % 12), i128::from(interval.days));
        let whole = match self {
            Self::Epoch => {
                let year = 31_557_600 * second;
                return years * year + months * 30 * i128::from(US_PER_DAY) + days * i128::from(US_PER_DAY) + us;
            }
            Self::Second => return us % (60 * second),
            Self::Milliseconds => return us % (60 * second) * 1_000,
            Self::Microseconds => us % (60 * second),
            Self::Minute => us / (60 * second) % 60,
            Self::Hour => us / (3_600 * second),
            Self::Day => days,
            Self::Month => months,
            Self::Quarter => months / 3 + 1,
            Self::Year | Self::IsoYear => years,
            Self::Decade => years / 10,
            Self::Century => years / 100,
            Self::Millennium => years / 1_000,
            Self::Week | Self::DayOfWeek | Self::IsoDayOfWeek | Self::DayOfYear => 0,
        };
        whole * second
    }
}

/// `date_part` (double precision), and `EXTRACT` with the scale of its numeric.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DatePart {
    extract: Option<i8>,
    signature: Signature,
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &'static str {
        if self.extract.is_some() { "extract" } else { "date_part" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(match self.extract {
            Some(scale) => ArrowType::Decimal128(20, scale),
            None => ArrowType::Float64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let field = match args.args.first() {
            Some(ColumnarValue::Scalar(scalar)) => scalar.try_as_str().flatten().unwrap_or_default().to_owned(),
            _ => {
                return Err(to_datafusion(Error::new(
                    Condition::FeatureNotSupported,
                    "the field of date_part must be a constant",
                )));
            }
        };
        let part = Part::of_name(&field).ok_or_else(|| {
            to_datafusion(Error::new(
                Condition::InvalidParameterValue,
                format!("unit \"{field}\" not recognized for type timestamp"),
            ))
        })?;
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let source = arrays.get(1).ok_or_else(|| to_datafusion(Error::internal("date_part takes two arguments")))?;
        let zone = args.config_options.execution.time_zone.as_deref().unwrap_or_default();
        let local;
        let source = if part == Part::Epoch {
            source
        } else {
            local = in_session_zone(source, zone).map_err(to_datafusion)?;
            &local
        };
        let parts = millionths(part, source).map_err(to_datafusion)?;
        let array: ArrayRef = match self.extract {
            None => {
                #[expect(clippy::cast_precision_loss, reason = "date_part is a double by definition")]
                let doubles =
                    parts.into_iter().map(|part| part.map(|part| part as f64 / 1e6)).collect::<Float64Array>();
                Arc::new(doubles)
            }
            Some(scale) => {
                let unit = if scale == 0 { i128::from(US_PER_SECOND) } else { 1 };
                let digits = parts.into_iter().map(|part| part.map(|part| part / unit)).collect::<Decimal128Array>();
                Arc::new(digits.with_precision_and_scale(20, scale)?)
            }
        };
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// Moments as the session's clocks show them.
fn in_session_zone(source: &ArrayRef, zone: &str) -> Result<ArrayRef> {
    let (ArrowType::Timestamp(_, Some(_)), zone) = (source.data_type(), Zone::parse(zone)?) else {
        return Ok(Arc::clone(source));
    };
    let moments = datafusion::arrow::compute::cast(source, &DataType::TimestampTz.to_arrow()).map_err(from_arrow)?;
    let local: TimestampMicrosecondArray =
        moments.as_primitive::<TimestampMicrosecondType>().unary(|us| zone.to_local(us));
    Ok(Arc::new(local))
}

/// `AT TIME ZONE`: a moment becomes a local time, a local time a moment.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AtTimeZone {
    signature: Signature,
}

impl ScalarUDFImpl for AtTimeZone {
    fn name(&self) -> &'static str {
        "timezone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(match arg_types.get(1) {
            Some(ArrowType::Timestamp(_, None) | ArrowType::Date32) => DataType::TimestampTz.to_arrow(),
            _ => crate::types::TIMESTAMP,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let zone = match args.args.first() {
            Some(ColumnarValue::Scalar(scalar)) => scalar.try_as_str().flatten().unwrap_or_default().to_owned(),
            _ => {
                return Err(to_datafusion(Error::new(
                    Condition::FeatureNotSupported,
                    "a time zone must be a constant",
                )));
            }
        };
        // Offsets are west of Greenwich here, as in POSIX; only names and UTC mean what they say.
        let zone = match Zone::parse(&zone).map_err(to_datafusion)? {
            Zone::Fixed(east) => Zone::Fixed(-east),
            named @ Zone::Named(_) => named,
        };
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let source = arrays.get(1).ok_or_else(|| to_datafusion(Error::internal("timezone takes two arguments")))?;
        let array: ArrayRef = match source.data_type() {
            ArrowType::Timestamp(_, None) | ArrowType::Date32 => {
                let local = datafusion::arrow::compute::cast(source, &crate::types::TIMESTAMP)?;
                let moments: TimestampMicrosecondArray =
                    local.as_primitive::<TimestampMicrosecondType>().unary(|us| zone.to_utc(us));
                Arc::new(moments.with_timezone(UTC))
            }
            ArrowType::Timestamp(_, Some(_)) => {
                let moments = datafusion::arrow::compute::cast(source, &DataType::TimestampTz.to_arrow())?;
                let local: TimestampMicrosecondArray =
                    moments.as_primitive::<TimestampMicrosecondType>().unary(|us| zone.to_local(us));
                Arc::new(local)
            }
            _ => {
                let session = args.config_options.execution.time_zone.clone().unwrap_or_default();
                let text = datafusion::arrow::compute::cast(source, &ArrowType::Utf8)?;
                let local = text
                    .as_string::<i32>()
                    .iter()
                    .map(|text| {
                        text.map(|text| parse_timestamp(text, Some(&session)).map(|us| zone.to_local(us))).transpose()
                    })
                    .collect::<Result<TimestampMicrosecondArray>>()
                    .map_err(to_datafusion)?;
                Arc::new(local)
            }
        };
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

fn millionths(part: Part, source: &ArrayRef) -> Result<Vec<Option<i128>>> {
    if let ArrowType::Interval(_) = source.data_type() {
        let intervals = datafusion::arrow::compute::cast(source, &crate::types::INTERVAL).map_err(from_arrow)?;
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        return Ok(intervals.iter().map(|interval| interval.map(|interval| part.of_interval(interval))).collect());
    }
    let times = match source.data_type() {
        ArrowType::Time32(_) | ArrowType::Time64(_) => {
            let us = datafusion::arrow::compute::cast(
                source,
                &ArrowType::Time64(datafusion::arrow::datatypes::TimeUnit::Microsecond),
            )
            .and_then(|array| datafusion::arrow::compute::cast(&array, &ArrowType::Int64))
            .and_then(|array| datafusion::arrow::compute::cast(&array, &crate::types::TIMESTAMP));
            us.map_err(from_arrow)?
        }
        ArrowType::Timestamp(_, _) | ArrowType::Date32 | ArrowType::Date64 => {
            datafusion::arrow::compute::cast(source, &crate::types::TIMESTAMP).map_err(from_arrow)?
        }
        _ => {
            let text = datafusion::arrow::compute::cast(source, &ArrowType::Utf8).map_err(from_arrow)?;
            return text
                .as_string::<i32>()
                .iter()
                .map(|text| text.map(|text| parse_timestamp(text, None)).transpose())
                .map(|us| Ok(us?.and_then(|us| part.of_time(us))))
                .collect();
        }
    };
    Ok(times.as_primitive::<TimestampMicrosecondType>().iter().map(|us| us.and_then(|us| part.of_time(us))).collect())
}

/// Reads a date: days since 1970-01-01.
///
/// # Errors
/// 22007 for malformed text, 22008 for a day that does not exist.
pub(super) fn parse_date(text: &str) -> Result<i32> {
    match text.to_ascii_lowercase().as_str() {
        "infinity" => return Ok(i32::MAX),
        "-infinity" => return Ok(i32::MIN),
        "epoch" => return Ok(0),
        _ => {}
    }
    let us = parse_timestamp_as(text, None, "date")?;
    i32::try_from(us.div_euclid(US_PER_DAY)).map_err(|_far| out_of_range("date", text))
}

/// Reads a time of day: µs since midnight.
///
/// # Errors
/// As [`parse_date`].
pub(super) fn parse_time(text: &str) -> Result<i64> {
    let clock = text.split(['+', 'Z']).next().unwrap_or(text).trim();
    parse_clock(clock).ok_or_else(|| malformed("time", text))?.ok_or_else(|| out_of_range("time", text))
}

/// Reads a timestamp: µs since 1970-01-01. With a zone the result is in UTC, and text without a zone is local to it.
///
/// # Errors
/// As [`parse_date`].
pub(super) fn parse_timestamp(text: &str, zone: Option<&str>) -> Result<i64> {
    match text.to_ascii_lowercase().as_str() {
        "infinity" => return Ok(i64::MAX),
        "-infinity" => return Ok(i64::MIN),
        "epoch" => return Ok(0),
        _ => {}
    }
    parse_timestamp_as(text, zone, if zone.is_some() { "timestamp with time zone" } else { "timestamp" })
}

fn parse_timestamp_as(text: &str, zone: Option<&str>, type_name: &str) -> Result<i64> {
    let malformed = || malformed(type_name, text);
    let trimmed = text.trim();
    let (trimmed, before_christ) = match trimmed.strip_suffix("BC").or_else(|| trimmed.strip_suffix("bc")) {
        Some(rest) => (rest.trim_end(), true),
        None => (trimmed, false),
    };
    let (date, rest) = match trimmed.find(['T', 't', ' ']) {
        Some(at) => {
            let (date, rest) = trimmed.split_at(at);
            (date, rest.get(1..).unwrap_or("").trim())
        }
        None => (trimmed, ""),
    };
    let days =
        parse_civil(date, before_christ).ok_or_else(malformed)?.ok_or_else(|| out_of_range("date/time field", text))?;
    let zone_at = rest.find(|c: char| matches!(c, '+' | '-') || c.is_ascii_alphabetic());
    let (clock, zone_text) = match zone_at {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let clock = if clock.trim().is_empty() {
        0
    } else {
        parse_clock(clock.trim()).ok_or_else(malformed)?.ok_or_else(|| out_of_range("date/time field", text))?
    };
    let local = i64::from(days).checked_mul(US_PER_DAY).and_then(|us| us.checked_add(clock));
    let local = local.ok_or_else(|| out_of_range(type_name, text))?;
    let Some(session_zone) = zone else {
        // A zone in the text of a plain timestamp is ignored, as in PostgreSQL.
        return if zone_text.is_empty() || Zone::parse(zone_text).is_ok() { Ok(local) } else { Err(malformed()) };
    };
    let zone = if zone_text.trim().is_empty() {
        Zone::parse(session_zone)?
    } else {
        Zone::parse(zone_text).map_err(|_unknown| malformed())?
    };
    Ok(zone.to_utc(local))
}

/// Days of `YYYY-MM-DD` (also `YYYYMMDD` and `YYYY/MM/DD`); the inner `None` is a day that does not exist.
fn parse_civil(text: &str, before_christ: bool) -> Option<Option<i32>> {
    let compact = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = if compact {
        vec![text.get(0..4)?, text.get(4..6)?, text.get(6..8)?]
    } else {
        text.split(['-', '/']).collect()
    };
    let [year, month, day] = parts.as_slice() else {
        return None;
    };
    let number = |part: &str| -> Option<i64> {
        (!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok()).flatten()
    };
    let (year, month, day) = (number(year)?, number(month)?, number(day)?);
    if year == 0 {
        return Some(None);
    }
    let year = if before_christ { 1 - year } else { year };
    Some(civil_days(year, month, day))
}

fn civil_days(year: i64, month: i64, day: i64) -> Option<i32> {
    let date =
        NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?;
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
    i32::try_from(date.signed_duration_since(epoch).num_days()).ok()
}

/// µs of `HH:MM[:SS[.ffffff]]`; the inner `None` is a time that does not exist.
fn parse_clock(text: &str) -> Option<Option<i64>> {
    let (text, afternoon) = match text.to_ascii_lowercase() {
        lower if lower.ends_with("pm") => (text.get(..text.len() - 2)?.trim_end(), Some(true)),
        lower if lower.ends_with("am") => (text.get(..text.len() - 2)?.trim_end(), Some(false)),
        _ => (text, None),
    };
    let mut parts = text.split(':');
    let number = |part: &str| -> Option<i64> {
        (!part.is_empty() && part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse().ok())
            .flatten()
    };
    let mut hour = number(parts.next()?)?;
    let minute = number(parts.next()?)?;
    let (second, fraction) = match parts.next() {
        Some(seconds) => {
            let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
            (number(second)?, parse_fraction(fraction)?)
        }
        None => (0, 0),
    };
    if parts.next().is_some() {
        return None;
    }
    match afternoon {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    let valid =
        minute < 60 && second <= 60 && (hour < 24 || (hour == 24 && minute == 0 && second == 0 && fraction == 0));
    Some(valid.then(|| ((hour * 60 + minute) * 60 + second) * US_PER_SECOND + fraction))
}

/// µs of the digits behind the point, rounded.
fn parse_fraction(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{digits:0<7}");
    let seven: i64 = padded.get(..7)?.parse().ok()?;
    Some((seven + 5) / 10)
}

fn seconds_to_micros(seconds: f64) -> Result<i64> {
    if seconds.is_infinite() {
        return Ok(if seconds > 0.0 { i64::MAX } else { i64::MIN });
    }
    let us = (seconds * 1e6).round();
    if us.is_nan() || us.abs() >= 9.0e18 {
        return Err(Error::new(Condition::DatetimeFieldOverflow, format!("timestamp out of range: \"{seconds}\"")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    Ok(us as i64)
}

fn micros_of(scalar: &ScalarValue) -> Option<i64> {
    match scalar {
        ScalarValue::TimestampMicrosecond(us, _) => *us,
        ScalarValue::Date32(days) => days.and_then(|days| i64::from(days).checked_mul(US_PER_DAY)),
        ScalarValue::Time64Microsecond(us) => *us,
        other => match other.cast_to(&crate::types::TIMESTAMP) {
            Ok(ScalarValue::TimestampMicrosecond(us, _)) => us,
            _ => None,
        },
    }
}

/// Writes one field of a time.
type FieldText = fn(&NaiveDateTime) -> String;

/// Julian day of the day before year 1.
const JULIAN_DAY_OF_CE: i64 = 1_721_425;

/// Template patterns of `to_char`, longest first.
const PATTERNS: &[(&str, FieldText)] = &[
    ("IYYY", |time| format!("{:04}", time.iso_week().year())),
    ("YYYY", |time| format!("{:04}", time.year())),
    ("IDDD", |time| format!("{:03}", (time.iso_week().week0() * 7) + time.weekday().number_from_monday())),
    ("HH24", |time| format!("{:02}", time.hour())),
    ("HH12", |time| format!("{:02}", time.hour12().1)),
    ("Month", |time| format!("{:<9}", time.format("%B").to_string())),
    ("MONTH", |time| format!("{:<9}", time.format("%B").to_string().to_uppercase())),
    ("month", |time| format!("{:<9}", time.format("%B").to_string().to_lowercase())),
    ("DDD", |time| format!("{:03}", time.ordinal())),
    ("Day", |time| format!("{:<9}", time.format("%A").to_string())),
    ("DAY", |time| format!("{:<9}", time.format("%A").to_string().to_uppercase())),
    ("day", |time| format!("{:<9}", time.format("%A").to_string().to_lowercase())),
    ("Mon", |time| time.format("%b").to_string()),
    ("MON", |time| time.format("%b").to_string().to_uppercase()),
    ("mon", |time| time.format("%b").to_string().to_lowercase()),
    ("YY", |time| format!("{:02}", time.year().rem_euclid(100))),
    ("MM", |time| format!("{:02}", time.month())),
    ("DD", |time| format!("{:02}", time.day())),
    ("Dy", |time| time.format("%a").to_string()),
    ("DY", |time| time.format("%a").to_string().to_uppercase()),
    ("dy", |time| time.format("%a").to_string().to_lowercase()),
    ("HH", |time| format!("{:02}", time.hour12().1)),
    ("MI", |time| format!("{:02}", time.minute())),
    ("SS", |time| format!("{:02}", time.second())),
    ("MS", |time| format!("{:03}", time.nanosecond() / 1_000_000)),
    ("US", |time| format!("{:06}", time.nanosecond() / 1_000)),
    ("AM", |time| meridiem(time).to_uppercase()),
    ("PM", |time| meridiem(time).to_uppercase()),
    ("am", |time| meridiem(time).to_owned()),
    ("pm", |time| meridiem(time).to_owned()),
    ("CC", |time| format!("{:02}", century(time.year()))),
    ("ID", |time| time.weekday().number_from_monday().to_string()),
    ("IW", |time| format!("{:02}", time.iso_week().week())),
    ("J", |time| (i64::from(time.num_days_from_ce()) + JULIAN_DAY_OF_CE).to_string()),
    ("Q", |time| (time.month0() / 3 + 1).to_string()),
    ("D", |time| (time.weekday().num_days_from_sunday() + 1).to_string()),
];

/// The first century has the years 1 to 100; there is no year 0, which is 1 BC.
fn century(year: i32) -> i32 {
    if year > 0 { (year - 1) / 100 + 1 } else { year / 100 - 1 }
}

fn meridiem(time: &NaiveDateTime) -> &'static str {
    if time.hour12().0 { "pm" } else { "am" }
}

fn to_char(time: &NaiveDateTime, format: &str) -> String {
    let mut text = String::new();
    let mut rest = format;
    let mut unpadded = false;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (literal, after) = quoted.split_once('"').unwrap_or((quoted, ""));
            text.push_str(literal);
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix("FM") {
            unpadded = true;
            rest = after;
            continue;
        }
        match PATTERNS.iter().find_map(|(pattern, value)| Some((rest.strip_prefix(pattern)?, value))) {
            Some((after, value)) => {
                let value = value(time);
                let written = if unpadded { unpadded_text(&value) } else { &value };
                text.push_str(written);
                unpadded = false;
                rest = after;
                for (suffix, capital) in [("TH", true), ("th", false)] {
                    if let (Some(after), Ok(number)) = (rest.strip_prefix(suffix), written.parse::<i64>()) {
                        let ordinal = ordinal_suffix(number);
                        text.push_str(&if capital { ordinal.to_uppercase() } else { ordinal.to_owned() });
                        rest = after;
                    }
                }
            }
            None => {
                text.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or("");
            }
        }
    }
    text
}

/// A field without the spaces and zeros that fill it up.
fn unpadded_text(value: &str) -> &str {
    let value = value.trim_end();
    match value.trim_start_matches('0') {
        "" if !value.is_empty() => "0",
        other => other,
    }
}

fn ordinal_suffix(number: i64) -> &'static str {
    match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

fn malformed(type_name: &str, text: &str) -> Error {
    Error::new(Condition::InvalidDatetimeFormat, format!("invalid input syntax for type {type_name}: \"{text}\""))
}

fn out_of_range(what: &str, text: &str) -> Error {
    Error::new(Condition::DatetimeFieldOverflow, format!("{what} value out of range: \"{text}\""))
}
