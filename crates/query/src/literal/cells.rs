//! Cells of a scanned VALUES.

use std::borrow::Cow;
use std::sync::Arc;

use outcrop_types::DataType;

/// The rows of a literal VALUES: places in the text of the statement.
#[derive(Debug)]
pub(crate) struct LiteralRows {
    text: Arc<str>,
    /// Row by row.
    cells: Vec<Cell>,
    width: usize,
    /// What typed cells say of their types.
    types: Vec<DataType>,
    /// The highest `$n`.
    parameters: u16,
}

/// One value, where it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: CellKind,
}

/// What is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CellKind {
    Null,
    Default,
    Bool(bool),
    /// Digits, with a sign and a point if there are such, also with an exponent.
    Number,
    /// A string, without its quotes.
    Text(Quoting),
    /// A string that says its type: number of the type.
    Typed(Quoting, u8),
    /// `$n`.
    Parameter(u16),
}

/// How the text of a string stands for its characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoting {
    /// As it is.
    Plain,
    /// Quotes are doubled.
    Doubled,
    /// `E'…'`: quotes may be doubled, backslashes escape.
    Escaped,
}

impl LiteralRows {
    pub(super) fn new(text: Arc<str>, cells: Vec<Cell>, width: usize, types: Vec<DataType>, parameters: u16) -> Self {
        Self { text, cells, width, types, parameters }
    }

    /// Values of a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.cells.len() / self.width.max(1)
    }

    /// The highest `$n`.
    pub(crate) fn parameters(&self) -> u16 {
        self.parameters
    }

    /// Memory beside the text.
    pub(crate) fn bytes(&self) -> usize {
        self.cells.len() * size_of::<Cell>()
    }

    /// The parameters, counted from 0, each with its place in its row; in the order of the text.
    pub(crate) fn parameter_places(&self) -> impl Iterator<Item = (usize, usize)> {
        let places = (0..self.width.max(1)).cycle();
        let cells = self.cells.iter().zip(places).filter(|_| self.parameters > 0);
        cells.filter_map(|(cell, place)| match cell.kind {
            CellKind::Parameter(number) => Some((usize::from(number).checked_sub(1)?, place)),
            CellKind::Null
            | CellKind::Default
            | CellKind::Bool(_)
            | CellKind::Number
            | CellKind::Text(_)
            | CellKind::Typed(..) => None,
        })
    }

    /// The cells at one place of some rows.
    pub(super) fn column(&self, place: usize, rows: std::ops::Range<usize>) -> impl ExactSizeIterator<Item = Cell> {
        let cells = self.cells.get(rows.start * self.width..rows.end * self.width).unwrap_or_default();
        cells.iter().skip(place).step_by(self.width.max(1)).copied()
    }

    /// What is written in a cell.
    pub(super) fn written(&self, cell: Cell) -> &str {
        let place = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        self.text.get(place(cell.start)..place(cell.end)).unwrap_or_default()
    }

    /// The string that is written in a cell.
    pub(super) fn string(&self, cell: Cell, quoting: Quoting) -> Cow<'_, str> {
        let written = self.written(cell);
        match quoting {
            Quoting::Plain => Cow::Borrowed(written),
            Quoting::Doubled => Cow::Owned(written.replace("''", "'")),
            Quoting::Escaped => Cow::Owned(unescaped(written)),
        }
    }

    /// The type that a cell names.
    pub(super) fn data_type(&self, number: u8) -> Option<&DataType> {
        self.types.get(usize::from(number))
    }
}

/// The characters of an `E'…'` that the scanner took.
fn unescaped(written: &str) -> String {
    let mut text = String::with_capacity(written.len());
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next().map(|escaped| match escaped {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            })),
            '\'' => {
                chars.next();
                text.push('\'');
            }
            c => text.push(c),
        }
    }
    text
}
