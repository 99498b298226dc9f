//! Functions of arrays that DataFusion lacks.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use outcrop_types::Error;

use crate::error::to_datafusion;

/// All of them.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(ScalarUDF::from(ArrayOrEmpty { signature: Signature::any(1, Volatility::Immutable) }))]
}

/// `array_or_empty(a)`: an empty array for NULL. `ARRAY(SELECT …)` of no rows is one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayOrEmpty {
    signature: Signature,
}

impl ScalarUDFImpl for ArrayOrEmpty {
    fn name(&self) -> &'static str {
        "array_or_empty"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[ArrowType]) -> Result<ArrowType> {
        arg_types.first().cloned().ok_or_else(|| to_datafusion(Error::internal("array_or_empty of nothing")))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = args.arg_fields.first();
        let field = field.ok_or_else(|| to_datafusion(Error::internal("array_or_empty of nothing")))?;
        Ok(Arc::new(field.as_ref().clone().with_name(self.name())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(argument) = args.args.into_iter().next() else {
            return Err(to_datafusion(Error::internal("array_or_empty of nothing")));
        };
        match argument {
            ColumnarValue::Scalar(ScalarValue::List(list)) => {
                let full = without_nulls(list.as_ref())?;
                Ok(ColumnarValue::Scalar(ScalarValue::List(Arc::new(full))))
            }
            ColumnarValue::Array(array) => match array.as_list_opt::<i32>() {
                Some(list) => Ok(ColumnarValue::Array(Arc::new(without_nulls(list)?) as ArrayRef)),
                None => Ok(ColumnarValue::Array(array)),
            },
            other => Ok(other),
        }
    }
}

fn without_nulls(list: &ListArray) -> Result<ListArray> {
    let ArrowType::List(item) = list.data_type() else {
        return Ok(list.clone());
    };
    // A NULL may have items behind it, so lengths are counted, not taken from the offsets.
    if list.iter().flatten().map(|values| values.len()).sum::<usize>() == list.values().len() {
        let lengths = list.iter().map(|values| values.map_or(0, |values| values.len()));
        return Ok(ListArray::try_new(
            Arc::clone(item),
            OffsetBuffer::from_lengths(lengths),
            Arc::clone(list.values()),
            None,
        )?);
    }
    let values: Vec<ArrayRef> = list.iter().flatten().collect();
    let parts: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    let values = if parts.is_empty() {
        datafusion::arrow::array::new_empty_array(item.data_type())
    } else {
        datafusion::arrow::compute::concat(&parts)?
    };
    let lengths = list.iter().map(|values| values.map_or(0, |values| values.len()));
    Ok(ListArray::try_new(Arc::clone(item), OffsetBuffer::from_lengths(lengths), values, None)?)
}
