//! Batches: what is sent, what is rejected, and the way back from a row that the server refuses.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::bail;
use outcrop_types::DataType;

use crate::cli::FileFormat;
use crate::load::batch::{Batch, BatchReader, BatchSource};
use crate::load::line;
use crate::load::plan::Plan;
use crate::load::row::{Found, RowReader, TextRow};
use crate::load::sample::{FileColumn, Sample};

/// Rows from memory; `None` is a failure to read.
struct Given(VecDeque<Option<Vec<Option<&'static str>>>>, u64);

impl RowReader for Given {
    fn read(&mut self, row: &mut TextRow) -> anyhow::Result<Found> {
        self.1 += 1;
        row.begin(self.1);
        let Some(next) = self.0.pop_front() else { return Ok(Found::End) };
        let Some(cells) = next else { bail!("the disk is gone") };
        for cell in cells {
            match cell {
                Some(text) => row.push(text),
                None => row.push_null(),
            }
        }
        Ok(Found::Row)
    }
}

fn reader(rows: &[Option<Vec<Option<&'static str>>>]) -> BatchReader {
    let types = [("id", DataType::Int8), ("day", DataType::Date), ("name", DataType::Text)];
    let columns =
        types.into_iter().map(|(name, data_type)| FileColumn { name: name.to_owned(), data_type, note: None });
    let sample = Sample { columns: columns.collect(), rows: None, is_whole: true };
    let plan = Plan::create(&sample, FileFormat::Csv, &["id".to_owned()]).unwrap();
    BatchReader::new(Box::new(Given(rows.iter().cloned().collect(), 1)), Arc::default(), &plan.targets)
}

fn only(reader: &mut BatchReader) -> Batch {
    let batch = reader.next_batch().unwrap().unwrap();
    assert!(reader.next_batch().unwrap().is_none());
    batch
}

/// A table that is created for a double and a numeric of two decimals, or that is there.
fn numbers(is_new: bool, rows: &[&'static str]) -> Batch {
    let types = [("x", DataType::Float8), ("n", DataType::Numeric { precision: 38, scale: 2 })];
    let columns =
        types.into_iter().map(|(name, data_type)| FileColumn { name: name.to_owned(), data_type, note: None });
    let sample = Sample { columns: columns.collect(), rows: Some(1), is_whole: false };
    let plan = Plan::create(&sample, FileFormat::Csv, &[]).unwrap();
    let plan = if is_new { plan } else { Plan::append(&sample, FileFormat::Csv, plan.table, &[]).unwrap() };
    let rows = rows.iter().map(|row| Some(row.split(' ').map(Some).collect())).collect();
    only(&mut BatchReader::new(Box::new(Given(rows, 1)), Arc::default(), &plan.targets))
}

#[test]
fn a_number_that_its_new_column_would_round_is_rejected() {
    let batch = numbers(true, &["0.5 1.25", "12345678901234567.89 1", "0.5 1.255", "1e-400 1"]);
    let reasons: Vec<_> = batch.rejected.iter().map(|rejected| (rejected.line, rejected.reason.as_str())).collect();
    assert_eq!((batch.len(), reasons.len(), batch.rounded), (1, 3, 0), "{reasons:?}");
    assert!(reasons[0].1.starts_with("column x: double precision would lose digits"), "{reasons:?}");
    assert!(reasons[1].1.starts_with("column n: numeric(38,2) would lose digits"), "{reasons:?}");
}

#[test]
fn what_the_columns_of_a_table_round_is_counted() {
    let batch = numbers(false, &["0.5 1.25", "12345678901234567.89 1.255", "0.5 1.255"]);
    assert_eq!((batch.len(), batch.rejected.len(), batch.rounded), (3, 0, 3));
}

#[test]
fn rows_that_their_columns_cannot_take_are_rejected_with_line_and_reason() {
    let mut reader = reader(&[
        Some(vec![Some("1"), Some("2024-01-31"), Some("tab\there")]),
        Some(vec![Some("five"), None, None]),
        Some(vec![None, None, None]),
        Some(vec![Some("4"), Some("2024-02-30"), None]),
        Some(vec![Some("5"), None, Some("nul\0")]),
        Some(vec![Some("6"), None, Some("\\N")]),
    ]);
    let batch = only(&mut reader);
    assert_eq!(batch.data(&(0..batch.len())), b"1\t2024-01-31\ttab\\there\n6\t\\N\t\\\\N\n");
    let reasons: Vec<_> =
        batch.rejected.iter().map(|rejected| format!("{} {}", rejected.line, rejected.reason)).collect();
    assert_eq!(
        reasons,
        [
            "3 column id: invalid input syntax for type bigint: \"five\"",
            "4 column id: it is NULL, which the column does not take",
            "5 column day: date/time field value out of range: \"2024-02-30\"",
            "6 column name: it has a NUL character",
        ]
    );
}

#[test]
fn a_refused_row_is_found_again() {
    let mut reader = reader(&[
        Some(vec![Some("1"), None, Some("a")]),
        Some(vec![Some("2"), None, Some("b\n\\c")]),
        Some(vec![Some("3"), None, Some("d")]),
    ]);
    let batch = only(&mut reader);
    assert_eq!(batch.data(&(1..3)), b"2\t\\N\tb\\n\\\\c\n3\t\\N\td\n");
    assert_eq!(batch.data(&(1..1)), b"");
    let rejected = batch.reject(1, "why".to_owned());
    assert_eq!(rejected.line, 3);
    assert_eq!(rejected.cells, [Some("2".to_owned()), None, Some("b\n\\c".to_owned())]);
}

#[test]
fn what_was_read_before_a_failure_comes_first() {
    let mut reader = reader(&[Some(vec![Some("1"), None, None]), None]);
    assert_eq!(reader.next_batch().unwrap().unwrap().len(), 1);
    assert_eq!(reader.next_batch().unwrap_err().to_string(), "the disk is gone");
    assert!(reader.next_batch().unwrap().is_none());
}

/// Every text of up to three of the pieces that matter to the format.
fn texts() -> Vec<String> {
    const PIECES: [&str; 9] = ["", "\\", "N", "\t", "\n", "\r", "t", "\\N", "é"];
    let two = PIECES.iter().flat_map(|first| PIECES.iter().map(move |second| format!("{first}{second}")));
    two.flat_map(|start| PIECES.iter().map(move |end| format!("{start}{end}"))).collect()
}

#[test]
fn cells_survive_a_line() {
    for text in texts() {
        let cells = [Some(text.clone()), None, Some(format!("x{text}"))];
        let mut bytes = Vec::new();
        line::write(cells.iter().map(Option::as_deref), &mut bytes);
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1, "{text:?}");
        assert_eq!(line::read(&bytes), cells, "{text:?}");
    }
}
