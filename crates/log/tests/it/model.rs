//! The log against a vector.

use outcrop_env::Env;
use proptest::prelude::*;

use crate::harness::{Known, assert_prefix, create_and_run, op, reopen, run};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_killed_process_loses_nothing_that_was_written(
        rounds in prop::collection::vec(prop::collection::vec(op(), 0..12), 1..5),
    ) {
        let (env, sim) = Env::simulated(1);
        let mut known = Known::default();
        let mut log = create_and_run(&env, &sim, &rounds[0], &mut known).unwrap();
        for ops in &rounds[1..] {
            let epoch = log.epoch();
            drop(log);
            // A kill keeps what was written: all of it must be found, and count as durable from then on.
            known.synced = known.last();
            let env = sim.kill();
            let (reopened, found) = reopen(&env, known.from).unwrap();
            assert_prefix(&found, &known);
            prop_assert!(reopened.epoch() > epoch);
            prop_assert_eq!(reopened.last_seq().get(), known.last());
            log = reopened;
            run(&mut log, &sim, ops, &mut known).unwrap();
        }
        let report = outcrop_log::verify(&sim.env(), "log", log.id()).unwrap();
        prop_assert_eq!(&report.problems, &[]);
        prop_assert_eq!(report.last_seq, log.last_seq());
    }

    #[test]
    fn crashes_and_kills_in_a_row_keep_every_acknowledged_and_every_recovered_record(
        rounds in prop::collection::vec(prop::collection::vec(op(), 0..10), 1..6),
        kills in prop::collection::vec(any::<bool>(), 6),
        seed in any::<u64>(),
    ) {
        let (env, sim) = Env::simulated(seed);
        let mut known = Known::default();
        let mut log = create_and_run(&env, &sim, &rounds[0], &mut known).unwrap();
        for (ops, kill) in rounds[1..].iter().zip(kills) {
            drop(log);
            let env = if kill { sim.kill() } else { sim.crash() };
            let (reopened, found) = reopen(&env, known.from).unwrap();
            assert_prefix(&found, &known);
            // What recovery has shown must never go again.
            known.synced = reopened.last_seq().get();
            known.written.retain(|(seq, _)| *seq <= known.synced);
            log = reopened;
            run(&mut log, &sim, ops, &mut known).unwrap();
        }
    }
}
