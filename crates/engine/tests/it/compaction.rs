//! Compaction through the public interface: what it merges, what it keeps, what it gives back.

use std::collections::BTreeMap;
use std::time::Duration;

use outcrop_engine::{Ddl, Engine, EngineOptions, ScanColumn, Snapshot};
use outcrop_env::{Env, FaultKind, OperationClass, Sim};
use outcrop_types::{TableId, TableName, Value};

use crate::support::*;

fn quiet() -> EngineOptions {
    let mut options = roomy();
    options.compaction_in_background = false;
    options
}

fn open(seed: u64, options: EngineOptions) -> (Env, Sim, Engine, TableId) {
    let (env, sim) = Env::simulated(seed);
    let engine = Engine::open(&env, options).unwrap();
    let table = create(&engine, keyed("t"));
    (env, sim, engine, table)
}

/// Lets the workers run for a while in which nobody asks for anything.
fn let_time_pass(sim: &Sim) {
    for _ in 0..10 {
        sim.run_until_idle(10_000);
        sim.advance(Duration::from_secs(3));
    }
    sim.run_until_idle(10_000);
}

fn segment_files(env: &Env) -> usize {
    let files = env.disk.list("segments").unwrap();
    files.iter().filter(|file| file.name.base().ends_with("vortex")).count()
}

/// Commit of each row by id.
fn seqs(snapshot: &Snapshot, table: TableId) -> BTreeMap<i64, u64> {
    let view = snapshot.table(table).unwrap();
    let columns = [ScanColumn::Column(view.schema().columns[0].id), ScanColumn::CommitSeq];
    let mut seqs = BTreeMap::new();
    for morsel in view.morsels(8_192) {
        let scanned = view.scan(&morsel, &columns, None).unwrap();
        let ids = scanned.column(0).as_any().downcast_ref::<arrow_array::Int64Array>().unwrap().clone();
        let found = scanned.column(1).as_any().downcast_ref::<arrow_array::UInt64Array>().unwrap().clone();
        seqs.extend(ids.values().iter().copied().zip(found.values().iter().copied()));
    }
    seqs
}

#[test]
fn small_segments_become_one_with_all_their_rows_and_commits() {
    let mut options = roomy();
    options.commit_inline_bytes_max = 3_000;
    let (env, sim, engine, table) = open(51, options.clone());
    for start in 0..3 {
        for part in 0..5 {
            let first = start * 100 + part * 20;
            insert(&engine, table, &rows(first..first + 20, "a")).unwrap();
        }
        upsert(&engine, table, &[row(start, "b")]).unwrap();
        engine.flush(None).unwrap();
    }
    // One that was staged, whose rows have one commit that its file does not name.
    insert(&engine, table, &rows(1_000..1_400, "staged")).unwrap();
    let expected = (pairs(&engine.snapshot(), table), seqs(&engine.snapshot(), table));
    assert_eq!(expected.1.values().collect::<std::collections::BTreeSet<_>>().len(), 3 * 6 + 1);
    let_time_pass(&sim);
    let check = |engine: &Engine| {
        let snapshot = engine.snapshot();
        assert_eq!((engine.status().segments, engine.status().dead_rows), (1, 0));
        assert_eq!(engine.status().compaction_debt_bytes, 0);
        assert_eq!((pairs(&snapshot, table), seqs(&snapshot, table)), expected);
        check_keys(&snapshot, table);
    };
    check(&engine);
    assert!(engine.status().compactions >= 1 && engine.status().compacted_rows >= 700);
    assert_eq!(segment_files(&env), 1, "the inputs are gone from the disk");
    drop(engine);
    check(&Engine::open(&sim.crash(), options).unwrap());
}

#[test]
fn many_dead_rows_cause_a_rewrite_and_space_returns_with_the_last_reader() {
    let (env, sim, engine, table) = open(52, roomy());
    insert(&engine, table, &rows(0..1_000, "a")).unwrap();
    engine.flush(None).unwrap();
    let held = engine.snapshot();
    let keys: Vec<_> = (0..299).map(|id| vec![Value::Int(id)]).collect();
    delete_keys(&engine, table, &keys).unwrap();
    let_time_pass(&sim);
    assert_eq!((engine.status().compactions, engine.status().dead_rows), (0, 299), "not enough of them");
    delete_keys(&engine, table, &[vec![Value::Int(299)]]).unwrap();
    let_time_pass(&sim);
    assert_eq!((engine.status().compactions, engine.status().dead_rows), (1, 0));
    assert_eq!(engine.status().compacted_rows, 700);
    assert_eq!(segment_files(&env), 2, "a reader needs the old one");
    assert_eq!(pairs(&held, table).len(), 1_000);
    check_keys(&held, table);
    drop(held);
    let_time_pass(&sim);
    assert_eq!(segment_files(&env), 1);
    assert_eq!(pairs(&engine.snapshot(), table), (300..1_000).map(|id| (id, "a".to_owned())).collect::<Vec<_>>());
}

#[test]
fn a_segment_without_live_rows_goes_without_a_new_one() {
    let (env, sim, engine, table) = open(53, roomy());
    insert(&engine, table, &rows(0..100, "a")).unwrap();
    engine.flush(None).unwrap();
    upsert(&engine, table, &rows(0..100, "b")).unwrap();
    let_time_pass(&sim);
    assert_eq!((engine.status().segments, engine.status().compacted_rows), (0, 0));
    assert_eq!(segment_files(&env), 0);
    drop(engine);
    let engine = Engine::open(&sim.crash(), roomy()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table).len(), 100);
    check_keys(&engine.snapshot(), table);
}

#[test]
fn changes_at_any_moment_of_a_compaction_are_in_its_outcome() {
    for steps in 0..40 {
        let (_env, sim, engine, table) = open(54, roomy());
        for start in 0..4 {
            insert(&engine, table, &rows(start * 10..start * 10 + 10, "a")).unwrap();
            engine.flush(None).unwrap();
        }
        sim.run_until_idle(steps);
        let snapshot = engine.snapshot();
        let victims = find(&snapshot, table, &[3, 33]);
        sim.run_until_idle(3);
        upsert(&engine, table, &[row(1, "b"), row(21, "b")]).unwrap();
        delete_keys(&engine, table, &[vec![Value::Int(2)]]).unwrap();
        let mut write = engine.write(&snapshot, table, outcrop_engine::WriteMode::Change(None)).unwrap();
        write.update(&victims, batch(&snapshot, table, &[row(3, "c"), row(33, "c")])).unwrap();
        assert_eq!(write.commit().wait().unwrap().updated, 2, "after {steps} steps");
        engine.compact().unwrap();
        let mut expected: BTreeMap<i64, String> = (0..40).map(|id| (id, "a".to_owned())).collect();
        expected.remove(&2);
        expected.extend([1, 21].map(|id| (id, "b".to_owned())));
        expected.extend([3, 33].map(|id| (id, "c".to_owned())));
        assert_eq!(pairs(&engine.snapshot(), table), expected.into_iter().collect::<Vec<_>>(), "after {steps} steps");
        check_keys(&engine.snapshot(), table);
        assert_eq!(pairs(&snapshot, table).len(), 40);
        check_keys(&snapshot, table);
    }
}

#[test]
fn a_table_that_goes_at_any_moment_of_its_compaction_is_gone() {
    for steps in 0..40 {
        let (env, sim, engine, table) = open(55, roomy());
        for start in 0..4 {
            insert(&engine, table, &rows(start * 10..start * 10 + 10, "a")).unwrap();
            engine.flush(None).unwrap();
        }
        sim.run_until_idle(steps);
        let name = TableName::new("commons", "t");
        let change = if steps % 2 == 0 { Ddl::DropTable(name) } else { Ddl::Truncate(vec![name]) };
        engine.ddl(change).wait().unwrap();
        let_time_pass(&sim);
        assert_eq!(engine.status().poisoned, None);
        assert_eq!((engine.status().live_rows, segment_files(&env)), (0, 0), "after {steps} steps");
        assert!(engine.snapshot().table(table).is_none_or(|table| table.live_rows() == 0));
        engine.close().unwrap();
        drop(engine);
        let report = outcrop_engine::check::check(&env).unwrap();
        assert_eq!((report.problems.len(), report.leftovers), (0, Vec::new()), "after {steps} steps");
    }
}

#[test]
fn a_close_at_any_moment_of_a_compaction_poisons_nothing() {
    for steps in 0..30 {
        let (env, sim, engine, table) = open(56, roomy());
        for start in 0..4 {
            insert(&engine, table, &rows(start * 10..start * 10 + 10, "a")).unwrap();
            engine.flush(None).unwrap();
        }
        sim.run_until_idle(steps);
        engine.close().unwrap();
        assert_eq!(engine.status().poisoned, None);
        drop(engine);
        assert_eq!(outcrop_engine::check::check(&env).unwrap().problems, []);
        let engine = Engine::open(&env, roomy()).unwrap();
        assert_eq!(pairs(&engine.snapshot(), table).len(), 40);
    }
}

#[test]
fn a_full_disk_leaves_the_segments_as_they_are() {
    let (env, sim, engine, table) = open(57, quiet());
    for start in 0..4 {
        insert(&engine, table, &rows(start * 500..start * 500 + 500, "some text")).unwrap();
        engine.flush(None).unwrap();
    }
    sim.run_until_idle(10_000);
    sim.fail_always(OperationClass::Create, 0, FaultKind::StorageFull);
    assert_eq!(engine.compact().unwrap_err().condition(), outcrop_types::Condition::DiskFull);
    assert_eq!((engine.status().segments, engine.status().poisoned), (4, None));
    delete_keys(&engine, table, &[vec![Value::Int(7)]]).unwrap();
    sim.clear_faults();
    engine.compact().unwrap();
    assert_eq!((engine.status().segments, engine.status().dead_rows), (1, 0));
    assert_eq!(pairs(&engine.snapshot(), table).len(), 1_999);
    let_time_pass(&sim);
    assert_eq!(segment_files(&env), 1);
}

#[test]
fn a_damaged_segment_is_left_alone_and_others_go_on() {
    let (env, sim, engine, table) = open(58, quiet());
    let other = create(&engine, keyed("other"));
    for start in 0..3 {
        insert(&engine, table, &rows(start * 10..start * 10 + 10, "a")).unwrap();
        insert(&engine, other, &rows(start * 10..start * 10 + 10, "a")).unwrap();
        engine.flush(None).unwrap();
    }
    engine.close().unwrap();
    drop(engine);
    // A data file of the first table, so that nothing of it is in a cache.
    let first =
        env.disk.list("segments").unwrap().into_iter().find(|file| file.name.base().ends_with("vortex")).unwrap();
    sim.corrupt(&first.name, |bytes| bytes.iter_mut().skip(8).step_by(64).for_each(|byte| *byte ^= 0x10)).unwrap();
    let engine = Engine::open(&env, quiet()).unwrap();
    engine.compact().unwrap();
    assert_eq!(engine.status().poisoned, None);
    // The damaged one cannot be told from its neighbours before it is read, so those of the same job stay too.
    assert!(engine.status().segments >= 2, "{:?}", engine.status());
    let sound = [table, other].into_iter().filter(|id| try_scan(&engine.snapshot(), *id).is_ok()).count();
    assert_eq!(sound, 1);
    insert(&engine, table, &[row(1_000, "new")]).unwrap();
}
