//! `timestamptz ± interval`: months and days are counted on the calendar of the session's zone, the rest in elapsed time.

use std::sync::Arc;

use chrono::{DateTime, Days, Months};
use datafusion::arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{
    DataType as ArrowType, IntervalMonthDayNano, IntervalMonthDayNanoType, TimestampMicrosecondType,
};
use datafusion::common::{Result as PlanResult, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use outcrop_types::data_type::UTC;
use outcrop_types::{Condition, DataType, Error, Result};

use super::zone::Zone;
use crate::error::to_datafusion;
use crate::types::INTERVAL;

/// The moment `interval` after `moment`, or before it.
pub(crate) fn moved_moment(moment: Expr, interval: Expr, back: bool) -> Expr {
    let function = MovedMoment { back, signature: Signature::user_defined(Volatility::Stable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![moment, interval]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MovedMoment {
    back: bool,
    signature: Signature,
}

impl ScalarUDFImpl for MovedMoment {
    fn name(&self) -> &str {
        if self.back { "pg_moment_before" } else { "pg_moment_after" }
    }

    fn schema_name(&self, args: &[Expr]) -> PlanResult<String> {
        let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(format!("({})", names.join(if self.back { " - " } else { " + " })))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, _arg_types: &[ArrowType]) -> PlanResult<Vec<ArrowType>> {
        Ok(vec![DataType::TimestampTz.to_arrow(), INTERVAL])
    }

    fn return_type(&self, _arg_types: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(DataType::TimestampTz.to_arrow())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let zone = args.config_options.execution.time_zone.as_deref().unwrap_or(UTC);
        let zone = Zone::parse(zone).map_err(to_datafusion)?;
        let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [moments, intervals] = arrays.as_slice() else {
            return Err(to_datafusion(Error::internal("an operator takes two arguments")));
        };
        let moments = moments.as_primitive::<TimestampMicrosecondType>();
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let moved: TimestampMicrosecondArray = moments
            .iter()
            .zip(intervals)
            .map(|(moment, interval)| match (moment, interval) {
                (Some(moment), Some(interval)) => moved(zone, moment, interval, self.back).map(Some),
                _ => Ok(None),
            })
            .collect::<Result<_>>()
            .map_err(to_datafusion)?;
        let array: ArrayRef = Arc::new(moved.with_timezone(UTC));
        if all_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

fn moved(zone: Zone, moment: i64, by: IntervalMonthDayNano, back: bool) -> Result<i64> {
    if moment == i64::MIN || moment == i64::MAX {
        return Ok(moment);
    }
    let out_of_range = || Error::new(Condition::DatetimeFieldOverflow, "timestamp out of range");
    let sign = |forward: i64| if back { forward.checked_neg() } else { Some(forward) };
    let (months, days) = (sign(i64::from(by.months)), sign(i64::from(by.days)));
    let (months, days) = (months.ok_or_else(out_of_range)?, days.ok_or_else(out_of_range)?);
    let moment = if months == 0 && days == 0 {
        moment
    } else {
        let local = zone.to_local(moment);
        zone.to_utc(on_calendar(local, months, days).ok_or_else(out_of_range)?)
    };
    sign(by.nanoseconds / 1_000).and_then(|elapsed| moment.checked_add(elapsed)).ok_or_else(out_of_range)
}

/// Months first, the day cut to the length of the month, then days.
fn on_calendar(local: i64, months: i64, days: i64) -> Option<i64> {
    let time = DateTime::from_timestamp_micros(local)?.naive_utc();
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    let time = if months < 0 { time.checked_sub_months(count)? } else { time.checked_add_months(count)? };
    let count = Days::new(days.unsigned_abs());
    let time = if days < 0 { time.checked_sub_days(count)? } else { time.checked_add_days(count)? };
    Some(time.and_utc().timestamp_micros())
}
