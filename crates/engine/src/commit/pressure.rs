//! Back-pressure (W8): writes are delayed, then refused with a retryable error, never left waiting.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use outcrop_types::{Condition, Error, Result};

use crate::node::Node;

/// Memory held by memtables, and what waiting writes learn about flushes.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    memtable_bytes: AtomicU64,
    flush_disk_full: AtomicBool,
    /// The disk was full since feeds were last asked for what they keep.
    disk_was_full: AtomicBool,
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

    /// Why writes are delayed or refused, if they are.
    pub(crate) fn reason(&self, bytes_max: u64) -> Option<&'static str> {
        let disk_full = self.flush_disk_full.load(Ordering::Relaxed);
        match level(self.memtable_bytes(), bytes_max) {
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
    /// Lets a write that needs memory pass, after a delay if memtables are nearly full.
    ///
    /// # Errors
    /// `WriteStalled` when no flush made room in time, `DiskFull` when that is why; `Poisoned`.
    pub(crate) fn wait_for_memory(&self) -> Result<()> {
        let level = level(self.pressure.memtable_bytes(), self.options.memtable_bytes_max);
        if level == Level::Free {
            return Ok(());
        }
        let begin = self.env.clock.monotonic();
        let outcome = self.wait_at(level);
        self.counters.stall_time.observe(self.env.clock.monotonic().saturating_sub(begin));
        outcome
    }

    fn wait_at(&self, now: Level) -> Result<()> {
        let bytes_max = self.options.memtable_bytes_max;
        match now {
            Level::Free => return Ok(()),
            Level::Delayed(delay) => {
                self.flush_signal.notify();
                self.env.tasks.wait_until(&self.progress, Some(delay), &mut || {
                    level(self.pressure.memtable_bytes(), bytes_max) == Level::Free
                });
                return Ok(());
            }
            Level::Full => self.flush_signal.notify(),
        }
        let may_go = |node: &Self| {
            node.pressure.memtable_bytes() < bytes_max
                || node.pressure.flush_disk_full.load(Ordering::Relaxed)
                || node.tail.lock().check_open().is_err()
        };
        self.env.tasks.wait_until(&self.progress, Some(self.options.stall_max), &mut || may_go(self));
        self.tail.lock().check_open()?;
        if self.pressure.memtable_bytes() < bytes_max {
            return Ok(());
        }
        if self.pressure.flush_disk_full.load(Ordering::Relaxed) {
            return Err(Error::new(Condition::DiskFull, "no space left to write rows out of memory")
                .with_detail("Rows wait in memory for a segment file that does not fit on the disk; reads go on.")
                .with_hint("Free space on the disk of the data directory; writes resume by themselves."));
        }
        Err(Error::new(Condition::WriteStalled, "writes arrive faster than they can be stored")
            .with_detail(format!("Rows not yet in segments hold more than {bytes_max} bytes."))
            .with_hint("Nothing was applied; repeat the statement later."))
    }
}

/// Longest delay of a write below the limit.
const DELAY_MAX: Duration = Duration::from_millis(10);
