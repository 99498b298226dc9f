//! Latencies, counted in constant memory.

use std::time::Duration;

/// Counts durations in buckets that are at most 1/32 wider than what they hold; up to [`LONGEST`].
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { buckets: vec![0; bucket(LONGEST_US) + 1], count: 0, max: Duration::ZERO }
    }

    pub(super) fn record(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(LONGEST_US).min(LONGEST_US);
        if let Some(counter) = self.buckets.get_mut(bucket(us)) {
            *counter += 1;
        }
        self.count += 1;
        self.max = self.max.max(time);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn max(&self) -> Duration {
        self.max
    }

    /// The least duration that `percent` of all do not exceed (nearest rank), rounded up to its bucket's end.
    pub(super) fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = self.count.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(Duration::from_micros(last_of(bucket)).min(self.max));
            }
        }
        None
    }
}

/// Below this every microsecond has a bucket of its own; above, every power of two has this many.
const STEPS: u64 = 1 << STEP_BITS;
const STEP_BITS: u32 = 5;
/// 19 hours. Longer ones count as this.
const LONGEST_US: u64 = (1 << 36) - 1;

/// Buckets 0 to 31 hold one value each. Then bucket `32 × e + m` holds values `(32 + m) << (e - 1)` and up, where `m` are
/// the five bits after the highest one.
fn bucket(us: u64) -> usize {
    let exponent = u64::BITS.saturating_sub(us.leading_zeros() + STEP_BITS + 1);
    let number = (us >> exponent) + u64::from(exponent) * STEPS;
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The greatest value in a bucket.
fn last_of(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(u64::MAX);
    let exponent = (bucket / STEPS).saturating_sub(1);
    let first = bucket - exponent * STEPS;
    ((first + 1) << exponent) - 1
}
