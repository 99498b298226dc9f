//! COPY data to batches.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use outcrop_types::{Condition, DataType, Error, Result};

use super::binary::{Fields, Next, Tuples};
use super::csv::{Cell, Cells};
use super::lines::Lines;
use super::text::{split, unescape};
use super::{Header, Layout, Style};
use crate::binary::invalid_utf8;
use crate::{ColumnBuilder, TextSettings};

/// Longest line of COPY data: the limit of a row.
pub const LINE_BYTES_MAX: usize = 16 << 20;
/// A batch is handed out when it has so many rows.
const BATCH_ROWS: usize = 8_192;
/// Or when it was made from so many bytes.
const BATCH_BYTES: usize = 4 << 20;
/// What a field takes beside its value.
const FIELD_BYTES: usize = 4;
/// How much of a line or cell an error shows.
const SHOWN_CHARS: usize = 100;

/// Decodes COPY data that arrives in pieces cut anywhere. The first error ends it.
///
/// Call [`push`](Self::push) with each piece, then [`next_batch`](Self::next_batch) until it has none, and
/// [`finish`](Self::finish) at the end.
#[derive(Debug)]
pub struct CopyDecoder {
    table: String,
    names: Vec<String>,
    layout: Layout,
    settings: TextSettings,
    schema: SchemaRef,
    source: Source,
    rows: Rows,
    is_ended: bool,
}

/// The bytes that came and were not yet decoded.
#[derive(Debug)]
enum Source {
    Lines(Lines),
    Tuples(Tuples),
}

/// The batch that is being filled.
#[derive(Debug)]
struct Rows {
    columns: Vec<ColumnBuilder>,
    count: usize,
    bytes: usize,
    line: u64,
    cell: Cell,
}

/// Where in the data an error was found.
struct Place<'a> {
    table: &'a str,
    line: u64,
    column: Option<&'a str>,
    /// The text there, if it is text.
    shown: Option<&'a [u8]>,
}

impl CopyDecoder {
    /// A decoder of rows with these columns. `table` is for error messages.
    pub fn new(
        table: impl Into<String>,
        columns: &[(String, DataType)],
        layout: Layout,
        settings: TextSettings,
    ) -> Self {
        let fields: Vec<_> = columns.iter().map(|(name, data_type)| data_type.to_field(name, true)).collect();
        Self {
            table: table.into(),
            names: columns.iter().map(|(name, _)| name.clone()).collect(),
            source: match layout.style {
                Style::Text | Style::Csv => Source::Lines(Lines::new(&layout, LINE_BYTES_MAX)),
                Style::Binary => Source::Tuples(Tuples::new(LINE_BYTES_MAX)),
            },
            layout,
            settings,
            schema: Arc::new(Schema::new(fields)),
            rows: Rows {
                columns: columns.iter().map(|(_, data_type)| ColumnBuilder::new(data_type)).collect(),
                count: 0,
                bytes: 0,
                line: 0,
                cell: Cell::default(),
            },
            is_ended: false,
        }
    }

    /// Takes a piece of the data. What comes behind the end mark `\.` is ignored.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.source {
            Source::Lines(lines) if !self.is_ended => lines.push(bytes),
            Source::Lines(_) => {}
            Source::Tuples(tuples) => tuples.push(bytes),
        }
    }

    /// A full batch, if the data so far makes one.
    ///
    /// # Errors
    /// `BadCopyFileFormat` for rows with too few or too many cells, what [`crate::text::parse`] or [`crate::binary::decode`]
    /// says of a cell, `CharacterNotInRepertoire`, `ProgramLimitExceeded`; all with the line and the column as context.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.read_row()? {
            if self.rows.count >= BATCH_ROWS || self.rows.bytes >= BATCH_BYTES {
                return self.take_batch().map(Some);
            }
        }
        Ok(None)
    }

    /// Reads what comes next; `false` if that is not all there, or if nothing comes.
    fn read_row(&mut self) -> Result<bool> {
        let Self { table, names, layout, settings, source, rows, is_ended, .. } = self;
        let (next, shown) = (rows.line + 1, matches!(source, Source::Lines(_)).then_some(b"".as_slice()));
        let at_next = |error| Place { table, line: next, column: None, shown }.name(error);
        match source {
            Source::Lines(_) if *is_ended => return Ok(false),
            Source::Lines(lines) => {
                let Some(line) = lines.next_line().map_err(at_next)? else { return Ok(false) };
                *is_ended = rows.read_line(line, table, names, layout, settings)?;
            }
            Source::Tuples(tuples) => match tuples.next_tuple(names.len()).map_err(at_next)? {
                Next::Tuple(fields) => rows.read_tuple(fields, table, names)?,
                Next::More => return Ok(false),
                Next::End => {
                    *is_ended = true;
                    return Ok(false);
                }
            },
        }
        Ok(true)
    }

    /// The rest of the rows, once all data came and [`next_batch`](Self::next_batch) has none.
    ///
    /// # Errors
    /// As [`next_batch`](Self::next_batch).
    pub fn finish(&mut self) -> Result<Option<RecordBatch>> {
        match &mut self.source {
            Source::Lines(lines) if !self.is_ended => {
                if let Some((line, is_open)) = lines.take_rest() {
                    if is_open {
                        let error = Error::new(Condition::BadCopyFileFormat, "unterminated CSV quoted field");
                        let place =
                            Place { table: &self.table, line: self.rows.line + 1, column: None, shown: Some(&line) };
                        return Err(place.name(error));
                    }
                    self.rows.read_line(&line, &self.table, &self.names, &self.layout, &self.settings)?;
                }
            }
            Source::Lines(_) => {}
            Source::Tuples(tuples) => tuples.finish().map_err(|error| {
                let place = Place { table: &self.table, line: self.rows.line + 1, column: None, shown: None };
                place.name(error)
            })?,
        }
        self.is_ended = true;
        if self.rows.count == 0 { Ok(None) } else { self.take_batch().map(Some) }
    }

    fn take_batch(&mut self) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.count));
        let columns = self.rows.columns.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>>>()?;
        self.rows.count = 0;
        self.rows.bytes = 0;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|source| Error::internal("a batch of COPY data does not add up").with_source(source))
    }
}

impl Rows {
    /// Reads a line; `true` for the end mark.
    fn read_line(
        &mut self,
        line: &[u8],
        table: &str,
        names: &[String],
        layout: &Layout,
        settings: &TextSettings,
    ) -> Result<bool> {
        self.line += 1;
        if line == b"\\." {
            return Ok(true);
        }
        let place = Place { table, line: self.line, column: None, shown: Some(line) };
        if let Err(error) = std::str::from_utf8(line) {
            return Err(place.name(invalid_utf8(line, &error)));
        }
        if self.line == 1 && layout.header != Header::Absent {
            return self.check_header(line, names, layout).map(|()| false).map_err(|error| place.name(error));
        }
        match layout.style {
            Style::Text | Style::Binary => self.read_text(line, &place, names, layout, settings)?,
            Style::Csv => self.read_csv(line, &place, names, layout, settings)?,
        }
        self.count += 1;
        // Line feeds inside quotes or behind a backslash count as lines, so that editors find the place.
        self.line += u64::try_from(memchr::memchr_iter(b'\n', line).count()).unwrap_or(0);
        self.bytes += line.len();
        Ok(false)
    }

    fn read_text(
        &mut self,
        line: &[u8],
        place: &Place<'_>,
        names: &[String],
        layout: &Layout,
        settings: &TextSettings,
    ) -> Result<()> {
        if memchr::memchr(b'\r', line).is_some() {
            let error = Error::new(Condition::BadCopyFileFormat, "literal carriage return found in data")
                .with_hint("Use \"\\r\" to represent carriage return.");
            return Err(place.name(error));
        }
        let mut cells = split(line, layout.delimiter);
        if names.is_empty() && line.is_empty() {
            return Ok(());
        }
        for (column, name) in self.columns.iter_mut().zip(names) {
            let raw = cells.next().ok_or_else(|| place.name(missing(name)))?;
            if raw == layout.null.as_bytes() {
                column.append_null();
                continue;
            }
            let bytes = unescape(raw);
            append(column, &bytes, settings).map_err(|error| place.at(name, &bytes).name(error))?;
        }
        if cells.next().is_some() { Err(place.name(surplus())) } else { Ok(()) }
    }

    fn read_csv(
        &mut self,
        line: &[u8],
        place: &Place<'_>,
        names: &[String],
        layout: &Layout,
        settings: &TextSettings,
    ) -> Result<()> {
        let mut cells = Cells::new(line, layout);
        if names.is_empty() && line.is_empty() {
            return Ok(());
        }
        for (position, (column, name)) in self.columns.iter_mut().zip(names).enumerate() {
            if !cells.read(&mut self.cell) {
                return Err(place.name(missing(name)));
            }
            let may_be_null = if self.cell.is_quoted {
                layout.force_null.contains(&position)
            } else {
                !layout.force_not_null.contains(&position)
            };
            if may_be_null && self.cell.bytes == layout.null.as_bytes() {
                column.append_null();
                continue;
            }
            append(column, &self.cell.bytes, settings).map_err(|error| place.at(name, &self.cell.bytes).name(error))?;
        }
        if cells.read(&mut self.cell) { Err(place.name(surplus())) } else { Ok(()) }
    }

    /// Reads a tuple, which has a field for each name.
    fn read_tuple(&mut self, fields: Fields<'_>, table: &str, names: &[String]) -> Result<()> {
        self.line += 1;
        let place = |column| Place { table, line: self.line, column, shown: None };
        for ((column, name), field) in self.columns.iter_mut().zip(names).zip(fields) {
            let field = field.map_err(|error| place(Some(name.as_str())).name(error))?;
            self.bytes += FIELD_BYTES + field.map_or(0, <[u8]>::len);
            match field {
                Some(bytes) => column.append_binary(bytes).map_err(|error| place(Some(name.as_str())).name(error))?,
                None => column.append_null(),
            }
        }
        self.count += 1;
        Ok(())
    }

    fn check_header(&mut self, line: &[u8], names: &[String], layout: &Layout) -> Result<()> {
        if layout.header != Header::Match {
            return Ok(());
        }
        let mut found = Vec::new();
        match layout.style {
            Style::Text | Style::Binary => {
                found.extend(split(line, layout.delimiter).map(|raw| unescape(raw).into_owned()));
            }
            Style::Csv => {
                let mut cells = Cells::new(line, layout);
                while cells.read(&mut self.cell) {
                    found.push(self.cell.bytes.clone());
                }
            }
        }
        if found.len() != names.len() {
            return Err(Error::new(
                Condition::BadCopyFileFormat,
                format!("wrong number of fields in header line: got {}, expected {}", found.len(), names.len()),
            ));
        }
        for (position, (found, name)) in found.iter().zip(names).enumerate() {
            if found != name.as_bytes() {
                let found = String::from_utf8_lossy(found);
                return Err(Error::new(
                    Condition::BadCopyFileFormat,
                    format!(
                        "column name mismatch in header line field {}: got \"{found}\", expected \"{name}\"",
                        position + 1
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl<'a> Place<'a> {
    fn at<'b>(&'b self, column: &'b str, cell: &'b [u8]) -> Place<'b>
    where
        'a: 'b,
    {
        Place { table: self.table, line: self.line, column: Some(column), shown: Some(cell) }
    }

    /// Adds the place to an error: `COPY flights, line 3, column year: "x"`.
    fn name(&self, error: Error) -> Error {
        let column = self.column.map(|name| format!(", column {name}")).unwrap_or_default();
        let place = format!("COPY {}, line {}{column}", self.table, self.line);
        let Some(shown) = self.shown else { return error.with_context(place) };
        let text = String::from_utf8_lossy(shown);
        let shown: String = text.chars().take(SHOWN_CHARS).collect();
        let dots = if shown.len() < text.len() { "..." } else { "" };
        error.with_context(format!("{place}: \"{shown}{dots}\""))
    }
}

fn append(column: &mut ColumnBuilder, bytes: &[u8], settings: &TextSettings) -> Result<()> {
    match std::str::from_utf8(bytes) {
        Ok(text) => column.append_text(text, settings),
        Err(error) => Err(invalid_utf8(bytes, &error)),
    }
}

fn missing(column: &str) -> Error {
    Error::new(Condition::BadCopyFileFormat, format!("missing data for column \"{column}\""))
}

fn surplus() -> Error {
    Error::new(Condition::BadCopyFileFormat, "extra data after last expected column")
}
