//! The flush worker: seals, flushes, checkpoints.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outcrop_env::{Step, Worker, kill_point, reached};
use outcrop_types::{CommitSeq, Condition, Error, Result};

use super::generations::{Sealed, is_published, seal, sealed_generations};
use super::plan::{Load, OpenGeneration, generations_to_seal, next_due};
use crate::commit::only_shard;
use crate::compaction::{Limits, sizes, small_segments};
use crate::manifest::Checkpoints;
use crate::node::Node;
use crate::rewrite::{Installed, JobStep, RewriteJob, is_harmless};
use crate::snapshot::Snapshot;

/// Flushes one generation at a time, and writes the checkpoints.
pub(crate) struct FlushWorker {
    node: Arc<Node>,
    job: Option<RewriteJob>,
    /// Commit of an install that is not published yet.
    installing: Option<CommitSeq>,
    /// Commit that a checkpoint should hold, beside installs.
    checkpoint_due: Option<CommitSeq>,
    checkpoints: Checkpoints,
    /// Not before this time is anything tried again.
    retry_at: Option<Duration>,
}

impl FlushWorker {
    pub(crate) fn new(node: Arc<Node>, checkpoints: Checkpoints) -> Self {
        Self { node, job: None, installing: None, checkpoint_due: None, checkpoints, retry_at: None }
    }

    fn try_step(&mut self) -> Result<Step> {
        let closing = self.node.tail.lock().check_open().is_err();
        if closing && let Some(mut job) = self.job.take() {
            // Nothing can be installed any more; the rows are in the log, and the next start has them.
            job.give_up();
        }
        if let Some(job) = &mut self.job {
            match job.step()? {
                JobStep::More => {}
                JobStep::Abandoned => {
                    self.job = None;
                    self.node.progress.notify();
                }
                JobStep::Unreadable(error) => return Err(error),
                JobStep::Installed(installed) => self.installed(installed),
            }
            return Ok(Step::Again);
        }
        let published = self.node.published_seq();
        if self.installing.is_some_and(|seq| published < seq) {
            return Ok(Step::Wait);
        }
        self.installing = None;
        self.note_small_segments();
        if !closing {
            self.node.end_feeds_over_limit();
        }
        if self.checkpoint_if_due(published)? {
            return Ok(Step::Again);
        }
        if closing {
            return Ok(Step::Wait);
        }
        let waiting = sealed_generations(&self.node, None);
        let open = self.open_generations()?;
        let tables = generations_to_seal(&open, self.load(!waiting.is_empty()), &self.node.options);
        if !tables.is_empty() {
            tables.into_iter().try_for_each(|table| seal(&self.node, table))?;
            return Ok(Step::Again);
        }
        // One version for both questions: between two, a DROP might be published.
        let pin = self.node.snapshot();
        if let Some(next) = first_published(&pin, &waiting)? {
            self.job = RewriteJob::new(&self.node, &pin, next.table, &[next.unit])?;
            return Ok(Step::Again);
        }
        drop(pin);
        if self.trim_log(published, waiting.is_empty() && open.is_empty()) {
            return Ok(Step::Again);
        }
        if !waiting.is_empty() {
            // Its rows are being synced; whoever publishes them does not know about this worker.
            return Ok(Step::WaitAtMost(PUBLISH_POLL));
        }
        self.checkpoints.return_space(&self.node)?;
        let due = next_due(&open, &self.node.options).unwrap_or(IDLE_POLL);
        Ok(Step::WaitAtMost(due.clamp(PUBLISH_POLL, IDLE_POLL)))
    }

    /// Says how far compaction is behind. Every install wakes this worker, and every staged statement.
    fn note_small_segments(&self) {
        let options = &self.node.options;
        if !options.compaction_in_background {
            return;
        }
        let limits = Limits::background(options);
        let version = self.node.tail.lock().version().clone();
        let shards = version.tables.values().flat_map(|table| table.shards.iter().map(|shard| (shard, &table.schema)));
        let most = shards.map(|(shard, schema)| small_segments(&sizes(shard, schema), &limits)).max();
        if self.node.pressure.set_small_segments(most.unwrap_or_default()) {
            self.node.progress.notify();
        }
    }

    fn installed(&mut self, installed: Installed) {
        let Installed { seq, handle } = installed;
        self.job = None;
        self.installing = Some(seq);
        self.node.note_install(seq);
        self.node.pressure.set_flush_disk_full(false);
        let node = Arc::clone(&self.node);
        handle.on_done(move |outcome| {
            if outcome.is_ok() {
                node.counters.flushes.fetch_add(1, Ordering::Relaxed);
            }
            node.flush_signal.notify();
            node.compaction_signal.notify();
            node.progress.notify();
        });
    }

    /// Writes the checkpoint that an install made due, or that somebody asked for.
    fn checkpoint_if_due(&mut self, published: CommitSeq) -> Result<bool> {
        let wanted = self.node.flushes.wanted();
        let asked = wanted > self.node.flushes.done();
        let installed = Some(self.node.installed()).filter(|seq| *seq > self.checkpoints.newest());
        let is_due = |seq: CommitSeq| seq <= published;
        if !asked && !installed.is_some_and(is_due) && !self.checkpoint_due.is_some_and(is_due) {
            return Ok(false);
        }
        kill_point("checkpoint", "due");
        self.checkpoints.write(&self.node)?;
        kill_point("checkpoint", "done");
        self.checkpoint_due = self.checkpoint_due.filter(|due| *due > published);
        self.node.flushes.finish(wanted);
        self.node.progress.notify();
        Ok(true)
    }

    /// A log that is long although nothing waits for a flush holds only what a checkpoint makes needless.
    fn trim_log(&mut self, published: CommitSeq, nothing_unflushed: bool) -> bool {
        let long = self.node.counters.log_bytes.load(Ordering::Relaxed) > self.node.options.log_bytes_max;
        if long && nothing_unflushed && self.checkpoints.newest() < published {
            self.checkpoint_due = Some(published);
            return true;
        }
        false
    }

    fn load(&self, flush_waits: bool) -> Load {
        Load {
            memtable_bytes: self.node.pressure.memtable_bytes(),
            log_bytes: self.node.counters.log_bytes.load(Ordering::Relaxed),
            flush_waits,
        }
    }

    fn open_generations(&self) -> Result<Vec<OpenGeneration>> {
        let version = self.node.tail.lock().version().clone();
        let now = self.node.env.clock.monotonic();
        let mut open = Vec::new();
        for (id, table) in version.tables.iter() {
            let state = only_shard(table)?;
            let Some(generation) = state.generations().last().filter(|generation| generation.rows > 0) else {
                continue;
            };
            let since = self.node.shard(*id).ok().and_then(|shard| shard.turn().open_since).unwrap_or(now);
            open.push(OpenGeneration {
                table: *id,
                bytes: generation.bytes,
                first_seq: generation.first_seq.unwrap_or_default(),
                age: now.saturating_sub(since),
            });
        }
        Ok(open)
    }

    /// A full disk and a lack of open files are waited for, a close ends the job; anything else stops writes (W9).
    fn fail(&mut self, error: &Error) -> Step {
        if let Some(mut job) = self.job.take() {
            job.give_up();
        }
        if error.condition() == Condition::AdminShutdown {
            return Step::Again;
        }
        self.node.flushes.fail(error);
        if is_harmless(error) {
            reached!("flush.must_wait");
            tracing::warn!(%error, "a flush or checkpoint must wait");
            self.node.pressure.set_flush_disk_full(error.condition() == Condition::DiskFull);
            self.retry_at = Some(self.node.env.clock.monotonic() + RETRY_DELAY);
        } else {
            self.node.poison(error.message());
        }
        self.node.progress.notify();
        Step::Again
    }
}

/// The first of these generations whose rows are all in `pin`.
fn first_published(pin: &Snapshot, waiting: &[Sealed]) -> Result<Option<Sealed>> {
    for sealed in waiting {
        if is_published(pin, sealed)? {
            return Ok(Some(*sealed));
        }
    }
    Ok(None)
}

impl Worker for FlushWorker {
    fn step(&mut self) -> Step {
        if self.node.tail.lock().poisoned().is_some() {
            return Step::Wait;
        }
        if let Some(at) = self.retry_at {
            let now = self.node.env.clock.monotonic();
            if now < at {
                return Step::WaitAtMost(at - now);
            }
            self.retry_at = None;
        }
        match self.try_step() {
            Ok(step) => step,
            Err(error) => self.fail(&error),
        }
    }
}

/// How often a flush looks whether the rows of its generation are synced.
const PUBLISH_POLL: Duration = Duration::from_millis(2);
/// How often an idle worker looks at ages and at the log.
const IDLE_POLL: Duration = Duration::from_secs(5);
/// How long after a full disk it tries again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
