//! A line of CSV.

use super::Layout;

/// A cell of a CSV line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// Its text, quotes and escapes resolved.
    pub(super) bytes: Vec<u8>,
    /// Whether any of it was quoted: then it is not NULL.
    pub(super) is_quoted: bool,
}

/// Walks over the cells of one line, which may hold line feeds inside quotes.
pub(super) struct Cells<'a> {
    layout: &'a Layout,
    rest: Option<&'a [u8]>,
}

impl<'a> Cells<'a> {
    pub(super) fn new(line: &'a [u8], layout: &'a Layout) -> Self {
        Self { layout, rest: Some(line) }
    }

    /// Reads the next cell into `cell`; `false` behind the last one.
    pub(super) fn read(&mut self, cell: &mut Cell) -> bool {
        let Some(mut rest) = self.rest else { return false };
        cell.bytes.clear();
        cell.is_quoted = false;
        let Layout { quote, escape, delimiter, .. } = *self.layout;
        let mut in_quotes = false;
        loop {
            let Some((byte, tail)) = rest.split_first() else {
                self.rest = None;
                return true;
            };
            let next = tail.first();
            rest = tail;
            if in_quotes && *byte == escape && next.is_some_and(|next| *next == quote || *next == escape) {
                cell.bytes.extend(next);
                rest = tail.get(1..).unwrap_or_default();
            } else if *byte == quote {
                in_quotes = !in_quotes;
                cell.is_quoted = true;
            } else if *byte == delimiter && !in_quotes {
                self.rest = Some(rest);
                return true;
            } else {
                cell.bytes.push(*byte);
            }
        }
    }
}
