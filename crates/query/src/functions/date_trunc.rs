//! `date_trunc` by DataFusion's function, and what it does not know: infinite times, that the zone is UTC, and weeks, months
//! and years beyond the range of nanoseconds.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Days};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::functions::datetime;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use outcrop_types::{Condition, Error};

use crate::error::to_datafusion;

const LOCAL: ArrowType = ArrowType::Timestamp(TimeUnit::Microsecond, None);

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(DateTrunc { inner: datetime::date_trunc() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateTrunc {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[ArrowType]) -> Result<ArrowType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(time) = args.args.get(1).cloned() else {
            return self.inner.invoke_with_args(args);
        };
        let ArrowType::Timestamp(TimeUnit::Microsecond, zone) = time.data_type() else {
            return self.inner.invoke_with_args(args);
        };
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let times = time.into_array(args.number_rows)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let is_infinite = |time: i64| time == i64::MIN || time == i64::MAX;
        let finite: TimestampMicrosecondArray = times.unary(|time| if is_infinite(time) { 0 } else { time });
        let unit = match args.args.first() {
            Some(ColumnarValue::Scalar(unit)) => unit.try_as_str().flatten().and_then(Unit::of_name),
            _ => None,
        };
        if let Some(unit) = unit {
            let cut: TimestampMicrosecondArray = times
                .iter()
                .map(|time| match time {
                    Some(time) if !is_infinite(time) => unit.cut(time).map(Some).ok_or_else(out_of_range),
                    other => Ok(other),
                })
                .collect::<Result<_>>()?;
            return finished(cut.with_timezone_opt(zone), is_scalar);
        }
        // Days are cut in UTC, so that the zone is only a name.
        if let Some(argument) = args.args.get_mut(1) {
            *argument = ColumnarValue::Array(Arc::new(finite));
        }
        if let Some(field) = args.arg_fields.get_mut(1) {
            *field = Arc::new(Field::new(field.name(), LOCAL, true));
        }
        args.return_field = Arc::new(Field::new(args.return_field.name(), LOCAL, true));
        let rows = args.number_rows;
        let cut = self.inner.invoke_with_args(args)?.into_array(rows)?;
        let cut: TimestampMicrosecondArray = cut
            .as_primitive::<TimestampMicrosecondType>()
            .iter()
            .enumerate()
            .map(
                |(row, cut)| {
                    if times.is_valid(row) && is_infinite(times.value(row)) { Some(times.value(row)) } else { cut }
                },
            )
            .collect();
        finished(cut.with_timezone_opt(zone), is_scalar)
    }
}

fn finished(times: TimestampMicrosecondArray, is_scalar: bool) -> Result<ColumnarValue> {
    let array: ArrayRef = Arc::new(times);
    if is_scalar {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(array))
}

fn out_of_range() -> DataFusionError {
    to_datafusion(Error::new(Condition::DatetimeFieldOverflow, "timestamp out of range"))
}

/// What does not have the same length everywhere, or does not begin at the epoch.
#[derive(Clone, Copy)]
enum Unit {
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    fn of_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "week" => Self::Week,
            "month" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            _ => return None,
        })
    }

    fn cut(self, time: i64) -> Option<i64> {
        let day = DateTime::from_timestamp_micros(time)?.date_naive();
        let first = match self {
            Self::Week => day.checked_sub_days(Days::new(u64::from(day.weekday().num_days_from_monday())))?,
            Self::Month => day.with_day(1)?,
            Self::Quarter => day.with_day(1)?.with_month0(day.month0() / 3 * 3)?,
            Self::Year => day.with_ordinal(1)?,
        };
        Some(first.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
    }
}
