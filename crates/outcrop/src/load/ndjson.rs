//! Rows of a file with one JSON object on each line.
//!
//! A member that is absent or `null` is NULL. A member that no column takes makes its line bad: nothing is left out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, Read as _};

use anyhow::{Context as _, Result};
use outcrop_types::DataType;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::row::{Found, ROW_BYTES_MAX, RowReader, TextRow};

/// The lines of a text, at most [`ROW_BYTES_MAX`] of each in memory.
pub(super) struct Lines {
    text: Box<dyn BufRead + Send>,
    number: u64,
    bytes: Vec<u8>,
}

/// A line.
pub(super) enum Line<'a> {
    Text(&'a str),
    /// A line that is no text, and why.
    Bad(&'static str),
    End,
}

impl Lines {
    pub(super) fn new(text: Box<dyn BufRead + Send>) -> Self {
        Self { text, number: 0, bytes: Vec::new() }
    }

    /// The next line that is not empty, and its number.
    pub(super) fn next_line(&mut self) -> Result<(u64, Line<'_>)> {
        loop {
            self.bytes.clear();
            self.number += 1;
            let read = self.read_line().with_context(|| format!("read line {}", self.number))?;
            if read == 0 {
                return Ok((self.number, Line::End));
            }
            if self.bytes.len() > ROW_BYTES_MAX {
                self.skip_line()?;
                return Ok((self.number, Line::Bad("it is longer than 16 MiB")));
            }
            if !self.bytes.trim_ascii().is_empty() {
                break;
            }
        }
        let text = match std::str::from_utf8(&self.bytes) {
            Ok(text) if self.number == 1 => Line::Text(text.trim_start_matches('\u{feff}').trim()),
            Ok(text) => Line::Text(text.trim()),
            Err(_) => Line::Bad("it is not valid UTF-8"),
        };
        Ok((self.number, text))
    }

    fn read_line(&mut self) -> std::io::Result<usize> {
        let most = u64::try_from(ROW_BYTES_MAX + 1).unwrap_or(u64::MAX);
        self.text.by_ref().take(most).read_until(b'\n', &mut self.bytes)
    }

    fn skip_line(&mut self) -> Result<()> {
        while self.bytes.last() != Some(&b'\n') {
            self.bytes.clear();
            if self.read_line()? == 0 {
                break;
            }
        }
        self.bytes.clear();
        Ok(())
    }
}

/// Reads a file of JSON objects into columns.
pub(super) struct NdjsonReader {
    lines: Lines,
    columns: HashMap<String, usize>,
    types: Vec<Option<DataType>>,
    cells: Vec<Option<String>>,
}

impl NdjsonReader {
    /// `columns`: names and types of the cells of a row, in order.
    pub(super) fn new(text: Box<dyn BufRead + Send>, columns: &[(String, Option<DataType>)]) -> Self {
        Self {
            lines: Lines::new(text),
            columns: columns.iter().enumerate().map(|(position, (name, _))| (name.clone(), position)).collect(),
            types: columns.iter().map(|(_, data_type)| data_type.clone()).collect(),
            cells: Vec::new(),
        }
    }
}

impl RowReader for NdjsonReader {
    fn read(&mut self, row: &mut TextRow) -> Result<Found> {
        let (number, line) = self.lines.next_line()?;
        row.begin(number);
        let text = match line {
            Line::End => return Ok(Found::End),
            Line::Bad(reason) => return Ok(Found::Bad(reason.to_owned())),
            Line::Text(text) => text,
        };
        self.cells.clear();
        self.cells.resize(self.types.len(), None);
        match fill(text, &self.columns, &self.types, &mut self.cells) {
            Ok(()) => {
                for cell in &self.cells {
                    match cell {
                        Some(cell) => row.push(cell),
                        None => row.push_null(),
                    }
                }
                Ok(Found::Row)
            }
            Err(reason) => {
                row.push(text);
                Ok(Found::Bad(reason))
            }
        }
    }
}

/// Puts the members of an object in their cells.
fn fill(
    text: &str,
    columns: &HashMap<String, usize>,
    types: &[Option<DataType>],
    cells: &mut [Option<String>],
) -> Result<(), String> {
    for (name, value) in members(text)? {
        let position =
            columns.get(name.as_ref()).copied().ok_or_else(|| format!("no column takes its member \"{name}\""))?;
        let data_type = types.get(position).and_then(Option::as_ref);
        let cell = cell(value, data_type).map_err(|reason| format!("column {name}: {reason}"))?;
        if let Some(place) = cells.get_mut(position) {
            *place = cell;
        }
    }
    Ok(())
}

/// The members of an object in order, as they are written.
pub(super) fn members(text: &str) -> Result<Vec<(Cow<'_, str>, &str)>, String> {
    match serde_json::from_str::<Object<'_>>(text) {
        Ok(object) => Ok(object.0),
        Err(_) if text.starts_with('[') => {
            Err("it is an array; each line must be one object, as `jq -c '.[]'` writes them".to_owned())
        }
        Err(error) => Err(format!("it is not a JSON object: {error}")),
    }
}

/// The string that a JSON string stands for.
pub(super) fn string(raw: &str) -> Result<String, String> {
    serde_json::from_str(raw).map_err(|error| format!("not a valid string: {error}"))
}

/// A JSON value in PostgreSQL's text format of a type; `None` is NULL.
fn cell(raw: &str, data_type: Option<&DataType>) -> Result<Option<String>, String> {
    if raw == "null" {
        return Ok(None);
    }
    match data_type {
        Some(DataType::Jsonb) => Ok(Some(raw.to_owned())),
        Some(DataType::Array(item)) if raw.starts_with('[') => array(raw, item).map(Some),
        _ if raw.starts_with('"') => string(raw).map(Some),
        _ => Ok(Some(raw.to_owned())),
    }
}

/// A JSON array as PostgreSQL's array literal.
fn array(raw: &str, item: &DataType) -> Result<String, String> {
    let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|error| format!("not a valid array: {error}"))?;
    let mut literal = String::from("{");
    for (position, value) in items.into_iter().enumerate() {
        if position > 0 {
            literal.push(',');
        }
        match cell(value.get(), Some(item))? {
            None => literal.push_str("NULL"),
            Some(text) => {
                literal.push('"');
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        literal.push('\\');
                    }
                    literal.push(c);
                }
                literal.push('"');
            }
        }
    }
    literal.push('}');
    Ok(literal)
}

/// An object's members, borrowed from its text.
struct Object<'a>(Vec<(Cow<'a, str>, &'a str)>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut members: Vec<(Cow<'de, str>, &'de str)> = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            if members.iter().any(|(known, _)| *known == name) {
                return Err(serde::de::Error::custom(format!("member \"{name}\" occurs twice")));
            }
            let value: &'de RawValue = map.next_value()?;
            members.push((name, value.get()));
        }
        Ok(Object(members))
    }
}
