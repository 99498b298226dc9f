//! Merging key runs in the background.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use outcrop_env::{Step, Worker, kill_point, reached};
use outcrop_segment::{KeyRun, KeyRunMerge, KeyRunPlace, key_run_file_name};
use outcrop_types::{Condition, Error, Result, TableId, UnitId};

use super::plan::{RunSize, runs_to_merge};
use crate::commit::{one_shard, only_shard};
use crate::files::{file_name, remove_if_there};
use crate::node::{Node, SEGMENT_DIR};
use crate::rewrite::is_harmless;
use crate::snapshot::ShardState;

/// Puts one run in the place of several, one job at a time.
///
/// A merge is no commit. Its output enters the tail in a turn and is published with the next commit; it leaves out rows that
/// are dead in the tail at which the job began, which are dead in every version that can have the output. Before a manifest
/// names it a crash leaves it a file that belongs to nothing, and its inputs are still there.
pub(crate) struct MergeWorker {
    node: Arc<Node>,
    job: Option<Job>,
    /// Tables with a run that cannot be read: reads say so, merges leave them alone until the next start.
    damaged: HashSet<TableId>,
    /// Not before this time is anything tried again.
    retry_at: Option<Duration>,
}

struct Job {
    table: TableId,
    place: KeyRunPlace,
    inputs: Vec<UnitId>,
    /// The tail at which it began.
    state: Arc<ShardState>,
    merge: Merge,
}

enum Merge {
    Waits,
    Runs(Box<KeyRunMerge>),
    Done,
}

impl MergeWorker {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node, job: None, damaged: HashSet::new(), retry_at: None }
    }

    fn try_step(&mut self) -> Result<Step> {
        if let Some(mut job) = self.job.take() {
            if !job.step(&self.node)? {
                self.job = Some(job);
            } else if let Err(error) = job.install(&self.node) {
                job.give_up(&self.node);
                return Err(error);
            }
            return Ok(Step::Again);
        }
        self.job = self.next_job()?;
        Ok(if self.job.is_some() { Step::Again } else { Step::WaitAtMost(IDLE_POLL) })
    }

    fn next_job(&self) -> Result<Option<Job>> {
        let version = self.node.tail.lock().version().clone();
        for (table, state) in version.tables.iter().filter(|(table, _)| !self.damaged.contains(*table)) {
            let state = only_shard(state)?;
            if let (Some(inputs), Some(keys)) = (runs_to_merge(&sizes(&state)), state.keys()) {
                let place = keys.run_place(self.node.ids.unit());
                return Ok(Some(Job { table: *table, place, inputs, state, merge: Merge::Waits }));
            }
        }
        Ok(None)
    }

    /// Lack of space or of open files is waited for, damage is left to those who read it; anything else stops writes (W9).
    fn fail(&mut self, table: Option<TableId>, error: &Error) -> Step {
        let condition = error.condition();
        if is_harmless(error) {
            tracing::warn!(%error, "a merge of key runs must wait");
            self.retry_at = Some(self.node.env.clock.monotonic() + RETRY_DELAY);
        } else if matches!(condition, Condition::DataCorrupted | Condition::UnsupportedVersion) {
            tracing::error!(%error, "key runs of a table are not merged until the next start");
            self.damaged.extend(table);
        } else {
            self.node.poison(error.message());
        }
        Step::Again
    }
}

impl Worker for MergeWorker {
    fn step(&mut self) -> Step {
        if self.node.tail.lock().check_open().is_err() {
            // Nothing can be installed any more.
            self.job = None;
            return Step::Wait;
        }
        if let Some(at) = self.retry_at {
            let now = self.node.env.clock.monotonic();
            if now < at {
                return Step::WaitAtMost(at - now);
            }
            self.retry_at = None;
        }
        let table = self.job.as_ref().map(|job| job.table);
        match self.try_step() {
            Ok(step) => step,
            Err(error) => self.fail(table, &error),
        }
    }
}

impl Job {
    /// Does one piece of the work; true when the output is durable.
    fn step(&mut self, node: &Node) -> Result<bool> {
        match std::mem::replace(&mut self.merge, Merge::Done) {
            Merge::Waits => {
                let inputs = self.state.runs().filter(|run| self.inputs.contains(&run.unit()));
                let inputs: Vec<Arc<KeyRun>> = inputs.map(Arc::clone).collect();
                let there = |unit| self.state.has_unit(unit);
                self.merge = Merge::Runs(Box::new(KeyRunMerge::new(&node.env, &self.place, &inputs, there)?));
                Ok(false)
            }
            Merge::Runs(mut merge) => {
                if merge.step(STEP_ENTRIES, |row| self.state.is_live(row))? {
                    self.merge = Merge::Runs(merge);
                    return Ok(false);
                }
                merge.finish()?;
                kill_point("key-runs", "merged");
                Ok(true)
            }
            Merge::Done => Ok(true),
        }
    }

    /// Puts the output in the tail, if its inputs are still there.
    fn install(&self, node: &Node) -> Result<()> {
        reached!("keys.runs_merged");
        let run = KeyRun::open(&node.env, SEGMENT_DIR, (node.log_id, self.place.unit), &node.cache)?;
        let run = run.ok_or_else(|| Error::internal(format!("key run {} is gone", self.place.unit)))?;
        let Ok(shard) = node.shard(self.table) else {
            self.give_up(node);
            return Ok(());
        };
        let turn = shard.turn();
        let mut tail = node.tail.lock();
        let Some(seen) = tail.table(self.table).map(Arc::clone) else {
            drop((tail, turn));
            self.give_up(node);
            return Ok(());
        };
        let state = only_shard(&seen)?;
        let mut next = ShardState::clone(&state);
        if tail.check_open().is_err() || !next.replace_runs(&self.inputs, run) {
            // Truncated, or compacted away, meanwhile.
            drop((tail, turn));
            self.give_up(node);
            return Ok(());
        }
        // The next commit publishes it; from then on no manifest names the inputs.
        let at = tail.next_seq()?;
        node.retire_runs(&state, &next, at);
        tail.replace_table(one_shard(&seen.schema, next));
        drop((tail, turn));
        kill_point("key-runs", "installed");
        node.progress.notify();
        tracing::debug!(table = %self.table, output = %self.place.unit, inputs = self.inputs.len(), "key runs merged");
        Ok(())
    }

    /// Removes the output, which nothing names.
    fn give_up(&self, node: &Node) {
        let name = file_name(SEGMENT_DIR, &key_run_file_name(node.log_id, self.place.unit));
        match name.map(|name| remove_if_there(&node.env, &name)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a key run that nothing names stays until the next start"),
            Err(error) => tracing::debug!(%error, "a key run has no name"),
        }
    }
}

fn sizes(state: &ShardState) -> Vec<RunSize> {
    let size = |run: &Arc<KeyRun>| {
        let live =
            run.segments().iter().filter_map(|segment| state.deletes(segment.unit)).map(|deletes| deletes.live());
        let (mut rows, mut segments) = (0, 0);
        live.for_each(|live| {
            rows += u64::from(live);
            segments += 1;
        });
        RunSize { unit: run.unit(), entries: run.entries(), live: rows, segments }
    };
    state.runs().map(size).collect()
}

/// Entries of one step.
const STEP_ENTRIES: u64 = 32_768;
/// How often an idle worker looks, beside being told of new runs.
const IDLE_POLL: Duration = Duration::from_secs(5);
/// How long after a full disk it tries again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
