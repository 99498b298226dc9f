//! Rows of a Parquet file: its types are the types of the columns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use ::parquet::basic::LogicalType;
use ::parquet::schema::types::SchemaDescriptor;
use anyhow::{Context as _, Result, anyhow};
use arrow_array::builder::StringViewBuilder;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType as ArrowType, Field, Schema, TimeUnit};
use outcrop_ingest::{Cells, TextSettings};
use outcrop_types::DataType;

use super::input::InputFile;
use super::parquet_json::{JsonCells, normal_type};
use super::row::{Found, RowReader, TextRow};
use super::sample::FileColumn;

/// The columns of a file.
///
/// # Errors
/// If it is no Parquet file, or has a column of a type that no table has.
pub(super) fn columns(input: &InputFile) -> Result<Vec<FileColumn>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(input.file()?)?;
    file_columns(builder.schema(), builder.parquet_schema())
}

/// The rows of a Parquet file, some at a time.
pub(super) struct ParquetRows {
    batches: ParquetRecordBatchReader,
    /// Rows of the file: read so far, and all.
    number: u64,
    total: u64,
    bytes: u64,
    taken: Arc<AtomicU64>,
}

impl ParquetRows {
    /// `taken` counts bytes, as far as rows tell.
    pub(super) fn open(input: &InputFile, taken: Arc<AtomicU64>) -> Result<Self> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(input.file()?)?;
        let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let batches = builder.with_batch_size(BATCH_ROWS).build()?;
        Ok(Self { batches, number: 0, total, bytes: input.bytes(), taken })
    }

    /// The next rows, what `read` makes of them, and the number of the first one in the file, from 1; `None` at the end.
    pub(super) fn next<T>(&mut self, read: impl FnOnce(&RecordBatch) -> Result<T>) -> Result<Option<(u64, T)>> {
        let first = self.number + 1;
        let place = || format!("read the rows from {first}");
        let Some(batch) = self.batches.next().transpose().with_context(place)? else {
            return Ok(None);
        };
        let made = read(&batch).with_context(place)?;
        self.number += u64::try_from(batch.num_rows()).unwrap_or(0);
        let done = u128::from(self.number) * u128::from(self.bytes) / u128::from(self.total.max(1));
        self.taken.store(u64::try_from(done).unwrap_or(self.bytes), Ordering::Relaxed);
        Ok(Some((first, made)))
    }
}

/// Reads a Parquet file as text.
pub(super) struct ParquetReader {
    rows: ParquetRows,
    types: Vec<DataType>,
    columns: Vec<TextColumn>,
    /// The next row of the columns, and its number in the file.
    next: usize,
    number: u64,
}

impl ParquetReader {
    /// `taken` counts bytes, as far as rows tell.
    pub(super) fn open(input: &InputFile, taken: Arc<AtomicU64>) -> Result<Self> {
        let types = columns(input)?.into_iter().map(|column| column.data_type).collect();
        Ok(Self { rows: ParquetRows::open(input, taken)?, types, columns: Vec::new(), next: 0, number: 1 })
    }

    /// Reads the next rows into columns of text; `false` at the end.
    fn advance(&mut self) -> Result<bool> {
        let Some((first, columns)) = self.rows.next(|batch| text_columns(batch, &self.types))? else {
            return Ok(false);
        };
        (self.columns, self.next, self.number) = (columns, 0, first);
        Ok(true)
    }

    /// Whether all rows of the columns are read.
    fn is_read(&self) -> bool {
        self.columns.first().is_none_or(|column| self.next >= column.ends.len())
    }
}

impl RowReader for ParquetReader {
    fn read(&mut self, row: &mut TextRow) -> Result<Found> {
        while self.is_read() {
            if !self.advance()? {
                return Ok(Found::End);
            }
        }
        row.begin(self.number);
        for column in &self.columns {
            match column.cell(self.next) {
                Some(text) => row.push(text),
                None => row.push_null(),
            }
        }
        self.next += 1;
        self.number += 1;
        Ok(Found::Row)
    }
}

/// A column as text.
#[derive(Debug, Default)]
struct TextColumn {
    text: String,
    ends: Vec<usize>,
    nulls: Vec<bool>,
}

impl TextColumn {
    fn cell(&self, row: usize) -> Option<&str> {
        if self.nulls.get(row).copied().unwrap_or(true) {
            return None;
        }
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.text.get(start..self.ends.get(row).copied()?)
    }
}

fn text_columns(batch: &RecordBatch, types: &[DataType]) -> Result<Vec<TextColumn>> {
    let schema = batch.schema_ref();
    let columns = batch.columns().iter().zip(types).zip(schema.fields());
    columns
        .map(|((array, data_type), field)| {
            text_column(array, data_type).with_context(|| format!("column \"{}\"", field.name()))
        })
        .collect()
}

fn text_column(array: &ArrayRef, data_type: &DataType) -> Result<TextColumn> {
    let settings = TextSettings::default();
    let array = column_array(array, data_type)?;
    let cells = Cells::of_type(array.as_ref(), data_type)?;
    let (mut bytes, mut column) = (Vec::new(), TextColumn::default());
    for row in 0..array.len() {
        if !cells.is_null(row) {
            cells.write_text(row, &settings, &mut bytes);
        }
        column.ends.push(bytes.len());
    }
    column.nulls = (0..array.len()).map(|row| array.is_null(row)).collect();
    column.text = String::from_utf8(bytes)?;
    Ok(column)
}

/// A column of the file as a column of a table; nested values are JSON there.
pub(super) fn column_array(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if *data_type != DataType::Jsonb || !array.data_type().is_nested() {
        return cast(array, &data_type.to_arrow());
    }
    let array = cast(array, &normal_type(array.data_type())?)?;
    let cells = JsonCells::new(array.as_ref())?;
    let (settings, mut json, mut out) = (TextSettings::default(), Vec::new(), StringViewBuilder::new());
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
            continue;
        }
        json.clear();
        cells.write(row, &settings, &mut json);
        out.append_value(std::str::from_utf8(&json)?);
    }
    Ok(Arc::new(out.finish()))
}

/// To another type, exactly: what does not fit is an error and never NULL.
fn cast(array: &ArrayRef, wanted: &ArrowType) -> Result<ArrayRef> {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(array, wanted, &options)?)
}

fn file_columns(schema: &Schema, file: &SchemaDescriptor) -> Result<Vec<FileColumn>> {
    let logical = file.root_schema().get_fields().iter().map(|field| field.get_basic_info().logical_type_ref());
    let columns = schema.fields().iter().zip(logical).map(|(field, logical)| {
        let data_type = column_type(field, logical).with_context(|| format!("column \"{}\"", field.name()))?;
        Ok(FileColumn { name: field.name().clone(), data_type, note: note(field) })
    });
    columns.collect()
}

/// The type of a column. Arrow's types do not tell JSON, UUIDs and enumerations, but the file does.
fn column_type(field: &Field, logical: Option<&LogicalType>) -> Result<DataType> {
    match (logical, field.data_type()) {
        (Some(LogicalType::Json), ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View) => Ok(DataType::Jsonb),
        (Some(LogicalType::Uuid), ArrowType::FixedSizeBinary(16)) => Ok(DataType::Uuid),
        (Some(LogicalType::Enum), ArrowType::Binary | ArrowType::LargeBinary) => Ok(DataType::Text),
        (_, data_type) => sql_type(data_type),
    }
}

/// The SQL type that holds every value of an Arrow type.
pub(super) fn sql_type(data_type: &ArrowType) -> Result<DataType> {
    Ok(match data_type {
        ArrowType::Boolean => DataType::Bool,
        ArrowType::Int8 | ArrowType::UInt8 | ArrowType::Int16 => DataType::Int2,
        ArrowType::UInt16 | ArrowType::Int32 => DataType::Int4,
        ArrowType::UInt32 | ArrowType::Int64 => DataType::Int8,
        ArrowType::UInt64 => DataType::Numeric { precision: UINT64_DIGITS, scale: 0 },
        ArrowType::Float16 | ArrowType::Float32 => DataType::Float4,
        ArrowType::Float64 => DataType::Float8,
        ArrowType::Decimal32(precision, scale)
        | ArrowType::Decimal64(precision, scale)
        | ArrowType::Decimal128(precision, scale)
        | ArrowType::Decimal256(precision, scale) => numeric(*precision, *scale),
        ArrowType::Null | ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => DataType::Text,
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
            DataType::Bytea
        }
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Time32(_) | ArrowType::Time64(_) => DataType::Time,
        ArrowType::Timestamp(_, None) => DataType::Timestamp,
        ArrowType::Timestamp(_, Some(_)) => DataType::TimestampTz,
        ArrowType::Dictionary(_, values) => sql_type(values)?,
        ArrowType::List(item) | ArrowType::LargeList(item) | ArrowType::FixedSizeList(item, _) => {
            match sql_type(item.data_type())? {
                DataType::Jsonb | DataType::Array(_) => DataType::Jsonb,
                item => DataType::Array(Box::new(item)),
            }
        }
        ArrowType::Struct(_) | ArrowType::Map(..) => DataType::Jsonb,
        ArrowType::Duration(_)
        | ArrowType::Interval(_)
        | ArrowType::ListView(_)
        | ArrowType::LargeListView(_)
        | ArrowType::Union(..)
        | ArrowType::RunEndEncoded(..) => return Err(anyhow!("no column of a table holds values of type {data_type}")),
    })
}

/// A decimal whose scale lies within its precision, as SQL has it.
fn numeric(precision: u8, scale: i8) -> DataType {
    let zeros = scale.min(0).unsigned_abs();
    let scale = scale.max(0);
    let precision = precision.saturating_add(zeros).max(scale.unsigned_abs());
    DataType::Numeric { precision, scale }
}

fn note(field: &Field) -> Option<String> {
    let (ArrowType::Timestamp(unit, _) | ArrowType::Time64(unit)) = field.data_type() else { return None };
    (*unit == TimeUnit::Nanosecond).then(|| "nanoseconds are cut to microseconds".to_owned())
}

const BATCH_ROWS: usize = 1_024;
/// Of 2^64.
const UINT64_DIGITS: u8 = 20;
