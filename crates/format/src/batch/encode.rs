//! Batch to bytes.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ByteViewType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, GenericByteViewArray, ListArray, RecordBatch, make_array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_data::transform::MutableArrayData;
use arrow_schema::DataType as ArrowType;
use outcrop_types::ColumnId;

use super::kind::{BATCH_VERSION, Kind};
use crate::cursor::Encoder;
use crate::error::EncodeError;

// Buffers are copied as they lie in memory, and the format is little-endian (B1).
const _: () = assert!(cfg!(target_endian = "little"), "Outcrop runs on little-endian machines only");

/// Appends `batch`, whose columns are `columns`. Nothing is appended if it fails.
///
/// # Errors
/// `ColumnCount`; `ArrowType` for a column of a type that no SQL type has; `Limit` beyond 2^32 rows.
pub fn encode_batch(batch: &RecordBatch, columns: &[ColumnId], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let outcome = append_batch(batch, columns, &mut Encoder::new(out));
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome
}

fn append_batch(batch: &RecordBatch, columns: &[ColumnId], out: &mut Encoder<'_>) -> Result<(), EncodeError> {
    if columns.len() != batch.num_columns() {
        return Err(EncodeError::ColumnCount { ids: columns.len(), columns: batch.num_columns() });
    }
    let rows = batch.num_rows();
    if u32::try_from(rows).is_err() {
        return Err(EncodeError::Limit { what: "rows", found: rows as u64, max: u64::from(u32::MAX) });
    }
    out.put_u8(BATCH_VERSION);
    out.put_count(rows);
    out.put_count(columns.len());
    for (id, array) in columns.iter().zip(batch.columns()) {
        out.put_varint(u64::from(id.get()));
        let (kind, nulls) = put_kind(array, out)?;
        out.try_put_nested(|out| put_body(kind, array, nulls, out))?;
    }
    if columns.is_empty() {
        out.put_raw(&vec![0; rows.div_ceil(8)]);
    }
    Ok(())
}

/// Writes the kind byte; gives the kind, and the nulls if there are any.
fn put_kind<'a>(array: &'a ArrayRef, out: &mut Encoder<'_>) -> Result<(Kind, Option<&'a NullBuffer>), EncodeError> {
    let kind = Kind::of(array.data_type()).ok_or_else(|| unsupported(array))?;
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    out.put_u8(kind.byte(nulls.is_some()));
    Ok((kind, nulls))
}

fn put_body(
    kind: Kind,
    array: &ArrayRef,
    nulls: Option<&NullBuffer>,
    out: &mut Encoder<'_>,
) -> Result<(), EncodeError> {
    if let ArrowType::Decimal128(precision, scale) | ArrowType::Decimal256(precision, scale) = array.data_type() {
        out.put_u8(*precision);
        out.put_u8(scale.cast_unsigned());
    }
    if let Some(nulls) = nulls {
        put_bits(nulls.inner(), out);
    }
    match kind {
        Kind::Boolean => put_booleans(array, nulls, out),
        Kind::Int16 => put_primitive::<Int16Type>(array, nulls, out),
        Kind::Int32 => put_primitive::<Int32Type>(array, nulls, out),
        Kind::Int64 => put_primitive::<Int64Type>(array, nulls, out),
        Kind::Float32 => put_primitive::<Float32Type>(array, nulls, out),
        Kind::Float64 => put_primitive::<Float64Type>(array, nulls, out),
        Kind::Decimal128 => put_primitive::<Decimal128Type>(array, nulls, out),
        Kind::Decimal256 => put_primitive::<Decimal256Type>(array, nulls, out),
        Kind::Date32 => put_primitive::<Date32Type>(array, nulls, out),
        Kind::Time64 => put_primitive::<Time64MicrosecondType>(array, nulls, out),
        Kind::Timestamp | Kind::TimestampUtc => put_primitive::<TimestampMicrosecondType>(array, nulls, out),
        Kind::Utf8View => put_views(array.as_string_view_opt().ok_or_else(|| unsupported(array))?, nulls, out),
        Kind::BinaryView => put_views(array.as_binary_view_opt().ok_or_else(|| unsupported(array))?, nulls, out),
        Kind::Uuid => {
            let uuids = array.as_fixed_size_binary_opt().ok_or_else(|| unsupported(array))?;
            put_fixed(uuids.value_data(), 16, array.len(), nulls, out);
            Ok(())
        }
        Kind::List => put_list(array.as_list_opt().ok_or_else(|| unsupported(array))?, nulls, out),
    }
}

fn put_booleans(array: &ArrayRef, nulls: Option<&NullBuffer>, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
    let values = array.as_boolean_opt().ok_or_else(|| unsupported(array))?.values();
    match nulls {
        None => put_bits(values, out),
        Some(nulls) => put_bits(&(values & nulls.inner()), out),
    }
    Ok(())
}

/// The bits from a byte boundary on, with zeros behind the last.
fn put_bits(bits: &BooleanBuffer, out: &mut Encoder<'_>) {
    let bytes = bits.sliced();
    let Some((last, whole)) = bytes.get(..bits.len().div_ceil(8)).and_then(<[u8]>::split_last) else {
        return;
    };
    out.put_raw(whole);
    let used = bits.len() - whole.len() * 8;
    out.put_u8(last & (u8::MAX >> (8 - used)));
}

fn put_primitive<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    nulls: Option<&NullBuffer>,
    out: &mut Encoder<'_>,
) -> Result<(), EncodeError> {
    let values = array.as_primitive_opt::<T>().ok_or_else(|| unsupported(array))?.values();
    put_fixed(values.inner(), size_of::<T::Native>(), array.len(), nulls, out);
    Ok(())
}

/// The values that are not null, run by run.
fn put_fixed(bytes: &[u8], width: usize, rows: usize, nulls: Option<&NullBuffer>, out: &mut Encoder<'_>) {
    for run in valid_runs(rows, nulls) {
        out.put_raw(bytes.get(run.start * width..run.end * width).unwrap_or_default());
    }
}

fn put_views<T: ByteViewType>(
    array: &GenericByteViewArray<T>,
    nulls: Option<&NullBuffer>,
    out: &mut Encoder<'_>,
) -> Result<(), EncodeError> {
    let mut total = 0_u64;
    for row in valid_runs(array.len(), nulls).flatten() {
        let len = AsRef::<[u8]>::as_ref(array.value(row)).len();
        total += len as u64;
        out.put_count(len);
    }
    let max = u64::from(i32::MAX.cast_unsigned());
    if total > max {
        return Err(EncodeError::Limit { what: "bytes of a text or binary column", found: total, max });
    }
    for row in valid_runs(array.len(), nulls).flatten() {
        out.put_raw(array.value(row).as_ref());
    }
    Ok(())
}

fn put_list(array: &ListArray, nulls: Option<&NullBuffer>, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
    let mut item_runs: Vec<Range<usize>> = Vec::new();
    for run in valid_runs(array.len(), nulls) {
        let offsets = array.offsets().get(run.start..=run.end).unwrap_or_default();
        for pair in offsets.windows(2) {
            let [start, end] = pair else { continue };
            out.put_varint(u64::try_from(end - start).unwrap_or(0));
        }
        if let (Some(start), Some(end)) = (offsets.first(), offsets.last()) {
            let items = usize::try_from(*start).unwrap_or(0)..usize::try_from(*end).unwrap_or(0);
            match item_runs.last_mut() {
                Some(last) if last.end == items.start => last.end = items.end,
                Some(_) | None => item_runs.push(items),
            }
        }
    }
    let items = gather(array.values(), &item_runs)?;
    let (kind, nulls) = put_kind(&items, out)?;
    put_body(kind, &items, nulls, out)
}

/// The items of these runs: without a copy if they lie together, as they nearly always do.
fn gather(items: &ArrayRef, runs: &[Range<usize>]) -> Result<ArrayRef, EncodeError> {
    match runs {
        [] => Ok(items.slice(0, 0)),
        [run] => Ok(items.slice(run.start, run.len())),
        runs => {
            let data = items.to_data();
            let mut gathered = MutableArrayData::new(vec![&data], false, runs.iter().map(Range::len).sum());
            runs.iter()
                .try_for_each(|run| gathered.try_extend(0, run.start, run.end))
                .map_err(|_overflow| unsupported(items))?;
            Ok(make_array(gathered.freeze()))
        }
    }
}

/// Maximal ranges of rows that are not null.
fn valid_runs(rows: usize, nulls: Option<&NullBuffer>) -> impl Iterator<Item = Range<usize>> {
    let all = nulls.is_none().then_some(0..rows);
    let valid = nulls.into_iter().flat_map(NullBuffer::valid_slices).map(|(start, end)| start..end);
    all.into_iter().chain(valid)
}

fn unsupported(array: &ArrayRef) -> EncodeError {
    EncodeError::ArrowType(array.data_type().clone())
}
