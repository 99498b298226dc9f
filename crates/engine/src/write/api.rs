//! What a statement says and what it is told: modes, callbacks, outcomes.

use std::fmt;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use outcrop_types::{ColumnId, CommitSeq, Result};

use super::applied::AppliedRows;
use super::convert::{Conversion, OfEarlierVersion};

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
    /// `DO UPDATE SET c = EXCLUDED.c` for each of these columns: they get the values of the row that could not enter, the
    /// others keep those of the row there, which is read only if there are such. 21000 as for `Update`.
    Overwrite(Vec<ColumnId>),
}

impl OnConflict {
    /// The statement gets its place under a later version of the schema, for which its callback was not made.
    pub(crate) fn convert(&mut self, to: &Conversion) {
        if let Self::Update(callback) = self
            && !to.keeps_shape()
        {
            *callback = Box::new(OfEarlierVersion(Arc::clone(to.schema())));
        }
    }
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

/// The last word of a statement's caller: called once inside the turn, when the outcome is decided and nothing is applied
/// yet. It gets the rows as [`Commit::rows`] would, and hands back those that the commit shall still carry. An error
/// refuses the statement as a whole; after `Ok` it is committed. Other writers of the table wait meanwhile.
pub type LastWord = Box<dyn FnOnce(AppliedRows) -> Result<AppliedRows> + Send>;

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

impl Commit {
    /// A commit that changes no row.
    pub(crate) fn of_nothing(seq: CommitSeq) -> Self {
        Self { seq, inserted: 0, updated: 0, deleted: 0, outcomes: Vec::new(), rows: AppliedRows::default() }
    }
}

impl fmt::Debug for WriteMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Insert(OnConflict::Error) => "Insert",
            Self::Insert(OnConflict::Nothing) => "Insert(DoNothing)",
            Self::Insert(OnConflict::Update(_)) => "Insert(DoUpdate)",
            Self::Insert(OnConflict::Overwrite(_)) => "Insert(Overwrite)",
            Self::Upsert => "Upsert",
            Self::Change(_) => "Change",
        })
    }
}
