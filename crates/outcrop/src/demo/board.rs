//! What the demo knows about itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::questions::{Answer, QUESTIONS};

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The writer has brought the tables up to date.
    Round { processes: u64, changes: u64 },
    /// A probe's change became visible after this time.
    Fresh { time: Duration, changes: u64 },
    /// An answer to a question.
    Answer { number: usize, answer: Answer },
    /// Rows in the table of samples.
    Samples(u64),
}

/// Numbers and answers, always of the last moment.
#[derive(Debug)]
pub(super) struct Board {
    begin: Instant,
    pub(super) processes: u64,
    pub(super) samples: u64,
    pub(super) changes: u64,
    /// When how many changes were made, of the last seconds.
    recent: VecDeque<(Instant, u64)>,
    fresh: VecDeque<Duration>,
    pub(super) answers: Vec<Option<Answer>>,
    slowest: Vec<Duration>,
}

/// Span of "changes per second".
const RATE_SPAN: Duration = Duration::from_secs(5);
/// Probes that percentiles are made of: those of the last ten minutes.
const FRESH_MAX: usize = 6_000;

impl Board {
    pub(super) fn new(begin: Instant) -> Self {
        Self {
            begin,
            processes: 0,
            samples: 0,
            changes: 0,
            recent: VecDeque::new(),
            fresh: VecDeque::new(),
            answers: vec![None; QUESTIONS.len()],
            slowest: vec![Duration::ZERO; QUESTIONS.len()],
        }
    }

    /// Takes an event of the moment `now`.
    pub(super) fn take(&mut self, event: Event, now: Instant) {
        match event {
            Event::Round { processes, changes } => {
                self.processes = processes;
                self.count(changes, now);
            }
            Event::Fresh { time, changes } => {
                self.count(changes, now);
                if self.fresh.len() >= FRESH_MAX {
                    self.fresh.pop_front();
                }
                self.fresh.push_back(time);
            }
            Event::Answer { number, answer } => {
                if let Some(slowest) = self.slowest.get_mut(number) {
                    *slowest = (*slowest).max(answer.latency);
                }
                if let Some(place) = self.answers.get_mut(number) {
                    *place = Some(answer);
                }
            }
            Event::Samples(rows) => self.samples = rows,
        }
    }

    fn count(&mut self, changes: u64, now: Instant) {
        self.changes += changes;
        self.recent.push_back((now, changes));
        while self.recent.front().is_some_and(|(then, _)| now.duration_since(*then) > RATE_SPAN) {
            self.recent.pop_front();
        }
    }

    /// Changes per second, of the last seconds.
    pub(super) fn rate(&self, now: Instant) -> u64 {
        let span = now.duration_since(self.begin).min(RATE_SPAN).as_millis().max(1);
        let changes: u128 = self.recent.iter().map(|(_, changes)| u128::from(*changes)).sum();
        u64::try_from(changes * 1_000 / span).unwrap_or(u64::MAX)
    }

    /// Freshness below which `percent` of the probes were; `None` before the first.
    pub(super) fn freshness(&self, percent: usize) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.fresh.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(rank).copied()
    }

    /// The longest time that a question took.
    pub(super) fn slowest(&self, number: usize) -> Duration {
        self.slowest.get(number).copied().unwrap_or_default()
    }

    /// Since the beginning.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now.duration_since(self.begin)
    }
}
