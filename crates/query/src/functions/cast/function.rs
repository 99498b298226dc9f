//! The function that a cast becomes.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use outcrop_types::DataType;

use super::kernel::{CastJob, cast_array};
use crate::error::to_datafusion;
use crate::types::is_text;

/// Who asked for a cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CastMode {
    /// `CAST` and `::`: text is cut to the length of its type.
    Explicit,
    /// A value that is stored: text that is too long is an error.
    Assignment,
}

/// The cast of `expr` to `target`.
pub(crate) fn cast_to(expr: Expr, target: &DataType, mode: CastMode) -> Expr {
    let function = PostgresCast { target: target.clone(), mode, signature: Signature::any(1, Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![expr]))
}

/// Whether Arrow's own cast means the same: widening, and values that need no reading.
pub(crate) fn is_arrow_cast(from: &ArrowType, target: &DataType) -> bool {
    if *from == target.to_arrow() {
        return !matches!(target, DataType::Jsonb | DataType::Varchar { .. });
    }
    match (from, target) {
        (ArrowType::Null, _) => true,
        (text, DataType::Text) if is_text(text) => true,
        (ArrowType::Int16 | ArrowType::Int8 | ArrowType::UInt8, DataType::Int4 | DataType::Int8) => true,
        (ArrowType::Int32 | ArrowType::UInt16 | ArrowType::UInt32, DataType::Int8) => true,
        (ArrowType::Int16 | ArrowType::Int32 | ArrowType::Int64, DataType::Float4 | DataType::Float8) => true,
        (ArrowType::Int16 | ArrowType::Int32 | ArrowType::Int64, DataType::Numeric { precision, scale }) => {
            i32::from(*precision) - i32::from(*scale) >= 19
        }
        (ArrowType::Float32, DataType::Float8) => true,
        (
            ArrowType::Decimal128(from_precision, from_scale) | ArrowType::Decimal256(from_precision, from_scale),
            DataType::Numeric { precision, scale },
        ) => {
            scale >= from_scale
                && i32::from(*precision) - i32::from(*scale) >= i32::from(*from_precision) - i32::from(*from_scale)
        }
        (ArrowType::Binary | ArrowType::LargeBinary, DataType::Bytea) => true,
        (
            ArrowType::Timestamp(TimeUnit::Nanosecond | TimeUnit::Millisecond | TimeUnit::Second, None),
            DataType::Timestamp,
        ) => true,
        (ArrowType::Timestamp(_, Some(_)), DataType::TimestampTz) => true,
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PostgresCast {
    target: DataType,
    mode: CastMode,
    signature: Signature,
}

impl ScalarUDFImpl for PostgresCast {
    fn name(&self) -> &'static str {
        "pg_cast"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let inner = args.first().map(|arg| arg.schema_name().to_string()).unwrap_or_default();
        Ok(format!("CAST({inner} AS {})", self.target))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[ArrowType]) -> Result<ArrowType> {
        Ok(self.target.to_arrow())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(self.target.to_field("", true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let time_zone = args.config_options.execution.time_zone.clone().unwrap_or_default();
        let from = args.arg_fields.first().and_then(|field| crate::types::data_type_of_field(field));
        let job = CastJob { target: &self.target, from: from.as_ref(), mode: self.mode, time_zone: &time_zone };
        let is_scalar = matches!(args.args.first(), Some(ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(array) = arrays.first() else {
            return Err(to_datafusion(outcrop_types::Error::internal("a cast takes one argument")));
        };
        let cast = cast_array(array, &job).map_err(to_datafusion)?;
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&cast, 0)?));
        }
        Ok(ColumnarValue::Array(cast))
    }
}
