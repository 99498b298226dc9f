//! Rows to COPY data.

use super::{Header, Layout, Style};
use crate::{Cells, TextSettings};

/// Writes rows as COPY data, one line at a time.
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

    /// Writes the header line, if there is one.
    pub fn write_header<'n>(&mut self, names: impl IntoIterator<Item = &'n str>, out: &mut Vec<u8>) {
        if self.layout.header == Header::Absent {
            return;
        }
        for (position, name) in names.into_iter().enumerate() {
            if position > 0 {
                out.push(self.layout.delimiter);
            }
            match self.layout.style {
                Style::Text => write_escaped(name.as_bytes(), self.layout.delimiter, out),
                Style::Csv => write_csv(name.as_bytes(), &self.layout, Quotes::WhereNeeded, out),
            }
        }
        out.push(b'\n');
    }

    /// Writes one row.
    pub fn write_row(&mut self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) {
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
                Style::Text => write_escaped(&self.cell, self.layout.delimiter, out),
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
