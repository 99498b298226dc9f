//! The log worker: writes a group, syncs it, publishes it, answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use outcrop_env::{Step, Thread, Worker, kill_point};
use outcrop_log::Log;
use outcrop_types::{CommitSeq, Result};
use parking_lot::Mutex;

use super::tail::Group;
use crate::feed::Feeds;
use crate::node::Node;

/// What others ask of the log worker, because only it may touch the log.
#[derive(Debug, Default)]
pub(crate) struct LogRequests {
    /// No record before this commit is needed any more.
    truncate_before: AtomicU64,
    /// The newest such request that was looked after.
    truncated_before: AtomicU64,
    /// Nothing more comes.
    finish: AtomicBool,
    /// And the log says so.
    finished: AtomicBool,
    /// The thread that calls those who wait for commits, while it does.
    answering: Mutex<Option<Thread>>,
}

/// While it lives, the log worker cannot do anything else.
struct Answering<'a>(&'a LogRequests);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        *self.0.answering.lock() = None;
    }
}

impl LogRequests {
    /// Nothing more to drop than what was dropped before: a start finds such a log.
    pub(crate) fn starting_from(seq: CommitSeq) -> Self {
        let dropped = || AtomicU64::new(seq.get());
        Self { truncate_before: dropped(), truncated_before: dropped(), ..Self::default() }
    }

    /// The last record before those that recovery needs. Where nothing came since, a backup copies the file that has it, and a start
    /// goes on behind it: so this file stays when the next record begins another one.
    pub(crate) fn needed_from(&self) -> CommitSeq {
        CommitSeq::new(self.truncate_before.load(Ordering::Acquire).saturating_sub(1))
    }

    /// Asks to drop log files whose records are all before `seq`, and that no feed needs.
    pub(crate) fn truncate_before(&self, seq: CommitSeq) {
        self.truncate_before.fetch_max(seq.get(), Ordering::AcqRel);
    }

    fn answering(&self) -> Answering<'_> {
        *self.answering.lock() = Some(Thread::current());
        Answering(self)
    }

    /// Whether the caller is called by the log worker, and so must not wait for it.
    pub(crate) fn is_called_by_worker(&self) -> bool {
        *self.answering.lock() == Some(Thread::current())
    }

    /// Asks to write down, durably, what is durable: the engine closes.
    pub(crate) fn finish(&self) {
        self.finish.store(true, Ordering::Release);
    }

    /// Whether that was done.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Whether nothing is left to drop.
    pub(crate) fn is_done(&self) -> bool {
        self.truncated_before.load(Ordering::Acquire) >= self.truncate_before.load(Ordering::Acquire)
    }
}

/// Owns the log. One sync is in flight at most; what comes meanwhile is the next group.
pub(crate) struct LogWorker {
    node: Arc<Node>,
    log: Log,
    /// When the synced mark is due (W11).
    mark_at: Option<Duration>,
    /// The cursors for which the log was last cut.
    feeds: Arc<Feeds>,
}

impl LogWorker {
    pub(crate) fn new(node: Arc<Node>, log: Log) -> Self {
        let feeds = Arc::clone(&node.published.load().feeds);
        let worker = Self { node, log, mark_at: None, feeds };
        worker.count_bytes();
        worker
    }

    /// What the log has, for those who ask: how much recovery would read, how much only feeds keep, and in which files.
    fn count_bytes(&self) {
        let (counters, all) = (&self.node.counters, self.log.bytes());
        let of_feeds = self.log.bytes_before(self.node.log_requests.needed_from()).min(all);
        counters.log_bytes.store(all - of_feeds, Ordering::Relaxed);
        counters.feed_log_bytes.store(of_feeds, Ordering::Relaxed);
        let extents = self.node.log_extents.load();
        if !self.log.extents().eq(extents.iter().copied()) {
            self.node.log_extents.store(Arc::new(self.log.extents().collect()));
        }
    }

    fn write(&mut self, group: &Group) -> Result<()> {
        self.log.write_group(&group.records)?;
        let clock = &self.node.env.clock;
        let begin = clock.monotonic();
        self.log.sync()?;
        self.node.counters.sync_time.observe(clock.monotonic().saturating_sub(begin));
        Ok(())
    }

    /// Makes a group durable, then visible, then answers. An error poisons: its commits have their place in the tail, so
    /// none of them can be refused any more, not even for lack of space.
    fn commit(&mut self, mut group: Group) {
        if !group.records.is_empty()
            && let Err(error) = self.write(&group)
        {
            self.node.poison(error.message());
            group.answers.into_iter().for_each(|answer| answer.refuse(error.message()));
            return;
        }
        kill_point("commit", "synced");
        // Before it is visible: whoever follows the log looks for it in these files.
        self.count_bytes();
        if let Some(version) = group.version.take() {
            let version = self.node.live.publish(&version);
            self.node.published.store(Arc::clone(&version));
            self.node.forget_shards(&version);
        }
        kill_point("commit", "published");
        let records = group.records.len() as u64;
        if records > 0 {
            let counters = &self.node.counters;
            counters.commits.fetch_add(records, Ordering::Relaxed);
            counters.groups.fetch_add(1, Ordering::Relaxed);
            counters.group_commits.observe_number(records);
            let now = self.node.env.clock.monotonic();
            group.sequenced_at.iter().for_each(|at| counters.freshness.observe(now.saturating_sub(*at)));
            let is_long = counters.log_bytes.load(Ordering::Relaxed) > self.node.options.log_bytes_max;
            if is_long || self.node.is_feed_log_long() {
                self.node.flush_signal.notify();
            }
            self.mark_at = Some(self.node.env.clock.monotonic() + MARK_DELAY);
        }
        drop(group.permits);
        let _answering = self.node.log_requests.answering();
        let now = self.node.env.clock.monotonic();
        for answer in group.answers {
            if let Some(asked) = answer.asked_at() {
                self.node.counters.commit_time.observe(now.saturating_sub(asked));
            }
            answer.send();
        }
        kill_point("commit", "answered");
        self.node.progress.notify();
    }

    /// Writes the synced mark when it is due; says how long to wait for it otherwise.
    fn mark(&mut self) -> Step {
        let Some(at) = self.mark_at else { return Step::Wait };
        let now = self.node.env.clock.monotonic();
        if now < at {
            return Step::WaitAtMost(at - now);
        }
        self.mark_at = None;
        if let Err(error) = self.log.write_synced_mark() {
            self.node.poison(error.message());
        }
        Step::Wait
    }

    /// The last commits are known to be durable too, once the mark is: damage of them is then no end of the log (W11).
    fn finish(&mut self) {
        let requests = &self.node.log_requests;
        if !requests.finish.load(Ordering::Acquire) || requests.is_finished() {
            return;
        }
        if let Err(error) = self.log.write_synced_mark().and_then(|()| self.log.sync()) {
            self.node.poison(error.message());
        }
        kill_point("close", "marked");
        requests.finished.store(true, Ordering::Release);
        self.node.progress.notify();
    }

    fn truncate(&mut self) {
        let requests = &self.node.log_requests;
        let version = self.node.published.load_full();
        let feeds_moved = !Arc::ptr_eq(&self.feeds, &version.feeds);
        if requests.is_done() && !feeds_moved {
            return;
        }
        self.feeds = Arc::clone(&version.feeds);
        let asked = requests.truncate_before.load(Ordering::Acquire);
        let needed = requests.needed_from();
        let cut = version.feeds.all_log_from(&version.tables).map_or(needed, |kept| kept.min(needed));
        if let Err(error) = self.log.truncate_before(cut) {
            tracing::warn!(%error, "old log files stay until the next checkpoint");
        }
        self.count_bytes();
        requests.truncated_before.fetch_max(asked, Ordering::AcqRel);
        self.node.progress.notify();
    }
}

impl Worker for LogWorker {
    fn step(&mut self) -> Step {
        let (group, poisoned) = {
            let mut tail = self.node.tail.lock();
            (tail.take_group(), tail.poisoned().is_some())
        };
        if !group.answers.is_empty() || !group.records.is_empty() {
            self.commit(group);
            return Step::Again;
        }
        if poisoned {
            return Step::Wait;
        }
        self.truncate();
        self.finish();
        self.mark()
    }
}

/// Within 10 ms after the last sync the log says what is durable; half of that leaves time to wake up.
const MARK_DELAY: Duration = Duration::from_millis(5);
