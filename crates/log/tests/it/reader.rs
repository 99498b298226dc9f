//! Readers that follow the log.

use outcrop_env::Env;
use outcrop_log::{Log, LogExtent, LogGroup, LogReader, RecordPlace};
use proptest::prelude::*;

use crate::harness::{DIR, Known, LOG, Op, content, create_and_run, op, reopen, run, seq, text};

fn extents(log: &Log) -> Vec<LogExtent> {
    log.extents().collect()
}

/// As [`follow`], behind a log that is cut.
fn follow_cut(reader: &mut LogReader, log: &Log, at: &mut u64, known: &Known) {
    while *at < known.synced {
        reader.skip_passed_files(&extents(log));
        let next = Known { synced: *at + 1, ..known.clone() };
        follow(reader, at, &next);
    }
}

/// Reads on to the newest synced record and compares each one.
fn follow(reader: &mut LogReader, at: &mut u64, known: &Known) -> Vec<(RecordPlace, u64)> {
    let mut places = Vec::new();
    while *at < known.synced {
        let LogGroup { place, records } = reader.next_group().unwrap();
        for (found, bytes) in records {
            let wanted = known.written.iter().find(|(seq, _)| *seq == found.get()).unwrap();
            assert!(wanted.1 == bytes, "record {found} has other bytes");
            assert!(found.get() <= *at + 1, "{found} after {at}");
            *at = (*at).max(found.get());
            places.push((place, found.get()));
        }
    }
    places
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_reader_sees_every_durable_record_once_over_crashes(
        rounds in prop::collection::vec(prop::collection::vec(op(), 0..10), 1..5),
        kept in 0_u64..20,
        seed in any::<u64>(),
    ) {
        let (env, sim) = Env::simulated(seed);
        let mut known = Known::default();
        let no_truncation = |ops: &[Op]| -> Vec<Op> {
            ops.iter().filter(|op| !matches!(op, Op::Truncate(_))).cloned().collect()
        };
        let mut log = create_and_run(&env, &sim, &no_truncation(&rounds[0]), &mut known).unwrap();
        let mut at = 0;
        for ops in &rounds[1..] {
            let mut reader = LogReader::open(&sim.env(), DIR, LOG, &extents(&log), seq(at + 1)).unwrap();
            follow(&mut reader, &mut at, &known);
            for op in no_truncation(ops) {
                run(&mut log, &sim, std::slice::from_ref(&op), &mut known).unwrap();
                follow(&mut reader, &mut at, &known);
            }
            known.from = at.saturating_sub(kept);
            log.truncate_before(seq(known.from)).unwrap();
            let mut old = LogReader::open(&sim.env(), DIR, LOG, &extents(&log), seq(known.from.max(1))).unwrap();
            let mut again = known.from.saturating_sub(1);
            for (place, number) in follow(&mut old, &mut again, &known) {
                let group = old.group_at(place).unwrap();
                prop_assert!(group.record(seq(number)).is_some());
            }
            drop(log);
            let env = sim.crash();
            let (reopened, _) = reopen(&env, known.from).unwrap();
            known.synced = reopened.last_seq().get();
            known.written.retain(|(seq, _)| *seq <= known.synced);
            log = reopened;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Files of what was read are cut, and used again, while it waits.
    #[test]
    fn a_reader_needs_no_file_but_those_of_what_is_to_come(
        ops in prop::collection::vec((op(), any::<bool>()), 1..80),
        seed in any::<u64>(),
    ) {
        let (env, sim) = Env::simulated(seed);
        let mut known = Known::default();
        let mut log = create_and_run(&env, &sim, &[], &mut known).unwrap();
        let mut reader = LogReader::open(&env, DIR, LOG, &extents(&log), seq(1)).unwrap();
        let mut at = 0;
        for (op, reads) in ops {
            let op = if matches!(op, Op::Truncate(_)) { Op::Mark } else { op };
            run(&mut log, &sim, &[op], &mut known).unwrap();
            if reads {
                follow_cut(&mut reader, &log, &mut at, &known);
            }
            log.truncate_before(seq(at + 1)).unwrap();
        }
        follow_cut(&mut reader, &log, &mut at, &known);
        prop_assert_eq!(at, known.synced);
    }
}

#[test]
fn a_reader_that_comes_too_late_is_told_so() {
    let (env, sim) = Env::simulated(3);
    let mut known = Known::default();
    let ops: Vec<Op> = (0..20).flat_map(|_| [Op::Group(vec![5_000]), Op::Sync]).collect();
    let mut log = create_and_run(&env, &sim, &ops, &mut known).unwrap();
    let before = extents(&log);
    let dropped = before.iter().rposition(|extent| extent.covered() < seq(15)).unwrap();
    assert_eq!(log.bytes_before(seq(15)), before[..dropped].iter().map(LogExtent::bytes).sum::<u64>());
    let mut reader = LogReader::open(&env, DIR, LOG, &before, seq(1)).unwrap();
    assert_eq!(reader.next_group().unwrap().records, [(seq(1), content(1, 5_000))]);
    log.truncate_before(seq(15)).unwrap();
    assert_eq!(log.bytes_before(seq(15)), 0);
    // The file is gone or has become another one.
    let late = LogReader::open(&env, DIR, LOG, &before, seq(1)).unwrap().next_group().unwrap_err();
    assert!(text(&late).starts_with("XX001"), "{late}");
    assert!(LogReader::open(&env, DIR, LOG, &extents(&log), seq(1)).is_none());
    drop(log);
    // After a start nobody knows what the oldest file follows, but the group in it does.
    let (log, _) = reopen(&env, 15).unwrap();
    let late = LogReader::open(&env, DIR, LOG, &extents(&log), seq(1)).unwrap().next_group().unwrap_err();
    assert!(text(&late).contains("older files are gone"), "{late}");
}
