//! Casting arrays.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int32Array, ListArray, StringViewArray,
    StringViewBuilder, Time64MicrosecondArray, TimestampMicrosecondArray, new_null_array,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal256Type, Float32Type, Float64Type, Int32Type, TimestampMicrosecondType,
    i256,
};
use datafusion::common::ScalarValue;
use outcrop_types::data_type::UTC;
use outcrop_types::{Condition, DataType, Error, Result};

use super::format::format_array;
use super::function::{CastMode, is_arrow_cast};
use super::parse;
use crate::error::{from_arrow, from_datafusion};
use crate::functions::zone::Zone;
use crate::types::{TIMESTAMP, is_text};

const US_PER_DAY: i64 = 86_400_000_000;

/// One cast.
#[derive(Clone, Copy, Debug)]
pub(super) struct CastJob<'a> {
    pub(super) target: &'a DataType,
    /// The SQL type of the input where it has one.
    pub(super) from: Option<&'a DataType>,
    pub(super) mode: CastMode,
    pub(super) time_zone: &'a str,
}

/// Casts every value.
pub(super) fn cast_array(array: &ArrayRef, job: &CastJob<'_>) -> Result<ArrayRef> {
    let arrow = array.data_type();
    if *arrow == ArrowType::Null {
        return Ok(new_null_array(&job.target.to_arrow(), array.len()));
    }
    if *arrow == job.target.to_arrow() && is_arrow_cast(arrow, job.target) {
        return Ok(Arc::clone(array));
    }
    match job.target {
        DataType::Text => format_array(array, job.from),
        DataType::Varchar { length } => limit_text(&format_array(array, job.from)?, *length, job.mode),
        DataType::Jsonb if is_text(arrow) => from_text(array, job),
        DataType::Jsonb => Err(cannot_cast(arrow, job)),
        _ if is_text(arrow) => from_text(array, job),
        DataType::Bool => to_bool(array, job),
        DataType::Int2 | DataType::Int4 | DataType::Int8 => to_integer(array, job),
        DataType::Numeric { precision, scale } => to_numeric(array, *precision, *scale, job),
        DataType::Float4 | DataType::Float8 => to_float(array, job),
        DataType::Date => to_date(array, job),
        DataType::Timestamp | DataType::TimestampTz => to_timestamp(array, job),
        DataType::Time => to_time(array, job),
        DataType::Array(item) => to_array(array, item, job),
        DataType::Bytea | DataType::Uuid => by_arrow(array, job),
    }
}

fn from_text(array: &ArrayRef, job: &CastJob<'_>) -> Result<ArrayRef> {
    let text = as_string_view(array)?;
    let mut scalars = Vec::with_capacity(text.len());
    let null = ScalarValue::try_from(&job.target.to_arrow()).map_err(from_datafusion)?;
    for value in &text {
        scalars.push(match value {
            Some(value) => parse::parse_constant(value, job.target, job.time_zone)?,
            None => null.clone(),
        });
    }
    if scalars.is_empty() {
        return Ok(new_null_array(&job.target.to_arrow(), 0));
    }
    ScalarValue::iter_to_array(scalars).map_err(from_datafusion)
}

fn limit_text(array: &ArrayRef, length: u32, mode: CastMode) -> Result<ArrayRef> {
    let most = usize::try_from(length).unwrap_or(usize::MAX);
    let text = as_string_view(array)?;
    let mut limited = StringViewBuilder::with_capacity(text.len());
    for value in &text {
        let Some(value) = value else {
            limited.append_null();
            continue;
        };
        let end = value.char_indices().nth(most).map_or(value.len(), |(at, _)| at);
        let (kept, rest) = value.split_at(end);
        if mode == CastMode::Assignment && !rest.chars().all(|c| c == ' ') {
            return Err(Error::new(
                Condition::StringDataRightTruncation,
                format!("value too long for type character varying({length})"),
            ));
        }
        limited.append_value(kept);
    }
    Ok(Arc::new(limited.finish()))
}

fn to_bool(array: &ArrayRef, job: &CastJob<'_>) -> Result<ArrayRef> {
    let Some(integers) = array.as_primitive_opt::<Int32Type>() else {
        return Err(cannot_cast(array.data_type(), job));
    };
    Ok(Arc::new(integers.iter().map(|value| value.map(|value| value != 0)).collect::<BooleanArray>()))
}

fn to_integer(array: &ArrayRef, job: &CastJob<'_>) -> Result<ArrayRef> {
    match array.data_type() {
        ArrowType::Boolean if *job.target == DataType::Int4 => {
            Ok(Arc::new(array.as_boolean().iter().map(|value| value.map(i32::from)).collect::<Int32Array>()))
        }
        ArrowType::Boolean => Err(cannot_cast(array.data_type(), job)),
        ArrowType::Float32 => {
            let rounded: Float64Array =
                array.as_primitive::<Float32Type>().unary(|value| f64::from(value).round_ties_even());
            checked_integers(&(Arc::new(rounded) as ArrayRef), job)
        }
        ArrowType::Float64 => {
            let rounded: Float64Array = array.as_primitive::<Float64Type>().unary(f64::round_ties_even);
            checked_integers(&(Arc::new(rounded) as ArrayRef), job)
        }
        ArrowType::Decimal32(..) | ArrowType::Decimal64(..) | ArrowType::Decimal128(..) | ArrowType::Decimal256(..) => {
            let whole = to_numeric(array, 76, 0, job)?;
            checked_integers(&whole, job)
        }
        other if other.is_integer() => checked_integers(array, job),
        other => Err(cannot_cast(other, job)),
    }
}

fn checked_integers(array: &ArrayRef, job: &CastJob<'_>) -> Result<ArrayRef> {
    strict_cast(array, &job.target.to_arrow())
        .map_err(|_range| Error::new(Condition::NumericValueOutOfRange, format!("{} out of range", job.target)))
}

fn to_numeric(array: &ArrayRef, precision: u8, scale: i8, job: &CastJob<'_>) -> Result<ArrayRef> {
    let overflow = || {
        Error::new(Condition::NumericValueOutOfRange, "numeric field overflow").with_detail(format!(
            "A field with precision {precision}, scale {scale} must round to an absolute value less than 10^{}.",
            i32::from(precision) - i32::from(scale)
        ))
    };
    let target = DataType::Numeric { precision, scale }.to_arrow();
    match array.data_type() {
        ArrowType::Float32 | ArrowType::Float64 => {
            let floats = strict_cast(array, &ArrowType::Float64)?;
            let mut scalars = Vec::with_capacity(floats.len());
            for value in floats.as_primitive::<Float64Type>() {
                scalars.push(match value {
                    Some(value) => parse::numeric_of_float(value, precision, scale)?,
                    None => ScalarValue::try_from(&target).map_err(from_datafusion)?,
                });
            }
            if scalars.is_empty() {
                return Ok(new_null_array(&target, 0));
            }
            ScalarValue::iter_to_array(scalars).map_err(from_datafusion)
        }
        ArrowType::Decimal32(_, from)
        | ArrowType::Decimal64(_, from)
        | ArrowType::Decimal128(_, from)
        | ArrowType::Decimal256(_, from) => {
            let from = *from;
            let wide = strict_cast(array, &ArrowType::Decimal256(76, from)).map_err(|_range| overflow())?;
            let limit = i256::from_i128(10).checked_pow(u32::from(precision)).ok_or_else(overflow)?;
            let mut rescaled = Vec::with_capacity(wide.len());
            for value in wide.as_primitive::<Decimal256Type>() {
                rescaled.push(match value {
                    Some(value) => {
                        let value = parse::rescale(value, i32::from(from), i32::from(scale)).ok_or_else(overflow)?;
                        if value >= limit || value <= limit.wrapping_neg() {
                            return Err(overflow());
                        }
                        Some(value)
                    }
                    None => None,
                });
            }
            let rescaled = datafusion::arrow::array::Decimal256Array::from(rescaled)
                .with_precision_and_scale(76, scale)
                .map_err(from_arrow)?;
            strict_cast(&(Arc::new(rescaled) as ArrayRef), &target).map_err(|_range| overflow())
        }
        other if other.is_integer() => strict_cast(array, &target).map_err(|_range| overflow()),
        other => Err(cannot_cast(other, job)),
    }
}

fn to_float(array: &ArrayRef, job: &CastJob<'_>) -> Result<ArrayRef> {
    if !array.data_type().is_numeric() {
        return Err(cannot_cast(array.data_type(), job));
    }
    let target = job.target.to_arrow();
    let cast = strict_cast(array, &target)?;
    if target == ArrowType::Float32
        && let Some(doubles) = array.as_primitive_opt::<Float64Type>()
    {
        let overflowed = cast
            .as_primitive::<Float32Type>()
            .iter()
            .zip(doubles)
            .any(|(cast, from)| cast.is_some_and(f32::is_infinite) && from.is_some_and(f64::is_finite));
        if overflowed {
            return Err(Error::new(Condition::NumericValueOutOfRange, "value out of range: overflow"));
        }
    }
    Ok(cast)
}

fn to_date(array: &ArrayRef, job: &CastJob<'_>) -> Result<ArrayRef> {
    let ArrowType::Timestamp(..) = array.data_type() else {
        return if *array.data_type() == ArrowType::Date32 {
            Ok(Arc::clone(array))
        } else {
            Err(cannot_cast(array.data_type(), job))
        };
    };
    let local = in_local_micros(array, job)?;
    let days: Date32Array = local.as_primitive::<TimestampMicrosecondType>().unary(|us| match us {
        i64::MIN => i32::MIN,
        i64::MAX => i32::MAX,
        us => i32::try_from(us.div_euclid(US_PER_DAY)).unwrap_or(i32::MAX),
    });
    Ok(Arc::new(days))
}

fn to_timestamp(array: &ArrayRef, job: &CastJob<'_>) -> Result<ArrayRef> {
    let target_zone = if *job.target == DataType::TimestampTz { Some(Zone::parse(job.time_zone)?) } else { None };
    let from_local = |array: TimestampMicrosecondArray| -> ArrayRef {
        match target_zone {
            None => Arc::new(array),
            Some(zone) => {
                let moments: TimestampMicrosecondArray = array.unary(|us| zone.to_utc(us));
                Arc::new(moments.with_timezone(UTC))
            }
        }
    };
    match array.data_type() {
        ArrowType::Date32 => {
            let us: TimestampMicrosecondArray = array
                .as_primitive::<Date32Type>()
                .try_unary(|day| match day {
                    i32::MIN => Ok(i64::MIN),
                    i32::MAX => Ok(i64::MAX),
                    day => i64::from(day).checked_mul(US_PER_DAY).ok_or_else(|| {
                        crate::error::to_arrow(Error::new(
                            Condition::DatetimeFieldOverflow,
                            "date out of range for timestamp",
                        ))
                    }),
                })
                .map_err(from_arrow)?;
            Ok(from_local(us))
        }
        ArrowType::Timestamp(_, Some(_)) if target_zone.is_some() => strict_cast(array, &job.target.to_arrow()),
        ArrowType::Timestamp(..) => {
            Ok(from_local(in_local_micros(array, job)?.as_primitive::<TimestampMicrosecondType>().clone()))
        }
        other => Err(cannot_cast(other, job)),
    }
}

fn to_time(array: &ArrayRef, job: &CastJob<'_>) -> Result<ArrayRef> {
    match array.data_type() {
        ArrowType::Timestamp(..) => {
            let local = in_local_micros(array, job)?;
            let times: Time64MicrosecondArray =
                local.as_primitive::<TimestampMicrosecondType>().unary(|us| us.rem_euclid(US_PER_DAY));
            Ok(Arc::new(times))
        }
        ArrowType::Time32(_) | ArrowType::Time64(_) => by_arrow(array, job),
        other => Err(cannot_cast(other, job)),
    }
}

fn to_array(array: &ArrayRef, item: &DataType, job: &CastJob<'_>) -> Result<ArrayRef> {
    let lists = match array.data_type() {
        ArrowType::List(_) => Arc::clone(array),
        ArrowType::LargeList(field) | ArrowType::FixedSizeList(field, _) => {
            strict_cast(array, &ArrowType::List(Arc::clone(field)))?
        }
        other => return Err(cannot_cast(other, job)),
    };
    let lists = lists.as_list::<i32>();
    let from = match job.from {
        Some(DataType::Array(from)) => Some(from.as_ref()),
        _ => None,
    };
    let values = cast_array(lists.values(), &CastJob { target: item, from, ..*job })?;
    let field = Arc::new(item.to_field("item", true));
    Ok(Arc::new(ListArray::new(field, lists.offsets().clone(), values, lists.nulls().cloned())))
}

fn by_arrow(array: &ArrayRef, job: &CastJob<'_>) -> Result<ArrayRef> {
    if *array.data_type() == job.target.to_arrow() {
        return Ok(Arc::clone(array));
    }
    strict_cast(array, &job.target.to_arrow()).map_err(|_unsupported| cannot_cast(array.data_type(), job))
}

/// Timestamps without zone, in µs: moments as the session's clocks show them.
fn in_local_micros(array: &ArrayRef, job: &CastJob<'_>) -> Result<ArrayRef> {
    let ArrowType::Timestamp(_, Some(_)) = array.data_type() else {
        return strict_cast(array, &TIMESTAMP);
    };
    let zone = Zone::parse(job.time_zone)?;
    let moments = strict_cast(array, &DataType::TimestampTz.to_arrow())?;
    let local: TimestampMicrosecondArray =
        moments.as_primitive::<TimestampMicrosecondType>().unary(|us| zone.to_local(us));
    Ok(Arc::new(local))
}

fn strict_cast(array: &ArrayRef, target: &ArrowType) -> Result<ArrayRef> {
    cast_with_options(array, target, &CastOptions { safe: false, ..CastOptions::default() }).map_err(from_arrow)
}

fn as_string_view(array: &ArrayRef) -> Result<StringViewArray> {
    let view = strict_cast(array, &ArrowType::Utf8View)?;
    Ok(view.as_string_view().clone())
}

fn cannot_cast(from: &ArrowType, job: &CastJob<'_>) -> Error {
    let from = match from {
        ArrowType::Interval(_) => "interval".to_owned(),
        other => crate::types::data_type_of_arrow(other).map_or_else(|| other.to_string(), |known| known.to_string()),
    };
    Error::new(Condition::CannotCoerce, format!("cannot cast type {from} to {}", job.target))
}
