//! The crash-state explorer (reliability 4.1): every operation boundary, many legal disks, and a second crash in recovery.

use outcrop_env::{DiskImage, Env, FaultKind, OperationClass, Sim};
use outcrop_log::{Log, LogOptions, Reach};
use outcrop_types::LogId;

use crate::harness::{DIR, Known, LOG, Op, assert_prefix, content, create_and_run, reopen, run, seq, tiny};

fn workload() -> Vec<Op> {
    vec![
        Op::Group(vec![10, 20]),
        Op::Sync,
        Op::Group(vec![5000]),
        Op::Mark,
        Op::Group(vec![1]),
        Op::Sync,
        Op::Mark,
        Op::Group(vec![100, 14_000, 100]),
        Op::Sync,
        Op::Prepare,
        Op::Truncate(1),
        Op::Group(vec![7]),
        Op::Sync,
        Op::Mark,
        Op::Truncate(0),
        Op::Prepare,
        Op::Group(vec![9000, 9000]),
        Op::Sync,
        Op::Group(vec![3]),
        Op::Group(vec![4000, 1]),
        Op::Mark,
        Op::Group(vec![2]),
        Op::Group(vec![2]),
        Op::Prepare,
        Op::Sync,
    ]
}

/// Recovers `image`, and again after a power cut at each step of that recovery.
fn assert_recovers(image: &DiskImage, known: &Known, cuts: bool) {
    let (env, sim) = Sim::from_image(image, 5);
    if !known.created {
        // Nothing was promised yet: a new creation must succeed, or the finished one be usable.
        drop(Log::create(&env, DIR, LogId::from_bytes([3; 16]), &tiny()).unwrap());
        return;
    }
    let (mut log, found) = reopen(&env, known.from).unwrap();
    assert_prefix(&found, known);
    let steps = sim.changes();
    // The log goes on, and its new records are found by the next recovery together with the old ones.
    let mut after = known.clone();
    after.written.retain(|(seq, _)| *seq <= log.last_seq().get());
    run(&mut log, &sim, &[Op::Group(vec![50]), Op::Sync], &mut after).unwrap();
    drop(log);
    let (_, found) = reopen(&sim.crash(), known.from).unwrap();
    assert_prefix(&found, &after);
    if !cuts {
        return;
    }
    for cut in 0..steps {
        let (env, sim) = Sim::from_image(image, 6);
        sim.power_off_after(cut);
        assert!(reopen(&env, known.from).is_err());
        for image in sim.legal_images(12) {
            assert_recovers(&image, known, false);
        }
    }
}

#[test]
fn p1_p3_every_cut_of_a_workload_recovers_a_prefix_with_all_acknowledged_records() {
    let (env, sim) = Env::simulated(4);
    drop(create_and_run(&env, &sim, &workload(), &mut Known::default()).unwrap());
    let changes = sim.changes();
    assert!(changes > 60, "the workload became too small: {changes}");
    let mut images = 0;
    for cut in 0..changes {
        let (env, sim) = Env::simulated(4);
        sim.power_off_after(cut);
        let mut known = Known::default();
        assert!(create_and_run(&env, &sim, &workload(), &mut known).is_err());
        for (index, image) in sim.legal_images(40).iter().enumerate() {
            assert_recovers(image, &known, index % 4 == 0);
            images += 1;
        }
    }
    assert!(images > 300, "only {images} images");
}

#[test]
fn l3_blocks_behind_a_torn_tail_never_count_again() {
    let (env, sim) = Env::simulated(8);
    let mut log = Log::create(&env, DIR, LOG, &tiny()).unwrap();
    log.write_group(&[(seq(1), content(1, 10))]).unwrap();
    log.sync().unwrap();
    // Two unsynced groups; the first is lost, the second reaches the disk.
    log.write_group(&[(seq(2), content(2, 10))]).unwrap();
    log.write_group(&[(seq(3), content(3, 10))]).unwrap();
    drop(log);
    let (env, sim) = Sim::from_image(&sim.image(), 8);
    let first = crate::harness::file_names(&env).remove(0);
    sim.corrupt(&first, |bytes| bytes[3 * 4096..4 * 4096].fill(0)).unwrap();
    // The first file has three pages for groups: epoch start, commit 1, commit 2; commit 3 is in the next file.
    let (log, found) = reopen(&env, 1).unwrap();
    assert_eq!(found.len(), 1);
    let first_epoch = log.epoch();
    // The new epoch is shorter than the old tail. Recover twice: commit 3 of the old epoch stays dead.
    drop(log);
    for _ in 0..2 {
        let (log, found) = reopen(&sim.kill(), 1).unwrap();
        assert_eq!(found.len(), 1);
        assert!(log.epoch() > first_epoch);
        assert_eq!(log.last_seq(), seq(1));
    }
}

/// What a killed process had only written is shown by the next one, and must then survive a power cut.
#[test]
fn l1_what_recovery_has_shown_survives_a_power_cut() {
    let (env, sim) = Env::simulated(14);
    let mut known = Known::default();
    let ops = [Op::Group(vec![10]), Op::Sync, Op::Group(vec![20_000]), Op::Group(vec![30])];
    drop(create_and_run(&env, &sim, &ops, &mut known).unwrap());
    let (log, found) = reopen(&sim.kill(), 1).unwrap();
    assert_eq!(found, known.written);
    drop(log);
    known.synced = known.last();
    for image in sim.legal_images(60) {
        assert_recovers(&image, &known, false);
    }
}

#[test]
fn l3_a_page_of_an_older_epoch_never_completes_a_newer_group() {
    let options = LogOptions { file_bytes: 16 * 4096, ..tiny() };
    let (env, sim) = Env::simulated(15);
    let mut log = Log::create(&env, DIR, LOG, &options).unwrap();
    log.write_group(&[(seq(1), content(1, 10))]).unwrap();
    log.sync().unwrap();
    // Page 3 is lost, pages 4 and 5 hold an older group that begins at page 4.
    log.write_group(&[(seq(2), content(2, 10))]).unwrap();
    log.write_group(&[(seq(3), content(3, 6000))]).unwrap();
    drop(log);
    let (env, sim) = Sim::from_image(&sim.image(), 15);
    let first = crate::harness::file_names(&env).remove(0);
    sim.corrupt(&first, |bytes| bytes[3 * 4096..4 * 4096].fill(0)).unwrap();
    let (mut log, found) = reopen(&env, 1).unwrap();
    assert_eq!(found.len(), 1);
    // The new group has the same pages, and its second one may be lost.
    log.write_group(&[(seq(2), content(2, 6000))]).unwrap();
    drop(log);
    let written = vec![(1, content(1, 10)), (2, content(2, 6000))];
    let known = Known { written, synced: 1, from: 1, created: true };
    for image in sim.legal_images(200) {
        let (env, _sim) = Sim::from_image(&image, 1);
        assert_prefix(&reopen(&env, 1).unwrap().1, &known);
    }
}

#[test]
fn l6_truncation_keeps_a_durable_group_to_start_from() {
    let (env, sim) = Env::simulated(16);
    let mut known = Known::default();
    // Commit 2 begins in the first file and ends in the third, where no durable group begins.
    let ops = [Op::Group(vec![10]), Op::Group(vec![4 * 4064 + 1000]), Op::Sync, Op::Group(vec![10])];
    let mut log = create_and_run(&env, &sim, &ops, &mut known).unwrap();
    log.truncate_before(seq(3)).unwrap();
    known.from = 3;
    for image in sim.legal_images(40) {
        assert_recovers(&image, &known, false);
    }
}

/// Files behind the end that cannot be used are removed newest first, so that no cut leaves a gap.
#[test]
fn a_cut_while_recovery_removes_files_leaves_no_gap() {
    let (env, sim) = Env::simulated(17);
    let options = LogOptions { reserve_files: 3, ..tiny() };
    let mut log = Log::create(&env, DIR, LOG, &options).unwrap();
    sim.run_until_idle(10);
    log.write_group(&[(seq(1), content(1, 10))]).unwrap();
    log.sync().unwrap();
    let written = vec![(1, content(1, 10))];
    let known = Known { written, synced: 1, from: 1, created: true };
    let names = crate::harness::file_names(&env);
    assert_eq!(names.len(), 4);
    sim.corrupt(&names[1], |bytes| bytes[0] ^= 1).unwrap();
    assert_recovers(&sim.image(), &known, true);
}

#[test]
fn p8_after_a_failed_sync_nothing_more_is_acknowledged() {
    use outcrop_env::{FaultKind, OperationClass};
    let (env, sim) = Env::simulated(11);
    let mut log = Log::create(&env, DIR, LOG, &tiny()).unwrap();
    log.write_group(&[(seq(1), content(1, 10))]).unwrap();
    sim.fail_once(OperationClass::Sync, 0, FaultKind::Io);
    assert_eq!(log.sync().unwrap_err().condition().sqlstate(), "58030");
    assert_eq!(log.sync().unwrap_err().condition().sqlstate(), "58P02");
    assert_eq!(log.write_group(&[(seq(2), content(2, 10))]).unwrap_err().condition().sqlstate(), "58P02");
    assert_eq!(log.write_synced_mark().unwrap_err().condition().sqlstate(), "58P02");
    assert_eq!(log.truncate_before(seq(1)).unwrap_err().condition().sqlstate(), "58P02");
}

/// After a failed sync the pages count as clean, with content that only the cache has: another sync proves nothing.
#[test]
fn p8_what_recovery_shows_after_a_failed_sync_survives_a_power_cut() {
    for seed in 0..30 {
        let (env, sim) = Env::simulated(seed);
        let mut known = Known::default();
        let mut log = create_and_run(&env, &sim, &[Op::Group(vec![10]), Op::Sync], &mut known).unwrap();
        run(&mut log, &sim, &[Op::Group(vec![9_000, 5])], &mut known).unwrap();
        sim.fail_once(OperationClass::Sync, 0, FaultKind::Io);
        assert!(log.sync().is_err());
        drop(log);
        // The process is started again, the machine is not.
        let (mut log, shown) = reopen(&sim.kill(), 1).unwrap();
        assert_prefix(&shown, &known);
        known.written.truncate(shown.len());
        known.synced = known.last();
        run(&mut log, &sim, &[Op::Group(vec![20]), Op::Sync], &mut known).unwrap();
        drop(log);
        for image in sim.legal_images(20) {
            assert_recovers(&image, &known, false);
        }
    }
}

/// The same for the name of a file that was prepared when the sync of its directory failed.
#[test]
fn p8_a_file_whose_name_may_be_lost_is_named_again_before_it_is_used() {
    for seed in 0..30 {
        let (env, sim) = Env::simulated(seed);
        let mut known = Known::default();
        let log = create_and_run(&env, &sim, &[Op::Group(vec![10]), Op::Sync], &mut known).unwrap();
        sim.fail_once(OperationClass::SyncDir, 0, FaultKind::Io);
        sim.run_until_idle(1);
        drop(log);
        let (mut log, _) = reopen(&sim.kill(), 1).unwrap();
        run(&mut log, &sim, &[Op::Group(vec![20_000]), Op::Sync], &mut known).unwrap();
        drop(log);
        for image in sim.legal_images(20) {
            assert_recovers(&image, &known, false);
        }
    }
}

/// An end that is wrong is refused before the first byte is written, so that another start, or a rescue, can still read.
#[test]
fn a_log_that_ends_too_early_is_left_as_it_is() {
    let (env, sim) = Env::simulated(16);
    let mut known = Known::default();
    drop(create_and_run(&env, &sim, &[Op::Group(vec![10]), Op::Sync, Op::Group(vec![5_000])], &mut known).unwrap());
    let first = crate::harness::file_names(&env).remove(0);
    // The second page of the last group.
    sim.corrupt(&first, |bytes| bytes[3 * 4096 + 100] ^= 1).unwrap();
    let before = sim.image();
    let reach = Reach { from: seq(1), to: seq(known.last()) };
    let error = Log::recover(&sim.kill(), DIR, LOG, reach, &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.condition(), outcrop_types::Condition::DataCorrupted);
    assert_eq!(sim.image(), before);
}
