//! The commit log alone: groups, syncs, marks, truncations, files prepared ahead.

use std::cell::RefCell;

use bytes::Bytes;
use outcrop_env::{Env, Sim};
use outcrop_log::{Log, LogOptions, Reach};
use outcrop_types::{CommitSeq, LogId, Result};

use super::driver::Workload;
use crate::draw::Draw;

const LOG: LogId = LogId::from_bytes([9; 16]);
const DIR: &str = "log";

/// A short life of a log, made from a seed.
#[derive(Debug)]
pub struct LogWorkload {
    ops: Vec<Op>,
    options: LogOptions,
    /// What was known after each acknowledged step; filled by the run.
    known: RefCell<Vec<Known>>,
    /// Contents of all records, by number.
    written: RefCell<Vec<Bytes>>,
}

#[derive(Clone, Debug)]
enum Op {
    /// Lengths of the records.
    Group(Vec<u64>),
    Sync,
    Mark,
    /// Records up to so many before the last synced one go.
    Truncate(u64),
    Prepare,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Commits up to here were acknowledged.
    synced: u64,
    /// Commits before this may be gone.
    from: u64,
}

impl LogWorkload {
    /// The life of a seed.
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let count = 3 + draw.below(12);
        let ops = (0..count).map(|_| op(&mut draw)).collect();
        let options = LogOptions { file_bytes: 4 * 4096, reserve_files: 1, reserve_bytes: 0 };
        Self { ops, options, known: RefCell::default(), written: RefCell::default() }
    }

    fn reopen(&self, env: &Env, from: u64) -> Result<(Log, Vec<u64>)> {
        let mut found = Vec::new();
        let reach = Reach { from: CommitSeq::new(from), to: CommitSeq::new(from.saturating_sub(1)) };
        let recovered = Log::recover(env, DIR, LOG, reach, &mut |seq, bytes| {
            if seq.get() >= from {
                let wanted = usize::try_from(seq.get() - 1).ok().and_then(|n| self.written.borrow().get(n).cloned());
                assert_eq!(wanted.as_deref(), Some(bytes), "record {seq} has other bytes");
                found.push(seq.get());
            }
            Ok(())
        })?;
        Ok((recovered.start(&self.options)?, found))
    }

    /// Opens, if it was ever made, and checks; gives the newest record.
    fn open_and_check(&self, env: &Env, acknowledged: usize) -> (Option<Log>, u64) {
        let Some(known) = acknowledged.checked_sub(1).map(|last| self.known.borrow()[last]) else {
            // A log that was not created is created again, as the engine does when there is no manifest.
            return (None, 0);
        };
        let from = known.from.max(1);
        let (log, found) = self.reopen(env, from).unwrap_or_else(|error| panic!("the log does not start: {error}"));
        assert!(found.iter().copied().eq((from..).take(found.len())), "gaps: {found:?} from {from}");
        let last = found.last().copied().unwrap_or(from - 1);
        assert!(last >= known.synced, "commit {} was acknowledged, {last} is the last", known.synced);
        (Some(log), last)
    }
}

fn op(draw: &mut Draw) -> Op {
    match draw.below(11) {
        0..=3 => {
            let records = 1 + draw.below(3);
            let length = |draw: &mut Draw| if draw.below(5) == 0 { 3_000 + draw.below(9_000) } else { draw.below(300) };
            Op::Group((0..records).map(|_| length(draw)).collect())
        }
        4..=6 => Op::Sync,
        7 | 8 => Op::Mark,
        9 => Op::Truncate(draw.below(6)),
        _ => Op::Prepare,
    }
}

/// Content that depends on the commit, so that a mix-up shows.
fn content(seq: u64, len: u64) -> Bytes {
    let start = seq.wrapping_mul(31);
    (0..len).map(|i| start.wrapping_add(i).to_le_bytes()[0]).collect()
}

impl Workload for LogWorkload {
    type Shown = u64;

    fn run(&self, env: &Env, sim: &Sim, acknowledged: &mut dyn FnMut()) {
        let (mut known, mut written) = (Known::default(), Vec::new());
        let mut log = Log::create(env, DIR, LOG, &self.options).expect("a sound disk");
        let mut acknowledge = |known: Known| {
            self.known.borrow_mut().push(known);
            acknowledged();
        };
        acknowledge(known);
        for op in &self.ops {
            match op {
                Op::Group(lengths) => {
                    let start = log.last_seq().get();
                    let records: Vec<_> = (start + 1..)
                        .zip(lengths)
                        .map(|(seq, len)| (CommitSeq::new(seq), content(seq, *len)))
                        .collect();
                    written.extend(records.iter().map(|(_, bytes)| bytes.clone()));
                    log.write_group(&records).expect("a sound disk");
                }
                Op::Sync => {
                    log.sync().expect("a sound disk");
                    known.synced = log.last_seq().get();
                    acknowledge(known);
                }
                Op::Mark => log.write_synced_mark().expect("a sound disk"),
                Op::Truncate(back) => {
                    known.from = known.from.max(known.synced.saturating_sub(*back));
                    acknowledge(known);
                    log.truncate_before(CommitSeq::new(known.from)).expect("a sound disk");
                }
                Op::Prepare => {
                    sim.run_until_idle(8);
                }
            }
        }
        *self.written.borrow_mut() = written;
    }

    fn start(&self, env: &Env, _sim: &Sim, acknowledged: usize) -> u64 {
        self.open_and_check(env, acknowledged).1
    }

    fn live_on(&self, env: &Env, sim: &Sim, acknowledged: usize) {
        let (Some(mut log), last) = self.open_and_check(env, acknowledged) else { return };
        // The next record is the one that was there before, so that its bytes are known.
        let bytes = self.written.borrow().get(usize::try_from(last).unwrap_or(usize::MAX)).cloned();
        let grown = bytes.is_some();
        if let Some(bytes) = bytes {
            log.write_group(&[(CommitSeq::new(last + 1), bytes)]).expect("a sound disk");
            log.sync().expect("a sound disk");
        }
        drop(log);
        let report = outcrop_log::verify(env, DIR, LOG).expect("a sound disk");
        assert_eq!(report.problems, [], "a log that was started is sound");
        let from = self.known.borrow()[acknowledged - 1].from.max(1);
        let (_log, found) = self.reopen(&sim.kill(), from).unwrap_or_else(|error| panic!("it does not start: {error}"));
        assert_eq!(found.last().copied().unwrap_or(from - 1), last + u64::from(grown));
    }
}
