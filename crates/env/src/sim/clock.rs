//! Simulated time: it passes only when someone waits or the test says so.

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;

/// 2026-01-01 00:00:00 UTC: where every simulated wall clock starts.
const START_WALL_US: i64 = 1_767_225_600_000_000;

#[derive(Debug)]
pub(super) struct SimClock {
    now: Mutex<Now>,
}

#[derive(Clone, Copy, Debug)]
struct Now {
    wall_us: i64,
    monotonic: Duration,
}

impl SimClock {
    pub(super) fn new() -> Self {
        Self { now: Mutex::new(Now { wall_us: START_WALL_US, monotonic: Duration::ZERO }) }
    }

    pub(super) fn advance(&self, by: Duration) {
        let mut now = self.now.lock();
        now.monotonic = now.monotonic.saturating_add(by);
        now.wall_us = now.wall_us.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX));
    }

    pub(super) fn jump_wall(&self, by_us: i64) {
        let mut now = self.now.lock();
        now.wall_us = now.wall_us.saturating_add(by_us);
    }
}

impl Clock for SimClock {
    fn wall_us(&self) -> i64 {
        self.now.lock().wall_us
    }

    fn monotonic(&self) -> Duration {
        self.now.lock().monotonic
    }
}
