//! Failing disks, full disks, full memory (W8, W9).

use std::time::Duration;

use outcrop_engine::{Ddl, Engine, OnConflict, WriteMode};
use outcrop_env::{Env, FaultKind, OperationClass, Sim};
use outcrop_types::{Condition, TableName, Value};

use crate::support::*;

#[test]
fn a_failed_sync_poisons_writes_and_leaves_reads() {
    let (env, sim) = Env::simulated(21);
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &[row(1, "one")]).unwrap();
    let snapshot = engine.snapshot();
    let write = |rows: &[outcrop_testkit::Row]| {
        let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
        write.insert(batch(&snapshot, table, rows)).unwrap();
        write.commit()
    };
    let first = write(&[row(2, "two")]);
    // This refusal depends on the commit that will fail (W3).
    let dependent = write(&[row(2, "again")]);
    sim.fail_once(OperationClass::Sync, 0, FaultKind::Io);
    assert_eq!(first.wait().unwrap_err().condition(), Condition::Poisoned);
    assert_eq!(dependent.wait().unwrap_err().condition(), Condition::Poisoned);
    let refused = engine.write(&engine.snapshot(), table, WriteMode::Upsert).unwrap_err();
    assert_eq!(refused.condition(), Condition::Poisoned);
    assert_eq!(engine.ddl(Ddl::CreateSchema("s".into())).wait().unwrap_err().condition(), Condition::Poisoned);
    assert_eq!(engine.flush(None).unwrap_err().condition(), Condition::Poisoned);
    assert!(engine.status().poisoned.is_some());
    assert_eq!(pairs(&engine.snapshot(), table), [(1, "one".to_owned())]);
    drop(engine);
    // The process is started again, the machine is not: what the start shows must survive a power cut, though no sync of
    // it succeeded so far.
    let engine = Engine::open(&sim.kill(), roomy()).unwrap();
    let mut found = pairs(&engine.snapshot(), table);
    assert!(found.len() <= 2 && found[0] == (1, "one".to_owned()));
    insert(&engine, table, &[row(3, "three")]).unwrap();
    found.push((3, "three".to_owned()));
    for image in sim.legal_images(30) {
        let engine = Engine::open(&Sim::from_image(&image, 1).0, roomy()).unwrap();
        assert_eq!(pairs(&engine.snapshot(), table), found);
    }
}

#[test]
fn a_full_disk_refuses_inserts_and_lets_deletes_pass_until_there_is_room() {
    let (env, sim) = Env::simulated(22);
    let mut options = roomy();
    options.log_file_bytes = 256 << 10;
    let engine = Engine::open(&env, options.clone()).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &rows(0..20, "a")).unwrap();
    sim.run_until_idle(1_000);
    sim.set_capacity(Some(sim.used()));
    let mut id = 100;
    let error = loop {
        match insert(&engine, table, &[row(id, &"x".repeat(2_000))]) {
            Ok(_) => id += 1,
            Err(error) => break error,
        }
        assert!(id < 2_000, "the disk is never full");
    };
    assert_eq!(error.condition(), Condition::DiskFull);
    assert_eq!(engine.status().poisoned, None);
    assert_eq!(pairs(&engine.snapshot(), table).len(), 20 + usize::try_from(id - 100).unwrap());
    // Deletes, DROP and TRUNCATE work from the reserve.
    assert_eq!(delete_keys(&engine, table, &[vec![Value::Int(1)], vec![Value::Int(2)]]).unwrap().deleted, 2);
    engine.ddl(Ddl::Truncate(vec![TableName::new("commons", "t")])).wait().unwrap();
    assert_eq!(engine.flush(None).map_err(|error| error.condition()), Ok(()));
    // Room again: writes go on without restart.
    sim.set_capacity(None);
    insert(&engine, table, &[row(1, "one")]).unwrap();
    drop(engine);
    let engine = Engine::open(&sim.crash(), options).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), [(1, "one".to_owned())]);
}

#[test]
fn a_flush_that_finds_the_disk_full_is_tried_again() {
    let (env, sim) = Env::simulated(23);
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &rows(0..1_000, "value")).unwrap();
    sim.run_until_idle(1_000);
    sim.set_capacity(Some(sim.used()));
    assert_eq!(engine.flush(None).unwrap_err().condition(), Condition::DiskFull);
    assert_eq!(pairs(&engine.snapshot(), table).len(), 1_000);
    assert_eq!(engine.status().segments, 0);
    sim.set_capacity(None);
    engine.flush(None).unwrap();
    assert_eq!((engine.status().segments, engine.status().memtable_bytes), (1, 0));
    assert_eq!(pairs(&engine.snapshot(), table).len(), 1_000);
    // Nothing is left of the attempts.
    assert_eq!(env.disk.list("segments").unwrap().len(), 3);
}

#[test]
fn writes_stall_and_are_refused_when_memory_is_full_and_go_on_when_it_is_not() {
    let (env, sim) = Env::simulated(24);
    let mut options = roomy();
    options.memtable_bytes_max = 100_000;
    options.stall_max = Duration::from_millis(50);
    let engine = Engine::open(&env, options).unwrap();
    let table = create(&engine, keyed("t"));
    // Segments cannot be written, the log can.
    sim.fail_always(OperationClass::Create, 0, FaultKind::StorageFull);
    let mut id = 0;
    let error = loop {
        match insert(&engine, table, &[row(id, &"x".repeat(2_000))]) {
            Ok(_) => id += 1,
            Err(error) => break error,
        }
        assert!(id < 200, "memory is never full");
    };
    assert_eq!(error.condition(), Condition::DiskFull, "{error}");
    assert_eq!(engine.status().stall_reason, Some("disk full"));
    delete_keys(&engine, table, &[vec![Value::Int(0)]]).unwrap();
    sim.clear_faults();
    insert(&engine, table, &[row(id, "x")]).unwrap_or_else(|error| {
        // The next flush is due a second after the failed one.
        assert_eq!(error.condition(), Condition::DiskFull);
        engine.flush(None).unwrap();
        insert(&engine, table, &[row(id, "x")]).unwrap()
    });
    assert_eq!(pairs(&engine.snapshot(), table).len(), usize::try_from(id).unwrap());
}

#[test]
fn a_snapshot_that_is_held_too_long_cannot_be_read_and_its_files_go() {
    let (env, sim) = Env::simulated(52);
    let mut options = roomy();
    options.snapshot_age_max = Duration::from_secs(60);
    let engine = Engine::open(&env, options).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &rows(0..20, "a")).unwrap();
    engine.flush(None).unwrap();
    let old = engine.snapshot();
    let rows_of_old = old.table(table).unwrap();
    upsert(&engine, table, &rows(0..20, "b")).unwrap();
    engine.flush(None).unwrap();
    engine.compact().unwrap();
    sim.advance(Duration::from_secs(59));
    assert_eq!(pairs(&old, table)[0], (0, "a".to_owned()));
    let address = find(&old, table, &[3]);
    sim.advance(Duration::from_secs(1));
    let morsel = rows_of_old.morsels(100).remove(0);
    let refused = [
        rows_of_old.scan(&morsel, &[], None).map(drop),
        rows_of_old.fetch(&address, &[]).map(drop),
        rows_of_old.lookup(&key_batch(&old, table, &[vec![Value::Int(3)]])).map(drop),
    ];
    for outcome in refused {
        let error = outcome.unwrap_err();
        assert_eq!(error.condition(), Condition::SnapshotTooOld);
        assert!(error.hint().unwrap().contains("snapshot_age_max"), "{error:?}");
    }
    // A statement that writes may have begun before; new readers, flushes and compactions go on.
    let mut write = engine.write(&old, table, WriteMode::Change(None)).unwrap();
    write.delete(&address).unwrap();
    write.commit().wait().unwrap();
    assert_eq!(pairs(&engine.snapshot(), table)[0], (0, "b".to_owned()));
    sim.advance(Duration::from_secs(10));
    sim.run_until_idle(1_000);
    let files =
        || env.disk.list("segments").unwrap().iter().filter(|file| file.name.base().ends_with(".vortex")).count();
    assert_eq!(files(), 2, "who holds it keeps its file");
    drop((old, rows_of_old));
    sim.advance(Duration::from_secs(10));
    sim.run_until_idle(1_000);
    assert_eq!(files(), 1);
}

#[test]
fn check_finds_a_sound_directory_sound_and_a_damaged_one_damaged() {
    let (env, sim) = Env::simulated(25);
    let engine = Engine::open(&env, tiny()).unwrap();
    let table = create(&engine, keyed("t"));
    for id in 0..200 {
        upsert(&engine, table, &[row(id % 90, "value")]).unwrap();
    }
    assert_eq!(outcrop_engine::check::check(&env).unwrap_err().condition(), Condition::ObjectInUse);
    engine.close().unwrap();
    drop(engine);
    let report = outcrop_engine::check::check(&env).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!((report.tables, report.rows), (1, 90));
    assert!(report.segments > 0 && report.leftovers.is_empty());

    for file in env.disk.list("segments").unwrap() {
        sim.corrupt(&file.name, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
        })
        .unwrap();
        let report = outcrop_engine::check::check(&env).unwrap();
        assert!(!report.problems.is_empty(), "{} was changed", file.name);
        sim.corrupt(&file.name, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
        })
        .unwrap();
    }
    let newest = env.disk.list("manifest").unwrap().pop().unwrap();
    sim.corrupt(&newest.name, |bytes| bytes[70] ^= 1).unwrap();
    assert!(!outcrop_engine::check::check(&env).unwrap().problems.is_empty());
    // The manifest before it and the log still give everything.
    let engine = Engine::open(&env, tiny()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table).len(), 90);
}

/// The record of a staged statement is admitted with everything in it, before the statement has its place in the log.
#[test]
fn a_full_disk_refuses_a_staged_statement_whose_record_does_not_fit() {
    const ROWS: i64 = 12_000;
    let (env, sim) = Env::simulated(26);
    let mut options = roomy();
    options.log_file_bytes = 256 << 10;
    options.commit_inline_bytes_max = 2_000;
    let engine = Engine::open(&env, options.clone()).unwrap();
    let table = create(&engine, keyed("t"));
    write_rows(&engine, table, &rows(0..ROWS, "a"), WriteMode::Upsert).unwrap();
    engine.flush(None).unwrap();
    sim.run_until_idle(1_000);
    // Only log files are filled with zeros.
    sim.fail_always(OperationClass::ZeroFill, 0, FaultKind::StorageFull);
    let mut id = ROWS;
    let error = loop {
        match insert(&engine, table, &[row(id, &"x".repeat(1_000))]) {
            Ok(_) => id += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.condition(), Condition::DiskFull);
    let snapshot = engine.snapshot();
    // In an order in which addresses do not compress.
    let ids: Vec<i64> = (0..ROWS).map(|position| position * 7_001 % ROWS).collect();
    let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
    write.delete(&find(&snapshot, table, &ids)).unwrap();
    let outcome = write.commit().wait();
    assert_eq!(engine.status().poisoned, None);
    assert_eq!(outcome.unwrap_err().condition(), Condition::DiskFull);
    sim.clear_faults();
    let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
    write.delete(&find(&snapshot, table, &ids)).unwrap();
    assert_eq!(write.commit().wait().unwrap().deleted, 12_000);
    insert(&engine, table, &[row(0, "again")]).unwrap();
}

#[test]
fn recovered_rows_are_flushed_when_they_are_old() {
    let (env, sim) = Env::simulated(26);
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &rows(0..10, "a")).unwrap();
    drop(engine);
    let engine = Engine::open(&sim.crash(), roomy()).unwrap();
    sim.run_until_idle(1_000);
    assert_eq!(engine.status().segments, 0);
    // Longer than `flush_age_max`, in which nobody writes.
    for _ in 0..130 {
        sim.advance(Duration::from_secs(5));
        sim.run_until_idle(1_000);
    }
    assert_eq!((engine.status().segments, engine.status().memtable_bytes), (1, 0));
    assert_eq!(pairs(&engine.snapshot(), table).len(), 10);
}

#[test]
fn a_close_ends_a_running_flush_and_poisons_nothing() {
    let mut closed_with_a_half_written_segment = 0;
    for steps in 0..12 {
        let (env, sim) = Env::simulated(27);
        let mut options = roomy();
        options.flush_rows_max = 100;
        let engine = Engine::open(&env, options.clone()).unwrap();
        let table = create(&engine, keyed("t"));
        insert(&engine, table, &rows(0..100, "a")).unwrap();
        // The flush begins when its rows are synced, which it looks for now and then.
        sim.run_until_idle(1_000);
        sim.advance(Duration::from_millis(5));
        sim.run_until_idle(steps);
        let temporary = |file: &outcrop_env::DirEntry| file.name.base().ends_with("tmp");
        closed_with_a_half_written_segment += usize::from(env.disk.list("segments").unwrap().iter().any(temporary));
        engine.close().unwrap();
        assert_eq!(engine.status().poisoned, None, "after {steps} steps");
        drop(engine);
        let engine = Engine::open(&env, options).unwrap();
        assert_eq!(pairs(&engine.snapshot(), table).len(), 100);
    }
    assert!(closed_with_a_half_written_segment > 0);
}

/// P12: as many segments as there are, only a few files are open.
#[test]
fn p12_a_database_of_many_segments_needs_few_open_files() {
    const TABLES: usize = 50;
    let (env, sim) = Env::simulated(27);
    let mut options = roomy();
    options.open_files_max = 8;
    sim.set_handles_max(Some(24));
    let engine = Engine::open(&env, options.clone()).unwrap();
    let tables: Vec<_> = (0..TABLES).map(|number| create(&engine, keyed(&format!("t{number}")))).collect();
    for table in &tables {
        insert(&engine, *table, &rows(0..20, "a")).unwrap();
        engine.flush(Some(*table)).unwrap();
    }
    let check = |engine: &Engine| {
        let snapshot = engine.snapshot();
        for table in &tables {
            assert_eq!(scan(&snapshot, *table).len(), 20);
            check_keys(&snapshot, *table);
        }
        assert_eq!((engine.status().segments, engine.status().poisoned), (TABLES as u64, None));
        // Eight of segments, and those of the log.
        assert!(sim.handles() <= 8 + 4, "{} files are open", sim.handles());
    };
    check(&engine);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(sim.handles(), 0, "everything is closed");
    let engine = Engine::open(&env, options).unwrap();
    check(&engine);
    upsert(&engine, tables[7], &rows(10..30, "b")).unwrap();
    engine.flush(None).unwrap();
}

/// P9, P12: what fails for want of open files is tried again, or refused; nothing stops for good.
#[test]
fn p12_a_lack_of_open_files_refuses_and_does_not_poison() {
    let (env, sim) = Env::simulated(28);
    let mut options = roomy();
    options.commit_inline_bytes_max = 2_000;
    let engine = Engine::open(&env, options).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &rows(0..20, "a")).unwrap();
    sim.run_until_idle(1_000);
    let used = sim.handles();
    for spare in 0..4 {
        // Others of the process take the rest.
        sim.set_handles_max(Some(used + spare));
        let refused = [
            engine.flush(None).map(drop),
            write_rows(&engine, table, &rows(100..400, "staged"), WriteMode::Upsert).map(drop),
            engine.checkpoint(),
        ];
        for outcome in refused {
            let allowed = |error: outcrop_types::Error| {
                assert_eq!(error.condition(), Condition::InsufficientResources, "{spare}: {error}");
            };
            outcome.unwrap_or_else(allowed);
        }
        assert_eq!(engine.status().poisoned, None, "{spare} more files");
        upsert(&engine, table, &[row(i64::try_from(spare).unwrap(), "b")]).unwrap();
        assert!(pairs(&engine.snapshot(), table).len() >= 20);
    }
    sim.set_handles_max(None);
    engine.flush(None).unwrap();
    write_rows(&engine, table, &rows(100..400, "staged"), WriteMode::Upsert).unwrap();
    let before = pairs(&engine.snapshot(), table);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(outcrop_engine::check::check(&env).unwrap().problems, []);
    let engine = Engine::open(&sim.crash(), roomy()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), before);
}

/// P9: a start on a full disk shows everything.
#[test]
fn p9_a_database_opens_on_a_full_disk() {
    let (env, sim) = Env::simulated(29);
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &rows(0..20, "a")).unwrap();
    engine.flush(None).unwrap();
    insert(&engine, table, &rows(20..30, "b")).unwrap();
    drop(engine);
    let env = sim.kill();
    sim.set_capacity(Some(sim.used()));
    let engine = Engine::open(&env, roomy()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table).len(), 30);
    delete_keys(&engine, table, &[vec![Value::Int(3)]]).unwrap();
    assert_eq!(engine.status().poisoned, None);
}

/// W9: a DELETE above the limit of inline victims works from the reserve too, as far as it reaches.
#[test]
fn p9_a_large_delete_passes_on_a_full_disk() {
    let (env, sim) = Env::simulated(30);
    let mut options = roomy();
    options.log_file_bytes = 4 << 20;
    options.commit_inline_bytes_max = 2_000;
    let engine = Engine::open(&env, options.clone()).unwrap();
    let table = create(&engine, keyed("t"));
    write_rows(&engine, table, &rows(0..40_000, "a"), WriteMode::Upsert).unwrap();
    sim.run_until_idle(1_000);
    sim.set_capacity(Some(sim.used()));
    let delete = |ids: std::ops::Range<i64>| {
        let snapshot = engine.snapshot();
        let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
        write.delete(&find(&snapshot, table, &ids.collect::<Vec<_>>())).unwrap();
        write.commit().wait()
    };
    // The reserve is an eighth of a log file: 32,768 victims.
    let error = delete(0..33_000).unwrap_err();
    assert_eq!(error.condition(), Condition::DiskFull);
    assert!(error.hint().unwrap().contains("at most 32768 rows"), "{error:?}");
    assert_eq!(delete(0..20_000).unwrap().deleted, 20_000);
    assert_eq!(env.disk.list("staged").unwrap(), []);
    assert_eq!((engine.status().poisoned, engine.status().live_rows), (None, 20_000));
    drop(engine);
    let engine = Engine::open(&sim.crash(), options).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table).len(), 20_000);
}
