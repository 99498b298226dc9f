//! Waiting for a commit to become visible, without a thread for each waiter.

use std::sync::Arc;
use std::time::Duration;

use outcrop_engine::{Engine, Snapshot};
use outcrop_types::{CommitSeq, Result};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// How long the watcher looks before it asks whether anybody still waits.
const LOOK: Duration = Duration::from_millis(100);

/// Tells waiters of the newest visible commit. One thread watches the engine, while there are any.
#[derive(Debug)]
pub(crate) struct Published {
    newest: watch::Sender<CommitSeq>,
    watching: Mutex<bool>,
}

impl Published {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { newest: watch::Sender::new(CommitSeq::ZERO), watching: Mutex::new(false) })
    }

    /// A snapshot that holds the commit.
    ///
    /// # Errors
    /// `QueryCanceled` if it is not visible within `timeout`.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub(crate) async fn snapshot_at_least(
        self: &Arc<Self>,
        engine: &Engine,
        threads: &Handle,
        seq: CommitSeq,
        timeout: Duration,
    ) -> Result<Snapshot> {
        let mut newest = self.newest.subscribe();
        self.watch(engine, threads);
        // Visible or too late, or the watcher is gone: the engine says which.
        drop(tokio::time::timeout(timeout, newest.wait_for(|newest| *newest >= seq)).await);
        engine.snapshot_at_least(seq, Duration::ZERO)
    }

    fn watch(self: &Arc<Self>, engine: &Engine, threads: &Handle) {
        let mut watching = self.watching.lock();
        if *watching {
            return;
        }
        *watching = true;
        let (this, engine) = (Arc::clone(self), engine.clone());
        // Nobody joins it: it ends with its last waiter.
        drop(threads.spawn_blocking(move || this.run(&engine)));
    }

    fn run(&self, engine: &Engine) {
        loop {
            let newest = engine.snapshot().commit_seq();
            self.newest.send_replace(newest);
            let next = CommitSeq::new(newest.get().saturating_add(1));
            // Nothing new in this time is no failure.
            drop(engine.snapshot_at_least(next, LOOK));
            let mut watching = self.watching.lock();
            if self.newest.receiver_count() == 0 {
                *watching = false;
                return;
            }
        }
    }
}
