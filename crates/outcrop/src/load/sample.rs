//! What a file's columns are, from its first rows.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use outcrop_types::DataType;

use super::csv::CsvReader;
use super::infer::Guess;
use super::input::InputFile;
use super::ndjson::{Line, Lines, members, string};
use super::parquet;
use super::row::{Found, RowReader as _, TextRow};
use crate::cli::FileFormat;

/// The columns of a file.
#[derive(Debug)]
pub(super) struct Sample {
    /// In the order of the file.
    pub(super) columns: Vec<FileColumn>,
    /// How many rows were read for it; `None` if the file itself says what its columns are.
    pub(super) rows: Option<u64>,
    /// Whether those are all rows of the file.
    pub(super) is_whole: bool,
}

/// A column of a file.
#[derive(Debug)]
pub(super) struct FileColumn {
    pub(super) name: String,
    pub(super) data_type: DataType,
    /// What a user should know about it.
    pub(super) note: Option<String>,
}

impl Sample {
    /// Reads at most `rows_max` rows.
    ///
    /// # Errors
    /// If the file cannot be read, or has no column.
    pub(super) fn take(input: &InputFile, rows_max: u64) -> Result<Self> {
        let sample = match input.format() {
            FileFormat::Csv => Self::of_csv(input, rows_max),
            FileFormat::Ndjson => Self::of_ndjson(input, rows_max),
            FileFormat::Parquet => parquet::columns(input).map(|columns| Self { columns, rows: None, is_whole: true }),
        }
        .with_context(|| input.reading())?;
        if sample.columns.is_empty() {
            bail!("{} has no columns", input.path().display());
        }
        Ok(sample)
    }

    fn of_csv(input: &InputFile, rows_max: u64) -> Result<Self> {
        let mut reader = CsvReader::open(input.text(&Default::default())?, input.csv().clone())?;
        let mut guesses = vec![Guess::default(); reader.names().len()];
        let mut row = TextRow::default();
        let mut rows = 0;
        let is_whole = loop {
            if rows == rows_max {
                break false;
            }
            match reader.read(&mut row)? {
                Found::End => break true,
                Found::Bad(_) => {}
                Found::Row => {
                    for (guess, cell) in guesses.iter_mut().zip(row.cells()) {
                        match cell {
                            None => guess.see_null(),
                            Some(text) => guess.see_text(text),
                        }
                    }
                }
            }
            rows += 1;
        };
        let columns = reader.names().iter().zip(&guesses).map(|(name, guess)| FileColumn::guessed(name, guess));
        Ok(Self { columns: columns.collect(), rows: Some(rows), is_whole })
    }

    fn of_ndjson(input: &InputFile, rows_max: u64) -> Result<Self> {
        let mut lines = Lines::new(input.text(&Default::default())?);
        let mut columns: Vec<(String, Guess)> = Vec::new();
        let mut positions = HashMap::new();
        let mut first_fault = None;
        let mut rows = 0;
        let is_whole = loop {
            if rows == rows_max {
                break false;
            }
            let found = match lines.next_line()? {
                (_, Line::End) => break true,
                (number, Line::Bad(reason)) => Err(format!("line {number}: {reason}")),
                (number, Line::Text(text)) => members(text)
                    .and_then(|members| see_members(&members, &mut columns, &mut positions))
                    .map_err(|reason| format!("line {number}: {reason}")),
            };
            if let Err(reason) = found {
                first_fault.get_or_insert(reason);
            }
            rows += 1;
        };
        if let (true, Some(reason)) = (columns.is_empty(), first_fault) {
            bail!("{reason}");
        }
        let columns = columns.iter().map(|(name, guess)| FileColumn::guessed(name, guess)).collect();
        Ok(Self { columns, rows: Some(rows), is_whole })
    }
}

impl FileColumn {
    fn guessed(name: &str, guess: &Guess) -> Self {
        let note = guess.note().map(str::to_owned);
        Self { name: name.to_owned(), data_type: guess.data_type(), note }
    }
}

fn see_members(
    members: &[(std::borrow::Cow<'_, str>, &str)],
    columns: &mut Vec<(String, Guess)>,
    positions: &mut HashMap<String, usize>,
) -> Result<(), String> {
    for (name, raw) in members {
        let position = *positions.entry(name.to_string()).or_insert_with(|| {
            columns.push((name.to_string(), Guess::default()));
            columns.len() - 1
        });
        let Some((_, guess)) = columns.get_mut(position) else { continue };
        match *raw {
            "null" => guess.see_null(),
            raw if raw.starts_with('"') => guess.see_json(raw, Some(&string(raw)?)),
            raw => guess.see_json(raw, None),
        }
    }
    Ok(())
}
