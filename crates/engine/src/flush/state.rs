//! What the flush worker and those who wait for it share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use outcrop_types::{Condition, Error};
use parking_lot::Mutex;

/// Requests to the flush worker and its failures.
#[derive(Debug, Default)]
pub(crate) struct FlushState {
    checkpoints_wanted: AtomicU64,
    checkpoints_done: AtomicU64,
    failures: Mutex<Failures>,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct Failures {
    count: u64,
    last: Option<(Condition, String)>,
}

impl FlushState {
    /// The worker is gone: whoever waits for it waits for nothing.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Asks for a checkpoint; the answer is the number that [`FlushState::checkpoints_done`] reaches.
    pub(crate) fn want_checkpoint(&self) -> u64 {
        self.checkpoints_wanted.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// How many checkpoints were asked for.
    pub(crate) fn checkpoints_wanted(&self) -> u64 {
        self.checkpoints_wanted.load(Ordering::Acquire)
    }

    /// All checkpoints asked for up to `number` are done.
    pub(crate) fn finish_checkpoints(&self, number: u64) {
        self.checkpoints_done.fetch_max(number, Ordering::AcqRel);
    }

    pub(crate) fn checkpoints_done(&self) -> u64 {
        self.checkpoints_done.load(Ordering::Acquire)
    }

    /// A flush or checkpoint failed.
    pub(crate) fn fail(&self, error: &Error) {
        let mut failures = self.failures.lock();
        failures.count += 1;
        failures.last = Some((error.condition(), error.message().to_owned()));
    }

    /// Failures so far.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.lock().count
    }

    /// The last failure, as an error for one who waited.
    pub(crate) fn last_failure(&self) -> Option<Error> {
        let failures = self.failures.lock();
        failures.last.as_ref().map(|(condition, message)| Error::new(*condition, message.clone()))
    }
}
