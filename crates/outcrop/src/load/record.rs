//! One row of a file, as text.

/// What a cell was in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No value.
    Null,
    /// Text whose type is open: a CSV cell, a JSON number or boolean.
    Bare,
    /// A JSON string: never a number.
    Quoted,
    /// A JSON object or array.
    Json,
}

/// A row in a buffer that is used again for the next one.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Line in the file, from 1; of a Parquet file the row.
    pub(super) line: u64,
    /// Why the row cannot be read at all.
    pub(super) problem: Option<String>,
    text: String,
    cells: Vec<(usize, Kind)>,
}

impl Record {
    /// Begins a row.
    pub(super) fn begin(&mut self, line: u64) {
        self.line = line;
        self.problem = None;
        self.text.clear();
        self.cells.clear();
    }

    /// Adds a cell.
    pub(super) fn push(&mut self, kind: Kind, text: &str) {
        self.text.push_str(text);
        self.cells.push((self.text.len(), kind));
    }

    /// The row cannot be read; `raw` is what can be shown of it.
    pub(super) fn fail(&mut self, problem: String, raw: &str) {
        self.problem = Some(problem);
        self.text.clear();
        self.cells.clear();
        self.push(Kind::Bare, raw);
    }

    /// How many cells there are.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// A cell and what it was.
    pub(super) fn cell(&self, position: usize) -> Option<(Kind, &str)> {
        let (end, kind) = self.cells.get(position)?;
        let start = position.checked_sub(1).and_then(|before| self.cells.get(before)).map_or(0, |(end, _)| *end);
        Some((*kind, self.text.get(start..*end)?))
    }

    /// All cells as one CSV line, to show the row.
    pub(super) fn to_csv(&self) -> String {
        let mut line = String::new();
        for position in 0..self.len() {
            if position > 0 {
                line.push(',');
            }
            let text = self.cell(position).map_or("", |(_, text)| text);
            if text.contains(['"', ',', '\n', '\r']) {
                line.push('"');
                line.push_str(&text.replace('"', "\"\""));
                line.push('"');
            } else {
                line.push_str(text);
            }
        }
        line
    }
}
