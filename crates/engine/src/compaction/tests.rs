use outcrop_env::{Env, Sim};
use outcrop_testkit::{Row, batch_of, rows_of};
use outcrop_types::{DataType, RowAddress, TableId, TableName, TableOptions, UnitId, Value};

use super::plan::{KeyRange, Limits, SegmentSize, debt, plan};
use crate::rewrite::{JobStep, RewriteJob};
use crate::{CommitHandle, Ddl, Engine, EngineOptions, NewColumn, NewTable, ScanColumn, WriteMode};

const LIMITS: Limits = Limits {
    target_bytes: 256 << 20,
    rows_max: 4 << 20,
    dead_percent: 30,
    small_segments: 4,
    sort_rows_max: 4 << 20,
    overlap_max: 3,
    small_overlap: false,
};

fn segment(unit: u64, live: u32, dead: u32, bytes: u64) -> SegmentSize {
    SegmentSize { unit: UnitId::new(unit), rows: live + dead, live, bytes, sorted: true, range: None }
}

fn units(numbers: &[u64]) -> Option<Vec<UnitId>> {
    Some(numbers.iter().map(|unit| UnitId::new(*unit)).collect())
}

const MIB: u64 = 1 << 20;

#[test]
fn small_segments_of_one_size_are_merged_when_there_are_enough() {
    let mut segments: Vec<SegmentSize> = (1..=3).map(|unit| segment(unit, 1_000, 0, MIB)).collect();
    segments.push(segment(4, 1_000_000, 0, 200 * MIB));
    assert_eq!((plan(&segments, &LIMITS), debt(&segments, &LIMITS)), (None, 0));
    segments.insert(0, segment(9, 1_000, 0, MIB));
    assert_eq!(plan(&segments, &LIMITS), units(&[1, 2, 3, 9]));
    assert_eq!(debt(&segments, &LIMITS), 4 * MIB);
    // Smaller ones come along with those of a larger tier that is full.
    let mut segments: Vec<SegmentSize> = (1..=4).map(|unit| segment(unit, 1_000, 0, 20 * MIB)).collect();
    segments.push(segment(7, 10, 0, 5_000));
    assert_eq!(plan(&segments, &LIMITS), units(&[1, 2, 3, 4, 7]));
}

#[test]
fn an_output_has_about_the_target_size_and_a_job_few_inputs() {
    let many: Vec<SegmentSize> = (1..=40).map(|unit| segment(unit, 1_000, 0, MIB)).collect();
    assert_eq!(plan(&many, &LIMITS).unwrap().len(), 16);
    let large: Vec<SegmentSize> = (1..=5).map(|unit| segment(unit, 1_000, 0, 100 * MIB)).collect();
    assert_eq!(plan(&large, &LIMITS), units(&[1, 2]));
    let long: Vec<SegmentSize> = (1..=5).map(|unit| segment(unit, 1_500_000, 0, MIB)).collect();
    assert_eq!(plan(&long, &LIMITS), units(&[1, 2]));
    // What has its size already stays alone.
    let full: Vec<SegmentSize> = (1..=9).map(|unit| segment(unit, 3 << 20, 0, 250 * MIB)).collect();
    assert_eq!(plan(&full, &LIMITS), None);
}

#[test]
fn segments_with_many_dead_rows_are_rewritten_and_dead_ones_only_go() {
    let full = segment(1, 1_000_000, 0, 200 * MIB);
    let tired = segment(2, 720_000, 280_000, 200 * MIB);
    assert_eq!(plan(&[full, tired], &LIMITS), None);
    let half_dead = segment(3, 690_000, 310_000, 200 * MIB);
    assert_eq!(plan(&[full, tired, half_dead], &LIMITS), units(&[3]));
    assert_eq!(debt(&[full, tired, half_dead], &LIMITS), 138 * MIB);
    assert_eq!(plan(&[full, segment(4, 0, 5, MIB), half_dead, segment(5, 0, 1, MIB)], &LIMITS), units(&[4, 5]));
    let asked = Limits { dead_percent: 0, small_segments: 2, ..LIMITS };
    assert_eq!(plan(&[full, tired], &asked), units(&[2]));
    assert_eq!(plan(&[full, segment(6, 10, 0, MIB)], &asked), None);
}

/// A table of two segments, each with a hundred rows.
fn two_segments(seed: u64) -> (Sim, Engine, TableId) {
    let (env, sim) = Env::simulated(seed);
    let engine = Engine::open(&env, options()).unwrap();
    let column = |name: &str, data_type, nullable| NewColumn {
        name: name.to_owned(),
        data_type,
        nullable,
        write_default: None,
        initial_default: Value::Null,
    };
    let table = NewTable {
        name: TableName::new("commons", "t"),
        columns: vec![column("id", DataType::Int8, false), column("value", DataType::Text, true)],
        primary_key: Some(("t_pkey".to_owned(), vec!["id".to_owned()])),
        options: TableOptions::default(),
    };
    engine.ddl(Ddl::CreateTable(table)).wait().unwrap();
    let table = engine.snapshot().catalog().tables().next().unwrap().id;
    for start in [0, 100] {
        let all: Vec<i64> = (start..start + 100).collect();
        upsert(&engine, table, &all, "old").wait().unwrap();
        engine.flush(None).unwrap();
    }
    sim.run_until_idle(10_000);
    (sim, engine, table)
}

fn options() -> EngineOptions {
    EngineOptions { log_file_bytes: 1 << 20, compaction_in_background: false, ..EngineOptions::default() }
}

fn row(id: i64, value: &str) -> Row {
    vec![Value::Int(id), Value::Text(value.to_owned())]
}

fn upsert(engine: &Engine, table: TableId, ids: &[i64], value: &str) -> CommitHandle {
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Upsert).unwrap();
    let rows: Vec<Row> = ids.iter().map(|id| row(*id, value)).collect();
    write.insert(batch_of(snapshot.catalog().table_by_id(table).unwrap(), &rows)).unwrap();
    write.commit()
}

/// Ids of all rows with this value, and every row is found by its key.
fn ids_with(engine: &Engine, table: TableId, wanted: &str) -> Vec<i64> {
    let snapshot = engine.snapshot();
    let view = snapshot.table(table).unwrap();
    let columns: Vec<ScanColumn> = view.schema().columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
    let mut ids = Vec::new();
    for morsel in view.morsels(8_192) {
        let scanned = view.scan(&morsel, &columns, None).unwrap();
        let found = view.lookup(&scanned.project(&[0]).unwrap()).unwrap();
        assert!(found.iter().all(|address| address.is_some_and(|address| address.unit == morsel.unit)));
        for row in rows_of(&scanned) {
            let [Value::Int(id), value] = row.as_slice() else { panic!("{row:?}") };
            ids.extend((*value == Value::Text(wanted.to_owned())).then_some(*id));
        }
    }
    ids.sort_unstable();
    ids
}

/// Both segments written as one; what is left is the install.
fn written_job(engine: &Engine, table: TableId) -> RewriteJob {
    let pin = engine.node().snapshot();
    let state = crate::commit::only_shard(pin.version().tables.get(&table).unwrap()).unwrap();
    let inputs: Vec<UnitId> = state.segments().map(|view| view.segment.unit()).collect();
    assert_eq!(inputs.len(), 2);
    let mut job = RewriteJob::new(engine.node(), &pin, table, &inputs).unwrap().unwrap();
    while !job.is_written() {
        assert!(matches!(job.step().unwrap(), JobStep::More));
    }
    job
}

#[test]
fn an_install_holds_what_a_group_kills_whose_sync_is_still_awaited() {
    for crash in [false, true] {
        let (sim, engine, table) = two_segments(41);
        let snapshot = engine.snapshot();
        let mut job = written_job(&engine, table);
        let columns = [ScanColumn::Column(snapshot.catalog().table_by_id(table).unwrap().columns[0].id)];
        let view = snapshot.table(table).unwrap();
        let address = |id: i64| -> RowAddress {
            let keys = view.morsels(1_000).remove(0);
            let keys = view.scan(&keys, &columns, None).unwrap().slice(usize::try_from(id).unwrap(), 1);
            view.lookup(&keys).unwrap()[0].unwrap()
        };
        let mut open_write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
        open_write.delete(&[address(8)]).unwrap();

        // Nobody runs the log worker: this group has its place in the order, and its sync is held back.
        let before = upsert(&engine, table, &[5, 105], "new");
        let JobStep::Installed(installed) = job.step().unwrap() else { panic!("the inputs are there") };
        // The same group goes on behind the install, where the rows have other addresses.
        let after = upsert(&engine, table, &[6, 106], "new");
        let deleted = open_write.commit();
        assert_eq!(engine.snapshot().commit_seq(), snapshot.commit_seq());
        assert_eq!(ids_with(&engine, table, "old"), (0..200).collect::<Vec<_>>());
        drop((view, snapshot));

        let engine = if crash {
            // The power fails before the sync: nothing of it happened, or all of it.
            drop((before, installed, after, deleted, job));
            drop(engine);
            let engine = Engine::open(&sim.crash(), options()).unwrap();
            if ids_with(&engine, table, "new").is_empty() {
                assert_eq!(ids_with(&engine, table, "old"), (0..200).collect::<Vec<_>>());
                continue;
            }
            engine
        } else {
            before.wait().unwrap();
            installed.handle.wait().unwrap();
            after.wait().unwrap();
            assert_eq!(deleted.wait().unwrap().deleted, 1);
            engine
        };
        let check = |engine: &Engine| {
            assert_eq!(ids_with(engine, table, "new"), [5, 6, 105, 106]);
            let old: Vec<i64> = (0..200).filter(|id| ![5, 6, 8, 105, 106].contains(id)).collect();
            assert_eq!(ids_with(engine, table, "old"), old);
            assert_eq!((engine.status().segments, engine.status().dead_rows), (1, 5));
        };
        check(&engine);
        drop(engine);
        check(&Engine::open(&sim.crash(), options()).unwrap());
    }
}

#[test]
fn a_job_whose_table_is_emptied_meanwhile_ends_quietly() {
    let (sim, engine, table) = two_segments(42);
    let mut job = written_job(&engine, table);
    engine.ddl(Ddl::Truncate(vec![TableName::new("commons", "t")])).wait().unwrap();
    assert!(matches!(job.step().unwrap(), JobStep::Abandoned));
    assert_eq!(ids_with(&engine, table, "old"), [0_i64; 0]);
    drop(job);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(crate::check::check(&sim.env()).unwrap().leftovers, [""; 0]);
}

/// A full segment of a million rows with a range of the sort key.
fn spread(unit: u64, first: u32, last: u32) -> SegmentSize {
    SegmentSize { range: Some(KeyRange { first, last }), ..segment(unit, 1_000_000, 0, 200 * MIB) }
}

#[test]
fn segments_that_overlap_too_much_are_rewritten_together() {
    let three = [spread(1, 0, 10), spread(2, 0, 10), spread(3, 5, 20)];
    assert_eq!((plan(&three, &LIMITS), debt(&three, &LIMITS)), (None, 0));
    let asked = Limits { overlap_max: 1, ..LIMITS };
    assert_eq!(plan(&three, &asked), units(&[1, 2, 3]));
    let four = [three[0], three[1], three[2], spread(4, 9, 12)];
    assert_eq!((plan(&four, &LIMITS), debt(&four, &LIMITS)), (units(&[1, 2, 3, 4]), 800 * MIB));
    // As many as can be sorted at once, the smallest first; one alone cannot come apart.
    let smaller = SegmentSize { live: 900_000, ..four[3] };
    let four = [three[0], three[1], three[2], smaller];
    assert_eq!(plan(&four, &Limits { sort_rows_max: 2_000_000, ..LIMITS }), units(&[1, 4]));
    assert_eq!(plan(&four, &Limits { sort_rows_max: 1_500_000, ..LIMITS }), None);
    // Those that only touch, or have one value, do not overlap.
    let apart = [spread(1, 0, 5), spread(2, 5, 5), spread(3, 5, 9), spread(4, 9, 9), spread(5, 9, 12)];
    assert_eq!(plan(&apart, &asked), None);
    // Small ones are merged with others of their size, unless somebody asks.
    let small = |unit| SegmentSize { range: Some(KeyRange { first: 0, last: 9 }), ..segment(unit, 1_000, 0, MIB) };
    let few = [small(1), small(2), small(3)];
    let strict = Limits { overlap_max: 2, ..LIMITS };
    assert_eq!(plan(&few, &strict), None);
    assert_eq!(plan(&few, &Limits { small_overlap: true, ..strict }), units(&[1, 2, 3]));
}

#[test]
fn segments_that_are_not_in_order_are_rewritten_alone() {
    let unsorted = |rows, bytes| SegmentSize { sorted: false, ..segment(7, rows, 0, bytes) };
    assert_eq!(plan(&[segment(1, 1_000_000, 0, 200 * MIB), unsorted(1_000_000, 200 * MIB)], &LIMITS), units(&[7]));
    assert_eq!(debt(&[unsorted(1_000_000, 200 * MIB)], &LIMITS), 200 * MIB);
    assert_eq!(plan(&[unsorted(8_192, MIB)], &LIMITS), None, "one block has one zone");
    assert_eq!(plan(&[unsorted(5 << 20, 200 * MIB)], &LIMITS), None, "more than can be sorted");
}
