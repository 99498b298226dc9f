//! Rows as aligned text, the way psql shows them.

use std::io::{self, Write};

use crate::terminal::width;

/// Rows that are looked at to find the widths; a longer result goes on with the same.
pub(super) const SAMPLE_ROWS: usize = 1_000;
/// A column is not made wider than this for the sake of others.
const COLUMN_WIDTH_MAX: usize = 10_000;

/// A row: `None` is NULL.
pub(super) type Row = Vec<Option<String>>;

/// How rows are laid out.
#[derive(Debug)]
pub(super) enum Layout {
    /// A line for each row.
    Aligned(Aligned),
    /// A line for each cell (`\x`).
    Expanded(Expanded),
}

/// Widths and sides of columns.
#[derive(Debug)]
pub(super) struct Aligned {
    names: Vec<String>,
    widths: Vec<usize>,
    is_number: Vec<bool>,
}

/// Names, and how many rows were shown.
#[derive(Debug)]
pub(super) struct Expanded {
    names: Vec<String>,
    width: usize,
    shown: u64,
}

impl Layout {
    /// The layout for columns of these names, by the look of the first rows.
    pub(super) fn new(names: Vec<String>, sample: &[Row], is_expanded: bool) -> Self {
        if is_expanded {
            let width = names.iter().map(|name| width(name)).max().unwrap_or(0);
            return Self::Expanded(Expanded { names, width, shown: 0 });
        }
        let columns = names.iter().enumerate();
        let (widths, is_number) = columns
            .map(|(position, name)| {
                let cells = || sample.iter().filter_map(move |row| row.get(position)?.as_deref());
                let widest = cells().flat_map(str::lines).map(width).chain([width(name)]).max().unwrap_or(0);
                let is_number = cells().next().is_some() && cells().all(is_number);
                (widest.min(COLUMN_WIDTH_MAX), is_number)
            })
            .unzip();
        Self::Aligned(Aligned { names, widths, is_number })
    }

    /// What comes before the rows.
    pub(super) fn head(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self::Aligned(table) = self else { return Ok(()) };
        let names = table.names.iter().zip(&table.widths).map(|(name, wide)| {
            let space = wide.saturating_sub(width(name));
            format!(" {}{name}{} ", " ".repeat(space / 2), " ".repeat(space - space / 2))
        });
        writeln!(out, "{}", names.collect::<Vec<_>>().join("|").trim_end())?;
        let rules = table.widths.iter().map(|wide| "-".repeat(wide + 2));
        writeln!(out, "{}", rules.collect::<Vec<_>>().join("+"))
    }

    /// One row.
    pub(super) fn row(&mut self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Aligned(table) => table.row(row, out),
            Self::Expanded(list) => list.row(row, out),
        }
    }
}

impl Aligned {
    /// A cell with line breaks takes several lines.
    fn row(&self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        let cells: Vec<Vec<&str>> =
            row.iter().map(|cell| cell.as_deref().unwrap_or_default().split('\n').collect()).collect();
        let lines = cells.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..lines.max(1) {
            let mut text = String::new();
            for (position, (cell, (wide, is_number))) in
                cells.iter().zip(self.widths.iter().zip(&self.is_number)).enumerate()
            {
                let part = cell.get(line).copied().unwrap_or_default();
                let space = " ".repeat(wide.saturating_sub(width(part)));
                let goes_on = if cell.len() > line + 1 { "+" } else { " " };
                text.push_str(if position > 0 { "| " } else { " " });
                if *is_number {
                    text.push_str(&space);
                    text.push_str(part);
                } else {
                    text.push_str(part);
                    text.push_str(&space);
                }
                text.push_str(goes_on);
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

impl Expanded {
    fn row(&mut self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        self.shown += 1;
        writeln!(out, "-[ RECORD {} ]{}", self.shown, "-".repeat(self.width))?;
        for (name, cell) in self.names.iter().zip(row) {
            let space = " ".repeat(self.width.saturating_sub(width(name)));
            let mut lines = cell.as_deref().unwrap_or_default().split('\n');
            writeln!(out, "{}", format!("{name}{space} | {}", lines.next().unwrap_or_default()).trim_end())?;
            for line in lines {
                writeln!(out, "{} | {line}", " ".repeat(self.width))?;
            }
        }
        Ok(())
    }
}

/// Numbers stand on the right.
fn is_number(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'))
        && text.parse::<f64>().is_ok()
}
