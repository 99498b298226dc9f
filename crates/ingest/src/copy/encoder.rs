//! Rows to COPY data.

use super::{Header, Layout, Style, binary};
use crate::binary::write_sized;
use crate::{Cells, TextSettings};

/// Writes rows as COPY data: the header, row by row, the end.
#[derive(Debug)]
pub struct CopyEncoder {
    layout: Layout,
    settings: TextSettings,
    cell: Vec<u8>,
}

impl CopyEncoder {
    /// An encoder.
    pub fn new(layout: Layout, settings: TextSettings) -> Self {
        Self { layout, settings, cell: Vec::new() }
    }

    /// Writes what comes before the rows, if there is something.
    pub fn write_header<'n>(&mut self, names: impl IntoIterator<Item = &'n str>, out: &mut Vec<u8>) {
        if self.layout.style == Style::Binary {
            return binary::write_header(out);
        }
        if self.layout.header == Header::Absent {
            return;
        }
        for (position, name) in names.into_iter().enumerate() {
            if position > 0 {
                out.push(self.layout.delimiter);
            }
            match self.layout.style {
                Style::Text | Style::Binary => write_escaped(name.as_bytes(), self.layout.delimiter, out),
                Style::Csv => write_csv(name.as_bytes(), &self.layout, Quotes::WhereNeeded, out),
            }
        }
        out.push(b'\n');
    }

    /// Writes what comes behind the rows, if there is something.
    pub fn write_end(&self, out: &mut Vec<u8>) {
        match self.layout.style {
            Style::Text | Style::Csv => {}
            Style::Binary => binary::write_end(out),
        }
    }

    /// Writes one row.
    pub fn write_row(&mut self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) {
        match self.layout.style {
            Style::Text | Style::Csv => self.write_line(columns, row, out),
            Style::Binary => write_tuple(columns, row, out),
        }
    }

    fn write_line(&mut self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) {
        let is_only = columns.len() == 1;
        for (position, column) in columns.iter().enumerate() {
            if position > 0 {
                out.push(self.layout.delimiter);
            }
            if column.is_null(row) {
                out.extend_from_slice(self.layout.null.as_bytes());
                continue;
            }
            self.cell.clear();
            column.write_text(row, &self.settings, &mut self.cell);
            match self.layout.style {
                Style::Text | Style::Binary => write_escaped(&self.cell, self.layout.delimiter, out),
                Style::Csv => {
                    // A line that is only the end mark would end the data.
                    let is_end_mark = is_only && self.cell == b"\\.";
                    let quotes = if is_end_mark || self.layout.force_quote.contains(&position) {
                        Quotes::Always
                    } else {
                        Quotes::WhereNeeded
                    };
                    write_csv(&self.cell, &self.layout, quotes, out);
                }
            }
        }
        out.push(b'\n');
    }
}

fn write_tuple(columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) {
    let count = i16::try_from(columns.len()).unwrap_or(i16::MAX);
    out.extend_from_slice(&count.to_be_bytes());
    for column in columns {
        if column.is_null(row) {
            out.extend_from_slice(&binary::NULL.to_be_bytes());
        } else {
            write_sized(out, |out| column.write_binary(row, out));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Always,
    WhereNeeded,
}

fn write_escaped(cell: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for byte in cell {
        let code = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            byte if *byte == delimiter => delimiter,
            byte => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', code]);
    }
}

fn write_csv(cell: &[u8], layout: &Layout, quotes: Quotes, out: &mut Vec<u8>) {
    let is_special = |byte: &u8| *byte == layout.delimiter || *byte == layout.quote || matches!(byte, b'\n' | b'\r');
    if quotes == Quotes::WhereNeeded && cell != layout.null.as_bytes() && !cell.iter().any(is_special) {
        out.extend_from_slice(cell);
        return;
    }
    out.push(layout.quote);
    for byte in cell {
        if *byte == layout.quote || *byte == layout.escape {
            out.push(layout.escape);
        }
        out.push(*byte);
    }
    out.push(layout.quote);
}
