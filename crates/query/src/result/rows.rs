//! A running result: batches from the query runtime, one at a time.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use outcrop_types::Result;

use crate::result::{CommandTag, ResultColumn};
use crate::session::StatementGuard;

/// Rows of a statement. The work runs on the query runtime, at most a few batches ahead of the reader.
///
/// After an error the stream is over. Whoever reads it reports the error with [`crate::Session::fail_transaction`].
///
/// # Cancel safety
/// Dropping the stream cancels a `SELECT`. The rows of a write's `RETURNING` come after its commit: dropping them loses
/// only the answer.
pub struct RowStream {
    columns: Vec<ResultColumn>,
    command: &'static str,
    /// Of a write, where the rows returned are not the rows counted.
    counted: Option<u64>,
    rows: u64,
    batches: BoxStream<'static, Result<RecordBatch>>,
    guard: Option<StatementGuard>,
}

impl RowStream {
    /// Rows of `command`, counted as they pass.
    pub(crate) fn new(
        command: &'static str,
        columns: Vec<ResultColumn>,
        batches: BoxStream<'static, Result<RecordBatch>>,
    ) -> Self {
        Self { columns, command, counted: None, rows: 0, batches, guard: None }
    }

    /// Makes the tag say `rows`, however many pass.
    #[must_use]
    pub(crate) fn with_count(mut self, rows: u64) -> Self {
        self.counted = Some(rows);
        self
    }

    /// Ties the stream to its statement: cancellation and deadline end it.
    #[must_use]
    pub(crate) fn guarded(mut self, guard: StatementGuard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Counts the time limit of the statement from now.
    pub(crate) fn restart_deadline(&mut self, timeout: Option<Duration>) {
        if let Some(guard) = &mut self.guard {
            guard.restart(timeout);
        }
    }

    /// What the batches hold.
    pub fn columns(&self) -> &[ResultColumn] {
        &self.columns
    }

    /// The tag so far; complete once the stream has ended.
    pub fn tag(&self) -> CommandTag {
        CommandTag::with_rows(self.command, self.counted.unwrap_or(self.rows))
    }
}

impl Stream for RowStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(guard) = &mut self.guard
            && let Poll::Ready(error) = guard.poll_cancelled(cx)
        {
            self.guard = None;
            self.batches = futures::stream::empty().boxed();
            return Poll::Ready(Some(Err(error)));
        }
        let item = ready!(self.batches.poll_next_unpin(cx));
        match &item {
            Some(Ok(batch)) => self.rows += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX),
            Some(Err(_)) => self.batches = futures::stream::empty().boxed(),
            None => self.guard = None,
        }
        Poll::Ready(item)
    }
}

impl fmt::Debug for RowStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream")
            .field("command", &self.command)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}
