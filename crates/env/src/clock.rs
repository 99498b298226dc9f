//! Time: the wall clock for people, the monotonic clock for waiting.

use std::fmt::Debug;
use std::time::Duration;

/// Tells the time. Nothing is ever ordered by [`Clock::wall_us`]; order is `CommitSeq` (architecture F3).
pub trait Clock: Send + Sync + Debug {
    /// Microseconds since 1970-01-01 UTC. May jump in both directions.
    fn wall_us(&self) -> i64;

    /// Time since some fixed point. Never runs backwards.
    fn monotonic(&self) -> Duration;
}
