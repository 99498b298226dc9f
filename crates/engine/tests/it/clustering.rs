//! Tables with a sort key: what is written is sorted, and segments come apart.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outcrop_engine::{Engine, EngineOptions, NewTable, Snapshot, WriteMode};
use outcrop_env::{Env, Sim};
use outcrop_testkit::Row;
use outcrop_types::{ColumnId, CompareOp, DataType, Predicate, TableId, Value};

use crate::support::*;

/// A table of an id and a number by which its rows are sorted, or not.
fn clustered(sorted: bool) -> NewTable {
    let mut table = keyed("t");
    table.columns.insert(1, column("rank", DataType::Int8, true));
    if sorted {
        table.options.sort_key = vec![ColumnId::new(2)];
    }
    table
}

/// The number of a row: any, but always the same.
fn rank(id: i64) -> i64 {
    id * 7_919 % 65_536
}

fn ranked(ids: impl Iterator<Item = i64>, value: &str) -> Vec<Row> {
    ids.map(|id| vec![Value::Int(id), Value::Int(rank(id)), Value::Text(value.to_owned())]).collect()
}

fn quiet() -> EngineOptions {
    let mut options = roomy();
    options.compaction_in_background = false;
    options
}

fn open(seed: u64, options: &EngineOptions, sorted: bool) -> (Sim, Engine, TableId) {
    let (env, sim) = Env::simulated(seed);
    let engine = Engine::open(&env, options.clone()).unwrap();
    let table = create(&engine, clustered(sorted));
    (sim, engine, table)
}

/// Rows of one key each, in several segments.
fn load(engine: &Engine, table: TableId, segments: i64, rows: i64) {
    for segment in 0..segments {
        upsert(engine, table, &ranked((segment * rows)..(segment + 1) * rows, "a")).unwrap();
        engine.flush(None).unwrap();
    }
}

fn between(low: i64, high: i64) -> Predicate {
    let rank = ColumnId::new(2);
    Predicate::And(vec![
        Predicate::Compare(rank, CompareOp::GreaterOrEqual, Value::Int(low)),
        Predicate::Compare(rank, CompareOp::Less, Value::Int(high)),
    ])
}

/// Blocks that a scan of these ranks reads, of how many, and in how many segments.
fn blocks_read(snapshot: &Snapshot, table: TableId, low: i64, high: i64) -> (usize, usize, usize) {
    let view = snapshot.table(table).unwrap();
    let morsels = view.morsels(8_192);
    let read: Vec<_> = morsels.iter().filter(|morsel| view.may_match(morsel, &between(low, high))).collect();
    let units: BTreeSet<_> = read.iter().map(|morsel| morsel.unit).collect();
    (read.len(), morsels.len(), units.len())
}

/// Whether the ranks of each unit ascend.
fn is_sorted(snapshot: &Snapshot, table: TableId) -> bool {
    let mut last = BTreeMap::new();
    try_scan(snapshot, table).unwrap().into_iter().all(|(address, row)| {
        let Value::Int(rank) = row[1] else { panic!("{row:?}") };
        last.insert(address.unit, rank).is_none_or(|before| before <= rank)
    })
}

#[test]
fn zone_maps_of_a_sorted_table_leave_few_blocks_to_read() {
    let [before, after] = [false, true].map(|sorted| {
        let (_sim, engine, table) = open(61, &quiet(), sorted);
        load(&engine, table, 2, 16_384);
        engine.compact().unwrap();
        let snapshot = engine.snapshot();
        assert_eq!(is_sorted(&snapshot, table), sorted);
        check_keys(&snapshot, table);
        assert_eq!(engine.status().segments, 1);
        (0..20).map(|step| blocks_read(&snapshot, table, step * 3_000, step * 3_000 + 50)).collect::<Vec<_>>()
    });
    assert!(before.iter().all(|(read, all, _)| (*read, *all) == (4, 4)), "{before:?}");
    assert!(after.iter().all(|(read, all, _)| *read <= 2 && *all == 4), "{after:?}");
    assert!(after.iter().filter(|(read, ..)| *read == 1).count() >= 17, "{after:?}");
}

#[test]
fn segments_that_overlap_are_made_ones_that_do_not() {
    let mut options = quiet();
    // Segments of a few thousand rows, and memory to sort the rows of two or three of them.
    options.compaction_bytes_target = 30_000;
    options.compaction_memory_bytes = 56 * 9_000;
    let (sim, engine, table) = open(62, &options, true);
    load(&engine, table, 6, 4_000);
    let read = |engine: &Engine, low| blocks_read(&engine.snapshot(), table, low, low + 1).2;
    assert_eq!(read(&engine, 30_000), 6, "flushes are sorted, and each has all ranks");
    assert!(is_sorted(&engine.snapshot(), table));
    let held = engine.snapshot();
    engine.compact().unwrap();
    for low in (0..65_000).step_by(997) {
        assert!(read(&engine, low) <= 1, "{} segments have rank {low}", read(&engine, low));
    }
    assert!(engine.status().segments >= 3, "{:?}", engine.status());
    assert!(is_sorted(&engine.snapshot(), table));
    let compactions = engine.status().compactions;
    engine.compact().unwrap();
    assert_eq!(engine.status().compactions, compactions, "there is nothing left to do");
    for snapshot in [&held, &engine.snapshot()] {
        assert_eq!(try_scan(snapshot, table).unwrap().len(), 24_000);
        check_keys(snapshot, table);
    }
    drop((held, engine));
    let engine = Engine::open(&sim.crash(), options).unwrap();
    assert_eq!(try_scan(&engine.snapshot(), table).unwrap().len(), 24_000);
    check_keys(&engine.snapshot(), table);
    drop(engine);
    assert_eq!(outcrop_engine::check::check(&sim.env()).unwrap().problems, []);
}

#[test]
fn a_staged_segment_is_sorted_in_the_background() {
    let mut options = roomy();
    options.commit_inline_bytes_max = 10_000;
    let (sim, engine, table) = open(63, &options, true);
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Upsert).unwrap();
    for start in (0..20_000).step_by(1_000) {
        write.insert(batch(&snapshot, table, &ranked(start..start + 1_000, "staged"))).unwrap();
    }
    write.commit().wait().unwrap();
    drop(snapshot);
    assert!(!is_sorted(&engine.snapshot(), table));
    assert!(engine.status().compaction_debt_bytes == 0, "a small segment is no debt");
    for _ in 0..5 {
        sim.run_until_idle(10_000);
        sim.advance(Duration::from_secs(6));
    }
    assert!(is_sorted(&engine.snapshot(), table));
    assert_eq!((engine.status().segments, engine.status().compactions), (1, 1));
    assert_eq!(try_scan(&engine.snapshot(), table).unwrap().len(), 20_000);
    check_keys(&engine.snapshot(), table);
}

/// Every install path of a sorted table: flushes and compactions that change the order of rows and make several segments.
#[test]
fn changes_at_any_moment_of_a_sorted_rewrite_are_in_its_outcome() {
    let mut options = roomy();
    options.compaction_bytes_target = 4_000;
    options.flush_rows_max = 300;
    for steps in (0..72).step_by(3) {
        let (sim, engine, table) = open(64, &options, true);
        for start in 0..4 {
            upsert(&engine, table, &ranked(start * 300..start * 300 + 300, "a")).unwrap();
        }
        // Generations are flushed, and their segments compacted, while the other statements come.
        sim.run_until_idle(steps);
        upsert(&engine, table, &ranked(1_200..1_290, "a")).unwrap();
        let snapshot = engine.snapshot();
        let victims = find(&snapshot, table, &[3, 733, 1_204]);
        sim.run_until_idle(5);
        upsert(&engine, table, &ranked([1, 481, 1_201].into_iter(), "b")).unwrap();
        sim.run_until_idle(5);
        delete_keys(&engine, table, &[vec![Value::Int(2)], vec![Value::Int(1_202)]]).unwrap();
        let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
        write.update(&victims, batch(&snapshot, table, &ranked([3, 733, 1_204].into_iter(), "c"))).unwrap();
        assert_eq!(write.commit().wait().unwrap().updated, 3, "after {steps} steps");
        engine.flush(None).unwrap();
        engine.compact().unwrap();
        let mut expected: BTreeMap<i64, &str> = (0..1_290).map(|id| (id, "a")).collect();
        expected.extend([(1, "b"), (481, "b"), (1_201, "b"), (3, "c"), (733, "c"), (1_204, "c")]);
        expected.retain(|id, _| ![2, 1_202].contains(id));
        let expected = expected.into_iter().flat_map(|(id, value)| ranked(std::iter::once(id), value));
        let expected: Vec<Row> = expected.collect();
        let snapshot = engine.snapshot();
        outcrop_testkit::assert_same_rows(&format!("after {steps} steps"), &expected, &scan(&snapshot, table));
        check_keys(&snapshot, table);
        assert!(is_sorted(&snapshot, table), "after {steps} steps");
    }
}
