//! What a background worker and those who wait for it share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use outcrop_types::{Condition, Error};
use parking_lot::Mutex;

/// Requests to a worker, by number, and its failures: checkpoints of the flush worker, compactions.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    wanted: AtomicU64,
    done: AtomicU64,
    failures: Mutex<Failures>,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct Failures {
    count: u64,
    last: Option<(Condition, String)>,
}

impl Requests {
    /// The worker is gone: whoever waits for it waits for nothing.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Asks for the work; it is done when [`Requests::done`] reaches the number.
    pub(crate) fn want(&self) -> u64 {
        self.wanted.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The newest request.
    pub(crate) fn wanted(&self) -> u64 {
        self.wanted.load(Ordering::Acquire)
    }

    /// All requests up to `number` are done.
    pub(crate) fn finish(&self, number: u64) {
        self.done.fetch_max(number, Ordering::AcqRel);
    }

    /// The newest request that is done.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// The worker failed.
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
