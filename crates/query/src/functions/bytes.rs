//! Functions of bytea: DataFusion's take text only, or give an Arrow type that tables do not have.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Int32Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::{crypto, encoding};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use outcrop_types::{Condition, Error};

use crate::error::to_datafusion;

/// All of them.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let viewed =
        [crypto::sha224(), crypto::sha256(), crypto::sha384(), crypto::sha512(), crypto::digest(), encoding::decode()];
    let viewed = viewed.into_iter().map(|inner| Arc::new(ScalarUDF::from(Viewed { inner })));
    viewed.chain([octet_length()]).collect()
}

/// `octet_length` of text and bytea.
pub(crate) fn octet_length() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(OctetLength { signature: Signature::user_defined(Volatility::Immutable) }))
}

/// A function whose bytes are of the type that columns have.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Viewed {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Viewed {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, arg_types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        self.inner.coerce_types(arg_types)
    }

    fn return_type(&self, _arg_types: &[ArrowType]) -> Result<ArrowType> {
        Ok(ArrowType::BinaryView)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = args.arg_fields.iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        let made = self.inner.return_type(&arguments)?;
        args.return_field = Arc::new(Field::new(self.name(), made, true));
        self.inner.invoke_with_args(args)?.cast_to(&ArrowType::BinaryView, None)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OctetLength {
    signature: Signature,
}

impl ScalarUDFImpl for OctetLength {
    fn name(&self) -> &'static str {
        "octet_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        match arg_types {
            [arrow] if arrow.is_string() || *arrow == ArrowType::Null => Ok(vec![ArrowType::Utf8View]),
            [ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_)] => {
                Ok(vec![ArrowType::BinaryView])
            }
            _ => Err(to_datafusion(Error::new(
                Condition::UndefinedFunction,
                "function octet_length does not exist for these arguments",
            ))),
        }
    }

    fn return_type(&self, _arg_types: &[ArrowType]) -> Result<ArrowType> {
        Ok(ArrowType::Int32)
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), ArrowType::Int32, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let values = arrays.first().ok_or_else(|| to_datafusion(Error::internal("octet_length of nothing")))?;
        let bytes = cast(values, &ArrowType::BinaryView)?;
        let bytes = bytes.as_binary_view();
        // A value has less than 2 GiB.
        let length = |value: &[u8]| i32::try_from(value.len()).unwrap_or(i32::MAX);
        let lengths: Int32Array = bytes.iter().map(|value| value.map(length)).collect();
        let array: ArrayRef = Arc::new(lengths);
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}
