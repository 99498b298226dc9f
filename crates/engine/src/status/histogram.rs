//! Counting how long, or how large, things were.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Measurements since the start, counted by size. Lock-free; a reader may see a measurement in its bucket before it is in the
/// sum.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what is above all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a histogram has counted. Durations are in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramStatus {
    /// Upper bounds, inclusive, ascending; what is above the last one has no bound.
    pub bounds: &'static [u64],
    /// Measurements in each bucket alone: one more than there are bounds.
    pub counts: Vec<u64>,
    /// Sum of all measurements.
    pub sum: u64,
}

impl Histogram {
    /// For durations from a tenth of a millisecond to ten seconds.
    pub(crate) fn of_durations() -> Self {
        Self::new(&DURATION_BOUNDS_US)
    }

    /// For numbers of things.
    pub(crate) fn of_counts() -> Self {
        Self::new(&COUNT_BOUNDS)
    }

    fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Counts a duration.
    pub(crate) fn observe(&self, duration: Duration) {
        self.observe_number(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts a number.
    pub(crate) fn observe_number(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// What it has counted.
    pub(crate) fn status(&self) -> HistogramStatus {
        HistogramStatus {
            bounds: self.bounds,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

const DURATION_BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
const COUNT_BOUNDS: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_in_the_first_bucket_that_holds_them() {
        let histogram = Histogram::of_counts();
        for value in [0, 1, 2, 3, 512, 513, 10_000] {
            histogram.observe_number(value);
        }
        let status = histogram.status();
        assert_eq!(status.counts, [2, 1, 1, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(status.sum, 1 + 2 + 3 + 512 + 513 + 10_000);
        assert_eq!(status.counts.len(), status.bounds.len() + 1);
    }

    #[test]
    fn durations_count_in_microseconds() {
        let histogram = Histogram::of_durations();
        histogram.observe(Duration::from_millis(3));
        histogram.observe(Duration::from_secs(100));
        let status = histogram.status();
        assert_eq!(status.sum, 100_003_000);
        let bucket = status.bounds.iter().position(|bound| *bound == 5_000).unwrap();
        assert_eq!(status.counts[bucket], 1);
        assert_eq!(status.counts.last(), Some(&1));
    }
}
