//! Columns that were written under a narrower type.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_buffer::i256;
use outcrop_types::DataType;

use crate::error::EncodeError;

/// Values of type `from` as values of type `to`, which it widens to ([`DataType::widens_to`]). Free where both are the same in
/// memory.
///
/// # Errors
/// `ValueType` if the array is not one of `from`, or `from` does not widen to `to`.
pub fn widen_array(array: &ArrayRef, from: &DataType, to: &DataType) -> Result<ArrayRef, EncodeError> {
    let mismatch = || EncodeError::ValueType(to.clone());
    if *array.data_type() != from.to_arrow() || !from.widens_to(to) {
        return Err(mismatch());
    }
    if *array.data_type() == to.to_arrow() {
        return Ok(Arc::clone(array));
    }
    match (from, to) {
        (DataType::Int2, DataType::Int4) => Ok(converted::<Int16Type, Int32Type>(array, i32::from)),
        (DataType::Int2, DataType::Int8) => Ok(converted::<Int16Type, Int64Type>(array, i64::from)),
        (DataType::Int4, DataType::Int8) => Ok(converted::<Int32Type, Int64Type>(array, i64::from)),
        (DataType::Float4, DataType::Float8) => Ok(converted::<Float32Type, Float64Type>(array, f64::from)),
        (DataType::Int2, DataType::Numeric { scale, .. }) => whole::<Int16Type>(array, *scale, to),
        (DataType::Int4, DataType::Numeric { scale, .. }) => whole::<Int32Type>(array, *scale, to),
        (DataType::Int8, DataType::Numeric { scale, .. }) => whole::<Int64Type>(array, *scale, to),
        (DataType::Numeric { precision, scale }, DataType::Numeric { scale: wider, .. }) => {
            let more = wider - scale;
            if *precision <= 38 {
                digits::<Decimal128Type>(array, |v| Some(i256::from_i128(v)), more, to)
            } else {
                digits::<Decimal256Type>(array, Some, more, to)
            }
        }
        _ => Err(mismatch()),
    }
}

fn converted<From, To>(array: &ArrayRef, convert: impl Fn(From::Native) -> To::Native) -> ArrayRef
where
    From: ArrowPrimitiveType,
    To: ArrowPrimitiveType,
{
    Arc::new(array.as_primitive::<From>().unary::<_, To>(convert))
}

/// Whole numbers as decimals.
fn whole<T>(array: &ArrayRef, scale: i8, to: &DataType) -> Result<ArrayRef, EncodeError>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    digits::<T>(array, |v| Some(i256::from_i128(i128::from(v.into()))), scale, to)
}

/// Numbers as decimals with `more` digits after the point.
fn digits<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    number: impl Fn(T::Native) -> Option<i256>,
    more: i8,
    to: &DataType,
) -> Result<ArrayRef, EncodeError> {
    let beyond = || EncodeError::ValueType(to.clone());
    let power = i256::from_i128(10).checked_pow(u32::try_from(more).map_err(|_narrower| beyond())?);
    let power = power.ok_or_else(beyond)?;
    let array: &PrimitiveArray<T> = array.as_primitive();
    let scaled = |v| number(v).and_then(|number| number.checked_mul(power)).ok_or_else(beyond);
    let arrow = to.to_arrow();
    if matches!(to, DataType::Numeric { precision, .. } if *precision <= 38) {
        let short = |v| scaled(v)?.to_i128().ok_or_else(beyond);
        let array: PrimitiveArray<Decimal128Type> = array.try_unary(short)?;
        return Ok(Arc::new(array.with_data_type(arrow)));
    }
    let array: PrimitiveArray<Decimal256Type> = array.try_unary(scaled)?;
    Ok(Arc::new(array.with_data_type(arrow)))
}
