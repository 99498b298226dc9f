//! `+ - * / %` as PostgreSQL counts: nothing wraps, zero does not divide, numerics keep their digits.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int32Array,
    IntervalMonthDayNanoArray,
};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType as ArrowType, Date32Type, Decimal128Type,
    Decimal256Type, Float32Type, Float64Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    TimestampMicrosecondType, i256,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use outcrop_types::{Condition, Error};

use super::intervals;
use crate::error::{division_by_zero, to_arrow, to_datafusion};
use crate::types::INTERVAL;

/// Fewest digits after the point of a quotient.
const QUOTIENT_SCALE_MIN: i8 = 16;
const US_PER_DAY: i64 = 86_400_000_000;

/// Which operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

/// The call that computes `left op right`.
pub(crate) fn arithmetic(op: ArithmeticOp, left: Expr, right: Expr) -> Expr {
    static FUNCTIONS: LazyLock<[Arc<ScalarUDF>; 5]> = LazyLock::new(|| {
        [ArithmeticOp::Add, ArithmeticOp::Subtract, ArithmeticOp::Multiply, ArithmeticOp::Divide, ArithmeticOp::Modulo]
            .map(|op| Arc::new(ScalarUDF::new_from_impl(Arithmetic::new(op))))
    });
    let [add, subtract, multiply, divide, modulo] = &*FUNCTIONS;
    let function = match op {
        ArithmeticOp::Add => add,
        ArithmeticOp::Subtract => subtract,
        ArithmeticOp::Multiply => multiply,
        ArithmeticOp::Divide => divide,
        ArithmeticOp::Modulo => modulo,
    };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), vec![left, right]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    op: ArithmeticOp,
    signature: Signature,
}

impl Arithmetic {
    fn new(op: ArithmeticOp) -> Self {
        Self { op, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn sign(&self) -> &'static str {
        match self.op {
            ArithmeticOp::Add => "+",
            ArithmeticOp::Subtract => "-",
            ArithmeticOp::Multiply => "*",
            ArithmeticOp::Divide => "/",
            ArithmeticOp::Modulo => "%",
        }
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        match self.op {
            ArithmeticOp::Add => "pg_add",
            ArithmeticOp::Subtract => "pg_subtract",
            ArithmeticOp::Multiply => "pg_multiply",
            ArithmeticOp::Divide => "pg_divide",
            ArithmeticOp::Modulo => "pg_modulo",
        }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(format!("({})", names.join(&format!(" {} ", self.sign()))))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        let [left, right] = arg_types else {
            return Err(to_datafusion(Error::internal("an operator takes two arguments")));
        };
        let (left, right) = common_types(left, right);
        Ok(vec![left, right])
    }

    fn return_type(&self, arg_types: &[ArrowType]) -> Result<ArrowType> {
        let [left, right] = arg_types else {
            return Err(to_datafusion(Error::internal("an operator takes two arguments")));
        };
        let (left, right) = common_types(left, right);
        Ok(result_type(self.op, &left, &right))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let result = args.return_field.data_type();
        let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else {
            return Err(to_datafusion(Error::internal("an operator takes two arguments")));
        };
        let array = compute(self.op, left, right, result)?;
        if all_scalar {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// What both sides become: integers the wider one, integers beside numerics numerics, anything beside floats floats.
fn common_types(left: &ArrowType, right: &ArrowType) -> (ArrowType, ArrowType) {
    use ArrowType::{Date32, Float32, Float64, Int16, Int32, Int64, Interval, Null, Timestamp};
    let number = |arrow: &ArrowType| match arrow {
        ArrowType::Int8 | ArrowType::UInt8 => Int16,
        ArrowType::UInt16 => Int32,
        ArrowType::UInt32 => Int64,
        ArrowType::UInt64 => ArrowType::Decimal128(20, 0),
        ArrowType::Float16 => Float32,
        ArrowType::Decimal32(precision, scale) | ArrowType::Decimal64(precision, scale) => {
            ArrowType::Decimal128(*precision, *scale)
        }
        other => other.clone(),
    };
    let (left, right) = (number(left), number(right));
    match (&left, &right) {
        (Null, Null) => (Int32, Int32),
        (Null, other) | (other, Null) if other.is_numeric() => (other.clone(), other.clone()),
        (Date32, other) if other.is_integer() => (Date32, Int32),
        (Timestamp(..), Timestamp(..)) => (left, ArrowType::clone(&right)),
        (Interval(_), other) if other.is_numeric() || *other == Null => (INTERVAL, Float64),
        (Float64, _) | (_, Float64) => (Float64, Float64),
        (Float32, Float32) => (Float32, Float32),
        (Float32, other) | (other, Float32) if other.is_numeric() => (Float64, Float64),
        (Int16 | Int32 | Int64, Int16 | Int32 | Int64) => {
            let wider = if left == Int64 || right == Int64 {
                Int64
            } else if left == Int32 || right == Int32 {
                Int32
            } else {
                Int16
            };
            (wider.clone(), wider)
        }
        (a, b) if is_decimal(a) || is_decimal(b) => (as_decimal(a), as_decimal(b)),
        _ => (left, right),
    }
}

fn is_decimal(arrow: &ArrowType) -> bool {
    matches!(arrow, ArrowType::Decimal128(..) | ArrowType::Decimal256(..))
}

fn as_decimal(arrow: &ArrowType) -> ArrowType {
    match arrow {
        ArrowType::Int16 => ArrowType::Decimal128(5, 0),
        ArrowType::Int32 => ArrowType::Decimal128(10, 0),
        ArrowType::Int64 => ArrowType::Decimal128(19, 0),
        other => other.clone(),
    }
}

fn precision_scale(arrow: &ArrowType) -> Option<(u8, i8)> {
    match arrow {
        ArrowType::Decimal128(precision, scale) | ArrowType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

fn result_type(op: ArithmeticOp, left: &ArrowType, right: &ArrowType) -> ArrowType {
    match (left, right) {
        (ArrowType::Date32, ArrowType::Date32) => ArrowType::Int32,
        (ArrowType::Timestamp(..), ArrowType::Timestamp(..)) => INTERVAL,
        _ => match (precision_scale(left), precision_scale(right)) {
            (Some(left), Some(right)) => decimal_result(op, left, right),
            _ => left.clone(),
        },
    }
}

/// Wide enough for every result; 256 bits where 38 digits are not.
fn decimal_result(op: ArithmeticOp, (p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> ArrowType {
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let (whole, scale) = match op {
        ArithmeticOp::Add | ArithmeticOp::Subtract => ((p1 - s1).max(p2 - s2) + 1, s1.max(s2)),
        ArithmeticOp::Multiply => (p1 + p2 - s1 - s2, s1 + s2),
        ArithmeticOp::Divide => (p1 - s1 + s2, s1.max(s2).max(i32::from(QUOTIENT_SCALE_MIN))),
        ArithmeticOp::Modulo => ((p1 - s1).max(p2 - s2), s1.max(s2)),
    };
    let widest = i32::from(DECIMAL256_MAX_PRECISION);
    let precision = (whole + scale).clamp(1, widest);
    let precision = u8::try_from(precision).unwrap_or(DECIMAL256_MAX_PRECISION);
    let scale = i8::try_from(scale.min(widest)).unwrap_or(0);
    if precision <= DECIMAL128_MAX_PRECISION {
        ArrowType::Decimal128(precision, scale)
    } else {
        ArrowType::Decimal256(precision, scale)
    }
}

fn compute(op: ArithmeticOp, left: &ArrayRef, right: &ArrayRef, result: &ArrowType) -> Result<ArrayRef, ArrowError> {
    match (left.data_type(), right.data_type()) {
        (ArrowType::Date32, _) => dates(op, left, right),
        (ArrowType::Timestamp(..), ArrowType::Timestamp(..)) => Ok(timestamp_difference(left, right)),
        (ArrowType::Interval(_), ArrowType::Float64) => scale_interval(op, left, right),
        (ArrowType::Float64, _) => {
            let computed = float_kernel(op, left, right)?;
            finish_float64(&computed, left, right)
        }
        (ArrowType::Float32, _) => {
            let computed = float_kernel(op, left, right)?;
            finish_float32(&computed, left, right)
        }
        (from, _) if is_decimal(from) => decimals(op, left, right, result),
        (from, _) => kernel(op, left, right).map_err(|error| match error {
            ArrowError::ArithmeticOverflow(_) => to_arrow(out_of_range(from)),
            other => other,
        }),
    }
}

fn kernel(op: ArithmeticOp, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match op {
        ArithmeticOp::Add => numeric::add(left, right),
        ArithmeticOp::Subtract => numeric::sub(left, right),
        ArithmeticOp::Multiply => numeric::mul(left, right),
        ArithmeticOp::Divide => numeric::div(left, right),
        ArithmeticOp::Modulo => numeric::rem(left, right),
    }
}

fn out_of_range(arrow: &ArrowType) -> Error {
    let name = match arrow {
        ArrowType::Int16 => "smallint",
        ArrowType::Int32 => "integer",
        ArrowType::Int64 => "bigint",
        _ => "value",
    };
    Error::new(Condition::NumericValueOutOfRange, format!("{name} out of range"))
}

fn float_kernel(op: ArithmeticOp, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if matches!(op, ArithmeticOp::Divide | ArithmeticOp::Modulo) {
        let zero = match right.data_type() {
            ArrowType::Float64 => pairs_with(left, right.as_primitive::<Float64Type>(), |value| value == 0.0),
            _ => pairs_with(left, right.as_primitive::<Float32Type>(), |value| value == 0.0),
        };
        if zero {
            return Err(to_arrow(division_by_zero()));
        }
    }
    kernel(op, left, right)
}

fn pairs_with<T: datafusion::arrow::datatypes::ArrowPrimitiveType>(
    left: &ArrayRef,
    right: &datafusion::arrow::array::PrimitiveArray<T>,
    test: impl Fn(T::Native) -> bool,
) -> bool {
    right.iter().enumerate().any(|(at, value)| value.is_some_and(&test) && left.is_valid(at))
}

/// No result is -0.0, none is infinite unless an operand was, and there is one NaN: that of `Inf - Inf` has a sign.
fn finish_float64(computed: &ArrayRef, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let computed = computed.as_primitive::<Float64Type>();
    let (left, right) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
    let overflowed = computed.iter().enumerate().any(|(at, value)| {
        value.is_some_and(f64::is_infinite) && left.value(at).is_finite() && right.value(at).is_finite()
    });
    if overflowed {
        return Err(to_arrow(Error::new(Condition::NumericValueOutOfRange, "value out of range: overflow")));
    }
    let array: Float64Array = computed.unary(|value| if value.is_nan() { f64::NAN } else { value + 0.0 });
    Ok(Arc::new(array))
}

fn finish_float32(computed: &ArrayRef, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let computed = computed.as_primitive::<Float32Type>();
    let (left, right) = (left.as_primitive::<Float32Type>(), right.as_primitive::<Float32Type>());
    let overflowed = computed.iter().enumerate().any(|(at, value)| {
        value.is_some_and(f32::is_infinite) && left.value(at).is_finite() && right.value(at).is_finite()
    });
    if overflowed {
        return Err(to_arrow(Error::new(Condition::NumericValueOutOfRange, "value out of range: overflow")));
    }
    let array: Float32Array = computed.unary(|value| if value.is_nan() { f32::NAN } else { value + 0.0 });
    Ok(Arc::new(array))
}

fn dates(op: ArithmeticOp, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let days = left.as_primitive::<Date32Type>();
    if *right.data_type() == ArrowType::Date32 {
        let other = right.as_primitive::<Date32Type>();
        let difference: Int32Array = datafusion::arrow::compute::try_binary(days, other, |a, b| {
            if a == i32::MIN || a == i32::MAX || b == i32::MIN || b == i32::MAX {
                return Err(to_arrow(Error::new(Condition::DatetimeFieldOverflow, "cannot subtract infinite dates")));
            }
            a.checked_sub(b).ok_or_else(|| to_arrow(out_of_range(&ArrowType::Int32)))
        })?;
        return Ok(Arc::new(difference));
    }
    let moved: Date32Array =
        datafusion::arrow::compute::try_binary(days, right.as_primitive::<Int32Type>(), |day, by| {
            if day == i32::MIN || day == i32::MAX {
                return Ok(day);
            }
            let moved = if op == ArithmeticOp::Add { day.checked_add(by) } else { day.checked_sub(by) };
            moved.ok_or_else(|| to_arrow(Error::new(Condition::DatetimeFieldOverflow, "date out of range")))
        })?;
    Ok(Arc::new(moved))
}

/// Whole days and the rest, as PostgreSQL subtracts timestamps.
fn timestamp_difference(left: &ArrayRef, right: &ArrayRef) -> ArrayRef {
    let (left, right) =
        (left.as_primitive::<TimestampMicrosecondType>(), right.as_primitive::<TimestampMicrosecondType>());
    let difference: IntervalMonthDayNanoArray = left
        .iter()
        .zip(right)
        .map(|pair| {
            let (Some(left), Some(right)) = pair else {
                return None;
            };
            let us = left.saturating_sub(right);
            let days = i32::try_from(us / US_PER_DAY).unwrap_or(if us < 0 { i32::MIN } else { i32::MAX });
            Some(IntervalMonthDayNano::new(0, days, (us % US_PER_DAY) * 1_000))
        })
        .collect();
    Arc::new(difference)
}

/// `interval * number`: fractions of months become days (30), fractions of days become time.
fn scale_interval(op: ArithmeticOp, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let intervals = left.as_primitive::<IntervalMonthDayNanoType>();
    let factors = right.as_primitive::<Float64Type>();
    let mut scaled = Vec::with_capacity(intervals.len());
    for (interval, factor) in intervals.iter().zip(factors) {
        let (Some(interval), Some(factor)) = (interval, factor) else {
            scaled.push(None);
            continue;
        };
        if op == ArithmeticOp::Divide && factor == 0.0 {
            return Err(to_arrow(division_by_zero()));
        }
        let product =
            intervals::scaled(
                interval,
                |field| {
                    if op == ArithmeticOp::Divide { field / factor } else { field * factor }
                },
            );
        scaled.push(Some(
            product.ok_or_else(|| to_arrow(Error::new(Condition::DatetimeFieldOverflow, "interval out of range")))?,
        ));
    }
    Ok(Arc::new(IntervalMonthDayNanoArray::from(scaled)))
}

fn decimals(op: ArithmeticOp, left: &ArrayRef, right: &ArrayRef, result: &ArrowType) -> Result<ArrayRef, ArrowError> {
    let (Some((_, s1)), Some((_, s2)), Some((precision, scale))) =
        (precision_scale(left.data_type()), precision_scale(right.data_type()), precision_scale(result))
    else {
        return Err(to_arrow(Error::internal("numeric arithmetic over other types")));
    };
    if matches!(result, ArrowType::Decimal128(..))
        && let (Some(left), Some(right)) =
            (left.as_primitive_opt::<Decimal128Type>(), right.as_primitive_opt::<Decimal128Type>())
    {
        let array: Decimal128Array = datafusion::arrow::compute::try_binary(left, right, |a, b| {
            narrow(op, (a, s1), (b, s2), scale).map_or_else(
                || {
                    wide(op, (i256::from_i128(a), s1), (i256::from_i128(b), s2), scale, precision)
                        .and_then(|value| value.to_i128().ok_or_else(numeric_overflow))
                },
                Ok,
            )
        })?;
        check_digits(&array, precision)?;
        return Ok(Arc::new(array.with_precision_and_scale(precision, scale)?));
    }
    let (left, right) = (widened(left)?, widened(right)?);
    let array: Decimal256Array =
        datafusion::arrow::compute::try_binary(&left, &right, |a, b| wide(op, (a, s1), (b, s2), scale, precision))?;
    if let ArrowType::Decimal128(..) = result {
        let narrow: Decimal128Array = array.try_unary(|value| value.to_i128().ok_or_else(numeric_overflow))?;
        return Ok(Arc::new(narrow.with_precision_and_scale(precision, scale)?));
    }
    Ok(Arc::new(array.with_precision_and_scale(precision, scale)?))
}

/// In 128 bits; `None` where that may not be enough, or the divisor is zero.
fn narrow(op: ArithmeticOp, (a, s1): (i128, i8), (b, s2): (i128, i8), scale: i8) -> Option<i128> {
    let shift = |value: i128, by: i32| value.checked_mul(10_i128.checked_pow(u32::try_from(by).ok()?)?);
    let (s1, s2, scale) = (i32::from(s1), i32::from(s2), i32::from(scale));
    match op {
        ArithmeticOp::Add => shift(a, scale - s1)?.checked_add(shift(b, scale - s2)?),
        ArithmeticOp::Subtract => shift(a, scale - s1)?.checked_sub(shift(b, scale - s2)?),
        ArithmeticOp::Multiply if s1 + s2 == scale => a.checked_mul(b),
        ArithmeticOp::Multiply => None,
        ArithmeticOp::Modulo => shift(a, scale - s1)?.checked_rem(shift(b, scale - s2)?),
        ArithmeticOp::Divide => {
            let dividend = shift(a, scale + s2 - s1)?;
            let quotient = dividend.checked_div(b)?;
            let rest = dividend.checked_rem(b)?;
            let round = rest.unsigned_abs() >= b.unsigned_abs() - rest.unsigned_abs();
            if !round {
                return Some(quotient);
            }
            quotient.checked_add(if (dividend < 0) == (b < 0) { 1 } else { -1 })
        }
    }
}

fn wide(
    op: ArithmeticOp,
    (a, s1): (i256, i8),
    (b, s2): (i256, i8),
    scale: i8,
    precision: u8,
) -> Result<i256, ArrowError> {
    if b == i256::ZERO && matches!(op, ArithmeticOp::Divide | ArithmeticOp::Modulo) {
        return Err(to_arrow(division_by_zero()));
    }
    let value =
        wide_checked(op, (a, i32::from(s1)), (b, i32::from(s2)), i32::from(scale)).ok_or_else(numeric_overflow)?;
    let limit = i256::from_i128(10).checked_pow(u32::from(precision));
    match limit {
        Some(limit) if value >= limit || value <= limit.wrapping_neg() => Err(numeric_overflow()),
        _ => Ok(value),
    }
}

fn wide_checked(op: ArithmeticOp, (a, s1): (i256, i32), (b, s2): (i256, i32), scale: i32) -> Option<i256> {
    let shift = |value: i256, by: i32| value.checked_mul(i256::from_i128(10).checked_pow(u32::try_from(by).ok()?)?);
    match op {
        ArithmeticOp::Add => shift(a, scale - s1)?.checked_add(shift(b, scale - s2)?),
        ArithmeticOp::Subtract => shift(a, scale - s1)?.checked_sub(shift(b, scale - s2)?),
        ArithmeticOp::Multiply => a.checked_mul(b),
        ArithmeticOp::Modulo => shift(a, scale - s1)?.checked_rem(shift(b, scale - s2)?),
        ArithmeticOp::Divide => {
            let dividend = shift(a, scale + s2 - s1)?;
            let quotient = dividend.checked_div(b)?;
            let rest = dividend.checked_rem(b)?.wrapping_abs();
            if rest.checked_add(rest)? < b.wrapping_abs() {
                return Some(quotient);
            }
            let same_sign = dividend.is_negative() == b.is_negative();
            let step = if same_sign { i256::ONE } else { i256::MINUS_ONE };
            quotient.checked_add(step)
        }
    }
}

fn widened(array: &ArrayRef) -> Result<Decimal256Array, ArrowError> {
    if let Some(wide) = array.as_primitive_opt::<Decimal256Type>() {
        return Ok(wide.clone());
    }
    let narrow = array
        .as_primitive_opt::<Decimal128Type>()
        .ok_or_else(|| to_arrow(Error::internal("numeric arithmetic over other types")))?;
    Ok(narrow.unary(i256::from_i128))
}

fn check_digits(array: &Decimal128Array, precision: u8) -> Result<(), ArrowError> {
    let limit = 10_i128.checked_pow(u32::from(precision));
    let too_large = |value: i128| limit.is_some_and(|limit| value >= limit || value <= -limit);
    if array.iter().flatten().any(too_large) { Err(numeric_overflow()) } else { Ok(()) }
}

fn numeric_overflow() -> ArrowError {
    to_arrow(Error::new(Condition::NumericValueOutOfRange, "numeric field overflow"))
}
