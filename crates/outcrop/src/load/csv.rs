//! Rows of a CSV file: RFC 4180, with any one-byte delimiter and a first line of column names.
//!
//! An empty cell is NULL, quoted or not. Empty lines are no rows.

use std::collections::HashSet;
use std::io::{self, BufRead, Read};

use anyhow::{Context as _, Result, bail};
use csv::ByteRecord;

use super::row::{Found, ROW_BYTES_MAX, RowReader, TextRow};

/// How the cells of a file are written.
#[derive(Clone, Debug)]
pub(super) struct CsvFormat {
    delimiter: u8,
    nulls: Vec<String>,
}

impl CsvFormat {
    /// # Errors
    /// For a delimiter that cannot be one.
    pub(super) fn new(delimiter: Option<char>, nulls: &[String]) -> Result<Self> {
        let delimiter = match delimiter.map(u8::try_from) {
            None => b',',
            Some(Ok(byte)) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => byte,
            Some(_) => bail!("the delimiter must be one ASCII character, and no quote or end of a line"),
        };
        Ok(Self { delimiter, nulls: nulls.to_vec() })
    }

    /// Takes as delimiter what the first line has most of, outside quotes; a comma if it has none.
    pub(super) fn find_delimiter(&mut self, text: &mut dyn BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        text.take(HEADER_BYTES_MAX).read_until(b'\n', &mut line)?;
        let count = |wanted: u8| {
            let mut is_quoted = false;
            line.iter()
                .filter(|byte| {
                    is_quoted ^= **byte == b'"';
                    !is_quoted && **byte == wanted
                })
                .count()
        };
        // Of equal counts the last one wins.
        self.delimiter = [b'|', b';', b'\t', b','].into_iter().max_by_key(|byte| count(*byte)).unwrap_or(b',');
        Ok(())
    }

    fn is_null(&self, cell: &str) -> bool {
        cell.is_empty() || self.nulls.iter().any(|null| null == cell)
    }
}

/// Reads a CSV file.
pub(super) struct CsvReader {
    format: CsvFormat,
    reader: csv::Reader<Watched>,
    record: ByteRecord,
    names: Vec<String>,
}

impl CsvReader {
    /// Reads the line of names.
    ///
    /// # Errors
    /// If there is none, or if two columns have one name.
    pub(super) fn open(text: Box<dyn BufRead + Send>, format: CsvFormat) -> Result<Self> {
        let watched = Watched { text, allowed: ROW_BYTES_MAX, last: None, has_crlf: None, is_ended: false };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(format.delimiter)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(watched);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record)? {
            bail!("it is empty: the first line must name the columns");
        }
        let names = names(&record)?;
        Ok(Self { format, reader, record, names })
    }

    /// The columns, as the first line names them.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The line where the record begins. Empty lines before it were read with it, so it is counted back from its end.
    fn line(&self) -> u64 {
        let line_feeds = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count();
        // Of CRLF the record takes the first byte, and at the end of the file there may be neither.
        let took_line_feed = !self.reader.get_ref().has_crlf.unwrap_or(false) && !self.reader.get_ref().is_ended;
        let end = self.reader.position().line();
        end.saturating_sub(u64::try_from(line_feeds).unwrap_or(0)).saturating_sub(u64::from(took_line_feed)).max(1)
    }

    /// Why the record is no row, if it is none.
    fn fault(&self) -> Option<String> {
        // Only a quoted cell goes over lines. If it is the last of the file, and the file does not end with the quote,
        // then nothing closes it.
        let last_cell = self.record.iter().next_back().unwrap_or_default();
        if last_cell.contains(&b'\n') && self.reader.get_ref().is_ended && self.reader.get_ref().last != Some(b'"') {
            return Some("a quote that opens here is never closed: the rest of the file is one cell".to_owned());
        }
        let (found, wanted) = (self.record.len(), self.names.len());
        let cells = if found == 1 { "cell" } else { "cells" };
        (found != wanted).then(|| format!("it has {found} {cells}, the first line names {wanted} columns"))
    }
}

impl RowReader for CsvReader {
    fn read(&mut self, row: &mut TextRow) -> Result<Found> {
        self.reader.get_mut().allowed = ROW_BYTES_MAX;
        let before = self.reader.position().line();
        let has_more = self.reader.read_byte_record(&mut self.record);
        if !has_more.with_context(|| format!("read the row at line {before}"))? {
            return Ok(Found::End);
        }
        row.begin(self.line());
        let mut fault = self.fault();
        for cell in &self.record {
            match std::str::from_utf8(cell) {
                Ok(text) if self.format.is_null(text) => row.push_null(),
                Ok(text) => row.push(text),
                Err(_) => {
                    row.push(&String::from_utf8_lossy(cell));
                    fault.get_or_insert_with(|| "it is not valid UTF-8".to_owned());
                }
            }
        }
        Ok(fault.map_or(Found::Row, Found::Bad))
    }
}

/// The names of the first line; a column without one is called by its place.
fn names(record: &ByteRecord) -> Result<Vec<String>> {
    let mut seen = HashSet::new();
    let mut names = Vec::with_capacity(record.len());
    for (position, cell) in (1..).zip(record) {
        let name = std::str::from_utf8(cell).context("the first line is not valid UTF-8")?.trim();
        let name = if name.is_empty() { format!("column{position}") } else { name.to_owned() };
        if !seen.insert(name.clone()) {
            bail!("the first line names column \"{name}\" twice");
        }
        names.push(name);
    }
    Ok(names)
}

/// Text that ends with an error when a row of it is too long, as after a quote that nothing closes.
struct Watched {
    text: Box<dyn BufRead + Send>,
    allowed: usize,
    /// The last byte so far.
    last: Option<u8>,
    /// Whether the first line ends in two bytes.
    has_crlf: Option<bool>,
    /// Whether the end was met; the reader looks no further than the record that it reads.
    is_ended: bool,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.allowed == 0 {
            let reason = format!("it is longer than {} MiB; is a quote not closed?", ROW_BYTES_MAX >> 20);
            return Err(io::Error::other(reason));
        }
        let count = self.text.read(buffer)?;
        self.is_ended |= count == 0;
        self.allowed = self.allowed.saturating_sub(count);
        let bytes = buffer.get(..count).unwrap_or_default();
        if self.has_crlf.is_none()
            && let Some(end) = bytes.iter().position(|byte| *byte == b'\n')
        {
            let before = end.checked_sub(1).map_or(self.last, |before| bytes.get(before).copied());
            self.has_crlf = Some(before == Some(b'\r'));
        }
        self.last = bytes.last().copied().or(self.last);
        Ok(count)
    }
}

const BUFFER_BYTES: usize = 256 << 10;
/// Most of the first line that is looked at for a delimiter.
const HEADER_BYTES_MAX: u64 = 1 << 20;
