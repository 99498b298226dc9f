//! What compaction did since the start: the newest jobs.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::status::{CompactionOutcome, CompactionStatus};

/// The newest jobs, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    jobs: Mutex<Jobs>,
}

#[derive(Debug, Default)]
struct Jobs {
    list: VecDeque<CompactionStatus>,
    /// Jobs that the list does not have any more.
    forgotten: u64,
}

/// A job in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobNumber(u64);

impl History {
    /// A job begins.
    pub(crate) fn begin(&self, job: CompactionStatus) -> JobNumber {
        let mut jobs = self.jobs.lock();
        if jobs.list.len() == JOBS_MAX {
            jobs.list.pop_front();
            jobs.forgotten += 1;
        }
        jobs.list.push_back(job);
        JobNumber(jobs.forgotten + jobs.list.len() as u64 - 1)
    }

    /// It is over. The first outcome stays.
    pub(crate) fn end(&self, job: JobNumber, outcome: CompactionOutcome, wall_us: i64) {
        let mut jobs = self.jobs.lock();
        let place = job.0.checked_sub(jobs.forgotten).and_then(|place| usize::try_from(place).ok());
        let Some(job) = place.and_then(|place| jobs.list.get_mut(place)) else { return };
        if job.ended_us.is_none() {
            job.ended_us = Some(wall_us);
            job.outcome = outcome;
        }
    }

    /// The newest jobs, oldest first.
    pub(crate) fn list(&self) -> Vec<CompactionStatus> {
        self.jobs.lock().list.iter().cloned().collect()
    }
}

/// So many jobs are remembered.
const JOBS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use outcrop_types::TableId;

    use super::*;

    fn job(table: u32) -> CompactionStatus {
        CompactionStatus {
            table: TableId::new(table),
            inputs: Vec::new(),
            rows: 0,
            bytes: 0,
            started_us: 0,
            ended_us: None,
            outcome: CompactionOutcome::Running,
        }
    }

    #[test]
    fn only_the_newest_jobs_are_remembered() {
        let history = History::default();
        let first = history.begin(job(0));
        let numbers: Vec<JobNumber> = (1..).map(|table| history.begin(job(table))).take(JOBS_MAX).collect();
        history.end(first, CompactionOutcome::Abandoned, 1);
        history.end(numbers[0], CompactionOutcome::Abandoned, 2);
        history.end(numbers[0], CompactionOutcome::Failed("late".to_owned()), 3);
        let list = history.list();
        assert_eq!(list.len(), JOBS_MAX);
        assert_eq!((list[0].table, list[0].ended_us, list[1].ended_us), (TableId::new(1), Some(2), None));
        assert_eq!(list[0].outcome, CompactionOutcome::Abandoned);
    }
}
