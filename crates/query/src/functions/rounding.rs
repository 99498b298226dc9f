//! `round`, `trunc`, `ceil` and `floor`: numerics stay numerics, doubles round halves to even.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType as ArrowType, Decimal256Type, Field, FieldRef, Float64Type, i256};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use outcrop_types::{Condition, Error};

use crate::error::to_datafusion;

/// All four.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    [Mode::Round, Mode::Truncate, Mode::Ceil, Mode::Floor]
        .into_iter()
        .map(|mode| {
            let aliases = if mode == Mode::Ceil { vec!["ceiling".to_owned()] } else { Vec::new() };
            Arc::new(ScalarUDF::new_from_impl(Rounding {
                mode,
                aliases,
                signature: Signature::user_defined(Volatility::Immutable),
            }))
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mode {
    Round,
    Truncate,
    Ceil,
    Floor,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Rounding {
    mode: Mode,
    aliases: Vec<String>,
    signature: Signature,
}

fn scale_of(arrow: &ArrowType) -> Option<(u8, i8)> {
    match arrow {
        ArrowType::Decimal128(precision, scale) | ArrowType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

impl ScalarUDFImpl for Rounding {
    fn name(&self) -> &str {
        match self.mode {
            Mode::Round => "round",
            Mode::Truncate => "trunc",
            Mode::Ceil => "ceil",
            Mode::Floor => "floor",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        let takes_digits = matches!(self.mode, Mode::Round | Mode::Truncate);
        let value = match arg_types.first() {
            Some(decimal) if scale_of(decimal).is_some() => decimal.clone(),
            Some(integer) if integer.is_integer() && arg_types.len() == 2 => ArrowType::Decimal128(20, 0),
            Some(other) if other.is_numeric() || *other == ArrowType::Null => ArrowType::Float64,
            _ => return Err(self.undefined()),
        };
        match arg_types.len() {
            1 => Ok(vec![value]),
            // Bare constants are bigint and stay so: their value decides the type of the result.
            2 if takes_digits && arg_types.get(1) == Some(&ArrowType::Int64) => Ok(vec![value, ArrowType::Int64]),
            2 if takes_digits => Ok(vec![value, ArrowType::Int32]),
            _ => Err(self.undefined()),
        }
    }

    fn return_type(&self, _arg_types: &[ArrowType]) -> Result<ArrowType> {
        Err(to_datafusion(Error::internal("the type of a rounded value depends on its digits")))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let arrow = args.arg_fields.first().map(|field| field.data_type());
        let result = match arrow.and_then(scale_of) {
            None => ArrowType::Float64,
            Some((precision, scale)) => {
                let wanted = match args.scalar_arguments.get(1).copied().flatten() {
                    Some(ScalarValue::Int64(Some(digits))) => i8::try_from((*digits).clamp(0, 76)).unwrap_or(scale),
                    Some(_) => scale,
                    None if args.arg_fields.len() == 2 => scale,
                    None => 0,
                };
                let whole = i16::from(precision) - i16::from(scale) + 1;
                let precision = u8::try_from((whole + i16::from(wanted)).clamp(1, 76)).unwrap_or(76);
                if precision <= 38 {
                    ArrowType::Decimal128(precision, wanted)
                } else {
                    ArrowType::Decimal256(precision, wanted)
                }
            }
        };
        Ok(Arc::new(Field::new(self.name(), result, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let result = args.return_field.data_type().clone();
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let value = arrays.first().ok_or_else(|| self.undefined())?;
        let array: ArrayRef = match scale_of(&result) {
            None => {
                let rounded: Float64Array = value.as_primitive::<Float64Type>().unary(|value| self.round_double(value));
                Arc::new(rounded)
            }
            Some((precision, scale)) => self.decimals(value, arrays.get(1), precision, scale, &result)?,
        };
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

impl Rounding {
    fn undefined(&self) -> datafusion::common::DataFusionError {
        to_datafusion(
            Error::new(
                Condition::UndefinedFunction,
                format!("function {} does not exist for these arguments", self.name()),
            )
            .with_hint("round and trunc take digits with numeric; cast a double to numeric first."),
        )
    }

    fn round_double(&self, value: f64) -> f64 {
        let rounded = match self.mode {
            Mode::Round => value.round_ties_even(),
            Mode::Truncate => value.trunc(),
            Mode::Ceil => value.ceil(),
            Mode::Floor => value.floor(),
        };
        rounded + 0.0
    }

    fn decimals(
        &self,
        value: &ArrayRef,
        digits: Option<&ArrayRef>,
        precision: u8,
        scale: i8,
        result: &ArrowType,
    ) -> Result<ArrayRef> {
        let Some((_, from)) = scale_of(value.data_type()) else {
            return Err(to_datafusion(Error::internal("numeric rounding over other types")));
        };
        let wide = cast(value, &ArrowType::Decimal256(76, from))?;
        let digits = digits.map(|digits| cast(digits, &ArrowType::Int32)).transpose()?;
        let digits = digits.as_ref().map(|digits| digits.as_primitive::<datafusion::arrow::datatypes::Int32Type>());
        let overflow = || to_datafusion(Error::new(Condition::NumericValueOutOfRange, "numeric field overflow"));
        let mut rounded = Vec::with_capacity(wide.len());
        for (row, value) in wide.as_primitive::<Decimal256Type>().iter().enumerate() {
            let keep = match digits {
                Some(digits) if digits.is_null(row) => None,
                Some(digits) => Some(digits.value(row)),
                None => Some(0),
            };
            rounded.push(match (value, keep) {
                (Some(value), Some(keep)) => {
                    Some(self.round_digits(value, i32::from(from), keep, i32::from(scale)).ok_or_else(overflow)?)
                }
                _ => None,
            });
        }
        if let ArrowType::Decimal128(..) = result {
            let narrow = rounded
                .into_iter()
                .map(|value| value.map(|value| value.to_i128().ok_or_else(overflow)).transpose())
                .collect::<Result<Vec<_>>>()?;
            return Ok(Arc::new(Decimal128Array::from(narrow).with_precision_and_scale(precision, scale)?));
        }
        Ok(Arc::new(Decimal256Array::from(rounded).with_precision_and_scale(precision, scale)?))
    }

    /// Keeps `keep` digits behind the point of a value of scale `from`, and gives it scale `to`.
    fn round_digits(&self, value: i256, from: i32, keep: i32, to: i32) -> Option<i256> {
        let ten = i256::from_i128(10);
        let power = |by: i32| ten.checked_pow(u32::try_from(by).ok()?);
        let (mut value, mut scale) = (value, from);
        if keep < from {
            let Some(factor) = power(from - keep) else {
                return Some(i256::ZERO);
            };
            let quotient = value.checked_div(factor)?;
            let rest = value.checked_rem(factor)?;
            let away = match self.mode {
                Mode::Truncate => false,
                Mode::Round => rest.wrapping_abs().checked_add(rest.wrapping_abs())? >= factor,
                Mode::Ceil => rest > i256::ZERO,
                Mode::Floor => rest < i256::ZERO,
            };
            let step = if value.is_negative() { i256::MINUS_ONE } else { i256::ONE };
            value = if away { quotient.checked_add(step)? } else { quotient };
            scale = keep;
        }
        if to >= scale { value.checked_mul(power(to - scale)?) } else { value.checked_div(power(scale - to)?) }
    }
}
