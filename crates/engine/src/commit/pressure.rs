//! Back-pressure (W8): writes are delayed, then refused with a retryable error, never left waiting.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use outcrop_env::reached;
use outcrop_types::{Condition, Error, Result};

use crate::EngineOptions;
use crate::node::Node;

/// Memory held by memtables, and what waiting writes learn about flushes.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    memtable_bytes: AtomicU64,
    /// What statements will take that were let pass and have no place in the order yet.
    promised_bytes: AtomicU64,
    flush_disk_full: AtomicBool,
    /// Small segments of the table that has most of them: how far compaction is behind.
    small_segments: AtomicUsize,
    /// The disk was full since feeds were last asked for what they keep.
    disk_was_full: AtomicBool,
}

/// Memory that a statement was promised; given back when it has taken it, or went.
#[derive(Debug)]
#[must_use = "the memory is free again when the promise is dropped"]
pub(crate) struct Promise<'a> {
    pressure: &'a Pressure,
    bytes: u64,
    /// What was taken and promised before.
    before: u64,
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.pressure.promised_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How full the memtables may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Free,
    /// Writes are slowed down by this much.
    Delayed(Duration),
    /// Writes wait for a flush.
    Full,
}

impl Pressure {
    /// A shard's memtable went from `before` to `after` bytes.
    pub(crate) fn resize(&self, before: u64, after: u64) {
        if after >= before {
            self.memtable_bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.memtable_bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Whether the last flush found the disk full.
    pub(crate) fn set_flush_disk_full(&self, full: bool) {
        self.flush_disk_full.store(full, Ordering::Relaxed);
        if full {
            self.note_full_disk();
        }
    }

    /// Something did not fit on the disk: no feed may keep files that nobody else needs.
    pub(crate) fn note_full_disk(&self) {
        self.disk_was_full.store(true, Ordering::Relaxed);
    }

    /// Whether that happened since the last call.
    pub(crate) fn take_full_disk_for_feeds(&self) -> bool {
        self.disk_was_full.swap(false, Ordering::Relaxed)
    }

    /// Bytes held by all memtables.
    pub(crate) fn memtable_bytes(&self) -> u64 {
        self.memtable_bytes.load(Ordering::Relaxed)
    }

    /// Bytes held by all memtables, and by statements that are about to enter them.
    fn taken_bytes(&self) -> u64 {
        self.memtable_bytes().saturating_add(self.promised_bytes.load(Ordering::Relaxed))
    }

    /// Counts what a statement will take, so that others that come at the same time see it.
    fn promise(&self, bytes: u64) -> Promise<'_> {
        let promised = self.promised_bytes.fetch_add(bytes, Ordering::Relaxed);
        Promise { pressure: self, bytes, before: self.memtable_bytes().saturating_add(promised) }
    }

    /// How many small segments the table has that has most of them. Returns whether they have become fewer.
    pub(crate) fn set_small_segments(&self, count: usize) -> bool {
        self.small_segments.swap(count, Ordering::Relaxed) > count
    }

    /// Why writes are delayed or refused, if they are.
    pub(crate) fn reason(&self, options: &EngineOptions) -> Option<&'static str> {
        let behind = || self.compaction_level(options) != Level::Free;
        self.memory_reason(options.memtable_bytes_max).or_else(|| behind().then_some("compaction behind"))
    }

    fn compaction_level(&self, options: &EngineOptions) -> Level {
        level(self.small_segments.load(Ordering::Relaxed) as u64, options.small_segments_max as u64)
    }

    /// Why writes wait for memory, if they do.
    pub(crate) fn memory_reason(&self, bytes_max: u64) -> Option<&'static str> {
        let disk_full = self.flush_disk_full.load(Ordering::Relaxed);
        match level(self.taken_bytes(), bytes_max) {
            Level::Free => None,
            Level::Delayed(_) | Level::Full if disk_full => Some("disk full"),
            Level::Delayed(_) | Level::Full => Some("memtables full"),
        }
    }
}

/// From 80 % of the limit a delay that grows to 10 ms; at the limit a wait.
fn level(bytes: u64, bytes_max: u64) -> Level {
    let soft = bytes_max / 5 * 4;
    if bytes <= soft {
        return Level::Free;
    }
    if bytes >= bytes_max {
        return Level::Full;
    }
    let range = (bytes_max - soft).max(1);
    let share = u32::try_from((bytes - soft) * 100 / range).unwrap_or(100);
    Level::Delayed(DELAY_MAX * share / 100)
}

impl Node {
    /// Lets a write pass that needs `bytes` of memory, after a delay if memtables are nearly full. So they never hold more than
    /// their limit and one statement.
    ///
    /// # Errors
    /// `WriteStalled` when no flush made room in time, `DiskFull` when that is why; `Poisoned`.
    pub(crate) fn wait_for_memory(&self, bytes: u64) -> Result<Promise<'_>> {
        if let Some(promise) = self.memory_at_once(bytes) {
            return Ok(promise);
        }
        let promise = self.pressure.promise(bytes);
        let level = level(promise.before, self.options.memtable_bytes_max);
        let begin = self.env.clock.monotonic();
        let outcome = self.wait_at(level, promise);
        self.counters.stall_time.observe(self.env.clock.monotonic().saturating_sub(begin));
        outcome
    }

    /// Whether statements that add rows are delayed or refused because compaction is behind.
    pub(crate) fn is_compaction_behind(&self) -> bool {
        self.pressure.compaction_level(&self.options) != Level::Free
    }

    /// Lets a statement pass that adds rows, after a delay if compaction is behind. Without limit the segments of a table, and the memory
    /// that each of them takes, would grow as long as its rows are not merged.
    ///
    /// # Errors
    /// `WriteStalled` when compaction did not catch up in time; `Poisoned`.
    pub(crate) fn wait_for_compaction(&self) -> Result<()> {
        let level = || self.pressure.compaction_level(&self.options);
        let wait = match level() {
            Level::Free => return Ok(()),
            Level::Delayed(delay) => delay,
            Level::Full => self.options.stall_max,
        };
        self.compaction_signal.notify();
        let begin = self.env.clock.monotonic();
        let was_full = level() == Level::Full;
        self.env.tasks.wait_until(&self.progress, Some(wait), &mut || {
            let now = level();
            now == Level::Free || (was_full && now != Level::Full) || self.tail.lock().check_open().is_err()
        });
        self.counters.stall_time.observe(self.env.clock.monotonic().saturating_sub(begin));
        self.tail.lock().check_open()?;
        if level() != Level::Full {
            return Ok(());
        }
        let most = self.options.small_segments_max;
        let failure = self.compactions.last_failure().map(|error| format!(" The last compaction failed: {error}."));
        Err(Error::new(Condition::WriteStalled, "writes arrive faster than they can be compacted")
            .with_detail(format!(
                "A table has {most} small segments or more that wait to be merged.{}",
                failure.unwrap_or_default()
            ))
            .with_hint("Nothing was applied; repeat the statement later."))
    }

    /// Lets a write pass if it needs not even be slowed down.
    pub(crate) fn memory_at_once(&self, bytes: u64) -> Option<Promise<'_>> {
        let promise = self.pressure.promise(bytes);
        (level(promise.before, self.options.memtable_bytes_max) == Level::Free).then_some(promise)
    }

    fn wait_at<'a>(&'a self, now: Level, promise: Promise<'a>) -> Result<Promise<'a>> {
        let bytes_max = self.options.memtable_bytes_max;
        let bytes = promise.bytes;
        match now {
            Level::Free => return Ok(promise),
            Level::Delayed(delay) => {
                reached!("write.delayed");
                self.flush_signal.notify();
                self.env.tasks.wait_until(&self.progress, Some(delay), &mut || {
                    level(self.pressure.memtable_bytes(), bytes_max) == Level::Free
                });
                return Ok(promise);
            }
            Level::Full => self.flush_signal.notify(),
        }
        // It holds nothing while it waits, and takes the room that it finds in one step, before others that wait too.
        drop(promise);
        let mut promised = None;
        let mut may_go = || {
            let promise = self.pressure.promise(bytes);
            promised = (promise.before < bytes_max).then_some(promise);
            promised.is_some()
                || self.pressure.flush_disk_full.load(Ordering::Relaxed)
                || self.tail.lock().check_open().is_err()
        };
        self.env.tasks.wait_until(&self.progress, Some(self.options.stall_max), &mut may_go);
        self.tail.lock().check_open()?;
        if let Some(promise) = promised {
            return Ok(promise);
        }
        if self.pressure.flush_disk_full.load(Ordering::Relaxed) {
            reached!("write.refused_by_a_full_disk");
            return Err(Error::new(Condition::DiskFull, "no space left to write rows out of memory")
                .with_detail("Rows wait in memory for a segment file that does not fit on the disk; reads go on.")
                .with_hint("Free space on the disk of the data directory; writes resume by themselves."));
        }
        reached!("write.stalled");
        Err(Error::new(Condition::WriteStalled, "writes arrive faster than they can be stored")
            .with_detail(format!("Rows not yet in segments hold more than {bytes_max} bytes."))
            .with_hint("Nothing was applied; repeat the statement later."))
    }
}

/// Longest delay of a write below the limit.
const DELAY_MAX: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::{Duration, Level, Pressure, level};

    #[test]
    fn the_delay_grows_from_four_fifths_of_the_limit_to_the_limit() {
        assert_eq!((level(200, 256), level(256, 256)), (Level::Free, Level::Full));
        assert!(matches!(level(230, 256), Level::Delayed(_)));
    }

    #[test]
    fn what_is_promised_counts_until_it_is_taken_or_given_back() {
        let pressure = Pressure::default();
        pressure.resize(0, 70);
        let first = pressure.promise(20);
        let second = pressure.promise(20);
        assert_eq!((first.before, second.before, pressure.taken_bytes()), (70, 90, 110));
        assert_eq!(level(second.before, 100), Level::Delayed(Duration::from_millis(5)));
        assert_eq!(level(pressure.promise(1).before, 100), Level::Full);
        // Taken: it is counted once.
        pressure.resize(70, 90);
        drop(first);
        assert_eq!((pressure.memtable_bytes(), pressure.taken_bytes()), (90, 110));
        drop(second);
        assert_eq!((pressure.taken_bytes(), pressure.memory_reason(100)), (90, Some("memtables full")));
    }
}
