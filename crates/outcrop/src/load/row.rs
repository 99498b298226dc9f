//! A row on its way from a file to the server, as text.

use std::ops::Range;

use anyhow::Result;

/// Longest row in bytes: the limit of the database for a row.
pub(super) const ROW_BYTES_MAX: usize = 16 << 20;

/// The cells of one row in PostgreSQL's text format. Reused from row to row.
#[derive(Debug, Default)]
pub(super) struct TextRow {
    /// Where the row begins in its file: the line, or the number of the row where there are no lines; from 1.
    pub(super) line: u64,
    text: String,
    cells: Vec<Option<Range<usize>>>,
}

impl TextRow {
    /// Begins another row.
    pub(super) fn begin(&mut self, line: u64) {
        self.line = line;
        self.text.clear();
        self.cells.clear();
    }

    /// Adds NULL.
    pub(super) fn push_null(&mut self) {
        self.cells.push(None);
    }

    /// Adds a value.
    pub(super) fn push(&mut self, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.cells.push(Some(start..self.text.len()));
    }

    /// The cells in order; `None` is NULL.
    pub(super) fn cells(&self) -> impl Iterator<Item = Option<&str>> {
        self.cells.iter().map(|cell| cell.clone().and_then(|range| self.text.get(range)))
    }
}

/// What a reader found next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A row.
    Row,
    /// Something that is no row, for this reason. Its [`TextRow`] has the line and what cells there are.
    Bad(String),
    /// The end of the file.
    End,
}

/// The rows of a file, one by one.
pub(super) trait RowReader: Send {
    /// Reads the next row.
    ///
    /// # Errors
    /// When there is no way to go on: the file cannot be read, or where its next row begins cannot be known.
    fn read(&mut self, row: &mut TextRow) -> Result<Found>;
}
