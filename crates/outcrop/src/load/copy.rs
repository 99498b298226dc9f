//! Batches to the server, and which row it was when the server refuses one.

use std::ops::Range;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use futures::SinkExt as _;
use tokio_postgres::Statement;

use super::batch::Batch;
use super::rejects::Rejects;
use crate::client::{Connection, describe, server_error};

/// Sends batches.
pub(super) struct Loader<'c> {
    connection: &'c Connection,
    statement: Statement,
    sql: String,
    stored: u64,
}

/// What became of a COPY.
enum Outcome {
    /// All but these rows of it, whose keys are there already.
    Stored(Vec<Range<usize>>),
    Refused(Refusal),
}

/// What the server says against a row of a COPY. Nothing of that COPY is stored.
#[derive(Debug)]
struct Refusal {
    reason: String,
    /// Which row of it, from 0, if the server knows.
    row: Option<usize>,
}

impl<'c> Loader<'c> {
    /// `sql` is the COPY statement.
    pub(super) async fn open(connection: &'c Connection, sql: String) -> Result<Self> {
        let prepared = connection.client.prepare(&sql).await;
        let statement = prepared.map_err(|error| anyhow!("{}", describe(&error, &sql)))?;
        Ok(Self { connection, statement, sql, stored: 0 })
    }

    /// Rows that the server has acknowledged.
    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    /// Stores the rows of a batch in their order, except the ones that the server refuses.
    ///
    /// # Errors
    /// When it is not a row's fault: the connection is lost, the disk is full, the limit of rejected rows is reached.
    pub(super) async fn store(&mut self, batch: &Batch, rejects: &mut Rejects) -> Result<()> {
        // The next rows are on top.
        let mut pending = vec![0..batch.len()];
        while let Some(rows) = pending.pop() {
            if rows.is_empty() {
                continue;
            }
            let refusal = match self.copy(batch, &rows).await? {
                Outcome::Stored(skipped) => {
                    let count = rows.len().saturating_sub(skipped.iter().map(ExactSizeIterator::len).sum());
                    self.stored += u64::try_from(count).unwrap_or(0);
                    for row in skipped.into_iter().flatten() {
                        rejects.add(&batch.reject(rows.start + row, ALREADY_THERE.to_owned()))?;
                    }
                    continue;
                }
                Outcome::Refused(refusal) => refusal,
            };
            match refusal.row {
                _ if rows.len() == 1 => rejects.add(&batch.reject(rows.start, refusal.reason))?,
                // The rows before it go first. Those behind it go in two parts, since the next bad one is often near.
                Some(row) if row < rows.len() => {
                    let bad = rows.start + row;
                    let near = (bad + 1 + NEAR_ROWS).min(rows.end);
                    pending.extend([near..rows.end, bad + 1..near, bad..bad + 1, rows.start..bad]);
                }
                Some(_) | None => pending.extend(halves(&rows)),
            }
        }
        Ok(())
    }

    async fn copy(&self, batch: &Batch, rows: &Range<usize>) -> Result<Outcome> {
        match self.try_copy(batch, rows).await {
            Ok(_) => Ok(Outcome::Stored(
                self.connection.take_notices().iter().flat_map(|notice| skipped_rows(notice.message())).collect(),
            )),
            Err(error) => match refusal(&error) {
                Some(refusal) => Ok(Outcome::Refused(refusal)),
                None => Err(anyhow!("{}", describe(&error, &self.sql))).context("send rows"),
            },
        }
    }

    async fn try_copy(&self, batch: &Batch, rows: &Range<usize>) -> Result<u64, tokio_postgres::Error> {
        let sink = self.connection.client.copy_in::<_, Bytes>(&self.statement).await?;
        let mut sink = std::pin::pin!(sink);
        let (header, end) = batch.frame();
        for piece in [header.as_slice(), batch.data(rows), &end].into_iter().flat_map(|part| part.chunks(PIECE_BYTES)) {
            sink.feed(Bytes::copy_from_slice(piece)).await?;
        }
        sink.finish().await
    }
}

/// The rows, from 0, of a notice such as `skipped rows 3, 7-9: their keys are there already`.
pub(super) fn skipped_rows(notice: &str) -> Vec<Range<usize>> {
    let list = notice.strip_prefix("skipped rows ").and_then(|rest| rest.split_once(':')).map_or("", |(list, _)| list);
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(first.trim().parse::<usize>().ok()?.checked_sub(1)?..last.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).collect()
}

/// Both halves, the later one first.
fn halves(rows: &Range<usize>) -> [Range<usize>; 2] {
    let middle = rows.start + rows.len() / 2;
    [middle..rows.end, rows.start..middle]
}

/// What the server has against a row, if the error is about one.
fn refusal(error: &tokio_postgres::Error) -> Option<Refusal> {
    let server = server_error(error)?;
    if !ROW_CLASSES.iter().any(|class| server.code().code().starts_with(class)) {
        return None;
    }
    let place = server.where_().unwrap_or_default();
    let column = column_of(place).map(|column| format!("column {column}: ")).unwrap_or_default();
    let detail = server.detail().map(|detail| format!(" ({})", detail.trim_end_matches('.'))).unwrap_or_default();
    Some(Refusal { reason: format!("{column}{}{detail}", server.message()), row: row_of(place) })
}

/// The row that a context such as `COPY flights, line 3, column year: "x"` names, from 0.
pub(super) fn row_of(context: &str) -> Option<usize> {
    let (_, rest) = context.split_once(", line ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse::<usize>().ok()?.checked_sub(1)
}

/// The column that it names.
pub(super) fn column_of(context: &str) -> Option<&str> {
    let (_, rest) = context.split_once(", line ")?;
    let (line, column) = rest.split_once(", column ")?;
    let is_number = line.bytes().all(|byte| byte.is_ascii_digit());
    // Of text the value follows.
    is_number.then(|| column.split_once(": \"").map_or(column, |(name, _)| name))
}

/// Classes of errors that are about a row: cardinality, data, integrity, a limit of the program.
const ROW_CLASSES: [&str; 4] = ["21", "22", "23", "54"];
const ALREADY_THERE: &str = "a row with its key is there already";
const NEAR_ROWS: usize = 1_000;
/// One message of the protocol.
const PIECE_BYTES: usize = 256 << 10;
