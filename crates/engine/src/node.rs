//! The node: what the handles and workers of one open database share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use outcrop_env::{Env, Signal, reached};
use outcrop_log::{LogExtent, LogSpace, Permit, SpaceClass};
use outcrop_segment::{KeyRun, PageCache, Segment};
use outcrop_types::{CommitSeq, Condition, LogId, Result, TableId, UnitId};
use parking_lot::{Mutex, RwLock};

use crate::EngineOptions;
use crate::catalog::undefined_table;
use crate::commit::{Answer, CommitHandle, LogRequests, Pressure, Shard, Tail, Ticket};
use crate::compaction::{AskedTables, History};
use crate::flush::Requests;
use crate::manifest::Holds;
use crate::recovery::Identity;
use crate::snapshot::{LiveVersions, ShardState, Snapshot, Version};
use crate::status::Histogram;
use crate::write::Commit;

/// Everything of an open database that is not a worker's own.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) env: Env,
    pub(crate) options: EngineOptions,
    pub(crate) log_id: LogId,
    /// That log, and those that it goes on from, which wrote some of the files.
    pub(crate) identity: Identity,
    pub(crate) cache: Arc<PageCache>,
    /// Space of the log, asked for before a commit is sequenced (W9).
    pub(crate) space: LogSpace,
    /// Files of the log, for feeds: stored by the log worker before what they hold is published.
    pub(crate) log_extents: ArcSwap<Vec<LogExtent>>,
    /// What readers see: swapped by the log worker only.
    pub(crate) published: ArcSwap<Version>,
    /// Which published versions are still held.
    pub(crate) live: Arc<LiveVersions>,
    pub(crate) tail: Mutex<Tail>,
    pub(crate) shards: RwLock<HashMap<TableId, Arc<Shard>>>,
    pub(crate) pressure: Pressure,
    pub(crate) log_requests: LogRequests,
    /// Checkpoints that were asked for, and failures of the flush worker.
    pub(crate) flushes: Requests,
    /// Compactions that were asked for, and failures of the compaction worker.
    pub(crate) compactions: Requests,
    /// What it did.
    pub(crate) compaction_history: History,
    /// What they were asked for.
    pub(crate) compaction_tables: Mutex<AskedTables>,
    /// The newest install.
    pub(crate) installed: AtomicU64,
    pub(crate) counters: Counters,
    /// Segments that no version from some commit on has.
    pub(crate) retired: Mutex<Vec<RetiredSegment>>,
    /// Key runs that no version from some commit on has.
    pub(crate) retired_runs: Mutex<Vec<RetiredRun>>,
    /// Victims files by the commit whose record names them.
    pub(crate) victims_files: Mutex<Vec<(CommitSeq, String)>>,
    pub(crate) ids: Ids,
    /// From where on files and log are kept.
    pub(crate) holds: Holds,
    /// Wakes the log worker.
    pub(crate) log_signal: Arc<Signal>,
    /// Wakes the flush worker.
    pub(crate) flush_signal: Arc<Signal>,
    /// Wakes the compaction worker.
    pub(crate) compaction_signal: Arc<Signal>,
    /// Wakes the worker that merges key runs.
    pub(crate) merge_signal: Arc<Signal>,
    /// Notified after each publication, flush, failure: for those who wait for a state of the node.
    pub(crate) progress: Signal,
}

/// A segment that left, with the commit that took it out.
#[derive(Debug)]
pub(crate) struct RetiredSegment {
    pub(crate) at: CommitSeq,
    pub(crate) unit: UnitId,
    pub(crate) segment: Weak<Segment>,
}

/// A key run that left, with the first commit whose version does not have it.
#[derive(Debug)]
pub(crate) struct RetiredRun {
    pub(crate) at: CommitSeq,
    pub(crate) unit: UnitId,
    pub(crate) run: Weak<KeyRun>,
}

/// Counters since the start.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) compacted_rows: AtomicU64,
    pub(crate) compacted_bytes: AtomicU64,
    pub(crate) expired_rows: AtomicU64,
    /// Records of the log that the start applied.
    pub(crate) replayed: u64,
    /// Log that recovery would read.
    pub(crate) log_bytes: AtomicU64,
    /// Log before that, kept for feeds.
    pub(crate) feed_log_bytes: AtomicU64,
    pub(crate) commit_time: Histogram,
    pub(crate) sync_time: Histogram,
    pub(crate) group_commits: Histogram,
    pub(crate) freshness: Histogram,
    pub(crate) stall_time: Histogram,
}

impl Counters {
    pub(crate) fn new(replayed: u64) -> Self {
        Self {
            replayed,
            commits: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            compactions: AtomicU64::new(0),
            compacted_rows: AtomicU64::new(0),
            compacted_bytes: AtomicU64::new(0),
            expired_rows: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
            feed_log_bytes: AtomicU64::new(0),
            commit_time: Histogram::of_durations(),
            sync_time: Histogram::of_durations(),
            group_commits: Histogram::of_counts(),
            freshness: Histogram::of_durations(),
            stall_time: Histogram::of_durations(),
        }
    }
}

/// The counters of the log from which ids come (F1); never reused.
#[derive(Debug)]
pub(crate) struct Ids {
    next_unit: AtomicU64,
    next_table: AtomicU32,
}

impl Ids {
    pub(crate) fn new(next_unit: UnitId, next_table: TableId) -> Self {
        Self { next_unit: AtomicU64::new(next_unit.get()), next_table: AtomicU32::new(next_table.get()) }
    }

    pub(crate) fn unit(&self) -> UnitId {
        UnitId::new(self.next_unit.fetch_add(1, Ordering::Relaxed))
    }

    /// This id and those before it are taken.
    pub(crate) fn claim_table(&self, table: TableId) {
        self.next_table.fetch_max(table.get().saturating_add(1), Ordering::Relaxed);
    }

    pub(crate) fn next_unit(&self) -> UnitId {
        UnitId::new(self.next_unit.load(Ordering::Relaxed))
    }

    pub(crate) fn next_table(&self) -> TableId {
        TableId::new(self.next_table.load(Ordering::Relaxed))
    }
}

impl Node {
    /// The newest published snapshot.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.published.load_full())
    }

    /// The newest published commit.
    pub(crate) fn published_seq(&self) -> CommitSeq {
        self.published.load().seq
    }

    /// An install has its place in the log: a checkpoint that holds it makes its inputs needless.
    pub(crate) fn note_install(&self, seq: CommitSeq) {
        self.installed.fetch_max(seq.get(), Ordering::AcqRel);
        self.flush_signal.notify();
    }

    /// The newest install.
    pub(crate) fn installed(&self) -> CommitSeq {
        CommitSeq::new(self.installed.load(Ordering::Acquire))
    }

    /// Says that the versions from commit `at` on have the runs of `after`, and no longer all those of `before`.
    pub(crate) fn retire_runs(&self, before: &ShardState, after: &ShardState, at: CommitSeq) {
        let stays = |unit| after.runs().any(|run| run.unit() == unit);
        let gone = before.runs().filter(|run| !stays(run.unit()));
        let gone = gone.map(|run| RetiredRun { at, unit: run.unit(), run: Arc::downgrade(run) });
        self.retired_runs.lock().extend(gone);
    }

    /// The writer of a table's shard.
    pub(crate) fn shard(&self, table: TableId) -> Result<Arc<Shard>> {
        self.shards.read().get(&table).map(Arc::clone).ok_or_else(|| undefined_table(table))
    }

    /// Lets the writers of tables go that are gone for good. Until their DROP is published, statements that meet it there are
    /// refused by what they find in the tail, and so only when the DROP is durable (W3).
    pub(crate) fn forget_shards(&self, published: &Version) {
        if self.shards.read().len() <= published.tables.len() {
            return;
        }
        let tail = self.tail.lock();
        self.shards.write().retain(|id, _| published.tables.contains_key(id) || tail.table(*id).is_some());
    }

    /// Space in the log for a record of about `bytes`, before anything is sequenced.
    pub(crate) fn admit(&self, bytes: u64, class: SpaceClass) -> Result<Permit> {
        self.tail.lock().check_open()?;
        let permit = self.space.admit(bytes.saturating_add(RECORD_OVERHEAD_BYTES), class);
        if let Err(error) = &permit
            && error.condition() == Condition::DiskFull
        {
            self.pressure.note_full_disk();
            self.flush_signal.notify();
        }
        permit
    }

    /// As [`Node::admit`] if the log has the space; `None` if it must be prepared, or is refused.
    pub(crate) fn admit_at_once(&self, bytes: u64, class: SpaceClass) -> Option<Permit> {
        self.tail.lock().check_open().ok()?;
        self.space.admit_at_once(bytes.saturating_add(RECORD_OVERHEAD_BYTES), class)
    }

    /// An answer that depends on the tail at `seq`: it leaves when that commit is durable (W3).
    pub(crate) fn answer_after(&self, seq: CommitSeq, result: Result<Commit>) -> CommitHandle {
        let mut tail = self.tail.lock();
        if self.published_seq() >= seq {
            drop(tail);
            return CommitHandle::ready(result, &self.env.tasks);
        }
        if let Err(poisoned) = tail.check_durable() {
            drop(tail);
            return CommitHandle::ready(Err(poisoned), &self.env.tasks);
        }
        let ticket = Ticket::new();
        tail.answer(Answer::new(&ticket, result));
        drop(tail);
        self.log_signal.notify();
        CommitHandle::new(&ticket, &self.env.tasks)
    }

    /// Stops all commits for good (W9). Reads go on; whoever waits for durability learns it.
    pub(crate) fn poison(&self, reason: &str) {
        let mut tail = self.tail.lock();
        if tail.poisoned().is_none() {
            reached!("engine.poisoned");
            tracing::error!(reason, "writes stop: the durability of a write is unknown");
        }
        tail.poison(reason);
        let group = tail.take_group();
        drop(tail);
        group.answers.into_iter().for_each(|answer| answer.refuse(reason));
        self.log_signal.notify();
        self.flush_signal.notify();
        self.merge_signal.notify();
        self.compaction_signal.notify();
        self.progress.notify();
    }
}

/// What a record needs beside its rows and victims.
const RECORD_OVERHEAD_BYTES: u64 = 256;

/// Directory of the commit log.
pub(crate) const LOG_DIR: &str = "log";
/// Directory of segments and their meta files.
pub(crate) const SEGMENT_DIR: &str = "segments";
/// Directory of manifests.
pub(crate) const MANIFEST_DIR: &str = "manifest";
/// Directory of victims files of staged commits.
pub(crate) const STAGED_DIR: &str = "staged";
