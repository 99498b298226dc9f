//! Functions that work row by row on scalars: those of sessions and catalogs, where a kernel would not pay.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::context::SessionExtension;
use crate::error::to_datafusion;

/// Computes one row. `None` as session: the function runs outside of a statement.
pub(super) type RowBody = fn(&[ScalarValue], Option<&SessionExtension>) -> outcrop_types::Result<ScalarValue>;

/// A function given by its body.
#[derive(Debug)]
pub(super) struct RowFunction {
    pub(super) name: &'static str,
    pub(super) aliases: Vec<String>,
    pub(super) signature: Signature,
    pub(super) returns: FieldRef,
    pub(super) body: RowBody,
}

impl RowFunction {
    /// A function over any arguments, `arguments` of them (several numbers are allowed).
    pub(super) fn any(
        name: &'static str,
        arguments: &[usize],
        returns: impl Into<FieldRef>,
        volatility: Volatility,
        body: RowBody,
    ) -> Self {
        let signatures = arguments
            .iter()
            .map(|count| {
                if *count == 0 {
                    datafusion::logical_expr::TypeSignature::Nullary
                } else {
                    datafusion::logical_expr::TypeSignature::Any(*count)
                }
            })
            .collect();
        Self {
            name,
            aliases: Vec::new(),
            signature: Signature::one_of(signatures, volatility),
            returns: returns.into(),
            body,
        }
    }

    /// Other names.
    pub(super) fn with_aliases(mut self, aliases: &[&str]) -> Self {
        self.aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        self
    }

    pub(super) fn into_udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }
}

impl PartialEq for RowFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for RowFunction {}

impl Hash for RowFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for RowFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[ArrowType]) -> Result<ArrowType> {
        Ok(self.returns.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::clone(&self.returns))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let session = args.config_options.extensions.get::<SessionExtension>();
        let scalars: Option<Vec<ScalarValue>> = args
            .args
            .iter()
            .map(|arg| match arg {
                ColumnarValue::Scalar(scalar) => Some(scalar.clone()),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        if let Some(scalars) = scalars
            && self.signature.volatility != Volatility::Volatile
        {
            return (self.body)(&scalars, session).map(ColumnarValue::Scalar).map_err(to_datafusion);
        }
        let mut results = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let scalars = args
                .args
                .iter()
                .map(|arg| match arg {
                    ColumnarValue::Scalar(scalar) => Ok(scalar.clone()),
                    ColumnarValue::Array(array) => ScalarValue::try_from_array(array, row),
                })
                .collect::<Result<Vec<_>>>()?;
            results.push((self.body)(&scalars, session).map_err(to_datafusion)?);
        }
        if results.is_empty() {
            return Ok(ColumnarValue::Array(datafusion::arrow::array::new_empty_array(self.returns.data_type())));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(results)?))
    }
}

/// The text of an argument; `None` for NULL and for what is not text.
pub(super) fn text_arg(args: &[ScalarValue], at: usize) -> Option<&str> {
    args.get(at).and_then(ScalarValue::try_as_str).flatten()
}

/// The integer of an argument of any width; `None` for NULL and for what is not one.
pub(super) fn integer_arg(args: &[ScalarValue], at: usize) -> Option<i64> {
    match args.get(at)? {
        ScalarValue::Int8(value) => value.map(i64::from),
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        ScalarValue::UInt8(value) => value.map(i64::from),
        ScalarValue::UInt16(value) => value.map(i64::from),
        ScalarValue::UInt32(value) => value.map(i64::from),
        other => other.try_as_str().flatten().and_then(|text| text.parse().ok()),
    }
}

/// A text result.
pub(super) fn text(value: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8View(Some(value.into()))
}

/// A text result or NULL.
pub(super) fn text_or_null(value: Option<String>) -> ScalarValue {
    ScalarValue::Utf8View(value)
}
