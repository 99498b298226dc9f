//! A log under test beside what was done to it.

use bytes::Bytes;
use outcrop_env::{Env, FileName, Sim};
use outcrop_log::{Log, LogOptions, Reach};
use outcrop_types::{CommitSeq, Error, LogId, Result};
use proptest::prelude::*;

pub(crate) const LOG: LogId = LogId::from_bytes([9; 16]);
pub(crate) const DIR: &str = "log";

/// Files of four pages, so that rotation happens at once.
pub(crate) fn tiny() -> LogOptions {
    LogOptions { file_bytes: 4 * 4096, reserve_files: 1, reserve_bytes: 0 }
}

pub(crate) fn seq(raw: u64) -> CommitSeq {
    CommitSeq::new(raw)
}

/// Content that depends on the commit, so that a mix-up shows.
pub(crate) fn content(seq: u64, len: usize) -> Bytes {
    let start = seq.wrapping_mul(31);
    (0..len as u64).map(|i| start.wrapping_add(i).to_le_bytes()[0]).collect()
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Lengths of the records.
    Group(Vec<usize>),
    Sync,
    Mark,
    /// Truncates before this many commits back from the last synced one.
    Truncate(u64),
    /// Lets the preparer work.
    Prepare,
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop::collection::vec(prop_oneof![4 => 0_usize..300, 1 => 3000_usize..30_000], 1..4).prop_map(Op::Group),
        3 => Just(Op::Sync),
        2 => Just(Op::Mark),
        1 => (0_u64..6).prop_map(Op::Truncate),
        1 => Just(Op::Prepare),
    ]
}

/// What is known about the log from the outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Every record handed to the log, in order.
    pub(crate) written: Vec<(u64, Bytes)>,
    /// Commits up to here were acknowledged.
    pub(crate) synced: u64,
    /// Commits before this are not needed any more.
    pub(crate) from: u64,
    /// `Log::create` has returned.
    pub(crate) created: bool,
}

impl Known {
    pub(crate) fn last(&self) -> u64 {
        self.written.last().map_or(0, |(seq, _)| *seq)
    }
}

/// Does `ops`; stops at the first error, as a poisoned node would.
pub(crate) fn run(log: &mut Log, sim: &Sim, ops: &[Op], known: &mut Known) -> Result<()> {
    for op in ops {
        match op {
            Op::Group(lengths) => {
                let start = log.last_seq().get();
                let records: Vec<_> = (start + 1..).zip(lengths).map(|(s, len)| (seq(s), content(s, *len))).collect();
                known.written.retain(|(seq, _)| *seq <= start);
                known.written.extend(records.iter().map(|(seq, bytes)| (seq.get(), bytes.clone())));
                log.write_group(&records)?;
            }
            Op::Sync => {
                log.sync()?;
                known.synced = log.last_seq().get();
            }
            Op::Mark => log.write_synced_mark()?,
            Op::Truncate(back) => {
                known.from = known.from.max(known.synced.saturating_sub(*back));
                log.truncate_before(seq(known.from))?;
            }
            Op::Prepare => {
                sim.run_until_idle(8);
            }
        }
    }
    Ok(())
}

pub(crate) fn create_and_run(env: &Env, sim: &Sim, ops: &[Op], known: &mut Known) -> Result<Log> {
    let mut log = Log::create(env, DIR, LOG, &tiny())?;
    known.created = true;
    run(&mut log, sim, ops, known)?;
    Ok(log)
}

/// Opens the log and returns the records from `from` on.
pub(crate) fn reopen(env: &Env, from: u64) -> Result<(Log, Vec<(u64, Bytes)>)> {
    let mut found = Vec::new();
    let reach = Reach { from: seq(from), to: seq(from.saturating_sub(1)) };
    let recovered = Log::recover(env, DIR, LOG, reach, &mut |seq, bytes| {
        if seq.get() >= from {
            found.push((seq.get(), Bytes::copy_from_slice(bytes)));
        }
        Ok(())
    })?;
    Ok((recovered.start(&tiny())?, found))
}

/// L1: what was found is a prefix of what was written, and has all that was acknowledged.
pub(crate) fn assert_prefix(found: &[(u64, Bytes)], known: &Known) {
    let wanted: Vec<_> = known.written.iter().filter(|(seq, _)| *seq >= known.from).cloned().collect();
    assert!(found.len() <= wanted.len(), "found {} of {} records", found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found.0, wanted.0);
        assert!(found.1 == wanted.1, "record {} has other bytes", found.0);
    }
    let last = found.last().map_or(0, |(seq, _)| *seq);
    assert!(
        last >= known.synced || known.synced < known.from,
        "commit {} was acknowledged, {last} is the last",
        known.synced
    );
}

pub(crate) fn file_names(env: &Env) -> Vec<FileName> {
    env.disk.list(DIR).unwrap().into_iter().map(|entry| entry.name).collect()
}

pub(crate) fn text(error: &Error) -> String {
    format!("{} {error}", error.condition().sqlstate())
}
