//! Kill points: moments between two effects, at which a test can end the process.
//!
//! A program with debug assertions ends at once, without unwinding and without writing anything more, when the environment
//! variable `OUTCROP_KILL_AT` is `segments/renamed:3` and the files of `segments` are at the moment `renamed` for the third
//! time. In other builds a kill point is nothing. `tests/clients/harness/kill_points.py` lists them all, and the test that ends
//! the real server at each of them fails when it never gets to one.

/// Says that `subject` is at `moment`, before anything else is done.
#[cfg(debug_assertions)]
pub fn kill_point(subject: &str, moment: &str) {
    static KILL: LazyLock<Option<Kill>> =
        LazyLock::new(|| std::env::var("OUTCROP_KILL_AT").ok().as_deref().and_then(Kill::parse));
    if KILL.as_ref().is_some_and(|kill| kill.is_due(subject, moment)) {
        std::process::abort();
    }
}

/// Says that `subject` is at `moment`; nobody can ask for it in this build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn kill_point(_subject: &str, _moment: &str) {}

#[cfg(debug_assertions)]
use std::sync::LazyLock;
#[cfg(any(test, debug_assertions))]
use std::sync::atomic::{AtomicU64, Ordering};

/// When to end.
#[cfg(any(test, debug_assertions))]
#[derive(Debug)]
struct Kill {
    subject: String,
    moment: String,
    /// How many times the moment passes before.
    left: AtomicU64,
}

#[cfg(any(test, debug_assertions))]
impl Kill {
    /// Reads `subject/moment:n`; n counts from 1.
    fn parse(text: &str) -> Option<Self> {
        let (point, n) = text.rsplit_once(':')?;
        let (subject, moment) = point.rsplit_once('/')?;
        let left = n.parse::<u64>().ok()?.checked_sub(1)?;
        Some(Self { subject: subject.to_owned(), moment: moment.to_owned(), left: AtomicU64::new(left) })
    }

    /// Whether this is the time.
    fn is_due(&self, subject: &str, moment: &str) -> bool {
        self.subject == subject
            && self.moment == moment
            && self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)) == Err(0)
    }
}

#[cfg(test)]
mod tests;
