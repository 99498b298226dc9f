//! Limits of the engine.

use std::time::Duration;

use outcrop_segment::{PageCache, SEGMENT_ROWS_MAX};

/// Sizes and limits of an engine. All have defaults that suit a laptop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// A generation is sealed and flushed at this size. Default 64 MiB.
    pub flush_bytes_max: u64,
    /// A generation is sealed and flushed at this number of rows. Default 1,000,000.
    pub flush_rows_max: u32,
    /// A generation older than this is flushed, however small. Default 10 min.
    pub flush_age_max: Duration,
    /// Memory that all memtables may hold before writes are delayed, then refused. Default 512 MiB.
    pub memtable_bytes_max: u64,
    /// Log kept before the oldest generation is flushed, however small (W1). Default 1 GiB.
    pub log_bytes_max: u64,
    /// Size of one log file, zero-filled before use. Default 64 MiB.
    pub log_file_bytes: u64,
    /// Commits above this are staged in segments (W10). Default 8 MiB.
    pub commit_inline_bytes_max: u64,
    /// Dead rows that a checkpoint says in the manifest itself, as bytes; more are a file of their own. Default 64 KiB.
    pub checkpoint_inline_bytes_max: u64,
    /// Memory for checked pages of segment files. Default 256 MiB.
    pub page_cache_bytes: u64,
    /// Segment files that are open at once, well below the limit of the process. Default 256.
    pub open_files_max: usize,
    /// Longest that a write waits for memory before it is refused with a retryable error. Default 10 s.
    pub stall_max: Duration,
    /// Size that compaction gives segments; smaller ones are merged. Default 256 MiB.
    pub compaction_bytes_target: u64,
    /// A segment is rewritten when this share of its rows is dead. Default 30.
    pub compaction_dead_percent: u32,
    /// Small segments that a table may have before writes that add rows are delayed, then refused, because compaction is
    /// behind; only if it runs in the background. Default 256.
    pub small_segments_max: usize,
    /// How long a snapshot can be read, because it keeps files; zero is for ever. Default 10 min.
    pub snapshot_age_max: Duration,
    /// Log and files that a feed cursor may keep for itself before it is ended. Default 4 GiB.
    pub feed_retain_bytes: u64,
    /// Memory for the order of rows while a table with a sort key is flushed or compacted; other tables need none. What is too
    /// large for it keeps its order. Default 256 MiB.
    pub compaction_memory_bytes: u64,
    /// How often rows are looked for that their table's retention lets go. Default 1 min.
    pub retention_interval: Duration,
    /// Whether segments are compacted without being asked. Default true.
    pub compaction_in_background: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            flush_bytes_max: 64 << 20,
            flush_rows_max: 1_000_000,
            flush_age_max: Duration::from_secs(600),
            memtable_bytes_max: 512 << 20,
            log_bytes_max: 1 << 30,
            log_file_bytes: 64 << 20,
            commit_inline_bytes_max: 8 << 20,
            checkpoint_inline_bytes_max: 64 << 10,
            page_cache_bytes: 256 << 20,
            open_files_max: PageCache::OPEN_FILES,
            stall_max: Duration::from_secs(10),
            compaction_bytes_target: 256 << 20,
            compaction_dead_percent: 30,
            small_segments_max: 256,
            snapshot_age_max: Duration::from_secs(600),
            feed_retain_bytes: 4 << 30,
            compaction_memory_bytes: 256 << 20,
            retention_interval: Duration::from_secs(60),
            compaction_in_background: true,
        }
    }
}

impl EngineOptions {
    /// The options with limits that the formats set: a generation becomes one segment, and a log holds a few files.
    #[must_use]
    pub(crate) fn checked(mut self) -> Self {
        self.flush_rows_max = self.flush_rows_max.clamp(1, SEGMENT_ROWS_MAX / 2);
        self.commit_inline_bytes_max = self.commit_inline_bytes_max.min(COMMIT_INLINE_BYTES_LIMIT);
        self.compaction_dead_percent = self.compaction_dead_percent.clamp(1, 100);
        self.log_bytes_max = self.log_bytes_max.max(self.log_file_bytes.saturating_mul(2));
        self
    }
}

/// Above this a commit would hold up the ones behind it.
const COMMIT_INLINE_BYTES_LIMIT: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use outcrop_segment::SEGMENT_ROWS_MAX;

    use super::EngineOptions;

    #[test]
    fn limits_of_the_formats_hold_whatever_the_options_say() {
        let mut options = EngineOptions::default();
        (options.flush_rows_max, options.commit_inline_bytes_max) = (u32::MAX, u64::MAX);
        (options.compaction_dead_percent, options.log_bytes_max) = (0, 0);
        let checked = options.checked();
        // A generation takes one commit more, and becomes one segment.
        assert!(checked.flush_rows_max <= SEGMENT_ROWS_MAX / 2);
        assert_eq!((checked.commit_inline_bytes_max, checked.compaction_dead_percent), (64 << 20, 1));
        assert_eq!(checked.log_bytes_max, 2 * checked.log_file_bytes);
    }
}
