//! How far a replay is, for those who wait for a start.

use std::time::Duration;

use outcrop_env::Clock;
use outcrop_types::CommitSeq;

/// Counts what a replay applies, and says so now and then.
#[derive(Debug)]
pub(super) struct Progress {
    /// Records that were applied.
    records: u64,
    bytes: u64,
    began: Duration,
    said: Duration,
}

impl Progress {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        let now = clock.monotonic();
        Self { records: 0, bytes: 0, began: now, said: now }
    }

    /// Records that were applied so far.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// A record is about to be applied. Returns whether this was the moment to say it.
    pub(super) fn note(&mut self, clock: &dyn Clock, seq: CommitSeq, bytes: usize) -> bool {
        self.records += 1;
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let now = clock.monotonic();
        if now.saturating_sub(self.said) < INTERVAL {
            return false;
        }
        self.said = now;
        let seconds = now.saturating_sub(self.began).as_secs();
        tracing::info!(commit_seq = %seq, records = self.records, bytes = self.bytes, seconds, "the log is being replayed");
        true
    }
}

/// So often it is said.
const INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use outcrop_env::Env;
    use outcrop_types::CommitSeq;

    use super::Progress;

    #[test]
    fn it_is_said_every_five_seconds_and_not_for_every_record() {
        let (env, sim) = Env::simulated(1);
        let mut progress = Progress::new(&*env.clock);
        let said: Vec<bool> = (1..=12)
            .map(|seq| {
                sim.advance(Duration::from_secs(1));
                progress.note(&*env.clock, CommitSeq::new(seq), 100)
            })
            .collect();
        let moments: Vec<usize> = (1..=12).filter(|second| said[second - 1]).collect();
        assert_eq!((moments, progress.records(), progress.bytes), (vec![5, 10], 12, 1_200));
    }
}
