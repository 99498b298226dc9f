//! Recognises an `INSERT … VALUES` of literals.

use std::sync::Arc;

use outcrop_types::DataType;

use super::cells::{Cell, CellKind, LiteralRows, Quoting};

/// A scanned statement: what stands before its rows, its rows, and what stands behind them.
#[derive(Debug)]
pub(crate) struct Scanned<'a> {
    /// Up to the word VALUES.
    pub(crate) head: &'a str,
    pub(crate) rows: LiteralRows,
    /// `ON CONFLICT …`, `RETURNING …`, or nothing.
    pub(crate) tail: &'a str,
}

/// Longest head, and longest tail. Longer ones are no hurry.
const FRAME_BYTES_MAX: usize = 64 << 10;
/// Most types that cells name.
const TYPES_MAX: usize = 64;

/// Scans the text of a message; `None` if it is not one literal INSERT alone.
pub(crate) fn scan(sql: &Arc<str>) -> Option<Scanned<'_>> {
    let mut scanner = Scanner::new(sql);
    let head = scanner.head()?;
    scanner.rows()?;
    let tail = scanner.tail()?;
    if head.len() > FRAME_BYTES_MAX || tail.len() > FRAME_BYTES_MAX {
        return None;
    }
    let Scanner { cells, width, types, parameters, .. } = scanner;
    Some(Scanned { head, rows: LiteralRows::new(Arc::clone(sql), cells, width, types, parameters), tail })
}

struct Scanner<'a> {
    sql: &'a str,
    at: usize,
    cells: Vec<Cell>,
    width: usize,
    types: Vec<DataType>,
    parameters: u16,
}

impl<'a> Scanner<'a> {
    fn new(sql: &'a str) -> Self {
        Self { sql, at: 0, cells: Vec::new(), width: 0, types: Vec::new(), parameters: 0 }
    }

    /// `INSERT INTO name (columns) VALUES`, with whatever else may be between: the parser judges it.
    fn head(&mut self) -> Option<&'a str> {
        self.skip_space();
        let start = self.at;
        if !self.word().eq_ignore_ascii_case("insert") {
            return None;
        }
        self.skip_space();
        if !self.word().eq_ignore_ascii_case("into") {
            return None;
        }
        let mut depth = 0_u32;
        loop {
            self.skip_space();
            match self.peek()? {
                b'(' => depth += 1,
                b')' => depth = depth.checked_sub(1)?,
                b',' | b'.' => {}
                b'"' => {
                    self.at += 1;
                    self.find(b'"')?;
                }
                _ => {
                    let word = self.word();
                    if word.is_empty() {
                        return None;
                    }
                    if depth == 0 && word.eq_ignore_ascii_case("values") {
                        return self.sql.get(start..self.at);
                    }
                    continue;
                }
            }
            self.at += 1;
        }
    }

    /// `(a, b), (c, d)`.
    fn rows(&mut self) -> Option<()> {
        loop {
            self.skip_space();
            self.expect(b'(')?;
            let first = self.cells.len();
            loop {
                self.skip_space();
                let cell = self.cell()?;
                self.cells.push(cell);
                self.skip_space();
                match self.peek()? {
                    b',' => self.at += 1,
                    b')' => break,
                    _ => return None,
                }
            }
            self.at += 1;
            let width = self.cells.len() - first;
            if first == 0 {
                self.width = width;
                // Rows are about as long as the first one.
                let rows = self.sql.len() / self.at.max(1) + 1;
                self.cells.reserve(rows.saturating_mul(width).min(self.sql.len() / 2));
            }
            if width != self.width {
                return None;
            }
            self.skip_space();
            if self.peek() != Some(b',') {
                return Some(());
            }
            self.at += 1;
        }
    }

    /// What is left, without the semicolons behind it. The parser judges it.
    fn tail(&mut self) -> Option<&'a str> {
        let rest = self.sql.get(self.at..)?.trim_end_matches([' ', '\t', '\n', '\r', ';']);
        if rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_alphabetic()) { Some(rest) } else { None }
    }

    fn cell(&mut self) -> Option<Cell> {
        let start = self.at;
        match self.peek()? {
            b'\'' => self.string(Quoting::Plain),
            b'-' | b'0'..=b'9' => self.number(),
            b'$' => {
                self.at += 1;
                let digits = self.digits();
                let number = digits.parse::<u16>().ok().filter(|number| *number > 0)?;
                self.parameters = self.parameters.max(number);
                self.ends(start, CellKind::Parameter(number))
            }
            b'e' | b'E' if self.byte(self.at + 1) == Some(b'\'') => {
                self.at += 1;
                self.string(Quoting::Escaped)
            }
            byte if byte.is_ascii_alphabetic() => {
                let word = self.word();
                let is = |name: &str| word.eq_ignore_ascii_case(name);
                if is("null") {
                    self.ends(start, CellKind::Null)
                } else if is("true") {
                    self.ends(start, CellKind::Bool(true))
                } else if is("false") {
                    self.ends(start, CellKind::Bool(false))
                } else if is("default") {
                    self.ends(start, CellKind::Default)
                } else {
                    self.typed_string(word)
                }
            }
            _ => None,
        }
    }

    /// `DATE '2024-02-29'`.
    fn typed_string(&mut self, name: &str) -> Option<Cell> {
        let data_type = match name.to_ascii_lowercase().as_str() {
            "date" => DataType::Date,
            "timestamp" => DataType::Timestamp,
            _ => return None,
        };
        self.skip_space();
        if self.peek() != Some(b'\'') {
            return None;
        }
        let cell = self.string(Quoting::Plain)?;
        match cell.kind {
            CellKind::Text(quoting) => {
                Some(Cell { kind: CellKind::Typed(quoting, self.type_number(data_type)?), ..cell })
            }
            CellKind::Null
            | CellKind::Default
            | CellKind::Bool(_)
            | CellKind::Number
            | CellKind::Typed(..)
            | CellKind::Parameter(_) => None,
        }
    }

    /// `-12`, `1.50`, `1e-7`.
    fn number(&mut self) -> Option<Cell> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.digits().is_empty() {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits().is_empty() {
                return None;
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits().is_empty() {
                return None;
            }
        }
        self.ends(start, CellKind::Number)
    }

    /// A string from its opening quote on, and the type behind it if there is one.
    fn string(&mut self, quoting: Quoting) -> Option<Cell> {
        self.at += 1;
        let start = self.at;
        let mut found = quoting;
        let end = loop {
            match (self.next_of_string(quoting)?, self.byte(self.at + 1)) {
                (b'\'', Some(b'\'')) => {
                    if found == Quoting::Plain {
                        found = Quoting::Doubled;
                    }
                    self.at += 2;
                }
                (b'\'', _) => break self.at,
                (_, Some(b'\\' | b'\'' | b'b' | b'f' | b'n' | b'r' | b't')) => self.at += 2,
                _ => return None,
            }
        };
        self.at += 1;
        let cell = |kind| Some(Cell { start: offset(start)?, end: offset(end)?, kind });
        self.skip_space();
        match self.peek()? {
            b':' => {
                self.at += 1;
                self.expect(b':')?;
                let data_type = self.type_name()?;
                cell(CellKind::Typed(found, self.type_number(data_type)?))
            }
            _ => cell(CellKind::Text(found)),
        }
    }

    /// Goes to the next quote, or backslash where that means something, and says which it is.
    fn next_of_string(&mut self, quoting: Quoting) -> Option<u8> {
        let rest = self.sql.as_bytes().get(self.at..)?;
        let escapes = quoting == Quoting::Escaped;
        let ahead = rest.iter().position(|byte| *byte == b'\'' || (escapes && *byte == b'\\'))?;
        self.at += ahead;
        self.peek()
    }

    /// A type without parameters, and whether it is an array.
    fn type_name(&mut self) -> Option<DataType> {
        self.skip_space();
        let first = self.word().to_ascii_lowercase();
        let mut rest = Vec::new();
        loop {
            self.skip_space();
            let word = self.word();
            if word.is_empty() {
                break;
            }
            rest.push(word.to_ascii_lowercase());
        }
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        let item = named_type(&first, &rest)?;
        if self.peek() != Some(b'[') {
            return Some(item);
        }
        self.at += 1;
        self.expect(b']')?;
        Some(DataType::Array(Box::new(item)))
    }

    /// The place of a type in the list, where it is put if it is not there.
    fn type_number(&mut self, data_type: DataType) -> Option<u8> {
        let place = self.types.iter().position(|other| *other == data_type).unwrap_or(self.types.len());
        if place == self.types.len() {
            if place >= TYPES_MAX {
                return None;
            }
            self.types.push(data_type);
        }
        u8::try_from(place).ok()
    }

    /// A cell that ends here, which no letter and no digit may go on with.
    fn ends(&self, start: usize, kind: CellKind) -> Option<Cell> {
        matches!(self.peek()?, b',' | b')' | b' ' | b'\t' | b'\n' | b'\r').then_some(())?;
        Some(Cell { start: offset(start)?, end: offset(self.at)?, kind })
    }

    /// A word of letters, digits and underscores; empty if none stands here.
    fn word(&mut self) -> &'a str {
        self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii())
    }

    fn digits(&mut self) -> &'a str {
        self.take_while(|byte| byte.is_ascii_digit())
    }

    fn skip_space(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn take_while(&mut self, is_wanted: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        let rest = self.sql.as_bytes().get(start..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !is_wanted(*byte)).unwrap_or(rest.len());
        self.sql.get(start..self.at).unwrap_or_default()
    }

    /// Goes to the next such byte.
    fn find(&mut self, wanted: u8) -> Option<()> {
        self.at += self.sql.as_bytes().get(self.at..)?.iter().position(|byte| *byte == wanted)?;
        Some(())
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then_some(())?;
        self.at += 1;
        Some(())
    }

    fn peek(&self) -> Option<u8> {
        self.byte(self.at)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.sql.as_bytes().get(at).copied()
    }
}

/// The types that a cast of a string means without doubt. What has parameters, or none where it could, is not among them.
fn named_type(first: &str, rest: &[&str]) -> Option<DataType> {
    Some(match (first, rest) {
        ("bool" | "boolean", []) => DataType::Bool,
        ("int2" | "smallint", []) => DataType::Int2,
        ("int" | "int4" | "integer", []) => DataType::Int4,
        ("int8" | "bigint", []) => DataType::Int8,
        ("float4" | "real", []) => DataType::Float4,
        ("float8", []) | ("double", ["precision"]) => DataType::Float8,
        ("text", []) => DataType::Text,
        ("bytea", []) => DataType::Bytea,
        ("date", []) => DataType::Date,
        ("time", [] | ["without", "time", "zone"]) => DataType::Time,
        ("timestamp", [] | ["without", "time", "zone"]) => DataType::Timestamp,
        ("timestamptz", []) | ("timestamp", ["with", "time", "zone"]) => DataType::TimestampTz,
        ("uuid", []) => DataType::Uuid,
        ("jsonb", []) => DataType::Jsonb,
        _ => return None,
    })
}

fn offset(at: usize) -> Option<u32> {
    u32::try_from(at).ok()
}
