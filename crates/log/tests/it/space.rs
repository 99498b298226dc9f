//! L4, P9: a full disk refuses and resumes.

use outcrop_env::{Env, FaultKind, OperationClass};
use outcrop_log::{Log, LogOptions, SpaceClass};
use outcrop_types::Condition;

use crate::harness::{DIR, Known, LOG, Op, content, create_and_run, file_names, reopen, run, seq, tiny};

#[test]
fn p9_a_full_disk_refuses_a_group_without_loss_and_writes_resume() {
    let (env, sim) = Env::simulated(3);
    let mut log = Log::create(&env, DIR, LOG, &tiny()).unwrap();
    let mut known = Known::default();
    run(&mut log, &sim, &[Op::Group(vec![10]), Op::Sync], &mut known).unwrap();
    sim.set_capacity(Some(sim.used()));
    let error = log.write_group(&[(seq(2), content(2, 20_000))]).unwrap_err();
    assert_eq!(error.condition(), Condition::DiskFull);
    // What still fits is still written, by the same log.
    run(&mut log, &sim, &[Op::Group(vec![10]), Op::Sync], &mut known).unwrap();
    sim.set_capacity(None);
    run(&mut log, &sim, &[Op::Group(vec![20_000]), Op::Sync], &mut known).unwrap();
    drop(log);
    let (_, found) = reopen(&sim.crash(), 1).unwrap();
    assert_eq!(found, known.written);
}

#[test]
fn p9_no_space_error_reaches_a_write_once_space_was_admitted() {
    let (env, sim) = Env::simulated(3);
    let options = LogOptions { reserve_files: 2, ..tiny() };
    let mut log = Log::create(&env, DIR, LOG, &options).unwrap();
    let space = log.space();
    sim.run_until_idle(10);
    sim.set_capacity(Some(sim.used()));
    let mut next = 1;
    let mut permits = Vec::new();
    loop {
        match space.admit(5000, SpaceClass::Ordinary) {
            Ok(permit) => permits.push(permit),
            Err(error) => {
                assert_eq!(error.condition(), Condition::DiskFull);
                break;
            }
        }
    }
    assert!(permits.len() >= 2);
    for permit in permits {
        log.write_group(&[(seq(next), content(next, 5000))]).unwrap();
        drop(permit);
        next += 1;
    }
    log.sync().unwrap();
    // A permit that is given back is space again.
    let left = space.admit(100, SpaceClass::Ordinary);
    drop(left);
}

#[test]
fn p9_the_reserve_is_for_deletes_only() {
    let (env, sim) = Env::simulated(3);
    let options = LogOptions { reserve_bytes: 3 * 4096, ..tiny() };
    let log = Log::create(&env, DIR, LOG, &options).unwrap();
    sim.run_until_idle(10);
    sim.set_capacity(Some(sim.used()));
    let space = log.space();
    let mut ordinary = Vec::new();
    while let Ok(permit) = space.admit(10, SpaceClass::Ordinary) {
        ordinary.push(permit);
    }
    let reserve: Vec<_> = (0..3).map(|_| space.admit(10, SpaceClass::Reserve).unwrap()).collect();
    assert_eq!(space.admit(10, SpaceClass::Reserve).unwrap_err().condition(), Condition::DiskFull);
    drop(reserve);
    assert!(space.admit(10, SpaceClass::Ordinary).is_err());
}

#[test]
fn p9_failing_preparation_is_retried_by_the_worker() {
    let (env, sim) = Env::simulated(3);
    let log = Log::create(&env, DIR, LOG, &tiny()).unwrap();
    sim.fail_always(OperationClass::ZeroFill, 0, FaultKind::StorageFull);
    sim.run_until_idle(10);
    assert_eq!(file_names(&env).len(), 1);
    sim.clear_faults();
    sim.advance(std::time::Duration::from_secs(2));
    sim.run_until_idle(10);
    assert_eq!(file_names(&env).len(), 2);
    assert_eq!(log.worker_panic(), None);
}

#[test]
fn l6_truncation_keeps_what_is_needed_and_recycles_the_rest() {
    let (env, sim) = Env::simulated(3);
    let mut known = Known::default();
    let mut log = create_and_run(&env, &sim, &[], &mut known).unwrap();
    for _ in 0..40 {
        run(&mut log, &sim, &[Op::Group(vec![3000]), Op::Sync, Op::Prepare, Op::Truncate(2)], &mut known).unwrap();
        assert!(log.bytes() <= 3 * 16384, "{} bytes live", log.bytes());
        assert!(file_names(&env).len() <= 6, "{:?}", file_names(&env));
    }
    let creations = sim.trace().iter().filter(|o| o.class == OperationClass::ZeroFill).count();
    assert!(creations < 8, "{creations} files were filled, though old ones could be used again");
    drop(log);
    let (log, found) = reopen(&sim.crash(), known.from).unwrap();
    assert_eq!(found.first().map(|(seq, _)| *seq), Some(known.from));
    assert_eq!(log.last_seq().get(), 40);
}

#[test]
fn a_mark_is_written_once_after_a_sync() {
    let (env, sim) = Env::simulated(3);
    let mut known = Known::default();
    let mut log = create_and_run(&env, &sim, &[Op::Group(vec![1])], &mut known).unwrap();
    assert!(!log.needs_synced_mark() || log.last_seq().get() == 0);
    log.sync().unwrap();
    assert!(log.needs_synced_mark());
    log.write_synced_mark().unwrap();
    let bytes = log.bytes();
    assert!(!log.needs_synced_mark());
    log.write_synced_mark().unwrap();
    log.sync().unwrap();
    assert!(!log.needs_synced_mark());
    assert_eq!(log.bytes(), bytes);
}

#[test]
fn bugs_of_the_caller_are_refused_without_effect() {
    let (env, _sim) = Env::simulated(3);
    let mut log = Log::create(&env, DIR, LOG, &tiny()).unwrap();
    log.write_group(&[(seq(5), content(5, 1))]).unwrap();
    for records in [vec![], vec![(seq(5), content(5, 1))], vec![(seq(7), content(7, 1)), (seq(6), content(6, 1))]] {
        assert_eq!(log.write_group(&records).unwrap_err().condition(), Condition::InternalError);
    }
    log.write_group(&[(seq(6), content(6, 1))]).unwrap();
    log.sync().unwrap();
}

#[test]
fn a_second_creation_is_refused_once_there_are_records() {
    let (env, _sim) = Env::simulated(3);
    drop(Log::create(&env, DIR, LOG, &tiny()).unwrap());
    let mut log = Log::create(&env, DIR, LOG, &tiny()).unwrap();
    log.write_group(&[(seq(1), content(1, 1))]).unwrap();
    drop(log);
    let error = Log::create(&env, DIR, LOG, &tiny()).unwrap_err();
    assert_eq!(error.condition(), Condition::ObjectNotInPrerequisiteState);
}

#[test]
fn records_larger_than_a_file_span_files() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real(dir.path()).unwrap();
    let mut log = Log::create(&env, DIR, LOG, &tiny()).unwrap();
    let big = content(1, 200_000);
    log.write_group(&[(seq(1), big.clone())]).unwrap();
    log.write_group(&[(seq(2), content(2, 5))]).unwrap();
    log.sync().unwrap();
    drop(log);
    let (log, found) = reopen(&env, 1).unwrap();
    assert_eq!(found, [(1, big), (2, content(2, 5))]);
    assert_eq!(log.last_seq(), seq(2));
}

/// On a real disk, where the first one takes long enough for the others to come.
#[test]
fn p12_writers_that_wait_for_space_make_no_more_files_than_they_need() {
    const WRITERS: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real(dir.path()).unwrap();
    let options = LogOptions { file_bytes: 2 << 20, reserve_files: 0, reserve_bytes: 0 };
    let log = Log::create(&env, DIR, LOG, &options).unwrap();
    let space = log.space();
    let barrier = std::sync::Barrier::new(WRITERS);
    let permits: Vec<_> = std::thread::scope(|scope| {
        let admit = || {
            barrier.wait();
            space.admit(900_000, SpaceClass::Ordinary).unwrap()
        };
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(admit)).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    // Each file has room for two of them.
    assert_eq!((permits.len(), file_names(&env).len()), (WRITERS, WRITERS / 2));
}

#[test]
fn truncation_goes_on_after_a_failed_sync_of_the_directory() {
    for class in [OperationClass::SyncDir, OperationClass::Rename, OperationClass::Sync] {
        let (env, sim) = Env::simulated(3);
        let mut known = Known::default();
        let ops: Vec<Op> = (0..12).flat_map(|_| [Op::Group(vec![3000]), Op::Sync]).collect();
        let mut log = create_and_run(&env, &sim, &ops, &mut known).unwrap();
        let before = log.bytes();
        sim.fail_once(class, 0, FaultKind::Io);
        assert!(log.truncate_before(seq(10)).is_err());
        log.truncate_before(seq(10)).unwrap_or_else(|error| panic!("{class:?}: {error}"));
        assert!(log.bytes() < before - 16_384, "{class:?}: {} of {before} bytes", log.bytes());
        known.from = 10;
        run(&mut log, &sim, &[Op::Prepare, Op::Group(vec![20_000]), Op::Sync], &mut known).unwrap();
        drop(log);
        for image in sim.legal_images(40) {
            let (env, _sim) = outcrop_env::Sim::from_image(&image, 1);
            let (_, found) = reopen(&env, 10).unwrap_or_else(|error| panic!("{class:?}: {error}"));
            assert_eq!(found.last().map(|(seq, _)| *seq), Some(known.last()));
        }
    }
}
