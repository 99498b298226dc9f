//! Batches to the server; what it refuses is found and left out.

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::{Bytes, BytesMut};
use futures::SinkExt as _;
use tokio_postgres::Client;
use tokio_postgres::error::DbError;

use super::batch::Batch;
use super::rejects::{Reject, Rejects};
use super::target::Target;
use crate::client::describe;

/// Pieces in which a batch is sent.
const PIECE_BYTES: usize = 64 << 10;

/// Stores batches.
pub(super) struct Sender<'a> {
    client: &'a Client,
    copy: String,
    columns: Vec<String>,
    rejects: &'a mut Rejects,
    rejects_max: u64,
    /// Rows that the server has acknowledged.
    pub(super) stored: u64,
}

impl<'a> Sender<'a> {
    pub(super) fn new(client: &'a Client, target: &Target, rejects: &'a mut Rejects, rejects_max: u64) -> Self {
        let columns = target.columns.iter().map(|column| column.name.clone()).collect();
        Self { client, copy: target.copy_statement(), columns, rejects, rejects_max, stored: 0 }
    }

    /// Stores a batch whole, but for rows that the server refuses: those are rejected.
    ///
    /// # Errors
    /// If the connection is lost, the server refuses for another reason than a row, or too many rows are rejected.
    pub(super) async fn send(&mut self, mut batch: Batch) -> Result<()> {
        for reject in std::mem::take(&mut batch.rejects) {
            self.reject(&reject)?;
        }
        // Parts of the batch that are still to be stored, the next one last.
        let mut parts: Vec<Vec<usize>> = vec![(0..batch.len()).collect()];
        while let Some(mut rows) = parts.pop() {
            if rows.is_empty() {
                continue;
            }
            let Err(error) = self.copy(&batch, &rows).await else { continue };
            let Some(server) = error.as_db_error().filter(|server| is_about_a_row(server)) else {
                return Err(anyhow!(describe(&error, &self.copy))).with_context(|| {
                    format!("load the rows from line {} on", rows.first().map_or(0, |row| batch.line(*row)))
                });
            };
            let bad = if let [_] = rows.as_slice() { Some(0) } else { self.locate(server, &batch, &rows) };
            match bad {
                Some(position) => {
                    let row = rows.remove(position);
                    self.reject(&reject_of(&batch, row, server))?;
                    parts.push(rows);
                }
                None => {
                    let second = rows.split_off(rows.len() / 2);
                    parts.push(second);
                    parts.push(rows);
                }
            }
        }
        Ok(())
    }

    fn reject(&mut self, reject: &Reject) -> Result<()> {
        self.rejects.add(reject)?;
        if self.rejects.count() > self.rejects_max {
            self.rejects.finish()?;
            bail!(
                "more than {} rows were rejected, see {}; --rejects-max allows more",
                self.rejects_max,
                self.rejects.path().display()
            );
        }
        Ok(())
    }

    /// One COPY of these rows.
    async fn copy(&mut self, batch: &Batch, rows: &[usize]) -> Result<(), tokio_postgres::Error> {
        let sink = self.client.copy_in::<_, Bytes>(&self.copy).await?;
        let mut sink = std::pin::pin!(sink);
        let mut piece = BytesMut::with_capacity(PIECE_BYTES + (PIECE_BYTES >> 2));
        for row in rows {
            piece.extend_from_slice(batch.row(*row));
            if piece.len() >= PIECE_BYTES {
                sink.feed(piece.split().freeze()).await?;
            }
        }
        if !piece.is_empty() {
            sink.feed(piece.freeze()).await?;
        }
        self.stored += sink.finish().await?;
        Ok(())
    }

    /// Which of the rows an error is about: by the line in its context, or by the key in its detail. Of two rows with
    /// one key the first stays.
    fn locate(&self, error: &DbError, batch: &Batch, rows: &[usize]) -> Option<usize> {
        if let Some(line) = error.where_().and_then(line_of_context) {
            return line.checked_sub(1).filter(|position| *position < rows.len());
        }
        let key = error.detail().and_then(key_of_detail)?;
        let columns: Vec<(usize, &str)> = key
            .iter()
            .map(|(name, value)| Some((self.columns.iter().position(|column| column == name)?, value.as_str())))
            .collect::<Option<_>>()?;
        let has_key = |row: &usize| {
            columns.iter().all(|(column, value)| batch.cell(*row, *column).is_some_and(|cell| cell == *value))
        };
        rows.iter().rposition(has_key)
    }
}

fn reject_of(batch: &Batch, row: usize, error: &DbError) -> Reject {
    let detail = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    let text = String::from_utf8_lossy(batch.row(row));
    Reject {
        line: batch.line(row),
        reason: format!("{}{detail}", error.message()),
        row: text.trim_end_matches('\n').to_owned(),
    }
}

/// Errors of values and of constraints are a row's; all others are not.
fn is_about_a_row(error: &DbError) -> bool {
    let class = error.code().code();
    class.starts_with("22") || class.starts_with("23")
}

/// The number in `COPY t, line 3, column x: "y"`.
pub(super) fn line_of_context(context: &str) -> Option<usize> {
    let (_, rest) = context.split_once(", line ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Names and values of `Key (a, b)=(1, x) already exists.` Values that hold a comma cannot be told apart.
pub(super) fn key_of_detail(detail: &str) -> Option<Vec<(String, String)>> {
    let rest = detail.strip_prefix("Key (")?;
    let (names, rest) = rest.split_once(")=(")?;
    let (values, _) = rest.rsplit_once(')')?;
    let names: Vec<&str> = names.split(", ").collect();
    let values: Vec<&str> = if names.len() == 1 { vec![values] } else { values.split(", ").collect() };
    let pairs = names.iter().zip(&values).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    (names.len() == values.len()).then(|| pairs.collect())
}
