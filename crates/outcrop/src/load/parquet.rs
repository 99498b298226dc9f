//! Rows of a Parquet file: its types are the types of the columns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use ::parquet::basic::LogicalType;
use ::parquet::schema::types::SchemaDescriptor;
use anyhow::{Context as _, Result, anyhow};
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

/// Reads a Parquet file.
pub(super) struct ParquetReader {
    batches: ParquetRecordBatchReader,
    types: Vec<DataType>,
    columns: Vec<TextColumn>,
    /// The next row of the columns, and how many they have.
    next: usize,
    count: usize,
    /// Rows of the file: read so far, and all.
    number: u64,
    total: u64,
    bytes: u64,
    taken: Arc<AtomicU64>,
}

impl ParquetReader {
    /// `taken` counts bytes, as far as rows tell.
    pub(super) fn open(input: &InputFile, taken: Arc<AtomicU64>) -> Result<Self> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(input.file()?)?;
        let types = file_columns(builder.schema(), builder.parquet_schema())?;
        let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        Ok(Self {
            batches: builder.with_batch_size(BATCH_ROWS).build()?,
            types: types.into_iter().map(|column| column.data_type).collect(),
            columns: Vec::new(),
            next: 0,
            count: 0,
            number: 0,
            total,
            bytes: input.bytes(),
            taken,
        })
    }

    /// Reads the next rows into columns of text; `false` at the end.
    fn advance(&mut self) -> Result<bool> {
        let place = || format!("read the rows from {}", self.number + 1);
        let Some(batch) = self.batches.next().transpose().with_context(place)? else {
            return Ok(false);
        };
        self.columns = text_columns(&batch, &self.types).with_context(place)?;
        self.next = 0;
        self.count = batch.num_rows();
        let read = self.number + u64::try_from(batch.num_rows()).unwrap_or(0);
        let done = u128::from(read) * u128::from(self.bytes) / u128::from(self.total.max(1));
        self.taken.store(u64::try_from(done).unwrap_or(self.bytes), Ordering::Relaxed);
        Ok(true)
    }
}

impl RowReader for ParquetReader {
    fn read(&mut self, row: &mut TextRow) -> Result<Found> {
        while self.next == self.count {
            if !self.advance()? {
                return Ok(Found::End);
            }
        }
        self.number += 1;
        row.begin(self.number);
        for column in &self.columns {
            match column.cell(self.next) {
                Some(text) => row.push(text),
                None => row.push_null(),
            }
        }
        self.next += 1;
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
    let is_json = *data_type == DataType::Jsonb && array.data_type().is_nested();
    let wanted = if is_json { normal_type(array.data_type())? } else { data_type.to_arrow() };
    let array = cast(array, &wanted)?;
    let mut bytes = Vec::new();
    let mut column = TextColumn::default();
    if is_json {
        let cells = JsonCells::new(array.as_ref())?;
        for row in 0..array.len() {
            cells.write(row, &settings, &mut bytes);
            column.ends.push(bytes.len());
        }
    } else {
        let cells = Cells::of_type(array.as_ref(), data_type)?;
        for row in 0..array.len() {
            if !cells.is_null(row) {
                cells.write_text(row, &settings, &mut bytes);
            }
            column.ends.push(bytes.len());
        }
    }
    column.nulls = (0..array.len()).map(|row| array.is_null(row)).collect();
    column.text = String::from_utf8(bytes)?;
    Ok(column)
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
