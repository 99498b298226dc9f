//! Workers without threads: a seeded scheduler that runs one step at a time.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::clock::SimClock;
use super::rng::SimRng;
use crate::clock::Clock;
use crate::tasks::{Signal, Step, TaskHandle, TaskState, Tasks, Worker};

/// How long a simulated step takes.
const STEP_TIME: Duration = Duration::from_micros(10);

#[derive(Debug)]
pub(super) struct SimTasks {
    clock: Arc<SimClock>,
    rng: SimRng,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    tasks: Vec<SimTask>,
    next_id: u64,
    /// Tasks whose next step is a panic.
    doomed: Vec<u64>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({} tasks)", self.tasks.len())
    }
}

struct SimTask {
    id: u64,
    signal: Arc<Signal>,
    state: Arc<TaskState>,
    /// Absent while a step runs, so that a nested wait cannot enter it again.
    worker: Option<Box<dyn Worker>>,
    /// The signal's count before the last step.
    seen: u64,
    wake: Wake,
}

/// A worker out of the queue for one step.
struct ReadyTask {
    id: u64,
    worker: Box<dyn Worker>,
    signal: Arc<Signal>,
    state: Arc<TaskState>,
}

#[derive(Clone, Copy)]
enum Wake {
    Now,
    OnSignal,
    OnSignalOrAt(Duration),
}

impl SimTask {
    fn is_ready(&self, now: Duration) -> bool {
        let due = match self.wake {
            Wake::Now => true,
            Wake::OnSignal => false,
            Wake::OnSignalOrAt(at) => at <= now,
        };
        self.worker.is_some() && (due || self.signal.count() != self.seen)
    }

    fn due_at(&self) -> Option<Duration> {
        match self.wake {
            Wake::OnSignalOrAt(at) if self.worker.is_some() => Some(at),
            Wake::Now | Wake::OnSignal | Wake::OnSignalOrAt(_) => None,
        }
    }
}

impl SimTasks {
    pub(super) fn new(clock: Arc<SimClock>, rng: SimRng) -> Self {
        Self { clock, rng, queue: Arc::default() }
    }

    /// Runs one step of one ready worker, chosen by the seed. False when none is ready.
    pub(super) fn step(&self) -> bool {
        let Some(ReadyTask { id, mut worker, signal, state }) = self.take_ready() else { return false };
        let outcome = if self.is_doomed(id) {
            Err(Box::new("killed by the simulation") as Box<dyn Any + Send>)
        } else {
            catch_unwind(AssertUnwindSafe(|| worker.step()))
        };
        self.clock.advance(STEP_TIME);
        let wake = match outcome {
            Ok(Step::Again) => Wake::Now,
            Ok(Step::Wait) => Wake::OnSignal,
            Ok(Step::WaitAtMost(timeout)) => Wake::OnSignalOrAt(self.clock.monotonic().saturating_add(timeout)),
            Ok(Step::Stop) => {
                self.queue.lock().tasks.retain(|task| task.id != id);
                drop(worker);
                state.finish(None, &signal);
                return true;
            }
            Err(panic) => {
                self.queue.lock().tasks.retain(|task| task.id != id);
                drop(worker);
                state.finish(Some(&*panic), &signal);
                return true;
            }
        };
        let mut queue = self.queue.lock();
        match queue.tasks.iter_mut().find(|task| task.id == id) {
            Some(task) => {
                task.worker = Some(worker);
                task.wake = wake;
            }
            None => {
                // It was stopped by its own step. Dropped without the lock: its drop may stop others.
                drop(queue);
                drop(worker);
            }
        }
        true
    }

    /// Lets time pass until the next worker is due, at most until `limit`. False when nothing would ever happen.
    pub(super) fn pass_time(&self, limit: Option<Duration>) -> bool {
        let due = self.queue.lock().tasks.iter().filter_map(SimTask::due_at).min();
        let Some(target) = due.into_iter().chain(limit).min() else { return false };
        self.clock.advance(target.saturating_sub(self.clock.monotonic()));
        true
    }

    /// Lets the next step of this task be a panic, and it is at once ready for that.
    pub(super) fn kill(&self, name: &str) -> bool {
        let mut queue = self.queue.lock();
        let Some(task) = queue.tasks.iter_mut().find(|task| task.state.name() == name) else { return false };
        task.wake = Wake::Now;
        let id = task.id;
        queue.doomed.push(id);
        true
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.queue.lock().tasks.iter().map(|task| task.state.name()).collect()
    }

    fn is_doomed(&self, id: u64) -> bool {
        let mut queue = self.queue.lock();
        let found = queue.doomed.iter().position(|doomed| *doomed == id);
        found.map(|index| queue.doomed.swap_remove(index)).is_some()
    }

    fn take_ready(&self) -> Option<ReadyTask> {
        let now = self.clock.monotonic();
        let mut queue = self.queue.lock();
        let ready: Vec<usize> =
            queue.tasks.iter().enumerate().filter(|(_, task)| task.is_ready(now)).map(|(index, _)| index).collect();
        let chosen = ready.get(self.rng.below(ready.len()))?;
        let task = queue.tasks.get_mut(*chosen)?;
        task.seen = task.signal.count();
        let worker = task.worker.take()?;
        Some(ReadyTask { id: task.id, worker, signal: Arc::clone(&task.signal), state: Arc::clone(&task.state) })
    }
}

impl Tasks for SimTasks {
    fn start(&self, name: &'static str, signal: Arc<Signal>, worker: Box<dyn Worker>) -> io::Result<TaskHandle> {
        let state = TaskState::new(name);
        let mut queue = self.queue.lock();
        let id = queue.next_id;
        queue.next_id += 1;
        queue.tasks.push(SimTask {
            id,
            signal: Arc::clone(&signal),
            state: Arc::clone(&state),
            worker: Some(worker),
            seen: 0,
            wake: Wake::Now,
        });
        drop(queue);
        let (queue, stopped, on_stop) = (Arc::clone(&self.queue), Arc::clone(&state), Arc::clone(&signal));
        let remove = move || {
            let mut tasks = queue.lock();
            let found = tasks.tasks.iter().position(|task| task.id == id).map(|index| tasks.tasks.remove(index));
            // Dropped without the lock: the worker's drop may stop other tasks.
            drop(tasks);
            if found.is_some() {
                drop(found);
                stopped.finish(None, &on_stop);
            }
        };
        Ok(TaskHandle::new(state, signal, Box::new(remove)))
    }

    fn wait_until(&self, _signal: &Signal, deadline: Option<Duration>, done: &mut dyn FnMut() -> bool) -> bool {
        let end = deadline.map(|deadline| self.clock.monotonic().saturating_add(deadline));
        loop {
            if done() {
                return true;
            }
            if end.is_some_and(|end| self.clock.monotonic() >= end) {
                return false;
            }
            if !self.step() {
                // A real process would hang here for ever; a simulation says so.
                assert!(self.pass_time(end), "deadlock: a wait without deadline, and no worker will ever run");
            }
        }
    }

    fn parallelism(&self) -> usize {
        2
    }
}
