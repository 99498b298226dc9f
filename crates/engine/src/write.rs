//! Writing: one statement on one table, atomic, committed once.

use std::fmt;

use arrow_array::{BooleanArray, RecordBatch};
use outcrop_types::{CommitSeq, Result, RowAddress};

/// What a statement does with rows and keys.
pub enum WriteMode {
    /// `INSERT` and `COPY`: [`TableWrite::insert`].
    Insert(OnConflict),
    /// REST documents: [`TableWrite::insert`] replaces by key, [`TableWrite::delete_keys`] deletes by key, in the order
    /// of the calls; the last one wins.
    Upsert,
    /// `UPDATE` and `DELETE`: [`TableWrite::update`] and [`TableWrite::delete`] by address. The callback judges rows that
    /// changed since the snapshot (Q7); a table without primary key needs none.
    Change(Option<Box<dyn Recheck>>),
}

/// What an `INSERT` does when the primary key of a row is there already.
pub enum OnConflict {
    /// 23505 with the key in DETAIL; nothing is applied. Also for two rows of the statement.
    Error,
    /// `DO NOTHING`: the row there stays; of two rows of the statement the first.
    Nothing,
    /// `DO UPDATE`: the callback makes the new row; 21000 if the statement meets one row twice.
    Update(Box<dyn ConflictUpdate>),
}

/// `ON CONFLICT DO UPDATE SET … WHERE …`, evaluated inside the turn against the newest rows.
pub trait ConflictUpdate: Send {
    /// `existing` and `proposed` have the table's schema and equal length; row i of both conflict.
    fn update(&mut self, existing: &RecordBatch, proposed: &RecordBatch) -> Result<ConflictRows>;
}

/// Answer of [`ConflictUpdate::update`].
#[derive(Debug)]
pub struct ConflictRows {
    /// Which rows the WHERE lets through; NULL counts as false.
    pub matches: BooleanArray,
    /// The new rows, one for each input row (those that do not match are ignored).
    pub rows: RecordBatch,
}

/// Evaluates WHERE and SET of an `UPDATE` or `DELETE` again on rows that replaced the ones it saw.
pub trait Recheck: Send {
    /// `current` has the table's schema.
    fn recheck(&mut self, current: &RecordBatch) -> Result<Rechecked>;
}

/// Answer of [`Recheck::recheck`].
#[derive(Debug)]
pub struct Rechecked {
    /// Which rows the WHERE still lets through; NULL counts as false.
    pub matches: BooleanArray,
    /// For UPDATE the new rows, one for each input row; `None` for DELETE.
    pub rows: Option<RecordBatch>,
}

/// A statement that is being written. Dropped without [`TableWrite::commit`] it leaves nothing behind.
///
/// Batches have the columns of the table's schema at the snapshot, in declaration order. Small statements stay in memory;
/// above `commit_inline_bytes_max` rows go to staged segments as they arrive (W10).
pub struct TableWrite {}

impl TableWrite {
    /// Adds rows. `Insert` and `Upsert` mode.
    ///
    /// # Errors
    /// `NotNullViolation`, `DiskFull`, and in staged statements `UniqueViolation` already here.
    pub fn insert(&mut self, rows: RecordBatch) -> Result<()> {
        let _ = rows;
        todo!()
    }

    /// Deletes by primary key: key columns in key order. `Upsert` mode.
    pub fn delete_keys(&mut self, keys: &RecordBatch) -> Result<()> {
        let _ = keys;
        todo!()
    }

    /// Replaces the row at `victims[i]` by row i. `Change` mode. A victim given twice counts once (the first).
    pub fn update(&mut self, victims: &[RowAddress], rows: RecordBatch) -> Result<()> {
        let _ = (victims, rows);
        todo!()
    }

    /// Deletes rows. `Change` mode. A victim given twice counts once.
    pub fn delete(&mut self, victims: &[RowAddress]) -> Result<()> {
        let _ = victims;
        todo!()
    }

    /// Asks for [`Commit::rows`] (`RETURNING`) and [`Commit::outcomes`]. Before the first row.
    #[must_use]
    pub fn keep_rows(self) -> Self {
        self
    }

    /// Decides, writes the record and hands back a handle that is done when the answer may leave (W3). May block for the
    /// turn and for back-pressure, not for the sync.
    pub fn commit(self) -> CommitHandle {
        todo!()
    }
}

impl fmt::Debug for TableWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableWrite").finish_non_exhaustive()
    }
}

/// A commit, or a refusal, on its way to durability. Dropping it does not undo the commit.
#[must_use]
#[derive(Debug)]
pub struct CommitHandle {}

impl CommitHandle {
    /// Waits until the answer may leave. Blocks the calling thread.
    pub fn wait(self) -> Result<Commit> {
        todo!()
    }

    /// Calls `done` once, from an engine thread or at once, when the answer may leave. `done` must not block.
    pub fn on_done(self, done: impl FnOnce(Result<Commit>) + Send + 'static) {
        let _ = done;
        todo!()
    }
}

/// What became of one row of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// A new key.
    Inserted,
    /// A row was there and was replaced.
    Updated,
    /// Deleted.
    Deleted,
    /// Nothing was done: conflict skipped, WHERE not true, or no such key.
    Skipped,
}

/// A durable, published statement.
#[derive(Debug)]
pub struct Commit {
    /// Its place in the order; for a statement that changed nothing, the commit that the answer depends on.
    pub seq: CommitSeq,
    /// New rows.
    pub inserted: u64,
    /// Replaced rows.
    pub updated: u64,
    /// Deleted rows.
    pub deleted: u64,
    /// One for each row given, in order, with [`TableWrite::keep_rows`].
    pub outcomes: Vec<RowOutcome>,
    /// With [`TableWrite::keep_rows`]: the rows now stored for inserts and updates, the old rows for deletes, in order.
    pub rows: AppliedRows,
}

/// Rows that a statement wrote, for `RETURNING`: from memory or from its staged segments, one batch at a time.
#[derive(Debug)]
pub struct AppliedRows {}

impl Iterator for AppliedRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
