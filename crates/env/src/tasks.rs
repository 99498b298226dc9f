//! Background work as step functions, so that the simulator can run it one step at a time, without threads.

use std::any::Any;
use std::fmt::{self, Debug};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// One background activity.
///
/// A step does a bounded piece of work and returns. It must not wait inside for something that another worker does:
/// it returns [`Step::Wait`] and is called again after the next [`Signal::notify`].
pub trait Worker: Send {
    /// Does one piece of work and says when to do the next.
    fn step(&mut self) -> Step;
}

/// What a worker wants next. It never grows: schedulers match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to do now.
    Again,
    /// Nothing to do until the signal; a signal since this step began counts.
    Wait,
    /// Nothing to do until the signal or until this time has passed.
    WaitAtMost(Duration),
    /// Done for ever.
    Stop,
}

/// Names the thread that runs: what is called back on it must not wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread(std::thread::ThreadId);

impl Thread {
    /// The one that asks.
    pub fn current() -> Self {
        Self(std::thread::current().id())
    }
}

/// Runs workers and lets callers wait for them.
pub trait Tasks: Send + Sync + Debug {
    /// Starts a worker, which runs until it says [`Step::Stop`] or its handle goes.
    ///
    /// # Errors
    /// What the operating system says when it refuses a thread; the worker is gone then.
    fn start(&self, name: &'static str, signal: Arc<Signal>, worker: Box<dyn Worker>) -> io::Result<TaskHandle>;

    /// Blocks until `done` is true, looking again after each notification of `signal`, at most `deadline` from now.
    /// Returns whether `done` was true. `done` must not block.
    fn wait_until(&self, signal: &Signal, deadline: Option<Duration>, done: &mut dyn FnMut() -> bool) -> bool;

    /// How many threads can run at once.
    fn parallelism(&self) -> usize;
}

/// Wakes workers and waiters. No wake-up is lost: who looks at the state after reading [`Signal::count`] and then waits
/// for a later count sees every change that was followed by [`Signal::notify`].
#[derive(Debug, Default)]
pub struct Signal {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    /// A signal that nobody waits for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the worker and all waiters. Call it after the change that they wait for.
    pub fn notify(&self) {
        let mut count = self.count.lock();
        *count = count.wrapping_add(1);
        drop(count);
        self.changed.notify_all();
    }

    /// How often it was notified.
    pub fn count(&self) -> u64 {
        *self.count.lock()
    }

    /// Blocks the thread while the count is `seen`, at most `timeout`.
    pub(crate) fn wait_while_count_is(&self, seen: u64, timeout: Option<Duration>) {
        let mut count = self.count.lock();
        match timeout {
            Some(timeout) => {
                self.changed.wait_while_for(&mut count, |now| *now == seen, timeout);
            }
            None => self.changed.wait_while(&mut count, |now| *now == seen),
        }
    }
}

/// Owns a running worker; dropping it stops the worker and waits for the step in progress.
#[must_use = "the worker stops when its handle is dropped"]
pub struct TaskHandle {
    state: Arc<TaskState>,
    signal: Arc<Signal>,
    join: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl TaskHandle {
    pub(crate) fn new(state: Arc<TaskState>, signal: Arc<Signal>, join: Box<dyn FnOnce() + Send + Sync>) -> Self {
        Self { state, signal, join: Some(join) }
    }

    /// Stops the worker after the step in progress and waits for that. Called again it does nothing.
    pub fn stop(&mut self) {
        self.state.stop.store(true, Ordering::Release);
        self.signal.notify();
        if let Some(join) = self.join.take() {
            join();
        }
    }

    /// The worker's name.
    pub fn name(&self) -> &'static str {
        self.state.name
    }

    /// The message of the panic that ended the worker.
    pub fn panicked(&self) -> Option<String> {
        self.state.panic.lock().message.clone()
    }

    /// True when the worker will take no further step.
    pub fn is_finished(&self) -> bool {
        self.state.finished.load(Ordering::Acquire)
    }

    /// Calls `hook` with the message when the worker panics, at once if it already has. The owner poisons itself there
    /// (style rule 45).
    pub fn on_panic(&self, hook: impl FnOnce(&str) + Send + 'static) {
        let mut panic = self.state.panic.lock();
        let Some(message) = panic.message.clone() else {
            panic.hook = Some(Box::new(hook));
            return;
        };
        drop(panic);
        hook(&message);
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle").field("name", &self.state.name).field("finished", &self.is_finished()).finish()
    }
}

/// What a handle and its scheduler share.
pub(crate) struct TaskState {
    name: &'static str,
    stop: AtomicBool,
    finished: AtomicBool,
    panic: Mutex<PanicSlot>,
}

type PanicHook = Box<dyn FnOnce(&str) + Send>;

#[derive(Default)]
struct PanicSlot {
    message: Option<String>,
    hook: Option<PanicHook>,
}

impl TaskState {
    pub(crate) fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            stop: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            panic: Mutex::new(PanicSlot::default()),
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The worker took its last step. A panic is kept, handed to the hook, and waiters look again.
    pub(crate) fn finish(&self, panic: Option<&(dyn Any + Send)>, signal: &Signal) {
        if let Some(payload) = panic {
            let message = panic_message(payload);
            tracing::error!(task = self.name, panic = message, "background task panicked");
            let mut slot = self.panic.lock();
            slot.message = Some(message.clone());
            let hook = slot.hook.take();
            drop(slot);
            if let Some(hook) = hook {
                hook(&message);
            }
        }
        self.finished.store(true, Ordering::Release);
        signal.notify();
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
