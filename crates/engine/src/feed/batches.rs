//! What a feed shows, and how much of it at once.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use outcrop_types::TableSchema;

/// A part of a commit. Rows come in batches of a bounded size, in the schema that the table has at that commit.
///
/// The old rows of a commit go before any of its new rows comes: a statement may swap the keys of two rows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FeedEvent {
    /// New rows that replace nothing.
    Inserted {
        /// Their table.
        table: Arc<TableSchema>,
        /// The rows.
        new: RecordBatch,
    },
    /// Rows in the place of others: row i of `new` replaces row i of `old`. They have the same key, unless a statement that
    /// was small enough for one record changed it.
    Updated {
        /// Their table.
        table: Arc<TableSchema>,
        /// The rows that were there.
        old: RecordBatch,
        /// The rows that are there now.
        new: RecordBatch,
    },
    /// Rows that are gone.
    Deleted {
        /// Their table.
        table: Arc<TableSchema>,
        /// The rows that were there.
        old: RecordBatch,
    },
    /// A table was created or altered: this is its schema from here on. Rows that are there have the initial default of a new
    /// column, unless their table is shown as truncated and filled again in the same commit.
    Table(Arc<TableSchema>),
    /// A table was dropped, with all its rows.
    TableDropped(Arc<TableSchema>),
    /// All rows of a table are gone. They are not shown one by one.
    Truncated(Arc<TableSchema>),
    /// A schema was created. Only shown to cursors of all tables.
    SchemaCreated(String),
    /// A schema was dropped. Only shown to cursors of all tables.
    SchemaDropped(String),
}

/// How many rows go into the next batch: as many as the last one's size says.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchSize {
    rows: usize,
}

impl BatchSize {
    pub(super) fn new() -> Self {
        Self { rows: FIRST_ROWS }
    }

    /// The next of `total` rows, `done` of which were shown.
    pub(super) fn next(&self, done: usize, total: usize) -> Range<usize> {
        done..total.min(done.saturating_add(self.rows))
    }

    /// Rows of the next batch at most.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// A batch was this large.
    pub(super) fn learn(&mut self, batch: &RecordBatch) {
        if let Some(bytes) = batch.get_array_memory_size().checked_div(batch.num_rows()) {
            self.rows = (BATCH_BYTES / bytes.max(1)).clamp(ROWS_MIN, ROWS_MAX);
        }
    }
}

/// Rows of the first batch, which tells how large they are.
const FIRST_ROWS: usize = 256;
/// Fewest rows of a batch, however large they are.
const ROWS_MIN: usize = 16;
/// Most rows of a batch.
const ROWS_MAX: usize = 8_192;
/// Memory that a batch should take.
const BATCH_BYTES: usize = 4 << 20;
