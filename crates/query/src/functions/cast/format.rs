//! Values as text, as PostgreSQL writes them.

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringViewBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType as ArrowType, IntervalMonthDayNano};
use datafusion::common::ScalarValue;
use outcrop_types::{DataType, Result, Value};

use crate::error::{from_arrow, from_datafusion};
use crate::types::{data_type_of_arrow, is_text, scalar_to_value};

/// Every value as text.
pub(super) fn format_array(array: &ArrayRef, from: Option<&DataType>) -> Result<ArrayRef> {
    let arrow = array.data_type();
    if is_text(arrow) || arrow.is_integer() {
        return cast(array, &ArrowType::Utf8View).map_err(from_arrow);
    }
    let held_as = from.cloned().or_else(|| data_type_of_arrow(arrow));
    let array = match &held_as {
        Some(data_type) if data_type.to_arrow() != *arrow => cast(array, &data_type.to_arrow()).map_err(from_arrow)?,
        _ => Arc::clone(array),
    };
    let mut text = StringViewBuilder::with_capacity(array.len());
    for at in 0..array.len() {
        if array.is_null(at) {
            text.append_null();
            continue;
        }
        let scalar = ScalarValue::try_from_array(&array, at).map_err(from_datafusion)?;
        text.append_value(format_scalar(&scalar, held_as.as_ref()));
    }
    Ok(Arc::new(text.finish()))
}

/// One value as text; it is not NULL.
pub(crate) fn format_scalar(scalar: &ScalarValue, data_type: Option<&DataType>) -> String {
    match (scalar, data_type) {
        (ScalarValue::Boolean(Some(value)), _) => value.to_string(),
        (ScalarValue::Float64(Some(value)), _) => format_float(*value, &format!("{value:e}"), &value.to_string(), 15),
        (ScalarValue::Float32(Some(value)), _) => {
            format_float(f64::from(*value), &format!("{value:e}"), &value.to_string(), 6)
        }
        (ScalarValue::IntervalMonthDayNano(Some(value)), _) => format_interval(*value),
        (ScalarValue::Decimal256(Some(value), _, scale), _) => value.to_i128().map_or_else(
            || with_point(&value.to_string(), *scale),
            |digits| Value::Decimal(digits, *scale).to_string(),
        ),
        (ScalarValue::List(list), Some(DataType::Array(item))) => format_list(&list.value(0), item),
        (scalar, Some(data_type)) => {
            scalar_to_value(scalar, data_type).map_or_else(|| scalar.to_string(), |value| value.to_string())
        }
        (scalar, None) => scalar.to_string(),
    }
}

/// Shortest digits; exponents where PostgreSQL uses them.
fn format_float(value: f64, scientific: &str, plain: &str, digits: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..digits).contains(&exponent) || value == 0.0 {
        return plain.to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

fn with_point(digits: &str, scale: i8) -> String {
    let Some(scale) = usize::try_from(scale).ok().filter(|scale| *scale > 0) else {
        return digits.to_owned();
    };
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

fn format_list(values: &ArrayRef, item: &DataType) -> String {
    let mut text = String::from("{");
    for at in 0..values.len() {
        if at > 0 {
            text.push(',');
        }
        if values.is_null(at) {
            text.push_str("NULL");
            continue;
        }
        let value = ScalarValue::try_from_array(values, at)
            .map(|scalar| format_scalar(&scalar, Some(item)))
            .unwrap_or_default();
        let plain = !value.is_empty()
            && !value.eq_ignore_ascii_case("null")
            && !value.contains(|c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_whitespace());
        if plain {
            text.push_str(&value);
        } else {
            text.push('"');
            for c in value.chars() {
                if matches!(c, '"' | '\\') {
                    text.push('\\');
                }
                text.push(c);
            }
            text.push('"');
        }
    }
    text.push('}');
    text
}

/// `1 year 2 mons -3 days +04:05:06`: what comes after something negative shows its sign.
fn format_interval(interval: IntervalMonthDayNano) -> String {
    let mut parts = Vec::new();
    let mut after_negative = false;
    for (count, name) in [(interval.months / 12, "year"), (interval.months % 12, "mon"), (interval.days, "day")] {
        if count != 0 {
            let plus = if after_negative && count > 0 { "+" } else { "" };
            parts.push(format!("{plus}{count} {name}{}", if count == 1 { "" } else { "s" }));
            after_negative = count < 0;
        }
    }
    let us = interval.nanoseconds / 1_000;
    if us != 0 || parts.is_empty() {
        let seconds = us.unsigned_abs() / 1_000_000;
        let sign = match us < 0 {
            true => "-",
            false if after_negative => "+",
            false => "",
        };
        let mut time = format!("{sign}{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let fraction = us.unsigned_abs() % 1_000_000;
        if fraction != 0 {
            let digits = format!("{fraction:06}");
            let _infallible = write!(time, ".{}", digits.trim_end_matches('0'));
        }
        parts.push(time);
    }
    parts.join(" ")
}
