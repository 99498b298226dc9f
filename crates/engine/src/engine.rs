//! The engine: one log, its tables, and the workers that keep them.

use std::sync::Arc;
use std::time::Duration;

use outcrop_env::{DirLock, Env, Signal, TaskHandle};
use outcrop_format::feed::FeedChange;
use outcrop_types::{CommitSeq, Condition, Error, LogId, Result, TableId, TableName};
use parking_lot::Mutex;

use crate::catalog::undefined_table;
use crate::check::TableReport;
use crate::commit::{CommitHandle, LogWorker};
use crate::compaction::CompactionWorker;
use crate::feed::{Feed, FeedCursor, FeedTables};
use crate::flush::{FlushWorker, seal, sealed_generations, still_there};
use crate::key_index::MergeWorker;
use crate::node::Node;
use crate::recovery::{self, Start};
use crate::rewrite::Fill;
use crate::snapshot::{ReadLimit, Snapshot};
use crate::status::{CompactionStatus, EngineStatus};
use crate::write::{TableWrite, Target, WriteMode};
use crate::{AlterAction, Ddl, EngineOptions};

/// An open database directory. Clones share it; the last clone, or [`Engine::close`], stops the workers.
#[derive(Clone, Debug)]
pub struct Engine {
    owner: Arc<Owner>,
}

/// What lives as long as the engine is open.
#[derive(Debug)]
struct Owner {
    node: Arc<Node>,
    running: Mutex<Option<Running>>,
}

/// The workers, stopped in the order of the fields, and the directory's lock, given back last.
#[derive(Debug)]
struct Running {
    _compaction: TaskHandle,
    _merge: TaskHandle,
    _flush: TaskHandle,
    _log: TaskHandle,
    _lock: Box<dyn DirLock>,
}

impl Owner {
    /// Waits until everything that has a place in the log is durable, or never will be.
    fn drain(&self) {
        let node = &self.node;
        let last = node.tail.lock().version().seq;
        node.log_signal.notify();
        node.env.tasks.wait_until(&node.progress, None, &mut || {
            node.published_seq() >= last || node.tail.lock().poisoned().is_some()
        });
    }
}

impl Drop for Owner {
    /// Whoever waits for a commit gets an answer, also when the engine goes without [`Engine::close`].
    fn drop(&mut self) {
        if self.running.get_mut().is_some() {
            self.node.tail.lock().close();
            // A callback may hold the last handle: the log worker, which calls it, cannot be waited for. Commits of its
            // next group are answered as unknown then.
            if !self.node.log_requests.is_called_by_worker() {
                self.drain();
            }
        }
    }
}

impl Engine {
    /// Opens the database in the root directory of `env.disk`, or creates it in an empty one; recovers, starts workers.
    ///
    /// # Errors
    /// `ObjectInUse` if another process has it, `UnsupportedVersion` for a directory of another format, `DataCorrupted`
    /// with file and offset, `IoError`.
    pub fn open(env: &Env, options: EngineOptions) -> Result<Self> {
        let Start { node, log, checkpoints, lock } = recovery::open(env, options.checked())?;
        let start = |name, signal: &Arc<Signal>, worker| -> Result<TaskHandle> {
            let task = env.tasks.start(name, Arc::clone(signal), worker).map_err(|error| {
                let message = format!("could not start background task {name}: {error}");
                Error::new(Condition::IoError, message).with_source(error)
            })?;
            let node = Arc::clone(&node);
            task.on_panic(move |message| node.poison(&format!("a background task panicked: {message}")));
            Ok(task)
        };
        let log = start("log", &node.log_signal, Box::new(LogWorker::new(Arc::clone(&node), log)))?;
        let flush = start("flush", &node.flush_signal, Box::new(FlushWorker::new(Arc::clone(&node), checkpoints)))?;
        let merge = start("key-merge", &node.merge_signal, Box::new(MergeWorker::new(Arc::clone(&node))))?;
        let compaction =
            start("compaction", &node.compaction_signal, Box::new(CompactionWorker::new(Arc::clone(&node))))?;
        let running = Running { _compaction: compaction, _merge: merge, _flush: flush, _log: log, _lock: lock };
        Ok(Self { owner: Arc::new(Owner { node, running: Mutex::new(Some(running)) }) })
    }

    /// How long a snapshot can be read ([`EngineOptions::snapshot_age_max`]); `None` is for ever.
    pub fn snapshot_age_max(&self) -> Option<Duration> {
        Some(self.node().options.snapshot_age_max).filter(|age| !age.is_zero())
    }

    /// The newest published snapshot. Lock-free; never waits.
    pub fn snapshot(&self) -> Snapshot {
        let node = self.node();
        let age_max = node.options.snapshot_age_max;
        let snapshot = node.snapshot();
        if age_max.is_zero() { snapshot } else { snapshot.within(ReadLimit::new(&node.env.clock, age_max)) }
    }

    /// A snapshot that includes `seq`; waits up to `timeout` for it. Blocks the calling thread.
    ///
    /// # Errors
    /// `QueryCanceled` when the time is over.
    pub fn snapshot_at_least(&self, seq: CommitSeq, timeout: Duration) -> Result<Snapshot> {
        let node = self.node();
        if node.env.tasks.wait_until(&node.progress, Some(timeout), &mut || node.published_seq() >= seq) {
            return Ok(self.snapshot());
        }
        Err(Error::new(Condition::QueryCanceled, format!("commit {seq} is not visible yet"))
            .with_detail(format!("The newest visible commit is {}.", node.published_seq())))
    }

    /// How many versions are held: the newest, and those that snapshots pin.
    pub fn versions_held(&self) -> usize {
        self.node().live.count()
    }

    /// Changes the catalog: one [`Ddl`], or a list of them, which is one commit. They apply in order; if one is refused, none
    /// applies.
    pub fn ddl(&self, changes: impl Into<Vec<Ddl>>) -> CommitHandle {
        self.node().commit_ddl(&changes.into())
    }

    /// `ALTER TABLE` with columns whose DEFAULT is another for each row: schema and rows change in one commit, and all rows are
    /// written anew. Readers go on; writers of the table wait while what changed since the beginning is written. Blocks.
    pub fn alter_filling(&self, table: &TableName, actions: &[AlterAction], fill: Fill) -> CommitHandle {
        let node = self.node();
        let id = self.snapshot().catalog().table(table).map(|schema| schema.id);
        match id.map_or(Ok(()), |id| self.flush(Some(id))) {
            Ok(()) => node.commit_filling(table, actions, fill),
            Err(error) => CommitHandle::ready(Err(error), &node.env.tasks),
        }
    }

    /// Begins a statement that writes to one table. `snapshot` is what the statement read; addresses given later are of it.
    ///
    /// # Errors
    /// `UndefinedTable`; `FeatureNotSupported` for UPDATE or DELETE of an `append_only` table; `Poisoned`.
    pub fn write(&self, snapshot: &Snapshot, table: TableId, mode: WriteMode) -> Result<TableWrite> {
        let node = self.node();
        node.tail.lock().check_open()?;
        let found = snapshot.version().tables.get(&table).ok_or_else(|| undefined_table(table))?;
        let schema = &found.schema;
        if schema.options.append_only && matches!(mode, WriteMode::Change(_)) {
            return Err(Error::new(
                Condition::FeatureNotSupported,
                format!("table \"{}\" is append-only", schema.name.table),
            )
            .with_hint("Rows of an append-only table cannot be updated or deleted; TRUNCATE removes all of them."));
        }
        let target = Target::new(node, snapshot, table)?;
        Ok(TableWrite::new(target, mode))
    }

    /// Seals and flushes the open generations of one table or of all, and waits. Blocks the calling thread.
    ///
    /// # Errors
    /// `DiskFull`, after which the rows stay in memory and in the log; `Poisoned`; `AdminShutdown` when the engine closes
    /// meanwhile.
    pub fn flush(&self, table: Option<TableId>) -> Result<()> {
        let node = self.node();
        node.tail.lock().check_durable()?;
        let tables: Vec<TableId> = match table {
            Some(table) => vec![table],
            None => node.tail.lock().version().tables.keys().copied().collect(),
        };
        tables.into_iter().try_for_each(|table| seal(node, table))?;
        let waiting = sealed_generations(node, table);
        let failures = node.flushes.failures();
        node.flush_signal.notify();
        node.env.tasks.wait_until(&node.progress, None, &mut || {
            let gone = || sealed_generations(node, table);
            let done = !waiting.iter().any(|sealed| still_there(node, sealed))
                && !gone().iter().any(|left| waiting.iter().any(|sealed| sealed.unit == left.unit));
            done || self.is_stopped(failures) || node.tail.lock().check_open().is_err()
        });
        self.check_stopped(failures)?;
        let left = sealed_generations(node, table);
        if left.is_empty() { Ok(()) } else { node.tail.lock().check_open() }
    }

    /// Writes a manifest checkpoint and drops log files that it makes needless. Blocks the calling thread.
    ///
    /// # Errors
    /// `DiskFull`; `Poisoned`; `AdminShutdown` when the engine was closed.
    pub fn checkpoint(&self) -> Result<()> {
        let node = self.node();
        node.tail.lock().check_durable()?;
        let failures = node.flushes.failures();
        let number = node.flushes.want();
        node.flush_signal.notify();
        node.env.tasks.wait_until(&node.progress, None, &mut || {
            (node.flushes.done() >= number && node.log_requests.is_done()) || self.is_stopped(failures)
        });
        self.check_stopped(failures)
    }

    /// Rewrites segments until all are near their best size and without dead rows, and waits. Blocks the calling thread. Rows
    /// in memory stay there: [`Engine::flush`] comes first for those who want everything in few segments.
    ///
    /// # Errors
    /// `DiskFull`, after which nothing is lost and a later call may succeed; `Poisoned`; `AdminShutdown`.
    pub fn compact(&self) -> Result<()> {
        self.compact_tables(None)
    }

    /// As [`Engine::compact`], for one table.
    ///
    /// # Errors
    /// As [`Engine::compact`].
    pub fn compact_table(&self, table: TableId) -> Result<()> {
        self.compact_tables(Some(table))
    }

    /// How many segments a table has.
    pub fn segments_of(&self, table: TableId) -> usize {
        let version = self.node().published.load();
        let shards = version.tables.get(&table).into_iter().flat_map(|table| &table.shards);
        shards.map(|shard| shard.segments().count()).sum()
    }

    /// Reads all of a table as it is now and checks it, with its key index. Blocks the calling thread; writers and readers go
    /// on. `None` when there is no such table.
    ///
    /// # Errors
    /// `IoError`, `InsufficientResources`. Damage is in the report.
    pub fn verify(&self, table: TableId) -> Result<Option<TableReport>> {
        crate::check::verify(&self.snapshot(), table)
    }

    fn compact_tables(&self, table: Option<TableId>) -> Result<()> {
        let node = self.node();
        node.compaction_tables.lock().add(table);
        let failures = node.compactions.failures();
        let number = node.compactions.want();
        node.compaction_signal.notify();
        node.env.tasks.wait_until(&node.progress, None, &mut || {
            node.compactions.done() >= number
                || node.compactions.failures() > failures
                || node.tail.lock().check_open().is_err()
        });
        if node.compactions.done() >= number {
            return Ok(());
        }
        node.tail.lock().check_open()?;
        match node.compactions.last_failure() {
            Some(error) => Err(error),
            None => Err(Error::internal("a compaction ended without a reason")),
        }
    }

    /// Creates a feed cursor, which stands behind the commit that creates it: [`Commit::seq`](crate::Commit). From then on it keeps what a
    /// [`Feed`] behind it shows, up to [`EngineOptions::feed_retain_bytes`].
    ///
    /// The answer is `DuplicateCursor` if there is one of that name, `UndefinedTable`, or `ProgramLimitExceeded`.
    pub fn create_feed_cursor(&self, name: &str, tables: FeedTables) -> CommitHandle {
        self.node().commit_feed(&FeedChange::Create { name: name.to_owned(), tables })
    }

    /// Says that the consumer of a cursor has stored everything up to commit `to`, which may go. Where it stands already it
    /// stays, without a commit.
    ///
    /// The answer is `InvalidParameterValue` for a commit behind which it is, or that is not visible yet; `UndefinedObject`;
    /// `ObjectNotInPrerequisiteState` if it was ended.
    pub fn advance_feed_cursor(&self, name: &str, to: CommitSeq) -> CommitHandle {
        self.node().commit_feed(&FeedChange::Advance { name: name.to_owned(), to })
    }

    /// Drops a feed cursor, also one that was ended. The answer is `UndefinedObject` if there is none.
    pub fn drop_feed_cursor(&self, name: &str) -> CommitHandle {
        self.node().commit_feed(&FeedChange::Drop { name: name.to_owned() })
    }

    /// All feed cursors, by name.
    pub fn feed_cursors(&self) -> Vec<FeedCursor> {
        self.node().feed_cursors()
    }

    /// The commits after the position of a cursor, or after a later commit `after`.
    ///
    /// # Errors
    /// `UndefinedObject`; `ObjectNotInPrerequisiteState` if the cursor was ended, or stands behind a later commit than
    /// `after`: then [`Engine::snapshot_and_feed`] is where to begin again; `InvalidParameterValue` for a commit that is not
    /// visible yet.
    pub fn feed(&self, cursor: &str, after: Option<CommitSeq>) -> Result<Feed> {
        Feed::open(self.node(), cursor, after)
    }

    /// A snapshot, and the commits after it: for a consumer that begins, or begins again. The cursor must be there already, so that
    /// nothing is lost in between.
    ///
    /// # Errors
    /// `UndefinedObject`; `ObjectNotInPrerequisiteState` if the cursor was ended.
    pub fn snapshot_and_feed(&self, cursor: &str) -> Result<(Snapshot, Feed)> {
        // A first copy of large tables may take long.
        let snapshot = self.node().snapshot();
        let feed = self.feed(cursor, Some(snapshot.commit_seq()))?;
        Ok((snapshot, feed))
    }

    /// Counters and gauges.
    pub fn status(&self) -> EngineStatus {
        self.node().status()
    }

    /// The newest compactions since the start, oldest first.
    pub fn compactions(&self) -> Vec<CompactionStatus> {
        self.node().compaction_history.list()
    }

    /// Identity of the log; part of opaque positions (F7).
    pub fn log_id(&self) -> LogId {
        self.node().log_id
    }

    /// Refuses new writes, syncs what was accepted, checkpoints and stops the workers. Idempotent.
    ///
    /// # Errors
    /// `Poisoned` and `DiskFull` when the last checkpoint could not be written; the workers are stopped all the same, and
    /// the log holds every acknowledged commit.
    pub fn close(&self) -> Result<()> {
        let node = self.node();
        node.tail.lock().close();
        let mut running = self.owner.running.lock();
        if running.is_none() {
            return Ok(());
        }
        self.owner.drain();
        let outcome = self.checkpoint();
        node.log_requests.finish();
        node.log_signal.notify();
        node.env.tasks.wait_until(&node.progress, None, &mut || {
            node.log_requests.is_finished() || node.tail.lock().poisoned().is_some()
        });
        *running = None;
        node.flushes.stop();
        node.progress.notify();
        outcome
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.owner.node
    }

    /// Whether something that waits for the flush worker waits for nothing.
    fn is_stopped(&self, failures: u64) -> bool {
        let node = self.node();
        node.flushes.failures() > failures || node.flushes.is_stopped() || node.tail.lock().poisoned().is_some()
    }

    fn check_stopped(&self, failures: u64) -> Result<()> {
        let node = self.node();
        node.tail.lock().check_durable()?;
        if node.flushes.failures() > failures
            && let Some(error) = node.flushes.last_failure()
        {
            return Err(error);
        }
        if node.flushes.is_stopped() { node.tail.lock().check_open() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
