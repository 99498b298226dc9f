//! What a start may believe, and what it must keep (P7, W11).

use outcrop_engine::{Ddl, Engine, EngineOptions, OnConflict, WriteMode};
use outcrop_env::{Env, FaultKind, OperationClass, Sim};
use outcrop_types::{Condition, TableId, TableName};

use crate::support::*;

/// Everything but the smallest statement is staged; nothing is flushed by itself.
fn staging() -> EngineOptions {
    let mut options = roomy();
    options.commit_inline_bytes_max = 2_000;
    options
}

fn open(seed: u64) -> (Env, Sim, Engine, TableId) {
    let (env, sim) = Env::simulated(seed);
    let engine = Engine::open(&env, staging()).unwrap();
    let table = create(&engine, keyed("t"));
    (env, sim, engine, table)
}

/// Opens and closes once, so that files which nobody needs are removed, then damages the newest manifest.
fn restart_and_damage_the_newest_manifest(env: &Env, sim: &Sim, engine: Engine) {
    engine.close().unwrap();
    drop(engine);
    Engine::open(env, staging()).unwrap().close().unwrap();
    let report = outcrop_engine::check::check(env).unwrap();
    assert_eq!((report.problems, report.leftovers), (vec![], vec![]));
    let manifests = env.disk.list("manifest").unwrap();
    assert_eq!(manifests.len(), 2);
    sim.corrupt(&manifests[1].name, |bytes| bytes[70] ^= 1).unwrap();
}

#[test]
fn p7_after_a_restart_the_older_manifest_still_finds_the_victims_of_a_large_delete() {
    let (env, sim, engine, table) = open(51);
    write_rows(&engine, table, &rows(0..20_000, "a"), WriteMode::Upsert).unwrap();
    engine.checkpoint().unwrap();
    let snapshot = engine.snapshot();
    let ids: Vec<i64> = (0..19_990).collect();
    let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
    write.delete(&find(&snapshot, table, &ids)).unwrap();
    drop(snapshot);
    assert_eq!(write.commit().wait().unwrap().deleted, 19_990);
    insert(&engine, table, &[row(5, "b")]).unwrap();
    engine.checkpoint().unwrap();
    assert_eq!(env.disk.list("staged").unwrap().len(), 1);
    let before = pairs(&engine.snapshot(), table);
    restart_and_damage_the_newest_manifest(&env, &sim, engine);
    let engine = Engine::open(&env, staging()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), before);
    // Nobody keeps it longer than needed.
    for id in 6..9 {
        insert(&engine, table, &[row(id, "b")]).unwrap();
        engine.flush(None).unwrap();
    }
    assert_eq!(env.disk.list("staged").unwrap(), []);
}

#[test]
fn p7_after_a_restart_the_older_manifest_still_finds_segments_that_were_truncated_since() {
    let (env, sim, engine, table) = open(52);
    insert(&engine, table, &[row(1, "a")]).unwrap();
    engine.flush(None).unwrap();
    engine.checkpoint().unwrap();
    write_rows(&engine, table, &rows(10..500, "staged"), WriteMode::Upsert).unwrap();
    engine.ddl(Ddl::Truncate(vec![TableName::new("commons", "t")])).wait().unwrap();
    insert(&engine, table, &[row(2, "b")]).unwrap();
    engine.checkpoint().unwrap();
    let before = pairs(&engine.snapshot(), table);
    restart_and_damage_the_newest_manifest(&env, &sim, engine);
    let engine = Engine::open(&env, staging()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), before);
}

#[test]
fn p7_a_damaged_or_missing_victims_file_is_named() {
    let (env, sim, engine, table) = open(53);
    write_rows(&engine, table, &rows(0..17_000, "a"), WriteMode::Upsert).unwrap();
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
    write.delete(&find(&snapshot, table, &(0..16_990).collect::<Vec<_>>())).unwrap();
    write.commit().wait().unwrap();
    let file = env.disk.list("staged").unwrap().remove(0);
    let image = sim.image();
    let length = usize::try_from(file.len).unwrap();
    for damage in [0, 30, 80, length / 2, length - 1] {
        let (env, sim) = Sim::from_image(&image, 1);
        sim.corrupt(&file.name, |bytes| bytes[damage] ^= 1).unwrap();
        let error = Engine::open(&env, staging()).unwrap_err();
        assert_eq!(error.condition(), Condition::DataCorrupted, "byte {damage}: {error}");
        assert!(error.message().contains(file.name.as_str()), "{error}");
        assert!(!outcrop_engine::check::check(&env).unwrap().problems.is_empty());
    }
    for length in [0, 20, length - 1] {
        let (env, sim) = Sim::from_image(&image, 1);
        sim.corrupt(&file.name, |bytes| bytes.truncate(length)).unwrap();
        let error = Engine::open(&env, staging()).unwrap_err();
        assert_eq!(error.condition(), Condition::DataCorrupted, "{length} bytes: {error}");
    }
    let (env, _sim) = Sim::from_image(&image, 1);
    env.disk.remove(&file.name).unwrap();
    let error = Engine::open(&env, staging()).unwrap_err();
    assert_eq!(error.condition(), Condition::DataCorrupted, "{error}");
    assert!(error.message().contains(file.name.as_str()), "{error}");
}

/// The end of the log is compared with the manifest before anything is written there.
#[test]
fn p7_a_log_that_ends_before_the_checkpoint_is_left_as_it_is() {
    let (_env, sim, engine, table) = open(54);
    insert(&engine, table, &[row(1, "a")]).unwrap();
    let mut options = staging();
    options.commit_inline_bytes_max = 1 << 20;
    drop(engine);
    let engine = Engine::open(&sim.env(), options.clone()).unwrap();
    // One group of several pages.
    insert(&engine, table, &[row(2, &"rotten ".repeat(2_000))]).unwrap();
    engine.checkpoint().unwrap();
    drop(engine);
    let env = sim.kill();
    let log = env.disk.list("log").unwrap().remove(0).name;
    sim.corrupt(&log, |bytes| {
        let last = bytes.windows(6).rposition(|window| window == b"rotten").unwrap();
        bytes[last] ^= 1;
        // Whatever was written behind it never reached the disk.
        bytes[(last / 4096 + 1) * 4096..].fill(0);
    })
    .unwrap();
    let before = sim.image().files;
    let error = Engine::open(&env, options).unwrap_err();
    assert_eq!(error.condition(), Condition::DataCorrupted, "{error}");
    for (name, bytes) in before.into_iter().filter(|(name, _)| name.as_str() != "LOCK") {
        assert!(sim.image().files.get(&name) == Some(&bytes), "{name} was changed");
    }
}

/// After a clean close even the last group is known to have been durable, so that its loss is noticed.
#[test]
fn p7_damage_of_the_last_commit_before_a_clean_close_is_noticed() {
    let (env, sim, engine, table) = open(55);
    insert(&engine, table, &[row(1, "a")]).unwrap();
    engine.checkpoint().unwrap();
    insert(&engine, table, &[row(2, "the last one")]).unwrap();
    // As if the last checkpoint had been impossible.
    sim.fail_always(OperationClass::Create, 0, FaultKind::StorageFull);
    assert_eq!(engine.close().unwrap_err().condition(), Condition::DiskFull);
    drop(engine);
    for image in sim.legal_images(10) {
        let (env, sim) = Sim::from_image(&image, 1);
        let log = env.disk.list("log").unwrap().remove(0).name;
        sim.corrupt(&log, |bytes| {
            let last = bytes.windows(12).rposition(|window| window == b"the last one").unwrap();
            bytes[last] ^= 1;
        })
        .unwrap();
        let error = Engine::open(&env, staging()).unwrap_err();
        assert_eq!(error.condition(), Condition::DataCorrupted, "{error}");
    }
    drop(env);
}

/// The order of commits never asks the wall clock, and its own clock never goes back (F3).
#[test]
fn a_wall_clock_that_jumps_changes_no_order() {
    let (env, sim, engine, table) = open(56);
    let mut last = engine.snapshot().commit_seq();
    for (id, jump) in [(1, -3_600_000_000_i64), (2, 86_400_000_000), (3, -172_800_000_000), (4, 1)] {
        sim.jump_wall_us(jump);
        let seq = write_rows(&engine, table, &[row(id, "a")], WriteMode::Insert(OnConflict::Error)).unwrap().seq;
        assert!(seq > last);
        last = seq;
        engine.flush(None).unwrap();
        sim.run_until_idle(1_000);
    }
    drop(engine);
    sim.jump_wall_us(-999_999_999_999);
    let env_after = sim.crash();
    drop(env);
    let engine = Engine::open(&env_after, staging()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table).len(), 4);
    assert!(insert(&engine, table, &[row(5, "a")]).unwrap().seq > last);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(outcrop_engine::check::check(&env_after).unwrap().problems, []);
}

/// P8: the names of the first files may be lost when the sync of their directory fails; the next start must not trust them.
#[test]
fn p8_a_creation_that_met_a_failed_sync_is_done_again() {
    for seed in 0..12 {
        for nth in 0..6 {
            let (env, sim) = Env::simulated(seed);
            sim.fail_once(OperationClass::SyncDir, nth, FaultKind::Io);
            drop(Engine::open(&env, staging()));
            sim.clear_faults();
            let engine = Engine::open(&sim.kill(), staging()).unwrap();
            let table = create(&engine, keyed("t"));
            insert(&engine, table, &[row(1, "a")]).unwrap();
            for image in sim.legal_images(8) {
                let (env, _sim) = Sim::from_image(&image, 1);
                let engine = Engine::open(&env, staging()).unwrap_or_else(|error| panic!("{nth}: {error}"));
                assert_eq!(pairs(&engine.snapshot(), table), [(1, "a".to_owned())]);
            }
        }
    }
}

/// What `serve` does when it is told to stop: the next start applies nothing, and opens no data of a segment.
#[test]
fn a_clean_stop_leaves_nothing_to_replay_and_a_start_opens_no_data() {
    let (env, sim, engine, table) = open(59);
    for round in 0..4 {
        upsert(&engine, table, &rows(round * 10..round * 10 + 20, "a")).unwrap();
        engine.flush(None).unwrap();
    }
    write_rows(&engine, table, &rows(100..400, "staged"), WriteMode::Upsert).unwrap();
    upsert(&engine, table, &rows(0..5, "b")).unwrap();
    delete_keys(&engine, table, &[vec![outcrop_types::Value::Int(7)]]).unwrap();
    let before = pairs(&engine.snapshot(), table);
    engine.close().unwrap();
    drop(engine);
    // A stop without a flush: the rows in memory are replayed.
    let engine = Engine::open(&env, staging()).unwrap();
    assert!(engine.status().replayed_records > 0);
    engine.flush(None).unwrap();
    engine.close().unwrap();
    drop(engine);
    let env = sim.kill();
    let already = sim.trace().len();
    let engine = Engine::open(&env, staging()).unwrap();
    assert_eq!(engine.status().replayed_records, 0);
    let touched: Vec<_> = sim.trace()[already..]
        .iter()
        .filter(|operation| matches!(operation.class, OperationClass::Open | OperationClass::Read))
        .filter(|operation| [".vortex", ".meta"].iter().any(|suffix| operation.name.ends_with(suffix)))
        .cloned()
        .collect();
    assert_eq!(touched, []);
    assert_eq!(pairs(&engine.snapshot(), table), before);
    assert!(sim.trace()[already..].iter().any(|operation| operation.name.ends_with(".vortex")), "reads are traced");
}
