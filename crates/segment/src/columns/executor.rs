//! Runs asynchronous code of Vortex on the calling thread.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures::future::{BoxFuture, abortable};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use parking_lot::{Condvar, Mutex};
use vortex::io::runtime::{AbortHandle, AbortHandleRef, Executor, Handle};

/// An executor without threads: tasks that Vortex spawns are polled while [`LocalExecutor::run`] waits, in an order that
/// depends on nothing but their own wake-ups. So the simulator sees the same writes in the same order each time.
pub(super) struct LocalExecutor {
    spawner: Arc<Spawner>,
    tasks: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// The future cannot go on, and nothing that this thread could run would change that.
#[derive(Debug, thiserror::Error)]
#[error("the column writer waits for itself")]
pub(super) struct Stalled;

impl LocalExecutor {
    pub(super) fn new() -> Self {
        let spawner = Spawner { spawned: Mutex::new(Vec::new()), signal: Arc::new(Signal::default()) };
        Self { spawner: Arc::new(spawner), tasks: FuturesUnordered::new() }
    }

    /// What Vortex spawns through. It dies with the executor.
    pub(super) fn handle(&self) -> Handle {
        let executor: Arc<dyn Executor> = Arc::<Spawner>::clone(&self.spawner);
        Handle::new(Arc::downgrade(&executor))
    }

    /// Polls `poll` and the spawned tasks until `poll` is ready.
    ///
    /// # Errors
    /// [`Stalled`] when nothing was woken: no other thread takes part, so waiting would last for ever.
    pub(super) fn run<T>(&mut self, poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Result<T, Stalled> {
        self.settle(poll).ok_or(Stalled)
    }

    /// Polls `poll` and the spawned tasks until nothing is left to do before more input comes, or `poll` is ready.
    pub(super) fn settle<T>(&mut self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
        let waker = Waker::from(Arc::clone(&self.spawner.signal));
        let mut context = Context::from_waker(&waker);
        loop {
            self.spawner.signal.take();
            if let Poll::Ready(value) = poll(&mut context) {
                return Some(value);
            }
            self.adopt();
            while let Poll::Ready(Some(())) = self.tasks.poll_next_unpin(&mut context) {
                self.adopt();
            }
            if !self.spawner.signal.is_set() {
                return None;
            }
        }
    }

    fn adopt(&mut self) {
        self.tasks.extend(std::mem::take(&mut *self.spawner.spawned.lock()));
    }
}

/// Polls a future on the calling thread and sleeps while it waits for another one, as when two readers share a decode.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    let signal = Arc::new(Signal::default());
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        signal.sleep();
    }
}

/// Collects what Vortex spawns.
struct Spawner {
    spawned: Mutex<Vec<BoxFuture<'static, ()>>>,
    signal: Arc<Signal>,
}

impl Spawner {
    fn push(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandleRef {
        let (future, handle) = abortable(future);
        self.spawned.lock().push(future.map(drop).boxed());
        self.signal.set();
        Box::new(Abort(handle))
    }
}

impl Executor for Spawner {
    fn spawn(&self, future: BoxFuture<'static, ()>) -> AbortHandleRef {
        self.push(future)
    }

    fn spawn_cpu(&self, task: Box<dyn FnOnce() + Send + 'static>) -> AbortHandleRef {
        self.push(async move { task() })
    }

    fn spawn_blocking_io(&self, task: Box<dyn FnOnce() + Send + 'static>) -> AbortHandleRef {
        self.push(async move { task() })
    }
}

struct Abort(futures::future::AbortHandle);

impl AbortHandle for Abort {
    fn abort(self: Box<Self>) {
        self.0.abort();
    }
}

/// A wake-up that is remembered until it is taken.
#[derive(Default)]
struct Signal {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn set(&self) {
        *self.woken.lock() = true;
        self.changed.notify_one();
    }

    fn take(&self) {
        *self.woken.lock() = false;
    }

    fn is_set(&self) -> bool {
        *self.woken.lock()
    }

    fn sleep(&self) {
        let mut woken = self.woken.lock();
        while !*woken {
            self.changed.wait(&mut woken);
        }
        *woken = false;
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
    }
}

/// Polls a boxed future; a helper for closures given to [`LocalExecutor::run`].
pub(super) fn poll_boxed<T>(future: &mut BoxFuture<'static, T>, context: &mut Context<'_>) -> Poll<T> {
    Pin::new(future).poll(context)
}
