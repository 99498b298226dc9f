//! E1: what a crash leaves, and what it must not take.

use std::collections::BTreeSet;
use std::sync::Arc;

use outcrop_env::{DiskImage, Env, FaultKind, File, FileName, OperationClass, Sim};

fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

/// A durable file of 8 KiB, all `old`.
fn durable_file(env: &Env, text: &str, old: u8) -> Arc<dyn File> {
    let file = env.disk.create(&name(text)).unwrap();
    file.write_all_at(0, &[old; 8192]).unwrap();
    file.sync_data().unwrap();
    env.disk.sync_dir("").unwrap();
    file
}

#[test]
fn e1_synced_bytes_survive_every_legal_crash() {
    let (env, sim) = Env::simulated(1);
    let file = durable_file(&env, "f", 1);
    file.write_all_at(4096, &[2; 100]).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(0, &[3; 50]).unwrap();
    for image in sim.legal_images(50) {
        let bytes = &image.files[&name("f")];
        assert_eq!(bytes[4096..4196], [2; 100]);
        assert_eq!(bytes[50..4096], [1; 4046]);
    }
}

#[test]
fn e1_unsynced_writes_are_kept_lost_and_torn_at_sectors() {
    let (env, sim) = Env::simulated(2);
    let file = durable_file(&env, "f", 1);
    file.write_all_at(0, &[2; 8192]).unwrap();
    let mut outcomes = BTreeSet::new();
    for image in sim.legal_images(64) {
        let bytes = &image.files[&name("f")];
        for sector in bytes.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "torn within a sector");
        }
        outcomes.insert(bytes.chunks(512).map(|sector| sector[0]).collect::<Vec<_>>());
    }
    assert!(outcomes.contains(&vec![1; 16]));
    assert!(outcomes.contains(&vec![2; 16]));
    assert!(outcomes.iter().any(|sectors| sectors.contains(&1) && sectors.contains(&2)));
}

#[test]
fn e1_later_writes_may_survive_without_earlier_ones() {
    let (env, sim) = Env::simulated(3);
    let file = durable_file(&env, "f", 1);
    file.write_all_at(0, &[2; 512]).unwrap();
    file.write_all_at(4096, &[2; 512]).unwrap();
    let found: BTreeSet<_> =
        sim.legal_images(40).iter().map(|i| (i.files[&name("f")][0], i.files[&name("f")][4096])).collect();
    assert_eq!(found, BTreeSet::from([(1, 1), (1, 2), (2, 1), (2, 2)]));
}

#[test]
fn e1_names_need_a_sync_of_their_directory() {
    let (env, sim) = Env::simulated(4);
    drop(durable_file(&env, "old", 1));
    let file = env.disk.create(&name("new")).unwrap();
    file.write_all_at(0, b"x").unwrap();
    file.sync_data().unwrap();
    env.disk.remove(&name("old")).unwrap();
    let found: BTreeSet<_> = sim
        .legal_images(40)
        .iter()
        .map(|i| (i.files.contains_key(&name("old")), i.files.contains_key(&name("new"))))
        .collect();
    assert_eq!(found, BTreeSet::from([(false, false), (false, true), (true, false), (true, true)]));
    env.disk.sync_dir("").unwrap();
    for image in sim.legal_images(40) {
        assert_eq!(image.files.keys().collect::<Vec<_>>(), [&name("new")]);
    }
}

/// Every cut during a publication over an existing file leaves the old or the new content, whole.
#[test]
fn e5_publish_is_atomic_at_every_cut() {
    let build = |cut: Option<u64>| {
        let (env, sim) = Env::simulated(5);
        drop(durable_file(&env, "f", 1));
        let before = sim.changes();
        if let Some(cut) = cut {
            sim.power_off_after(before + cut);
        }
        let temporary = env.disk.create(&name("t"));
        let outcome = temporary
            .and_then(|file| file.write_all_at(0, &[2; 8192]))
            .and_then(|()| env.disk.publish(&name("t"), &name("f")));
        (sim.changes() - before, outcome.is_ok(), sim)
    };
    let (changes, done, _) = build(None);
    assert!(done);
    assert_eq!(changes, 5);
    for cut in 0..=changes {
        let (_, done, sim) = build(Some(cut));
        for image in sim.legal_images(40) {
            let bytes = &image.files[&name("f")];
            assert!(*bytes == [2; 8192] || (*bytes == [1; 8192] && !done), "cut {cut}");
        }
    }
}

#[test]
fn handles_of_before_a_crash_are_dead() {
    let (env, sim) = Env::simulated(6);
    let file = durable_file(&env, "f", 1);
    let lock = env.disk.lock(&name("LOCK")).unwrap();
    let restarted = sim.crash();
    assert!(file.write_all_at(0, b"x").is_err());
    assert!(file.len().is_err());
    assert!(env.disk.open(&name("f")).is_err());
    // The lock went with its process; its late drop takes nothing from the new holder.
    let again = restarted.disk.lock(&name("LOCK")).unwrap();
    drop(lock);
    assert!(restarted.disk.lock(&name("LOCK")).is_err());
    drop(again);
}

#[test]
fn a_kill_keeps_what_was_written_and_a_later_crash_may_lose_it() {
    let (env, sim) = Env::simulated(7);
    let file = durable_file(&env, "f", 1);
    file.write_all_at(0, &[2; 512]).unwrap();
    let env = sim.kill();
    let mut byte = [0];
    env.disk.open(&name("f")).unwrap().read_exact_at(0, &mut byte).unwrap();
    assert_eq!(byte, [2]);
    let found: BTreeSet<_> = sim.legal_images(10).iter().map(|image| image.files[&name("f")][0]).collect();
    assert_eq!(found, BTreeSet::from([1, 2]));
}

#[test]
fn a_failed_sync_may_lose_bytes_that_no_later_sync_saves() {
    let lost = (0..20).filter(|seed| {
        let (env, sim) = Env::simulated(*seed);
        let file = durable_file(&env, "f", 1);
        file.write_all_at(0, &[2; 512]).unwrap();
        sim.fail_once(OperationClass::Sync, 0, FaultKind::Io);
        assert!(file.sync_data().is_err());
        assert!(file.sync_data().is_ok());
        let env = sim.crash();
        let mut byte = [0];
        env.disk.open(&name("f")).unwrap().read_exact_at(0, &mut byte).unwrap();
        byte == [1]
    });
    assert!((1..20).contains(&lost.count()));
}

#[test]
fn faults_hit_the_operation_they_name() {
    let (env, sim) = Env::simulated(8);
    let file = durable_file(&env, "f", 1);
    sim.fail_once(OperationClass::Write, 1, FaultKind::StorageFull);
    file.write_all_at(0, b"x").unwrap();
    assert_eq!(file.write_all_at(0, b"x").unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    file.write_all_at(0, b"x").unwrap();
    sim.fail_always(OperationClass::Read, 0, FaultKind::Io);
    assert!(file.read_exact_at(0, &mut [0]).is_err());
    assert!(file.read_exact_at(0, &mut [0]).is_err());
    sim.clear_faults();
    file.read_exact_at(0, &mut [0]).unwrap();
}

#[test]
fn capacity_stops_growth_but_not_overwriting() {
    let (env, sim) = Env::simulated(9);
    let file = durable_file(&env, "f", 1);
    sim.set_capacity(Some(8192 + 10));
    file.write_all_at(0, &[2; 8192]).unwrap();
    assert_eq!(file.zero_fill(8192, 9000).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 8202);
    let (other, _) = Sim::from_image(&DiskImage::default(), 1);
    assert!(other.disk.list("").unwrap().is_empty());
}

#[test]
fn e1_all_disks_of_a_small_moment_are_given_once_each() {
    let (env, sim) = Env::simulated(4);
    let file = durable_file(&env, "f", 1);
    sim.record_moments();
    // Pieces of a sector: two that differ, one that is as it was. And a name.
    file.write_all_at(512, &[[2; 512], [1; 512], [3; 512]].concat()).unwrap();
    env.disk.create(&name("new")).unwrap();
    let moments = sim.take_moments();
    assert_eq!(moments.len(), 3);
    let disks = moments[0].disks(64, 0);
    assert!(disks.is_complete());
    assert_eq!(disks.count(), 1);
    let disks = moments[2].disks(64, 0);
    assert!(disks.is_complete());
    let images: Vec<DiskImage> = disks.map(|disk| disk.image()).collect();
    let distinct: BTreeSet<_> =
        images.iter().map(|image| (image.files[&name("f")].clone(), image.files.contains_key(&name("new")))).collect();
    assert_eq!((images.len(), distinct.len()), (8, 8));
    assert!(!moments[2].disks(7, 0).is_complete());
    assert_eq!(moments[2].disks(7, 0).count(), 7);
}

#[test]
fn equal_disks_have_equal_hashes_and_start_alike() {
    let (env, sim) = Env::simulated(5);
    let file = durable_file(&env, "f", 1);
    sim.record_moments();
    file.write_all_at(0, &[2; 10]).unwrap();
    file.write_all_at(0, &[1; 10]).unwrap();
    let moments = sim.take_moments();
    let of = |moment: usize| moments[moment].disks(100, 0).map(|disk| disk.hash()).collect::<BTreeSet<_>>();
    assert_eq!((of(0).len(), of(1).len(), of(2).len()), (1, 2, 2));
    assert_eq!(of(1), of(2));
    for disk in moments[1].disks(100, 0) {
        let (env, sim) = disk.start(1);
        assert_eq!(sim.image(), disk.image());
        // What one machine writes no other sees.
        env.disk.open(&name("f")).unwrap().write_all_at(0, &[9; 100]).unwrap();
        assert_ne!(sim.image(), disk.image());
    }
}

#[test]
fn any_operation_may_be_the_one_that_fails() {
    for nth in 0..3 {
        let (env, sim) = Env::simulated(6);
        let file = durable_file(&env, "f", 1);
        let before = sim.operations();
        sim.fail_any_once(nth, FaultKind::Interrupted);
        let outcomes = [
            file.write_all_at(0, &[2; 10]).is_ok(),
            file.sync_data().is_ok(),
            file.read_exact_at(0, &mut [0; 1]).is_ok(),
        ];
        assert_eq!(outcomes.iter().position(|ok| !ok), Some(usize::try_from(nth).unwrap()));
        assert_eq!(sim.operations(), before + 3);
    }
}

#[test]
fn syncs_may_take_long() {
    let (env, sim) = Env::simulated(7);
    let file = durable_file(&env, "f", 1);
    let begin = env.clock.monotonic();
    sim.set_sync_time(std::time::Duration::from_secs(3));
    file.sync_data().unwrap();
    env.disk.sync_dir("").unwrap();
    assert!(env.clock.monotonic() - begin >= std::time::Duration::from_secs(6));
}
