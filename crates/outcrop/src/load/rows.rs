//! Rows of a file, whatever its format.

use anyhow::Result;
use outcrop_types::DataType;

use super::csv_rows::{CsvOptions, CsvRows};
use super::json_rows::JsonRows;
use super::parquet_rows::ParquetRows;
use super::record::Record;
use super::source::Source;
use crate::cli::FileFormat;

/// A reader of rows.
pub(super) enum Rows {
    Csv(CsvRows),
    Ndjson(JsonRows),
    Parquet(ParquetRows),
}

/// How to read.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadOptions {
    pub(super) csv: CsvOptions,
    /// Rows that are looked at for the names of JSON members.
    pub(super) sample: u32,
}

impl Rows {
    /// Opens the file from its beginning.
    pub(super) fn open(source: &Source, options: &ReadOptions) -> Result<Self> {
        Ok(match source.format {
            FileFormat::Csv => Self::Csv(CsvRows::open(source, &options.csv)?),
            FileFormat::Ndjson => Self::Ndjson(JsonRows::open(source, options.sample)?),
            FileFormat::Parquet => Self::Parquet(ParquetRows::open(source)?),
        })
    }

    /// Names of the columns.
    pub(super) fn columns(&self) -> &[String] {
        match self {
            Self::Csv(rows) => rows.columns(),
            Self::Ndjson(rows) => rows.columns(),
            Self::Parquet(rows) => rows.columns(),
        }
    }

    /// Types, where the file says them.
    pub(super) fn types(&self) -> Option<&[DataType]> {
        match self {
            Self::Csv(_) | Self::Ndjson(_) => None,
            Self::Parquet(rows) => Some(rows.types()),
        }
    }

    /// Reads the next row; `false` at the end. A row that cannot be read has its problem in the record.
    ///
    /// # Errors
    /// If the file cannot be read on.
    pub(super) fn next(&mut self, record: &mut Record) -> Result<bool> {
        match self {
            Self::Csv(rows) => rows.next(record),
            Self::Ndjson(rows) => rows.next(record),
            Self::Parquet(rows) => rows.next(record),
        }
    }
}
