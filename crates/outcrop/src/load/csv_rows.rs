//! Rows of a CSV file. The first line names the columns.

use std::io::Read;

use anyhow::{Context as _, Result, bail};
use csv::{ByteRecord, Reader, ReaderBuilder};

use super::record::{Kind, Record};
use super::source::Source;

/// How a CSV file is written.
#[derive(Clone, Debug, Default)]
pub(super) struct CsvOptions {
    /// Between cells; `None` to find out.
    pub(super) delimiter: Option<u8>,
    /// Texts that mean NULL, beside empty cells.
    pub(super) nulls: Vec<String>,
}

pub(super) struct CsvRows {
    reader: Reader<Box<dyn Read + Send>>,
    columns: Vec<String>,
    nulls: Vec<String>,
    row: ByteRecord,
    name: String,
}

/// Delimiters that are tried, the first of the most frequent ones is taken.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// What is looked at to find the delimiter.
const PEEK_BYTES: u64 = 64 << 10;
const MARK: &str = "\u{feff}";

impl CsvRows {
    pub(super) fn open(source: &Source, options: &CsvOptions) -> Result<Self> {
        let delimiter = match options.delimiter {
            Some(delimiter) => delimiter,
            None => find_delimiter(source)?,
        };
        let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(source.reader()?);
        let name = source.name();
        let header = reader.byte_headers().with_context(|| format!("read the first line of {name}"))?;
        let columns = names(header).with_context(|| format!("read the first line of {name}"))?;
        Ok(Self { reader, columns, nulls: options.nulls.clone(), row: ByteRecord::new(), name })
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn next(&mut self, record: &mut Record) -> Result<bool> {
        let more = self.reader.read_byte_record(&mut self.row).with_context(|| format!("read {}", self.name))?;
        if !more {
            return Ok(false);
        }
        record.begin(self.row.position().map_or(0, csv::Position::line));
        for cell in &self.row {
            match std::str::from_utf8(cell) {
                Ok(text) if text.is_empty() || self.nulls.iter().any(|null| null == text) => {
                    record.push(Kind::Null, text);
                }
                Ok(text) => record.push(Kind::Bare, text),
                Err(_) => {
                    let raw = String::from_utf8_lossy(self.row.as_slice()).into_owned();
                    record.fail("it is not valid UTF-8".to_owned(), &raw);
                    return Ok(true);
                }
            }
        }
        let (found, wanted) = (self.row.len(), self.columns.len());
        if found != wanted {
            record.problem = Some(format!("it has {found} cells, the first line has {wanted}"));
        }
        Ok(true)
    }
}

/// Names of columns: no name twice, and every column has one.
fn names(header: &ByteRecord) -> Result<Vec<String>> {
    if header.is_empty() {
        bail!("the file is empty");
    }
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    for (position, cell) in header.iter().enumerate() {
        let text = std::str::from_utf8(cell).context("it is not valid UTF-8")?;
        let text = text.trim_start_matches(MARK).trim();
        let name = if text.is_empty() { format!("column_{}", position + 1) } else { text.to_owned() };
        if names.contains(&name) {
            bail!("the column \"{name}\" is there twice");
        }
        names.push(name);
    }
    Ok(names)
}

fn find_delimiter(source: &Source) -> Result<u8> {
    let mut start = Vec::new();
    let mut reader = source.reader()?.take(PEEK_BYTES);
    reader.read_to_end(&mut start).with_context(|| format!("read {}", source.name()))?;
    Ok(delimiter_of(&start))
}

/// The delimiter that is most frequent in the first line, outside of quotes; a comma if there is none.
pub(super) fn delimiter_of(start: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut is_quoted = false;
    for byte in start {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => break,
            byte if !is_quoted => {
                let counted = DELIMITERS.iter().zip(&mut counts).find(|(delimiter, _)| *delimiter == byte);
                if let Some((_, count)) = counted {
                    *count += 1;
                }
            }
            _ => {}
        }
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    let best = DELIMITERS.iter().zip(counts).find(|(_, count)| *count == most && most > 0);
    best.map_or(b',', |(delimiter, _)| *delimiter)
}
