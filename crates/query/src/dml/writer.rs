//! A statement's rows on their way to the engine.

use std::fmt;

use datafusion::arrow::array::RecordBatch;
use outcrop_engine::{AppliedRows, Commit, TableWrite, WriteMode};
use outcrop_types::{Error, Result, RowAddress};

use super::target::Target;
use crate::session::{Work, WriteCall, blocking};

/// Feeds a [`TableWrite`] from async code: its calls may wait for disk and for back-pressure. What is wrong with rows may be
/// said by a later call, at the latest by the commit.
///
/// # Cancel safety
/// Dropped, also in the middle of a call, the statement is aborted: nothing is applied.
pub(crate) struct Writer {
    write: Option<TableWrite>,
    /// What is done with the next call: a statement of one batch needs no thread but that of its commit.
    waiting: Option<WriteCall>,
    /// Memory of all rows so far.
    bytes: usize,
}

/// More rows are work for a thread of its own.
const FEW_BYTES: usize = 32 << 10;

impl Writer {
    /// Begins writing. Keeps the rows if `RETURNING` wants them.
    pub(crate) fn begin(work: &Work, target: &Target, mode: WriteMode, keep: Keep) -> Result<Self> {
        let write = work.engine().write(&work.snapshot, target.schema.id, mode)?;
        let write = match keep {
            Keep::Counts => write,
            Keep::Rows => write.keep_rows(),
        };
        Ok(Self { write: Some(write), waiting: None, bytes: 0 })
    }

    pub(crate) async fn insert(&mut self, rows: RecordBatch) -> Result<()> {
        self.bytes = self.bytes.saturating_add(rows.get_array_memory_size());
        self.call(move |write| write.insert(rows)).await
    }

    pub(crate) async fn update(&mut self, victims: Vec<RowAddress>, rows: RecordBatch) -> Result<()> {
        self.bytes = self.bytes.saturating_add(rows.get_array_memory_size());
        self.call(move |write| write.update(&victims, rows)).await
    }

    pub(crate) async fn delete(&mut self, victims: Vec<RowAddress>) -> Result<()> {
        self.bytes = self.bytes.saturating_add(size_of_val(victims.as_slice()));
        self.call(move |write| write.delete(&victims)).await
    }

    /// Commits and waits until the answer may leave.
    pub(crate) async fn commit(mut self, work: &Work) -> Result<Commit> {
        if self.bytes > FEW_BYTES {
            return self.commit_after(work, Ok).await;
        }
        let waiting = self.waiting.take();
        work.commit_few(self.take()?, waiting).await
    }

    /// Commits if `last_word` agrees to the rows.
    pub(crate) async fn commit_after(
        mut self,
        work: &Work,
        last_word: impl FnOnce(AppliedRows) -> Result<AppliedRows> + Send + 'static,
    ) -> Result<Commit> {
        let waiting = self.waiting.take();
        work.commit_write(self.take()?, waiting, last_word).await
    }

    async fn call(&mut self, call: impl FnOnce(&mut TableWrite) -> Result<()> + Send + 'static) -> Result<()> {
        let Some(before) = self.waiting.replace(Box::new(call)) else { return Ok(()) };
        let mut write = self.take()?;
        self.write = Some(
            blocking(move || {
                before(&mut write)?;
                Ok(write)
            })
            .await?,
        );
        Ok(())
    }

    fn take(&mut self) -> Result<TableWrite> {
        self.write.take().ok_or_else(|| Error::internal("the statement was written after it had failed"))
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("write", &self.write).finish_non_exhaustive()
    }
}

/// What a commit hands back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// How many rows.
    Counts,
    /// The rows too.
    Rows,
}
