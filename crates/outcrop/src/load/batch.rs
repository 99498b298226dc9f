//! Batches of COPY data, and how rows of text become some, checked on the way.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use outcrop_ingest::copy::{CopyEncoder, Fields, Layout, Style};
use outcrop_ingest::text::parse;
use outcrop_ingest::{Cells, ColumnBuilder, TextSettings};
use outcrop_types::DataType;

use super::digits::are_kept;
use super::line;
use super::plan::Target;
use super::row::{Found, ROW_BYTES_MAX, RowReader, TextRow};

/// How rows are written for the server.
#[derive(Clone, Debug, Default)]
pub(super) enum Form {
    /// Lines of text.
    #[default]
    Text,
    /// Tuples of fields of these types.
    Binary(Arc<[DataType]>),
}

impl Form {
    /// What writes it.
    pub(super) fn encoder(&self) -> CopyEncoder {
        let style = match self {
            Self::Text => Style::Text,
            Self::Binary(_) => Style::Binary,
        };
        CopyEncoder::new(Layout::new(style), TextSettings::default())
    }
}

/// Rows that go to the server in one statement.
#[derive(Debug, Default)]
pub(super) struct Batch {
    form: Form,
    data: Vec<u8>,
    /// Where each row ends in the data.
    ends: Vec<usize>,
    /// Where each row begins in the file.
    lines: Vec<u64>,
    /// Rows of the same part of the file that are no rows, or that their columns cannot take.
    pub(super) rejected: Vec<Rejected>,
    /// Numbers that the table's columns round.
    pub(super) rounded: u64,
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

    pub(super) fn new(form: Form) -> Self {
        Self { form, ..Self::default() }
    }

    /// What stands before and behind the data of rows in a COPY.
    pub(super) fn frame(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut encoder, mut header, mut end) = (self.form.encoder(), Vec::new(), Vec::new());
        encoder.write_header([], &mut header);
        encoder.write_end(&mut end);
        (header, end)
    }

    /// The COPY data of some rows.
    pub(super) fn data(&self, rows: &Range<usize>) -> &[u8] {
        let end_of = |count: usize| count.checked_sub(1).and_then(|row| self.ends.get(row)).copied().unwrap_or(0);
        self.data.get(end_of(rows.start)..end_of(rows.end)).unwrap_or_default()
    }

    /// A row that the server refused.
    pub(super) fn reject(&self, row: usize, reason: String) -> Rejected {
        let data = self.data(&(row..row + 1));
        let cells = match &self.form {
            Form::Text => line::read(data),
            Form::Binary(types) => Fields::of_tuple(data).zip(types.iter()).map(field_text).collect(),
        };
        Rejected { line: self.lines.get(row).copied().unwrap_or(0), reason, cells }
    }

    fn push(&mut self, row: &TextRow) {
        line::write(row.cells(), &mut self.data);
        self.ends.push(self.data.len());
        self.lines.push(row.line);
    }

    /// Adds a row that `write` writes.
    pub(super) fn push_row(&mut self, line: u64, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), String> {
        let start = self.data.len();
        write(&mut self.data);
        if self.data.len() - start > ROW_BYTES_MAX {
            self.data.truncate(start);
            return Err(too_long());
        }
        self.ends.push(self.data.len());
        self.lines.push(line);
        Ok(())
    }

    fn push_rejected(&mut self, row: &TextRow, reason: String) {
        let cells = row.cells().map(|cell| cell.map(str::to_owned)).collect();
        self.rejected.push(Rejected { line: row.line, reason, cells });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.rejected.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        let bytes_max = match self.form {
            Form::Text => TEXT_BYTES,
            Form::Binary(_) => BINARY_BYTES,
        };
        self.data.len() >= bytes_max || self.ends.len() >= BATCH_ROWS || self.rejected.len() >= BATCH_REJECTED
    }
}

/// A field of a tuple as text.
fn field_text((field, data_type): (outcrop_types::Result<Option<&[u8]>>, &DataType)) -> Option<String> {
    let mut column = ColumnBuilder::new(data_type);
    column.append_binary(field.ok()??).ok()?;
    let column = column.finish().ok()?;
    let mut text = Vec::new();
    Cells::of_type(column.as_ref(), data_type).ok()?.write_text(0, &TextSettings::default(), &mut text);
    String::from_utf8(text).ok()
}

/// The batches of a file.
pub(super) trait BatchSource: Send {
    /// The next batch. What was read before an error comes first.
    fn next_batch(&mut self) -> Result<Option<Batch>>;
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

    /// How many numbers of the row its columns round, or why it is refused: as the server would, as far as that is known
    /// here, or because digits would be lost.
    fn check(&self) -> Result<u64, String> {
        let (mut bytes, mut rounded) = (0, 0);
        for (check, cell) in self.checks.iter().zip(self.row.cells()) {
            bytes += cell.map_or(0, str::len);
            match check.run(cell, &self.settings) {
                Ok(is_kept) => rounded += u64::from(!is_kept),
                Err(reason) => return Err(format!("column {}: {reason}", check.name)),
            }
        }
        if bytes > ROW_BYTES_MAX { Err(too_long()) } else { Ok(rounded) }
    }
}

impl BatchSource for BatchReader {
    fn next_batch(&mut self) -> Result<Option<Batch>> {
        let mut batch = Batch::default();
        while !self.is_ended && !batch.is_full() {
            match self.rows.read(&mut self.row) {
                Ok(Found::End) => self.is_ended = true,
                Ok(Found::Bad(reason)) => batch.push_rejected(&self.row, reason),
                Ok(Found::Row) => match self.check() {
                    Ok(rounded) => {
                        batch.rounded += rounded;
                        batch.push(&self.row);
                    }
                    Err(reason) => batch.push_rejected(&self.row, reason),
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
}

fn too_long() -> String {
    format!("it is longer than {} MiB", ROW_BYTES_MAX >> 20)
}

/// What a cell must be.
#[derive(Debug)]
struct Check {
    name: String,
    is_nullable: bool,
    keeps_digits: bool,
    /// The column's, if it may round numbers.
    rounding: Option<DataType>,
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
        let is_sure = matches!(what, CheckedType::Sure);
        let may_round = |data_type: &&DataType| {
            !is_sure && matches!(data_type, DataType::Float4 | DataType::Float8 | DataType::Numeric { .. })
        };
        Self {
            name: target.column.name.clone(),
            is_nullable: target.column.is_nullable,
            keeps_digits: target.keeps_digits,
            rounding: target.column.data_type.as_ref().filter(may_round).cloned(),
            what,
        }
    }

    /// Whether the column keeps the cell as it is; an error if it cannot take it, or must not round it.
    fn run(&self, cell: Option<&str>, settings: &TextSettings) -> Result<bool, String> {
        let text = match (cell, &self.what) {
            (None, _) if !self.is_nullable => return Err(IS_NULL.to_owned()),
            (None, _) | (Some(_), CheckedType::Sure) => return Ok(true),
            (Some(text), CheckedType::Text) if text.contains('\0') => return Err(HAS_NUL.to_owned()),
            (Some(text), CheckedType::Text) => text,
            (Some(text), CheckedType::Parse(data_type)) => match parse(data_type, text, settings) {
                Ok(_) => text,
                Err(error) => return Err(error.message().to_owned()),
            },
        };
        match &self.rounding {
            Some(data_type) if !are_kept(text, data_type) => match self.keeps_digits {
                true => Err(format!(
                    "{data_type} would lose digits of it; create the table first, or look at more rows with --sample"
                )),
                false => Ok(false),
            },
            Some(_) | None => Ok(true),
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

/// Why a cell is refused.
pub(super) const IS_NULL: &str = "it is NULL, which the column does not take";
pub(super) const HAS_NUL: &str = "it has a NUL character";
/// A batch is sent when it has so much data. Enough that the sync of a commit costs little beside it.
const TEXT_BYTES: usize = 8 << 20;
/// Of what the server takes faster, enough that it has few segments to merge.
const BINARY_BYTES: usize = 24 << 20;
/// Or so many rows.
const BATCH_ROWS: usize = 131_072;
/// Or so many rejected ones, so that they do not fill memory.
const BATCH_REJECTED: usize = 1_000;
