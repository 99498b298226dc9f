//! Items of arrays and NULL: comparisons with ANY that know three values, `@>`, `array_remove` and `array_replace`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, GenericListArray, ListArray, Scalar};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::kernels::cmp::{distinct, not_distinct};
use datafusion::arrow::compute::kernels::zip::zip;
use datafusion::arrow::compute::{concat, filter};
use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use outcrop_types::{Condition, Error};

use crate::error::to_datafusion;

/// All of them.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let two = || Signature::any(2, Volatility::Immutable);
    let typed = || Signature::user_defined(Volatility::Immutable);
    vec![
        Arc::new(ScalarUDF::from(Quantified { signature: two() })),
        Arc::new(ScalarUDF::from(Changed { replaces: false, signature: typed() })),
        Arc::new(ScalarUDF::from(Changed { replaces: true, signature: typed() })),
    ]
}

/// `comparison`, which is true if an item of `array` passes a test, as ANY has it: unknown if none passes and an item, or
/// what is compared with it, is NULL.
pub(crate) fn quantified(comparison: Expr, array: Expr) -> Expr {
    ScalarUDF::from(Quantified { signature: Signature::any(2, Volatility::Immutable) }).call(vec![comparison, array])
}

/// `found`, which is whether `array` has all items of `items`, as `@>` has it: a NULL item is in no array.
pub(crate) fn contained(found: Expr, array: Expr, items: Expr) -> Expr {
    ScalarUDF::from(Contained { signature: Signature::any(3, Volatility::Immutable) }).call(vec![found, array, items])
}

/// Name by which the dialect calls [`quantified`].
pub(crate) const QUANTIFIED: &str = "pg_any";

#[derive(Debug, PartialEq, Eq, Hash)]
struct Quantified {
    signature: Signature,
}

impl ScalarUDFImpl for Quantified {
    fn name(&self) -> &'static str {
        QUANTIFIED
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[ArrowType]) -> Result<ArrowType> {
        Ok(ArrowType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        judged(&args, |[comparison, array]| {
            let comparison = boolean(comparison)?;
            let Some(lists) = array.as_list_opt::<i32>() else {
                return Ok(BooleanArray::new_null(array.len()));
            };
            Ok((0..lists.len())
                .map(|row| {
                    let items = lists.is_valid(row).then(|| lists.value(row))?;
                    match (items.is_empty(), comparison.is_valid(row).then(|| comparison.value(row))) {
                        (true, _) => Some(false),
                        (false, Some(true)) => Some(true),
                        (false, Some(false)) if items.null_count() == 0 => Some(false),
                        (false, _) => None,
                    }
                })
                .collect())
        })
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Contained {
    signature: Signature,
}

impl ScalarUDFImpl for Contained {
    fn name(&self) -> &'static str {
        "pg_contains"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[ArrowType]) -> Result<ArrowType> {
        Ok(ArrowType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        judged(&args, |[found, array, items]| {
            let found = boolean(found)?;
            let (Some(lists), Some(items)) = (array.as_list_opt::<i32>(), items.as_list_opt::<i32>()) else {
                return Ok(BooleanArray::new_null(array.len()));
            };
            Ok((0..lists.len())
                .map(|row| {
                    let known = lists.is_valid(row) && items.is_valid(row);
                    let wanted = known.then(|| items.value(row))?;
                    let all = wanted.is_empty() || (found.is_valid(row) && found.value(row));
                    Some(all && wanted.null_count() == 0)
                })
                .collect())
        })
    }
}

/// Computes a condition over arguments as arrays; constants give a constant.
fn judged<const N: usize>(
    args: &ScalarFunctionArgs,
    judge: impl Fn([&ArrayRef; N]) -> Result<BooleanArray>,
) -> Result<ColumnarValue> {
    let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let arrays = ColumnarValue::values_to_arrays(&args.args)?;
    let arrays: Vec<&ArrayRef> = arrays.iter().collect();
    let arrays = <[&ArrayRef; N]>::try_from(arrays).ok().ok_or_else(wrong_count)?;
    let judged: ArrayRef = Arc::new(judge(arrays)?);
    constant_of(judged, is_scalar)
}

fn constant_of(array: ArrayRef, is_scalar: bool) -> Result<ColumnarValue> {
    if is_scalar {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(array))
}

fn boolean(array: &ArrayRef) -> Result<BooleanArray> {
    match array.as_boolean_opt() {
        Some(array) => Ok(array.clone()),
        None if *array.data_type() == ArrowType::Null => Ok(BooleanArray::new_null(array.len())),
        None => Err(to_datafusion(Error::internal("a comparison that is not boolean"))),
    }
}

fn wrong_count() -> datafusion::common::DataFusionError {
    to_datafusion(Error::internal("a function of arrays got another number of arguments"))
}

/// `array_remove(array, item)` and `array_replace(array, item, other)`: every item that is the same, NULL too.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Changed {
    replaces: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Changed {
    fn name(&self) -> &'static str {
        if self.replaces { "array_replace" } else { "array_remove" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        let count = if self.replaces { 3 } else { 2 };
        match arg_types.first() {
            Some(ArrowType::List(item)) if arg_types.len() == count => {
                let others = std::iter::repeat_n(item.data_type().clone(), count - 1);
                Ok(std::iter::once(ArrowType::List(Arc::clone(item))).chain(others).collect())
            }
            _ => Err(to_datafusion(Error::new(
                Condition::UndefinedFunction,
                format!("function {} does not exist for these arguments", self.name()),
            ))),
        }
    }

    fn return_type(&self, arg_types: &[ArrowType]) -> Result<ArrowType> {
        arg_types.first().cloned().ok_or_else(wrong_count)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (Some(lists), Some(item)) = (arrays.first().and_then(|array| array.as_list_opt::<i32>()), arrays.get(1))
        else {
            return Err(wrong_count());
        };
        let ArrowType::List(field) = lists.data_type() else {
            return Err(wrong_count());
        };
        let mut changed = Vec::with_capacity(lists.len());
        for row in 0..lists.len() {
            let items = lists.value(row);
            let same = Scalar::new(item.slice(row, 1));
            changed.push(match arrays.get(2) {
                _ if lists.is_null(row) => items.slice(0, 0),
                Some(other) => zip(&not_distinct(&items, &same)?, &Scalar::new(other.slice(row, 1)), &items)?,
                None => filter(&items, &distinct(&items, &same)?)?,
            });
        }
        constant_of(Arc::new(joined(lists, field, &changed)?), is_scalar)
    }
}

/// Lists with other items, NULL where they were.
fn joined(lists: &GenericListArray<i32>, field: &FieldRef, rows: &[ArrayRef]) -> Result<ListArray> {
    let parts: Vec<&dyn Array> = rows.iter().map(AsRef::as_ref).collect();
    let values =
        if parts.is_empty() { datafusion::arrow::array::new_empty_array(field.data_type()) } else { concat(&parts)? };
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.len()));
    Ok(ListArray::try_new(Arc::clone(field), offsets, values, lists.nulls().cloned())?)
}
