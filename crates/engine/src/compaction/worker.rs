//! The compaction worker.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outcrop_env::{Step, Worker};
use outcrop_types::{CommitSeq, Condition, Error, Result, TableId, UnitId};

use super::AskedTables;
use super::history::JobNumber;
use super::plan::{Limits, SegmentSize, debt, plan};
use super::retention::Retention;
use super::sizes::sizes;
use crate::commit::only_shard;
use crate::node::Node;
use crate::rewrite::{Installed, JobStep, RewriteJob, is_harmless};
use crate::status::{CompactionOutcome, CompactionStatus};

/// Rewrites segments, one job at a time, and between two jobs deletes what is too old.
pub(crate) struct CompactionWorker {
    node: Arc<Node>,
    job: Option<Job>,
    retention: Retention,
    /// A commit of this worker that is not published yet: the next plan is made with it.
    installing: Option<CommitSeq>,
    /// The request that is being worked on, and how many more jobs it may have: rows die all the time.
    request: (u64, u64),
    /// Segments that could not be read: they are left alone until the next start, and reads of them say why.
    damaged: HashSet<UnitId>,
    /// Not before this time is anything tried again.
    retry_at: Option<Duration>,
}

struct Job {
    rewrite: RewriteJob,
    table: TableId,
    inputs: Vec<UnitId>,
    live_rows: u64,
    live_bytes: u64,
    number: JobNumber,
}

impl CompactionWorker {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let retention = Retention::new(&node);
        Self { node, job: None, retention, installing: None, request: (0, 0), damaged: HashSet::new(), retry_at: None }
    }

    fn try_step(&mut self) -> Result<Step> {
        if let Some(job) = &mut self.job {
            match job.rewrite.step()? {
                JobStep::More if self.node.pressure.memory_reason(self.node.options.memtable_bytes_max).is_some() => {
                    // Writers wait for a flush, which needs the disk more.
                    return Ok(Step::WaitAtMost(PRESSURE_PAUSE));
                }
                JobStep::More => {}
                JobStep::Abandoned => {
                    tracing::debug!(table = %job.table, "a compaction lost its inputs");
                    self.end(CompactionOutcome::Abandoned);
                }
                JobStep::Unreadable(error) => {
                    tracing::error!(%error, inputs = ?job.inputs, "segments cannot be compacted");
                    job.rewrite.give_up();
                    self.damaged.extend(&job.inputs);
                    self.end(CompactionOutcome::Failed(error.to_string()));
                }
                JobStep::Installed(installed) => self.installed(installed),
            }
            return Ok(Step::Again);
        }
        if self.installing.is_some_and(|seq| self.node.published_seq() < seq) {
            return Ok(Step::Wait);
        }
        self.installing = self.retention.step(&self.node)?;
        if self.installing.is_some() || self.retention.is_at_work() {
            return Ok(Step::Again);
        }
        let wanted = self.node.compactions.wanted();
        let asked = wanted > self.node.compactions.done() && self.may_go_on(wanted);
        if asked || self.node.options.compaction_in_background {
            self.job = self.next_job(asked)?;
            if self.job.is_some() {
                return Ok(Step::Again);
            }
        }
        if wanted > self.node.compactions.done() {
            let mut tables = self.node.compaction_tables.lock();
            // Tables are added before their request is counted.
            if self.node.compactions.wanted() == wanted {
                *tables = AskedTables::default();
            }
            drop(tables);
            self.node.compactions.finish(wanted);
            self.node.progress.notify();
        }
        Ok(Step::WaitAtMost(IDLE_POLL.min(self.retention.due_in(&self.node))))
    }

    /// Takes one of the jobs that a request may have: what there is can be merged, and come apart, in so many.
    fn may_go_on(&mut self, request: u64) -> bool {
        if self.request.0 != request {
            let version = self.node.published.load();
            let shards = version.tables.values().flat_map(|table| &table.shards);
            let segments = shards.map(|shard| shard.segments().count() as u64).sum::<u64>();
            let rounds = u64::from(segments.max(1).ilog2()) + 2;
            self.request = (request, segments * rounds + 1);
        }
        let left = self.request.1;
        self.request.1 = left.saturating_sub(1);
        left > 0
    }

    /// The job of the table that is most behind, among those that somebody asked for.
    fn next_job(&self, asked: bool) -> Result<Option<Job>> {
        let options = &self.node.options;
        let limits = if asked { Limits::asked(options) } else { Limits::background(options) };
        let pin = self.node.snapshot();
        let mut best: Option<(u64, TableId, Vec<SegmentSize>, Vec<UnitId>)> = None;
        for (table, state) in pin.version().tables.iter() {
            if (asked && !self.node.compaction_tables.lock().contains(*table)) || self.has_many_remaps(*table) {
                continue;
            }
            let limits = if state.schema.options.sort_key.is_empty() { limits } else { limits.sorting() };
            let mut segments = sizes(&*only_shard(state)?, &state.schema);
            segments.retain(|segment| !self.damaged.contains(&segment.unit));
            let Some(inputs) = plan(&segments, &limits) else { continue };
            let debt = debt(&segments, &limits);
            if best.as_ref().is_none_or(|(most, ..)| debt > *most) {
                best = Some((debt, *table, segments, inputs));
            }
        }
        let Some((_, table, segments, inputs)) = best else { return Ok(None) };
        let chosen = segments.iter().filter(|segment| inputs.contains(&segment.unit));
        let (live_rows, live_bytes) = chosen
            .fold((0, 0), |(rows, bytes), segment| (rows + u64::from(segment.live), bytes + segment.live_bytes()));
        let Some(rewrite) = RewriteJob::new(&self.node, &pin, table, &inputs)? else { return Ok(None) };
        let number = self.node.compaction_history.begin(CompactionStatus {
            table,
            inputs: inputs.clone(),
            rows: live_rows,
            bytes: live_bytes,
            started_us: self.node.env.clock.wall_us(),
            ended_us: None,
            outcome: CompactionOutcome::Running,
        });
        Ok(Some(Job { rewrite, table, inputs, live_rows, live_bytes, number }))
    }

    /// The job is over without an output.
    fn end(&mut self, outcome: CompactionOutcome) {
        if let Some(job) = self.job.take() {
            self.node.compaction_history.end(job.number, outcome, self.node.env.clock.wall_us());
        }
    }

    /// A reader that holds an old version for long keeps the remaps of all installs since.
    fn has_many_remaps(&self, table: TableId) -> bool {
        let Ok(shard) = self.node.shard(table) else { return true };
        let mut turn = shard.turn();
        turn.remaps.trim(self.node.live.oldest_seq());
        turn.remaps.len() > REMAPS_MAX || turn.remaps.bytes() > REMAP_BYTES_MAX
    }

    fn installed(&mut self, Installed { seq, handle }: Installed) {
        let Some(job) = self.job.take() else { return };
        self.installing = Some(seq);
        self.node.note_install(seq);
        let node = Arc::clone(&self.node);
        handle.on_done(move |outcome| {
            if outcome.is_ok() {
                node.counters.compactions.fetch_add(1, Ordering::Relaxed);
                node.counters.compacted_rows.fetch_add(job.live_rows, Ordering::Relaxed);
                node.counters.compacted_bytes.fetch_add(job.live_bytes, Ordering::Relaxed);
            }
            let outcome = match outcome {
                Ok(_) => CompactionOutcome::Installed(seq),
                Err(error) => CompactionOutcome::Failed(error.to_string()),
            };
            node.compaction_history.end(job.number, outcome, node.env.clock.wall_us());
            node.compaction_signal.notify();
            node.flush_signal.notify();
            node.progress.notify();
        });
    }

    /// Nothing can be installed any more: what is written goes.
    fn give_up(&mut self, outcome: CompactionOutcome) {
        if let Some(job) = &mut self.job {
            job.rewrite.give_up();
        }
        self.end(outcome);
    }

    /// A full disk is waited for, a close ends the job; anything else stops writes (W9).
    fn fail(&mut self, error: &Error) -> Step {
        self.give_up(CompactionOutcome::Failed(error.to_string()));
        if error.condition() == Condition::AdminShutdown {
            return Step::Again;
        }
        self.node.compactions.fail(error);
        if is_harmless(error) {
            tracing::warn!(%error, "a compaction found the disk full");
            self.retry_at = Some(self.node.env.clock.monotonic() + RETRY_DELAY);
        } else {
            self.node.poison(error.message());
        }
        self.node.progress.notify();
        Step::Again
    }
}

impl Worker for CompactionWorker {
    fn step(&mut self) -> Step {
        if self.node.tail.lock().check_open().is_err() {
            self.give_up(CompactionOutcome::Abandoned);
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

/// Live remaps of a shard beyond which its segments stay as they are.
const REMAPS_MAX: usize = 256;
/// Memory of the maps of sorted rows, likewise.
const REMAP_BYTES_MAX: u64 = 128 << 20;
/// How long a job rests between two steps while writers are delayed.
const PRESSURE_PAUSE: Duration = Duration::from_millis(5);
/// How often an idle worker looks, beside being told of flushes.
const IDLE_POLL: Duration = Duration::from_secs(5);
/// How long after a full disk it tries again.
const RETRY_DELAY: Duration = Duration::from_secs(5);
