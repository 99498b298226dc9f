//! Bytes to batch.

use std::sync::Arc;

use arrow_array::builder::make_view;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, ListArray,
    PrimitiveArray, RecordBatch, RecordBatchOptions, StringViewArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType as ArrowType, SchemaRef};
use outcrop_types::{Column, ColumnId, DataType, TableSchema};

use super::constant::constant_array;
use super::kind::{BATCH_VERSION, HAS_NULLS, Kind};
use super::widen::widen_array;
use crate::cursor::Decoder;
use crate::error::{DecodeError, DecodeProblem};

/// Longest value that a view holds in itself.
pub(super) const INLINE_BYTES_MAX: usize = 12;

/// Reads one batch: all columns of `schema`, in its order and with its names. Columns are matched by id: one that the
/// bytes do not have gets its initial default (the record is older), one that the schema does not have is skipped, and one
/// that was written under a narrower type is widened.
///
/// To read many batches of one schema, keep a [`BatchDecoder`].
///
/// # Errors
/// Any [`DecodeProblem`] of its parts; `ColumnType` for a column of another type; `UnexpectedNull` for a null where the
/// schema allows none, so pass the schema version that the record names, or a later one that allows NULLs where that did.
pub fn decode_batch(bytes: &[u8], schema: &TableSchema) -> Result<RecordBatch, DecodeError> {
    BatchDecoder::new(schema).decode(bytes)
}

/// How many rows an encoded batch has. Reads its first bytes only.
///
/// # Errors
/// `Truncated`, `Varint`, `Version`, or `Limit` for more rows than the bytes can hold.
pub fn batch_rows(bytes: &[u8]) -> Result<u32, DecodeError> {
    decode_head(&mut Decoder::new(bytes)).map(|(rows, _columns)| rows)
}

/// Reads batches of one schema.
#[derive(Clone, Debug)]
pub struct BatchDecoder {
    columns: Vec<Column>,
    arrow: SchemaRef,
}

impl BatchDecoder {
    /// A decoder for tables of this schema.
    pub fn new(schema: &TableSchema) -> Self {
        Self { columns: schema.columns.clone(), arrow: schema.to_arrow() }
    }

    /// The schema of the batches.
    pub fn arrow_schema(&self) -> &SchemaRef {
        &self.arrow
    }

    /// Reads one batch; see [`decode_batch`].
    ///
    /// # Errors
    /// Those of [`decode_batch`].
    pub fn decode(&self, bytes: &[u8]) -> Result<RecordBatch, DecodeError> {
        let mut bytes = Decoder::new(bytes);
        let (row_count, stored) = decode_head(&mut bytes)?;
        let rows = usize::try_from(row_count)
            .map_err(|_narrow_machine| bytes.error(DecodeProblem::Inconsistent("more rows than memory")))?;
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; self.columns.len()];
        let mut guess = 0;
        for _ in 0..stored {
            let at = bytes.offset();
            let id = ColumnId::new(bytes.varint_u32("column id")?);
            let kind = bytes.u8()?;
            let body = bytes.nested()?;
            let Some((position, column)) = self.position(id, guess) else { continue };
            guess = position + 1;
            let array = decode_widened(id, &column.data_type, kind, rows, body)?;
            if array.null_count() > 0 && !column.nullable {
                return Err(DecodeError::new(at, DecodeProblem::UnexpectedNull { column: id }));
            }
            let is_repeated = arrays.get_mut(position).is_none_or(|slot| slot.replace(array).is_some());
            if is_repeated {
                return Err(DecodeError::new(at, DecodeProblem::RepeatedColumn { column: id }));
            }
        }
        if stored == 0 {
            bytes.take(rows.div_ceil(8))?;
        }
        bytes.finish()?;
        let arrays: Vec<ArrayRef> = self
            .columns
            .iter()
            .zip(arrays)
            .map(|(column, array)| array.map_or_else(|| initial_default(column, rows), Ok))
            .collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.arrow), arrays, &options)
            .map_err(|_arrow| bytes.error(DecodeProblem::Inconsistent("columns do not make a batch")))
    }

    /// The column with this id; `guess` is where it is if the stored order is the schema's.
    fn position(&self, id: ColumnId, guess: usize) -> Option<(usize, &Column)> {
        if let Some(column) = self.columns.get(guess).filter(|column| column.id == id) {
            return Some((guess, column));
        }
        self.columns.iter().enumerate().find(|(_, column)| column.id == id)
    }
}

fn initial_default(column: &Column, rows: usize) -> Result<ArrayRef, DecodeError> {
    constant_array(&column.initial_default, &column.data_type, rows)
        .ok()
        .filter(|array| column.nullable || array.null_count() == 0)
        .ok_or_else(|| DecodeError::new(0, DecodeProblem::InitialDefault { column: column.id }))
}

fn decode_head(bytes: &mut Decoder<'_>) -> Result<(u32, usize), DecodeError> {
    let version = bytes.u8()?;
    if version == 0 || version > BATCH_VERSION {
        let (found, newest) = (u16::from(version), u16::from(BATCH_VERSION));
        return Err(DecodeError::new(0, DecodeProblem::Version { what: "batch", found, newest }));
    }
    let at = bytes.offset();
    let rows = bytes.varint_u32("rows")?;
    // A column is an id, a kind and a length at least.
    let columns = bytes.count("columns", 3)?;
    let max = (bytes.remaining() as u64).saturating_mul(8);
    if u64::from(rows) > max {
        return Err(DecodeError::new(at, DecodeProblem::Limit { what: "rows", found: u64::from(rows), max }));
    }
    Ok((rows, columns))
}

/// One column, in the type that it has now.
fn decode_widened(
    id: ColumnId,
    data_type: &DataType,
    kind_byte: u8,
    rows: usize,
    body: Decoder<'_>,
) -> Result<ArrayRef, DecodeError> {
    let at = body.offset();
    match narrower_type(kind_byte, body.clone()).filter(|stored| stored != data_type && stored.widens_to(data_type)) {
        None => decode_column(id, data_type, kind_byte, rows, body),
        Some(stored) => {
            let array = decode_column(id, &stored, kind_byte, rows, body)?;
            widen_array(&array, &stored, data_type)
                .map_err(|_beyond| DecodeError::new(at, DecodeProblem::ColumnType { column: id }))
        }
    }
}

/// The type under which numbers were written.
fn narrower_type(kind_byte: u8, mut body: Decoder<'_>) -> Option<DataType> {
    let is = |kind: Kind| kind.byte(false) == kind_byte & !HAS_NULLS;
    if is(Kind::Decimal128) || is(Kind::Decimal256) {
        return Some(DataType::Numeric { precision: body.u8().ok()?, scale: body.u8().ok()?.cast_signed() });
    }
    let numbers = [
        (Kind::Int16, DataType::Int2),
        (Kind::Int32, DataType::Int4),
        (Kind::Int64, DataType::Int8),
        (Kind::Float32, DataType::Float4),
    ];
    numbers.into_iter().find(|(kind, _)| is(*kind)).map(|(_, data_type)| data_type)
}

/// One column, or the items of one.
fn decode_column(
    id: ColumnId,
    data_type: &DataType,
    kind_byte: u8,
    rows: usize,
    mut body: Decoder<'_>,
) -> Result<ArrayRef, DecodeError> {
    let arrow = data_type.to_arrow();
    let kind = Kind::of(&arrow).filter(|kind| kind.byte(false) == kind_byte & !HAS_NULLS);
    let Some(kind) = kind else {
        return Err(body.error(DecodeProblem::ColumnType { column: id }));
    };
    if let ArrowType::Decimal128(precision, scale) | ArrowType::Decimal256(precision, scale) = arrow {
        let at = body.offset();
        if (body.u8()?, body.u8()?.cast_signed()) != (precision, scale) {
            return Err(DecodeError::new(at, DecodeProblem::ColumnType { column: id }));
        }
    }
    let max = (body.remaining() as u64).saturating_mul(8);
    if rows as u64 > max {
        return Err(body.error(DecodeProblem::Limit { what: "rows of a column", found: rows as u64, max }));
    }
    let nulls = if kind_byte & HAS_NULLS == 0 { None } else { Some(NullBuffer::new(take_bits(&mut body, rows)?)) };
    let array: ArrayRef = match kind {
        Kind::Boolean => Arc::new(BooleanArray::new(take_bits(&mut body, rows)?, nulls)),
        Kind::Int16 => primitive::<Int16Type>(&mut body, rows, nulls, arrow)?,
        Kind::Int32 => primitive::<Int32Type>(&mut body, rows, nulls, arrow)?,
        Kind::Int64 => primitive::<Int64Type>(&mut body, rows, nulls, arrow)?,
        Kind::Float32 => primitive::<Float32Type>(&mut body, rows, nulls, arrow)?,
        Kind::Float64 => primitive::<Float64Type>(&mut body, rows, nulls, arrow)?,
        Kind::Decimal128 => primitive::<Decimal128Type>(&mut body, rows, nulls, arrow)?,
        Kind::Decimal256 => primitive::<Decimal256Type>(&mut body, rows, nulls, arrow)?,
        Kind::Date32 => primitive::<Date32Type>(&mut body, rows, nulls, arrow)?,
        Kind::Time64 => primitive::<Time64MicrosecondType>(&mut body, rows, nulls, arrow)?,
        Kind::Timestamp | Kind::TimestampUtc => primitive::<TimestampMicrosecondType>(&mut body, rows, nulls, arrow)?,
        Kind::Utf8View => {
            let at = body.offset();
            let (views, data) = take_views(&mut body, rows, nulls.as_ref())?;
            let texts = StringViewArray::try_new(views, data, nulls);
            Arc::new(texts.map_err(|_not_utf8| DecodeError::new(at, DecodeProblem::Utf8))?)
        }
        Kind::BinaryView => {
            let at = body.offset();
            let (views, data) = take_views(&mut body, rows, nulls.as_ref())?;
            let bytes = BinaryViewArray::try_new(views, data, nulls);
            Arc::new(bytes.map_err(|_impossible| inconsistent(at))?)
        }
        Kind::Uuid => {
            let at = body.offset();
            let values = take_fixed(&mut body, rows, 16, nulls.as_ref())?;
            let uuids = FixedSizeBinaryArray::try_new(16, values, nulls);
            Arc::new(uuids.map_err(|_impossible| inconsistent(at))?)
        }
        Kind::List => take_list(id, data_type, &mut body, rows, nulls)?,
    };
    body.finish()?;
    Ok(array)
}

fn take_bits(body: &mut Decoder<'_>, rows: usize) -> Result<BooleanBuffer, DecodeError> {
    let bytes = body.take(rows.div_ceil(8))?;
    Ok(BooleanBuffer::new(Buffer::from(bytes), 0, rows))
}

fn primitive<T: ArrowPrimitiveType>(
    body: &mut Decoder<'_>,
    rows: usize,
    nulls: Option<NullBuffer>,
    arrow: ArrowType,
) -> Result<ArrayRef, DecodeError> {
    let at = body.offset();
    let values = take_fixed(body, rows, size_of::<T::Native>(), nulls.as_ref())?;
    let array = PrimitiveArray::<T>::try_new(ScalarBuffer::new(values, 0, rows), nulls);
    let array = array.map_err(|_impossible| inconsistent(at))?;
    Ok(Arc::new(array.with_data_type(arrow)))
}

/// Values of `width` bytes, with zeros where they are null.
fn take_fixed(
    body: &mut Decoder<'_>,
    rows: usize,
    width: usize,
    nulls: Option<&NullBuffer>,
) -> Result<Buffer, DecodeError> {
    let Some(nulls) = nulls else {
        return Ok(Buffer::from(body.take(rows.saturating_mul(width))?));
    };
    let mut values = MutableBuffer::from_len_zeroed(rows.saturating_mul(width));
    for (start, end) in nulls.valid_slices() {
        let source = body.take((end - start) * width)?;
        let target = values.as_slice_mut().get_mut(start * width..end * width);
        target.ok_or_else(|| inconsistent(body.offset()))?.copy_from_slice(source);
    }
    Ok(values.into())
}

/// Views over one buffer that holds all values.
fn take_views(
    body: &mut Decoder<'_>,
    rows: usize,
    nulls: Option<&NullBuffer>,
) -> Result<(ScalarBuffer<u128>, Vec<Buffer>), DecodeError> {
    let at = body.offset();
    let lengths = take_lengths(body, rows, nulls)?;
    let data = body.take_rest();
    if i32::try_from(data.len()).is_err() {
        let (found, max) = (data.len() as u64, u64::from(i32::MAX.cast_unsigned()));
        return Err(DecodeError::new(at, DecodeProblem::Limit { what: "bytes of a column", found, max }));
    }
    let mut views = Vec::with_capacity(rows);
    let mut has_long = false;
    let mut values = Decoder::at(data, body.offset() - data.len() as u64);
    let mut start = 0_u32;
    for length in lengths {
        let Some(length) = length else {
            views.push(0);
            continue;
        };
        let value = values.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        has_long |= value.len() > INLINE_BYTES_MAX;
        views.push(make_view(value, 0, start));
        start += length;
    }
    values.finish()?;
    let buffers = if has_long { vec![Buffer::from(data)] } else { Vec::new() };
    Ok((ScalarBuffer::from(views), buffers))
}

/// A length for each row that is not null.
fn take_lengths(
    body: &mut Decoder<'_>,
    rows: usize,
    nulls: Option<&NullBuffer>,
) -> Result<Vec<Option<u32>>, DecodeError> {
    (0..rows)
        .map(|row| {
            let is_null = nulls.is_some_and(|nulls| nulls.is_null(row));
            if is_null { Ok(None) } else { body.varint_u32("length of a value").map(Some) }
        })
        .collect()
}

fn take_list(
    id: ColumnId,
    data_type: &DataType,
    body: &mut Decoder<'_>,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, DecodeError> {
    let at = body.offset();
    let DataType::Array(item) = data_type else {
        return Err(DecodeError::new(at, DecodeProblem::ColumnType { column: id }));
    };
    let mut offsets = Vec::with_capacity(rows + 1);
    let mut end = 0_i32;
    offsets.push(end);
    for length in take_lengths(body, rows, nulls.as_ref())? {
        let next = i32::try_from(length.unwrap_or(0)).ok().and_then(|length| end.checked_add(length));
        end = next.ok_or_else(|| DecodeError::new(at, DecodeProblem::Inconsistent("too many array items")))?;
        offsets.push(end);
    }
    let kind = body.u8()?;
    let items_at = body.offset();
    let items = usize::try_from(end).map_err(|_negative| inconsistent(at))?;
    let items = decode_column(id, item, kind, items, Decoder::at(body.take_rest(), items_at))?;
    // Offsets begin at 0 and only grow, so Arrow's own check cannot fail.
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let list = ListArray::try_new(Arc::new(item.to_field("item", true)), offsets, items, nulls);
    Ok(Arc::new(list.map_err(|_impossible| inconsistent(at))?))
}

fn inconsistent(at: u64) -> DecodeError {
    DecodeError::new(at, DecodeProblem::Inconsistent("values do not make a column"))
}
