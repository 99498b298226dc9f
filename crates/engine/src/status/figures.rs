//! What there is to tell.

use outcrop_types::{CommitSeq, TableId, UnitId};

use super::HistogramStatus;

/// Counters and gauges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStatus {
    /// The newest commit that readers see.
    pub published: CommitSeq,
    /// The commit of the oldest version that somebody reads.
    pub oldest_pin: CommitSeq,
    /// Versions that somebody reads.
    pub pins: u64,
    /// Bytes held by memtables.
    pub memtable_bytes: u64,
    /// Segments of all tables.
    pub segments: u64,
    /// Rows of segments that are dead.
    pub dead_rows: u64,
    /// Rows of segments, dead and alive.
    pub segment_rows: u64,
    /// Bytes of segment files.
    pub segment_bytes: u64,
    /// Key runs of all tables.
    pub key_runs: u64,
    /// Bytes of their files.
    pub key_run_bytes: u64,
    /// Rows alive in all tables.
    pub live_rows: u64,
    /// Memory of key indexes: entries of memtable rows, filters of runs. Cached pages are apart.
    pub key_index_bytes: u64,
    /// Bytes of the log that a recovery would read.
    pub log_bytes: u64,
    /// Bytes of the log before that, kept for feed cursors.
    pub feed_log_bytes: u64,
    /// Records of the log that the start applied; none after a clean stop that flushed.
    pub replayed_records: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Groups, each one sync.
    pub groups: u64,
    /// Flushes since the start.
    pub flushes: u64,
    /// Compactions since the start.
    pub compactions: u64,
    /// Rows that they wrote.
    pub compacted_rows: u64,
    /// About the bytes that they wrote.
    pub compacted_bytes: u64,
    /// Rows that retention deleted since start.
    pub expired_rows: u64,
    /// Bytes in segments that are worth a rewrite: how far compaction is behind.
    pub compaction_debt_bytes: u64,
    /// Why writes are delayed, if they are (W8).
    pub stall_reason: Option<&'static str>,
    /// Writes that were delayed for lack of memory since the start.
    pub stalls: u64,
    /// How long they were.
    pub stall_time: HistogramStatus,
    /// Why writes are refused until a restart (W9).
    pub poisoned: Option<String>,
    /// From a statement's wish to commit to its answer.
    pub commit_time: HistogramStatus,
    /// Syncs of the log.
    pub sync_time: HistogramStatus,
    /// Commits that share a sync.
    pub group_commits: HistogramStatus,
    /// From a commit's place in the log to the moment when readers see it.
    pub freshness: HistogramStatus,
}

/// One table at one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// Which one.
    pub table: TableId,
    /// Rows alive.
    pub live_rows: u64,
    /// Rows of memtables, dead and alive.
    pub memtable_rows: u64,
    /// Memory that they hold.
    pub memtable_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Rows of segments, dead and alive.
    pub segment_rows: u64,
    /// Dead ones among them.
    pub dead_rows: u64,
    /// Bytes of segment files.
    pub segment_bytes: u64,
    /// Key runs.
    pub key_runs: u64,
    /// Bytes of their files.
    pub key_run_bytes: u64,
    /// Memory of the key index, cached pages apart.
    pub key_index_bytes: u64,
}

/// One segment at one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentStatus {
    /// Its id.
    pub unit: UnitId,
    /// Rows, dead and alive.
    pub rows: u64,
    /// Dead ones.
    pub dead_rows: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// The oldest commit that has rows in it.
    pub min_seq: CommitSeq,
    /// The newest one.
    pub max_seq: CommitSeq,
    /// The key run that has its keys.
    pub key_run: Option<UnitId>,
}

/// A compaction that runs or ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactionStatus {
    /// Of this table.
    pub table: TableId,
    /// Segments that it replaces.
    pub inputs: Vec<UnitId>,
    /// Their live rows when it began.
    pub rows: u64,
    /// About their bytes.
    pub bytes: u64,
    /// Wall clock when it began, in microseconds since 1970.
    pub started_us: i64,
    /// When it ended; `None` while it runs.
    pub ended_us: Option<i64>,
    /// How it is.
    pub outcome: CompactionOutcome,
}

/// What became of a compaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompactionOutcome {
    /// It runs.
    Running,
    /// Its output took the place of its inputs.
    Installed(CommitSeq),
    /// Its table was dropped or truncated, or the database closed.
    Abandoned,
    /// It failed.
    Failed(String),
}
