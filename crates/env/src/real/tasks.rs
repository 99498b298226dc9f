//! Workers on threads.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::tasks::{Signal, Step, TaskHandle, TaskState, Tasks, Worker};

/// One thread for each worker.
#[derive(Debug)]
pub(crate) struct RealTasks;

impl Tasks for RealTasks {
    fn start(&self, name: &'static str, signal: Arc<Signal>, worker: Box<dyn Worker>) -> io::Result<TaskHandle> {
        let state = TaskState::new(name);
        let body = {
            let (state, signal) = (Arc::clone(&state), Arc::clone(&signal));
            move || {
                let outcome = catch_unwind(AssertUnwindSafe(|| run(worker, &state, &signal)));
                state.finish(outcome.err().as_deref(), &signal);
            }
        };
        let thread = Mutex::new(Some(thread::Builder::new().name(name.to_owned()).spawn(body)?));
        Ok(TaskHandle::new(state, signal, Box::new(move || join(thread.lock().take()))))
    }

    fn wait_until(&self, signal: &Signal, deadline: Option<Duration>, done: &mut dyn FnMut() -> bool) -> bool {
        let end = deadline.and_then(|deadline| Instant::now().checked_add(deadline));
        loop {
            let seen = signal.count();
            if done() {
                return true;
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return false;
            }
            signal.wait_while_count_is(seen, left);
        }
    }

    fn parallelism(&self) -> usize {
        thread::available_parallelism().map_or(1, usize::from)
    }
}

fn run(mut worker: Box<dyn Worker>, state: &TaskState, signal: &Signal) {
    loop {
        // Read before the step: a notification during the step is a reason not to sleep after it.
        let seen = signal.count();
        if state.is_stopping() {
            return;
        }
        match worker.step() {
            Step::Again => {}
            Step::Wait => signal.wait_while_count_is(seen, None),
            Step::WaitAtMost(timeout) => signal.wait_while_count_is(seen, Some(timeout)),
            Step::Stop => return,
        }
    }
}

/// Waits for the thread, unless the caller *is* that thread: the last owner of a handle may be its own worker.
fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread
        && thread.thread().id() != thread::current().id()
        && thread.join().is_err()
    {
        tracing::error!("a panic hook panicked");
    }
}
