//! How column types lie in a data file.
//!
//! Every type maps to a logical type of a frozen Vortex edition, so that any Vortex tool reads the file. Arrow says the
//! same thing with a field:
//! - uuid is marked `arrow.uuid`, which becomes Vortex's uuid extension;
//! - dates and times are whole numbers (days, or microseconds). Vortex's own date and time types end at the year 9999 and
//!   fail on ours, which reach 294276 and have infinities;
//! - everything else is itself.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, ListArray, PrimitiveArray};
use arrow_schema::extension::{EXTENSION_TYPE_NAME_KEY, ExtensionType, Uuid};
use arrow_schema::{DataType as ArrowType, Field, FieldRef};
use outcrop_types::data_type::UTC;
use outcrop_types::{DataType, Error, Result};

/// The field of a column in the data file.
pub(super) fn file_field(name: &str, data_type: &DataType, nullable: bool) -> Field {
    match data_type {
        DataType::Array(item) => {
            let item = Arc::new(file_field("item", item, true));
            Field::new(name, ArrowType::List(item), nullable)
        }
        DataType::Uuid => Field::new(name, data_type.to_arrow(), nullable)
            .with_metadata([(EXTENSION_TYPE_NAME_KEY.to_owned(), Uuid::NAME.to_owned())].into()),
        DataType::Date => Field::new(name, ArrowType::Int32, nullable),
        DataType::Time | DataType::Timestamp | DataType::TimestampTz => Field::new(name, ArrowType::Int64, nullable),
        DataType::Bool
        | DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Numeric { .. }
        | DataType::Text
        | DataType::Varchar { .. }
        | DataType::Bytea
        | DataType::Jsonb => Field::new(name, data_type.to_arrow(), nullable),
    }
}

/// A column of the table in the form of [`file_field`]. Copies no values.
pub(crate) fn to_file(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    match data_type {
        DataType::Date => reinterpret::<Date32Type, Int32Type>(array).map(shared),
        DataType::Time => reinterpret::<Time64MicrosecondType, Int64Type>(array).map(shared),
        DataType::Timestamp | DataType::TimestampTz => {
            reinterpret::<TimestampMicrosecondType, Int64Type>(array).map(shared)
        }
        DataType::Array(item) => {
            let field = Arc::new(file_field("item", item, true));
            with_items(array, field, |items| to_file(items, item))
        }
        DataType::Bool
        | DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Numeric { .. }
        | DataType::Text
        | DataType::Varchar { .. }
        | DataType::Bytea
        | DataType::Uuid
        | DataType::Jsonb => Ok(Arc::clone(array)),
    }
}

/// The opposite of [`to_file`].
pub(super) fn from_file(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let array = match data_type {
        DataType::Date => reinterpret::<Int32Type, Date32Type>(array).map(shared),
        DataType::Time => reinterpret::<Int64Type, Time64MicrosecondType>(array).map(shared),
        DataType::Timestamp => reinterpret::<Int64Type, TimestampMicrosecondType>(array).map(shared),
        DataType::TimestampTz => {
            reinterpret::<Int64Type, TimestampMicrosecondType>(array).map(|array| shared(array.with_timezone(UTC)))
        }
        DataType::Array(item) => {
            let field = Arc::new(item.to_field("item", true));
            with_items(array, field, |items| from_file(items, item))
        }
        DataType::Bool
        | DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Numeric { .. }
        | DataType::Text
        | DataType::Varchar { .. }
        | DataType::Bytea
        | DataType::Uuid
        | DataType::Jsonb => Ok(Arc::clone(array)),
    }?;
    if *array.data_type() == data_type.to_arrow() {
        return Ok(array);
    }
    Err(unlike(array.data_type(), data_type))
}

/// The same numbers under another name.
fn reinterpret<From, To>(array: &ArrayRef) -> Result<PrimitiveArray<To>>
where
    From: ArrowPrimitiveType,
    To: ArrowPrimitiveType<Native = From::Native>,
{
    let numbers = array.as_primitive_opt::<From>().ok_or_else(|| unlike(array.data_type(), From::DATA_TYPE))?;
    Ok(numbers.reinterpret_cast())
}

/// The list with its items converted to `field`.
fn with_items(
    array: &ArrayRef,
    field: FieldRef,
    convert: impl FnOnce(&ArrayRef) -> Result<ArrayRef>,
) -> Result<ArrayRef> {
    let list = array.as_list_opt::<i32>().ok_or_else(|| unlike(array.data_type(), "a list"))?;
    let items = convert(list.values())?;
    ListArray::try_new(field, list.offsets().clone(), items, list.nulls().cloned())
        .map(|list| Arc::new(list) as ArrayRef)
        .map_err(|error| Error::internal("a list column does not fit its type").with_source(error))
}

fn shared(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

fn unlike(found: &ArrowType, expected: impl std::fmt::Display) -> Error {
    Error::internal(format!("a column of a segment is {found}, expected {expected}"))
}
