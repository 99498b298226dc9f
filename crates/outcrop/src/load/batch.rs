//! Rows to batches of COPY data, checked on the way.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use outcrop_ingest::TextSettings;
use outcrop_ingest::text::parse;
use outcrop_types::DataType;

use super::line;
use super::plan::Target;
use super::row::{Found, ROW_BYTES_MAX, RowReader, TextRow};

/// Rows that go to the server in one statement.
#[derive(Debug, Default)]
pub(super) struct Batch {
    data: Vec<u8>,
    /// Where each row ends in the data.
    ends: Vec<usize>,
    /// Where each row begins in the file.
    lines: Vec<u64>,
    /// Rows of the same part of the file that are no rows, or that their columns cannot take.
    pub(super) rejected: Vec<Rejected>,
    /// Bytes of the file that were read by then.
    pub(super) taken: u64,
}

/// A row that is not stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) line: u64,
    pub(super) reason: String,
    pub(super) cells: Vec<Option<String>>,
}

impl Batch {
    /// Rows to send.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The COPY data of some rows.
    pub(super) fn data(&self, rows: &Range<usize>) -> &[u8] {
        let end_of = |count: usize| count.checked_sub(1).and_then(|row| self.ends.get(row)).copied().unwrap_or(0);
        self.data.get(end_of(rows.start)..end_of(rows.end)).unwrap_or_default()
    }

    /// A row that the server refused.
    pub(super) fn reject(&self, row: usize, reason: String) -> Rejected {
        let cells = line::read(self.data(&(row..row + 1)));
        Rejected { line: self.lines.get(row).copied().unwrap_or(0), reason, cells }
    }

    fn push(&mut self, row: &TextRow) {
        line::write(row.cells(), &mut self.data);
        self.ends.push(self.data.len());
        self.lines.push(row.line);
    }

    fn push_rejected(&mut self, row: &TextRow, reason: String) {
        let cells = row.cells().map(|cell| cell.map(str::to_owned)).collect();
        self.rejected.push(Rejected { line: row.line, reason, cells });
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.rejected.is_empty()
    }

    fn is_full(&self) -> bool {
        self.data.len() >= BATCH_BYTES || self.ends.len() >= BATCH_ROWS || self.rejected.len() >= BATCH_REJECTED
    }
}

/// Makes batches of the rows of a file.
pub(super) struct BatchReader {
    rows: Box<dyn RowReader>,
    taken: Arc<AtomicU64>,
    checks: Vec<Check>,
    row: TextRow,
    settings: TextSettings,
    failure: Option<anyhow::Error>,
    is_ended: bool,
}

impl BatchReader {
    /// `targets` are the columns of the cells in order; `taken` is what `rows` counts the bytes of the file with.
    pub(super) fn new(rows: Box<dyn RowReader>, taken: Arc<AtomicU64>, targets: &[Target]) -> Self {
        Self {
            rows,
            taken,
            checks: targets.iter().map(Check::of).collect(),
            row: TextRow::default(),
            settings: TextSettings::default(),
            failure: None,
            is_ended: false,
        }
    }

    /// The next batch. What was read before an error comes first.
    pub(super) fn next_batch(&mut self) -> Result<Option<Batch>> {
        let mut batch = Batch::default();
        while !self.is_ended && !batch.is_full() {
            match self.rows.read(&mut self.row) {
                Ok(Found::End) => self.is_ended = true,
                Ok(Found::Bad(reason)) => batch.push_rejected(&self.row, reason),
                Ok(Found::Row) => match self.fault() {
                    None => batch.push(&self.row),
                    Some(reason) => batch.push_rejected(&self.row, reason),
                },
                Err(error) => {
                    self.is_ended = true;
                    self.failure = Some(error);
                }
            }
        }
        batch.taken = self.taken.load(Ordering::Relaxed);
        if !batch.is_empty() {
            return Ok(Some(batch));
        }
        self.failure.take().map_or(Ok(None), Err)
    }

    /// Why the server would refuse the row, as far as that is known here.
    fn fault(&self) -> Option<String> {
        let mut bytes = 0;
        for (check, cell) in self.checks.iter().zip(self.row.cells()) {
            bytes += cell.map_or(0, str::len);
            if let Err(reason) = check.run(cell, &self.settings) {
                return Some(format!("column {}: {reason}", check.name));
            }
        }
        (bytes > ROW_BYTES_MAX).then(|| format!("it is longer than {} MiB", ROW_BYTES_MAX >> 20))
    }
}

/// What a cell must be.
#[derive(Debug)]
struct Check {
    name: String,
    is_nullable: bool,
    what: CheckedType,
}

#[derive(Debug)]
enum CheckedType {
    /// The server's own reading of the type.
    Parse(DataType),
    /// Anything that has no NUL.
    Text,
    /// The file's type is the column's.
    Sure,
}

impl Check {
    fn of(target: &Target) -> Self {
        let what = match &target.column.data_type {
            Some(DataType::Text) | None => CheckedType::Text,
            data_type if *data_type == target.source_type => CheckedType::Sure,
            Some(data_type) if has_wide_decimals(data_type) => CheckedType::Text,
            Some(data_type) => CheckedType::Parse(data_type.clone()),
        };
        Self { name: target.column.name.clone(), is_nullable: target.column.is_nullable, what }
    }

    fn run(&self, cell: Option<&str>, settings: &TextSettings) -> Result<(), String> {
        match (cell, &self.what) {
            (None, _) if !self.is_nullable => Err("it is NULL, which the column does not take".to_owned()),
            (None, _) | (Some(_), CheckedType::Sure) => Ok(()),
            (Some(text), CheckedType::Text) if text.contains('\0') => Err("it has a NUL character".to_owned()),
            (Some(_), CheckedType::Text) => Ok(()),
            (Some(text), CheckedType::Parse(data_type)) => match parse(data_type, text, settings) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.message().to_owned()),
            },
        }
    }
}

/// Whether a type's values may have more digits than one value here.
fn has_wide_decimals(data_type: &DataType) -> bool {
    match data_type {
        DataType::Array(item) => matches!(**item, DataType::Numeric { .. }),
        DataType::Numeric { precision, .. } => *precision > 38,
        DataType::Bool
        | DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Text
        | DataType::Varchar { .. }
        | DataType::Bytea
        | DataType::Date
        | DataType::Time
        | DataType::Timestamp
        | DataType::TimestampTz
        | DataType::Uuid
        | DataType::Jsonb => false,
    }
}

/// A batch is sent when it has so much data. Enough that the sync of a commit costs little beside it.
const BATCH_BYTES: usize = 8 << 20;
/// Or so many rows.
const BATCH_ROWS: usize = 131_072;
/// Or so many rejected ones, so that they do not fill memory.
const BATCH_REJECTED: usize = 1_000;
