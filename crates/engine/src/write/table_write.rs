//! The statement that is being written.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use outcrop_types::{Condition, Error, Result, RowAddress, TableId, TableSchema};

use super::api::{LastWord, OnConflict, WriteMode};
use super::change::Changes;
use super::decision::{concat, row_count};
use super::normalise::{batch_bytes, normalise};
use super::proposals::{InsertProposal, UpsertProposal};
use super::tail::key_hashes;
use super::upsert::UpsertItem;
use crate::catalog::undefined_table;
use crate::commit::{
    Caller, CommitHandle, Keep, Proposal, Shard, VICTIM_BYTES, commit_at_once, commit_statement, only_shard,
};
use crate::key_index::ShardKeys;
use crate::node::Node;
use crate::snapshot::{Snapshot, TableSnapshot};
use crate::stage::{Stage, StagedChanges, StagedInsert, StagedRows, StagedUpsert};

/// A statement that is being written. Dropped without [`TableWrite::commit`] it leaves nothing behind.
///
/// Batches have the columns of the table's schema at the snapshot, in declaration order. Small statements stay in memory;
/// above `commit_inline_bytes_max` rows go to staged segments as they arrive (W10).
pub struct TableWrite {
    target: Target,
    rows: Rows,
    /// Bytes of rows in memory.
    bytes: u64,
    keep: Keep,
    last_word: Option<LastWord>,
}

/// The table that a statement writes to.
pub(crate) struct Target {
    pub(crate) node: Arc<Node>,
    pub(crate) shard: Arc<Shard>,
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) arrow: SchemaRef,
    pub(crate) keys: Option<Arc<ShardKeys>>,
    /// What the statement read. Held to its end, so that the remaps of its rows stay.
    pub(crate) table: TableSnapshot,
}

impl Target {
    /// A table of `snapshot`, which is what the statement read.
    ///
    /// # Errors
    /// `UndefinedTable`.
    pub(crate) fn new(node: &Arc<Node>, snapshot: &Snapshot, table: TableId) -> Result<Self> {
        let found = snapshot.version().tables.get(&table).ok_or_else(|| undefined_table(table))?;
        let schema = Arc::clone(&found.schema);
        Ok(Self {
            node: Arc::clone(node),
            shard: node.shard(table).map_err(|_gone| undefined_table(&schema.name))?,
            arrow: schema.to_arrow(),
            keys: only_shard(found)?.keys().map(Arc::clone),
            table: TableSnapshot::new(snapshot.version(), table).ok_or_else(|| undefined_table(&schema.name))?,
            schema,
        })
    }
}

/// The rows of a statement so far.
enum Rows {
    Insert {
        batches: Vec<RecordBatch>,
        on_conflict: OnConflict,
    },
    Upsert {
        batches: Vec<RecordBatch>,
        items: Vec<UpsertItem>,
        rows: u32,
    },
    Change(Changes),
    Staged(Box<dyn StagedRows>),
    /// An error left it unusable.
    Failed,
}

impl TableWrite {
    pub(crate) fn new(target: Target, mode: WriteMode) -> Self {
        let rows = match mode {
            WriteMode::Insert(on_conflict) => Rows::Insert { batches: Vec::new(), on_conflict },
            WriteMode::Upsert => Rows::Upsert { batches: Vec::new(), items: Vec::new(), rows: 0 },
            WriteMode::Change(recheck) => Rows::Change(Changes::new(target.table.clone(), recheck)),
        };
        Self { target, rows, bytes: 0, keep: Keep::Counts, last_word: None }
    }

    /// Adds rows. `Insert` and `Upsert` mode.
    ///
    /// # Errors
    /// `NotNullViolation`, `DiskFull`, and in staged statements `UniqueViolation` already here.
    #[expect(clippy::needless_pass_by_value, reason = "the rows are handed over")]
    pub fn insert(&mut self, rows: RecordBatch) -> Result<()> {
        let rows = normalise(&rows, &self.target.schema, &self.target.arrow)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let added = row_count(&rows)?;
        self.bytes += batch_bytes(&rows) + u64::from(added) * VICTIM_BYTES;
        match &mut self.rows {
            Rows::Insert { batches, .. } => batches.push(rows),
            Rows::Upsert { batches, items, rows: total } => {
                let first = *total;
                if let Some(keys) = &self.target.keys {
                    let keys = key_hashes(Some(keys), &self.target.schema, &rows)?;
                    items.extend((first..).zip(keys).map(|(row, key)| UpsertItem { key, row: Some(row) }));
                }
                *total = first.saturating_add(added);
                batches.push(rows);
            }
            Rows::Staged(staged) => return staged.insert(&self.target, &rows),
            Rows::Change(_) => return Err(Error::internal("insert in a statement that changes rows by address")),
            Rows::Failed => return Err(failed()),
        }
        self.stage_if_large()
    }

    /// Deletes by primary key: key columns in key order. `Upsert` mode.
    ///
    /// # Errors
    /// `InternalError` for a table without primary key, and in other modes.
    pub fn delete_keys(&mut self, keys: &RecordBatch) -> Result<()> {
        let Some(index) = &self.target.keys else {
            let name = &self.target.schema.name.table;
            let message = format!("table \"{name}\" has no primary key to delete rows by");
            return Err(Error::new(Condition::ObjectNotInPrerequisiteState, message));
        };
        let keys = index.encode(keys.columns())?;
        self.bytes += keys.len() as u64 * VICTIM_BYTES;
        match &mut self.rows {
            Rows::Upsert { items, .. } => items.extend(keys.into_iter().map(|key| UpsertItem { key, row: None })),
            Rows::Staged(staged) => return staged.delete_keys(&keys),
            Rows::Insert { .. } | Rows::Change(_) => {
                return Err(Error::internal("delete by key in another statement than an upsert"));
            }
            Rows::Failed => return Err(failed()),
        }
        self.stage_if_large()
    }

    /// Replaces the row at `victims[i]` by row i. `Change` mode. A victim given twice counts once (the first).
    ///
    /// # Errors
    /// `NotNullViolation`, `DiskFull`.
    #[expect(clippy::needless_pass_by_value, reason = "the rows are handed over")]
    pub fn update(&mut self, victims: &[RowAddress], rows: RecordBatch) -> Result<()> {
        if victims.len() != rows.num_rows() {
            return Err(Error::internal(format!("{} victims for {} new rows", victims.len(), rows.num_rows())));
        }
        let rows = normalise(&rows, &self.target.schema, &self.target.arrow)?;
        self.bytes += batch_bytes(&rows) + victims.len() as u64 * VICTIM_BYTES;
        match &mut self.rows {
            Rows::Change(changes) => changes.update(victims, rows),
            Rows::Staged(staged) => return staged.update(&self.target, victims, &rows),
            Rows::Insert { .. } | Rows::Upsert { .. } => return Err(Error::internal("update in an insert")),
            Rows::Failed => return Err(failed()),
        }
        self.stage_if_large()
    }

    /// Deletes rows. `Change` mode. A victim given twice counts once.
    ///
    /// # Errors
    /// `InternalError` in another mode.
    pub fn delete(&mut self, victims: &[RowAddress]) -> Result<()> {
        self.bytes += victims.len() as u64 * VICTIM_BYTES;
        match &mut self.rows {
            Rows::Change(changes) => changes.delete(victims),
            Rows::Staged(staged) => return staged.delete(victims),
            Rows::Insert { .. } | Rows::Upsert { .. } => return Err(Error::internal("delete in an insert")),
            Rows::Failed => return Err(failed()),
        }
        self.stage_if_large()
    }

    /// Asks for [`super::Commit::rows`] (`RETURNING`) and [`super::Commit::outcomes`]. Before the first row.
    #[must_use]
    pub fn keep_rows(mut self) -> Self {
        self.keep = Keep::Rows;
        self
    }

    /// Asks the caller once more when the outcome is known.
    #[must_use]
    pub fn with_last_word(mut self, last_word: LastWord) -> Self {
        self.last_word = Some(last_word);
        self
    }

    /// Decides, writes the record and hands back a handle that is done when the answer may leave (W3). May block for the
    /// turn and for back-pressure, not for the sync.
    pub fn commit(self) -> CommitHandle {
        match self.ready() {
            Ok(ready) => ready.commit(),
            Err(refused) => refused,
        }
    }

    /// As [`TableWrite::commit`] for a small statement that has to wait for nothing: not for memory, log space, or another
    /// statement on the table. Calls nobody back for conflicts, but may read keys from disk. Otherwise nothing has happened, and
    /// the statement is handed back, ready to be committed where waiting is allowed.
    ///
    /// # Errors
    /// The statement.
    #[expect(clippy::result_large_err, reason = "what is handed back is the statement")]
    pub fn commit_at_once(self) -> std::result::Result<CommitHandle, ReadyWrite> {
        let is_plain = match &self.rows {
            Rows::Insert { on_conflict, .. } => !matches!(on_conflict, OnConflict::Update(_)),
            Rows::Upsert { .. } => true,
            Rows::Change(_) | Rows::Staged(_) | Rows::Failed => false,
        };
        let is_small = is_plain && self.bytes <= AT_ONCE_BYTES_MAX;
        match self.ready() {
            Ok(ready) if is_small => ready.commit_at_once(),
            Ok(ready) => Err(ready),
            Err(refused) => Ok(refused),
        }
    }

    fn ready(self) -> std::result::Result<ReadyWrite, CommitHandle> {
        let Self { target, rows, keep, last_word, .. } = self;
        let asked_at = target.node.env.clock.monotonic();
        match propose(&target, rows) {
            Ok(proposal) => Ok(ReadyWrite { target, proposal, caller: Caller { keep, last_word, asked_at } }),
            Err(error) => Err(CommitHandle::ready(Err(error), &target.node.env.tasks)),
        }
    }

    /// Moves the rows to staged segments when they are too many for the log (W10).
    fn stage_if_large(&mut self) -> Result<()> {
        if self.bytes <= self.target.node.options.commit_inline_bytes_max {
            return Ok(());
        }
        let stage = Stage::new(&self.target);
        let staged: Box<dyn StagedRows> = match std::mem::replace(&mut self.rows, Rows::Failed) {
            Rows::Insert { batches, on_conflict } => {
                let mut staged = StagedInsert::new(&self.target, stage, on_conflict, self.keep);
                for rows in batches {
                    staged.insert(&self.target, &rows)?;
                }
                Box::new(staged)
            }
            Rows::Upsert { batches, items, .. } => {
                Box::new(StagedUpsert::new(&self.target, stage, self.keep, &batches, &items)?)
            }
            Rows::Change(changes) => Box::new(StagedChanges::new(&self.target, stage, changes, self.keep)?),
            rows @ (Rows::Staged(_) | Rows::Failed) => {
                self.rows = rows;
                return Ok(());
            }
        };
        self.rows = Rows::Staged(staged);
        Ok(())
    }
}

/// A statement that has all its rows. Dropped, it leaves nothing behind.
pub struct ReadyWrite {
    target: Target,
    proposal: Box<dyn Proposal>,
    caller: Caller,
}

impl ReadyWrite {
    /// As [`TableWrite::commit`].
    pub fn commit(mut self) -> CommitHandle {
        let Target { node, shard, schema, .. } = &self.target;
        commit_statement(node, shard, schema, &mut *self.proposal, self.caller)
    }

    #[expect(clippy::result_large_err, reason = "what is handed back is the statement")]
    fn commit_at_once(self) -> std::result::Result<CommitHandle, Self> {
        let Self { target, mut proposal, caller } = self;
        let Target { node, shard, schema, .. } = &target;
        commit_at_once(node, shard, schema, &mut *proposal, caller).map_err(|caller| Self { target, proposal, caller })
    }
}

impl fmt::Debug for ReadyWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyWrite").field("table", &self.target.schema.name).finish_non_exhaustive()
    }
}

/// Statements beyond this are work for a thread that nobody else waits for.
const AT_ONCE_BYTES_MAX: u64 = 64 << 10;

fn propose(target: &Target, rows: Rows) -> Result<Box<dyn Proposal>> {
    Ok(match rows {
        Rows::Insert { batches, on_conflict } => {
            let rows = concat(&target.schema, &batches)?;
            let keys = key_hashes(target.keys.as_deref(), &target.schema, &rows)?;
            Box::new(InsertProposal { rows, keys, on_conflict })
        }
        Rows::Upsert { batches, items, .. } => {
            Box::new(UpsertProposal { rows: concat(&target.schema, &batches)?, items })
        }
        Rows::Change(changes) => Box::new(changes),
        Rows::Staged(staged) => staged.finish(target)?,
        Rows::Failed => return Err(failed()),
    })
}

fn failed() -> Error {
    Error::internal("a statement was continued after an error")
}

impl fmt::Debug for TableWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.target.schema.name;
        f.debug_struct("TableWrite").field("table", name).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
