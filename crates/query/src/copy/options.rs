//! Options of COPY, checked.

use outcrop_types::{Condition, Error, Result};

use super::statement::{CopyOption, CopyOptionValue};
use crate::settings::parse_bool;

/// How COPY writes rows as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// Tab-separated lines with backslash escapes.
    Text,
    /// Comma-separated values.
    Csv,
    /// Tuples of fields in the binary format of their types.
    Binary,
}

/// Whether COPY has a line of column names first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyHeader {
    /// No header line.
    Absent,
    /// A line that COPY FROM skips and COPY TO writes.
    Present,
    /// A line that must name the columns (COPY FROM only).
    Match,
}

/// What COPY FROM does with a row whose key is there already. The option `ON_CONFLICT` is Outcrop's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyConflict {
    /// 23505, and nothing is applied.
    #[default]
    Error,
    /// The row there stays, and of two rows of the COPY the first; a notice tells which rows were skipped.
    Skip,
    /// The row there is replaced as a whole, and of two rows of the COPY the last stays, as with documents over REST.
    Replace,
}

/// The format of COPY data, every field valid for the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// Text, CSV or binary; the other fields say nothing about binary.
    pub format: CopyFormat,
    /// One byte between columns.
    pub delimiter: u8,
    /// The text that means NULL (in CSV only when unquoted).
    pub null: String,
    /// Header line.
    pub header: CopyHeader,
    /// CSV quote.
    pub quote: u8,
    /// CSV escape inside quotes.
    pub escape: u8,
    /// Columns (positions in the column list) whose values CSV output always quotes.
    pub force_quote: Vec<usize>,
    /// Columns whose CSV input is never NULL.
    pub force_not_null: Vec<usize>,
    /// Columns whose quoted CSV input may be NULL.
    pub force_null: Vec<usize>,
    /// Rows whose key is there already (COPY FROM only).
    pub on_conflict: CopyConflict,
}

/// Which way rows go: some options have one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyDirection {
    From,
    To,
}

impl CopyOptions {
    /// The defaults of a format.
    pub fn new(format: CopyFormat) -> Self {
        let (delimiter, null) = match format {
            CopyFormat::Text | CopyFormat::Binary => (b'\t', "\\N"),
            CopyFormat::Csv => (b',', ""),
        };
        Self {
            format,
            delimiter,
            null: null.to_owned(),
            header: CopyHeader::Absent,
            quote: b'"',
            escape: b'"',
            force_quote: Vec::new(),
            force_not_null: Vec::new(),
            force_null: Vec::new(),
            on_conflict: CopyConflict::Error,
        }
    }

    /// Checks what the statement says, for these columns.
    pub(crate) fn check(given: &[CopyOption], direction: CopyDirection, columns: &[String]) -> Result<Self> {
        let mut seen: Vec<&str> = Vec::new();
        for option in given {
            if seen.contains(&option.name.as_str()) {
                return Err(syntax("conflicting or redundant options")
                    .with_detail(format!("\"{}\" is given twice.", option.name)));
            }
            seen.push(&option.name);
        }
        let format = match given.iter().find(|option| option.name == "format") {
            None => CopyFormat::Text,
            Some(option) => match option.text()?.to_ascii_lowercase().as_str() {
                "text" => CopyFormat::Text,
                "csv" => CopyFormat::Csv,
                "binary" => CopyFormat::Binary,
                other => return Err(invalid(format!("COPY format \"{other}\" not recognized"))),
            },
        };
        let mut options = Self::new(format);
        for option in given {
            options.take(option, direction, columns)?;
        }
        if given.iter().any(|option| option.name == "quote") && !given.iter().any(|option| option.name == "escape") {
            options.escape = options.quote;
        }
        options.check_characters()?;
        Ok(options)
    }

    fn take(&mut self, option: &CopyOption, direction: CopyDirection, columns: &[String]) -> Result<()> {
        let csv_only = |what: &str| match self.format {
            CopyFormat::Csv => Ok(()),
            CopyFormat::Text | CopyFormat::Binary => Err(syntax(format!("COPY {what} requires CSV mode"))),
        };
        let not_binary = |what: &str| match self.format {
            CopyFormat::Text | CopyFormat::Csv => Ok(()),
            CopyFormat::Binary => Err(syntax(format!("cannot specify {what} in BINARY mode"))),
        };
        let one_way = |what: &str, way: CopyDirection| match direction == way {
            true => Ok(()),
            false if way == CopyDirection::To => Err(syntax(format!("COPY {what} cannot be used with COPY FROM"))),
            false => Err(syntax(format!("COPY {what} cannot be used with COPY TO"))),
        };
        match option.name.as_str() {
            "format" => {}
            "delimiter" => {
                not_binary("DELIMITER")?;
                self.delimiter = option.byte("delimiter")?;
            }
            "null" => {
                not_binary("NULL")?;
                option.text()?.clone_into(&mut self.null);
            }
            "header" => {
                self.header = option.header(direction)?;
                if self.header != CopyHeader::Absent && self.format == CopyFormat::Binary {
                    return Err(unsupported("cannot specify HEADER in BINARY mode"));
                }
            }
            "quote" => {
                csv_only("quote")?;
                self.quote = option.byte("quote")?;
            }
            "escape" => {
                csv_only("escape")?;
                self.escape = option.byte("escape")?;
            }
            "force_quote" => {
                csv_only("FORCE_QUOTE")?;
                one_way("FORCE_QUOTE", CopyDirection::To)?;
                self.force_quote = option.columns(columns)?;
            }
            "force_not_null" => {
                csv_only("FORCE_NOT_NULL")?;
                one_way("FORCE_NOT_NULL", CopyDirection::From)?;
                self.force_not_null = option.columns(columns)?;
            }
            "force_null" => {
                csv_only("FORCE_NULL")?;
                one_way("FORCE_NULL", CopyDirection::From)?;
                self.force_null = option.columns(columns)?;
            }
            "encoding" => {
                let name = option.text()?.to_ascii_lowercase().replace(['-', '_'], "");
                if !matches!(name.as_str(), "utf8" | "unicode" | "sqlascii") {
                    return Err(
                        unsupported("COPY knows no encoding but UTF-8").with_hint("Convert the data to UTF-8 first.")
                    );
                }
            }
            "on_conflict" => {
                one_way("ON_CONFLICT", CopyDirection::From)?;
                self.on_conflict = match option.text()?.to_ascii_lowercase().as_str() {
                    "error" => CopyConflict::Error,
                    "skip" => CopyConflict::Skip,
                    "replace" => CopyConflict::Replace,
                    other => {
                        return Err(invalid(format!("COPY ON_CONFLICT \"{other}\" not recognized"))
                            .with_hint("It is error, skip or replace."));
                    }
                };
            }
            // Every COPY here is one commit; there is nothing to freeze.
            "freeze" => one_way("FREEZE", CopyDirection::From)?,
            other => return Err(syntax(format!("option \"{other}\" not recognized"))),
        }
        Ok(())
    }

    fn check_characters(&self) -> Result<()> {
        if matches!(self.delimiter, b'\r' | b'\n') {
            return Err(invalid("COPY delimiter cannot be newline or carriage return"));
        }
        if self.null.contains(['\r', '\n']) {
            return Err(invalid("COPY null representation cannot use newline or carriage return"));
        }
        if self.null.bytes().any(|byte| byte == self.delimiter) {
            return Err(invalid("COPY delimiter character must not appear in the NULL specification"));
        }
        match self.format {
            CopyFormat::Text if self.delimiter.is_ascii_alphanumeric() || matches!(self.delimiter, b'\\' | b'.') => {
                Err(invalid(format!("COPY delimiter cannot be \"{}\"", char::from(self.delimiter))))
            }
            CopyFormat::Csv if self.delimiter == self.quote => {
                Err(invalid("COPY delimiter and quote must be different"))
            }
            CopyFormat::Csv if self.null.bytes().any(|byte| byte == self.quote) => {
                Err(invalid("CSV quote character must not appear in the NULL specification"))
            }
            CopyFormat::Text | CopyFormat::Csv | CopyFormat::Binary => Ok(()),
        }
    }
}

impl CopyOption {
    fn text(&self) -> Result<&str> {
        match &self.value {
            CopyOptionValue::Text(text) => Ok(text),
            CopyOptionValue::Absent | CopyOptionValue::Columns(_) | CopyOptionValue::AllColumns => {
                Err(syntax(format!("{} requires a parameter", self.name)))
            }
        }
    }

    fn byte(&self, what: &str) -> Result<u8> {
        match self.text()?.as_bytes() {
            [byte] => Ok(*byte),
            _ => Err(unsupported(format!("COPY {what} must be a single one-byte character"))),
        }
    }

    fn header(&self, direction: CopyDirection) -> Result<CopyHeader> {
        match &self.value {
            CopyOptionValue::Absent => Ok(CopyHeader::Present),
            CopyOptionValue::Text(text) if text.eq_ignore_ascii_case("match") => match direction {
                CopyDirection::From => Ok(CopyHeader::Match),
                CopyDirection::To => Err(unsupported("cannot use \"match\" with HEADER in COPY TO")),
            },
            CopyOptionValue::Text(text) => match parse_bool(text) {
                Some(true) => Ok(CopyHeader::Present),
                Some(false) => Ok(CopyHeader::Absent),
                None => Err(syntax("header requires a Boolean value or \"match\"")),
            },
            CopyOptionValue::Columns(_) | CopyOptionValue::AllColumns => {
                Err(syntax("header requires a Boolean value or \"match\""))
            }
        }
    }

    fn columns(&self, columns: &[String]) -> Result<Vec<usize>> {
        match &self.value {
            CopyOptionValue::AllColumns => Ok((0..columns.len()).collect()),
            CopyOptionValue::Columns(names) => names
                .iter()
                .map(|name| {
                    columns.iter().position(|column| column == name).ok_or_else(|| {
                        Error::new(
                            Condition::InvalidColumnReference,
                            format!("{} column \"{name}\" not referenced by COPY", self.name.to_uppercase()),
                        )
                    })
                })
                .collect(),
            CopyOptionValue::Absent | CopyOptionValue::Text(_) => {
                Err(syntax(format!("argument to option \"{}\" must be a list of column names", self.name)))
            }
        }
    }
}

fn syntax(message: impl Into<String>) -> Error {
    Error::new(Condition::SyntaxError, message)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Condition::InvalidParameterValue, message)
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(Condition::FeatureNotSupported, message)
}
