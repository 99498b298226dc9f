//! What a batch must be before it is stored: the table's schema, no forbidden NULL, one NaN and no -0.0 (Q9), and no
//! more memory behind it than its own values need.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, ListArray, PrimitiveArray, RecordBatch, UInt32Array};
use arrow_schema::{DataType as ArrowType, SchemaRef};
use arrow_select::take::take;
use outcrop_types::error::Constraint;
use outcrop_types::{Condition, Error, Result, TableSchema};

/// Largest row, in bytes of its values.
pub(crate) const ROW_BYTES_MAX: usize = 16 << 20;

/// Checks a batch against the schema and brings its values to their stored form.
pub(crate) fn normalise(batch: &RecordBatch, schema: &TableSchema, arrow: &SchemaRef) -> Result<RecordBatch> {
    check_types(batch, schema, arrow)?;
    check_nulls(batch, schema)?;
    let columns =
        batch.columns().iter().map(|column| compact(&canonical_floats(column))).collect::<Result<Vec<_>>>()?;
    let normal = RecordBatch::try_new(Arc::clone(arrow), columns)
        .map_err(|error| Error::internal("a checked batch does not fit its schema").with_source(error))?;
    check_row_sizes(&normal, schema)?;
    Ok(normal)
}

/// Bytes of a batch's values; what counts against limits of statements.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> u64 {
    let bytes: usize = batch.columns().iter().map(slice_bytes).sum();
    bytes as u64
}

fn check_types(batch: &RecordBatch, schema: &TableSchema, arrow: &SchemaRef) -> Result<()> {
    if batch.num_columns() != schema.columns.len() {
        return Err(Error::internal(format!(
            "a batch of {} columns for table {} of {}",
            batch.num_columns(),
            schema.name,
            schema.columns.len()
        )));
    }
    for (column, field) in batch.columns().iter().zip(arrow.fields()) {
        if column.data_type() != field.data_type() {
            return Err(Error::internal(format!(
                "column {} of table {} is {}, the batch has {}",
                field.name(),
                schema.name,
                field.data_type(),
                column.data_type()
            )));
        }
    }
    Ok(())
}

fn check_nulls(batch: &RecordBatch, schema: &TableSchema) -> Result<()> {
    for (array, column) in batch.columns().iter().zip(&schema.columns) {
        if !column.nullable && array.logical_null_count() > 0 {
            let relation = &schema.name.table;
            let constraint = Constraint {
                schema: schema.name.schema.clone(),
                table: relation.clone(),
                column: Some(column.name.clone()),
                name: None,
            };
            return Err(Error::new(
                Condition::NotNullViolation,
                format!(
                    "null value in column \"{}\" of relation \"{relation}\" violates not-null constraint",
                    column.name
                ),
            )
            .with_constraint(constraint));
        }
    }
    Ok(())
}

fn check_row_sizes(batch: &RecordBatch, schema: &TableSchema) -> Result<()> {
    if batch_bytes(batch) <= ROW_BYTES_MAX as u64 {
        return Ok(());
    }
    for row in 0..batch.num_rows() {
        let bytes: usize = batch.columns().iter().map(|column| slice_bytes(&column.slice(row, 1))).sum();
        if bytes > ROW_BYTES_MAX {
            return Err(Error::new(
                Condition::ProgramLimitExceeded,
                format!("a row of table \"{}\" is larger than {ROW_BYTES_MAX} bytes", schema.name.table),
            )
            .with_detail(format!("It has {bytes} bytes.")));
        }
    }
    Ok(())
}

/// One NaN, no -0.0, also inside arrays.
fn canonical_floats(array: &ArrayRef) -> ArrayRef {
    if let Some(floats) = array.as_primitive_opt::<Float32Type>() {
        return canonical(floats, |value| if value.is_nan() { f32::NAN } else { value + 0.0 });
    }
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        return canonical(floats, |value| if value.is_nan() { f64::NAN } else { value + 0.0 });
    }
    if let (ArrowType::List(field), Some(list)) = (array.data_type(), array.as_list_opt::<i32>())
        && field.data_type().is_floating()
    {
        let values = canonical_floats(list.values());
        return Arc::new(ListArray::new(Arc::clone(field), list.offsets().clone(), values, list.nulls().cloned()));
    }
    Arc::clone(array)
}

/// `-0.0 + 0.0` is 0.0, and every other number plus 0.0 is itself.
fn canonical<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, clean: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    Arc::new(array.unary::<_, T>(clean))
}

/// Copies an array that is a small view of large buffers, so that a row kept does not keep its whole batch.
fn compact(array: &ArrayRef) -> Result<ArrayRef> {
    let (held, needed) = (array.get_buffer_memory_size(), slice_bytes(array));
    if held <= 2 * needed + COMPACT_SLACK_BYTES {
        return Ok(Arc::clone(array));
    }
    let rows =
        u32::try_from(array.len()).map_err(|error| Error::internal("a batch has too many rows").with_source(error))?;
    let all: UInt32Array = (0..rows).collect();
    let copy = take(array, &all, None).map_err(|error| Error::internal("cannot copy an array").with_source(error))?;
    // A copy of views still points into the old text.
    if let Some(views) = copy.as_string_view_opt() {
        return Ok(Arc::new(views.gc()));
    }
    if let Some(views) = copy.as_binary_view_opt() {
        return Ok(Arc::new(views.gc()));
    }
    Ok(copy)
}

/// Bytes that the values of an array need by themselves.
fn slice_bytes(array: &ArrayRef) -> usize {
    if let Some(views) = array.as_string_view_opt() {
        return view_bytes(views.views());
    }
    if let Some(views) = array.as_binary_view_opt() {
        return view_bytes(views.views());
    }
    if let Some(list) = array.as_list_opt::<i32>() {
        let end_of = |offset: Option<&i32>| offset.and_then(|offset| usize::try_from(*offset).ok()).unwrap_or_default();
        let (start, end) = (end_of(list.value_offsets().first()), end_of(list.value_offsets().last()));
        return slice_bytes(&list.values().slice(start, end.saturating_sub(start))) + size_of::<i32>() * array.len();
    }
    array.to_data().get_slice_memory_size().unwrap_or_else(|_unsized| array.get_buffer_memory_size())
}

/// A view is 16 bytes, of which the first four are the length; up to 12 bytes of text are inside.
fn view_bytes(views: &[u128]) -> usize {
    views
        .iter()
        .map(|view| {
            let length = usize::try_from(*view & u128::from(u32::MAX)).unwrap_or_default();
            size_of::<u128>() + if length > VIEW_INLINE_BYTES { length } else { 0 }
        })
        .sum()
}

const VIEW_INLINE_BYTES: usize = 12;

/// Waste below this is not worth a copy.
const COMPACT_SLACK_BYTES: usize = 1_024;

#[cfg(test)]
mod tests;
