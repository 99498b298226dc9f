//! The operating system's clocks.

use std::time::{Duration, Instant, SystemTime};

use crate::clock::Clock;

/// Wall and monotonic clock of the machine.
#[derive(Debug)]
pub(crate) struct RealClock {
    start: Instant,
}

impl RealClock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for RealClock {
    fn wall_us(&self) -> i64 {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
