//! Rows of a file with one JSON object on each line.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context as _, Result, bail};
use serde_json::value::RawValue;

use super::record::{Kind, Record};
use super::source::Source;

pub(super) struct JsonRows {
    reader: BufReader<Box<dyn Read + Send>>,
    columns: Vec<String>,
    buffer: Vec<u8>,
    line: u64,
    name: String,
}

/// Longest line: the longest row that the server takes.
const LINE_BYTES_MAX: u64 = 16 << 20;

impl JsonRows {
    /// The columns are the members of the first `sample` objects, in the order in which they first appear.
    pub(super) fn open(source: &Source, sample: u32) -> Result<Self> {
        let mut rows = Self::start(source)?;
        let mut columns: Vec<String> = Vec::new();
        for _ in 0..sample {
            if !rows.read_line()? {
                break;
            }
            if let Ok(members) = members(&rows.buffer) {
                for (name, _) in members {
                    if !columns.contains(&name) {
                        columns.push(name);
                    }
                }
            }
        }
        if columns.is_empty() {
            bail!("{} has no JSON object in its first {sample} lines", source.name());
        }
        let mut rows = Self::start(source)?;
        rows.columns = columns;
        Ok(rows)
    }

    fn start(source: &Source) -> Result<Self> {
        let reader = BufReader::new(source.reader()?);
        Ok(Self { reader, columns: Vec::new(), buffer: Vec::new(), line: 0, name: source.name() })
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn next(&mut self, record: &mut Record) -> Result<bool> {
        if !self.read_line()? {
            return Ok(false);
        }
        record.begin(self.line);
        let members = match members(&self.buffer) {
            Ok(members) => members,
            Err(problem) => {
                let raw = String::from_utf8_lossy(&self.buffer);
                record.fail(problem, raw.trim_end());
                return Ok(true);
            }
        };
        if let Some((name, _)) = members.iter().find(|(name, _)| !self.columns.contains(name)) {
            let problem = format!("its member \"{name}\" is not in the sample that the columns were found in");
            let raw = String::from_utf8_lossy(&self.buffer);
            record.fail(problem, raw.trim_end());
            return Ok(true);
        }
        for column in &self.columns {
            // Of a member that is there twice the last one counts, as everywhere.
            let value = members.iter().rev().find(|(name, _)| name == column).map(|(_, value)| value.get());
            push(record, value);
        }
        Ok(true)
    }

    /// Reads the next line that is not blank.
    fn read_line(&mut self) -> Result<bool> {
        loop {
            self.buffer.clear();
            let mut line = (&mut self.reader).take(LINE_BYTES_MAX + 1);
            let read = line.read_until(b'\n', &mut self.buffer).with_context(|| format!("read {}", self.name))?;
            if read == 0 {
                return Ok(false);
            }
            self.line += 1;
            if self.buffer.len() > usize::try_from(LINE_BYTES_MAX).unwrap_or(usize::MAX) {
                bail!("line {} of {} is longer than {LINE_BYTES_MAX} bytes", self.line, self.name);
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }
}

/// The members of an object in order, values unread.
fn members(line: &[u8]) -> Result<Vec<(String, &RawValue)>, String> {
    let text = std::str::from_utf8(line).map_err(|_invalid| "it is not valid UTF-8".to_owned())?;
    let Members(members) = serde_json::from_str(text).map_err(|error| format!("it is not a JSON object: {error}"))?;
    Ok(members)
}

fn push(record: &mut Record, value: Option<&str>) {
    match value {
        None | Some("null") => record.push(Kind::Null, ""),
        Some(json) => match json.bytes().next() {
            Some(b'"') => match serde_json::from_str::<String>(json) {
                Ok(text) => record.push(Kind::Quoted, &text),
                // A lone surrogate: the text has no meaning in UTF-8.
                Err(_) => record.fail("a string in it is not valid Unicode".to_owned(), json),
            },
            Some(b'{' | b'[') => record.push(Kind::Json, json),
            Some(_) | None => record.push(Kind::Bare, json),
        },
    }
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
