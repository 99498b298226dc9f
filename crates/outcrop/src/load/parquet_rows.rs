//! Rows of a Parquet file.

use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail};
use arrow_array::RecordBatch;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::DataType as ArrowType;
use outcrop_ingest::{Cells, TextSettings};
use outcrop_types::DataType;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::record::{Kind, Record};
use super::source::Source;

pub(super) struct ParquetRows {
    reader: ParquetRecordBatchReader,
    columns: Vec<String>,
    types: Vec<DataType>,
    batch: Option<RecordBatch>,
    /// Row of the batch.
    at: usize,
    /// Row of the file.
    row: u64,
    rows: u64,
    source: Source,
    text: Vec<u8>,
}

const BATCH_ROWS: usize = 8_192;

impl ParquetRows {
    pub(super) fn open(source: &Source) -> Result<Self> {
        let name = source.name();
        let builder = ParquetRecordBatchReaderBuilder::try_new(source.file()?)
            .with_context(|| format!("read the footer of {name}"))?;
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let mut columns = Vec::new();
        let mut types = Vec::new();
        for field in builder.schema().fields() {
            let Some(data_type) = type_of(field.data_type()) else {
                bail!("column \"{}\" of {name} has the type {}, which cannot be loaded", field.name(), field.data_type());
            };
            columns.push(field.name().clone());
            types.push(data_type);
        }
        let reader = builder.with_batch_size(BATCH_ROWS).build().with_context(|| format!("read {name}"))?;
        Ok(Self { reader, columns, types, batch: None, at: 0, row: 0, rows, source: source.clone(), text: Vec::new() })
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn types(&self) -> &[DataType] {
        &self.types
    }

    pub(super) fn next(&mut self, record: &mut Record) -> Result<bool> {
        while self.batch.as_ref().is_none_or(|batch| self.at >= batch.num_rows()) {
            match self.reader.next() {
                None => return Ok(false),
                Some(batch) => {
                    let batch = batch.with_context(|| format!("read {}", self.source.name()))?;
                    self.batch = Some(self.converted(&batch)?);
                    self.at = 0;
                }
            }
        }
        self.row += 1;
        record.begin(self.row);
        if let Some(batch) = &self.batch {
            for (array, data_type) in batch.columns().iter().zip(&self.types) {
                let cells = Cells::of_type(array.as_ref(), data_type)?;
                if cells.is_null(self.at) {
                    record.push(Kind::Null, "");
                    continue;
                }
                self.text.clear();
                cells.write_text(self.at, &TextSettings::default(), &mut self.text);
                record.push(Kind::Bare, &String::from_utf8_lossy(&self.text));
            }
        }
        self.at += 1;
        // Columns are scattered over the file, so rows tell the progress better than bytes.
        let read = u128::from(self.source.bytes) * u128::from(self.row) / u128::from(self.rows.max(1));
        self.source.read.store(u64::try_from(read).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(true)
    }

    /// The batch in our own Arrow types.
    fn converted(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let columns = batch.columns().iter().zip(self.types.iter().zip(&self.columns)).map(|(array, (to, name))| {
            let array = cast_with_options(array, &to.to_arrow(), &options)
                .with_context(|| format!("read column \"{name}\" of {} as {to}", self.source.name()))?;
            Ok((name.as_str(), array))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        RecordBatch::try_from_iter(columns).with_context(|| format!("read {}", self.source.name()))
    }
}

/// The SQL type for an Arrow type; `None` for nested types other than lists.
fn type_of(arrow: &ArrowType) -> Option<DataType> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other type is refused by name")]
    Some(match arrow {
        ArrowType::Boolean => DataType::Bool,
        ArrowType::Int8 | ArrowType::Int16 | ArrowType::UInt8 => DataType::Int2,
        ArrowType::Int32 | ArrowType::UInt16 => DataType::Int4,
        ArrowType::Int64 | ArrowType::UInt32 => DataType::Int8,
        ArrowType::UInt64 => DataType::Numeric { precision: 20, scale: 0 },
        ArrowType::Float16 | ArrowType::Float32 => DataType::Float4,
        ArrowType::Float64 => DataType::Float8,
        ArrowType::Decimal32(precision, scale)
        | ArrowType::Decimal64(precision, scale)
        | ArrowType::Decimal128(precision, scale)
        | ArrowType::Decimal256(precision, scale)
            if *scale >= 0 =>
        {
            DataType::Numeric { precision: *precision, scale: *scale }
        }
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View | ArrowType::Null => DataType::Text,
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
            DataType::Bytea
        }
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Time32(_) | ArrowType::Time64(_) => DataType::Time,
        ArrowType::Timestamp(_, None) => DataType::Timestamp,
        ArrowType::Timestamp(_, Some(_)) => DataType::TimestampTz,
        ArrowType::Dictionary(_, values) => type_of(values)?,
        ArrowType::List(item) | ArrowType::LargeList(item) => match type_of(item.data_type())? {
            DataType::Array(_) => return None,
            item => DataType::Array(Box::new(item)),
        },
        _ => return None,
    })
}
