//! Retention: what is too old goes, by commits like any other, and nothing else does.

use std::collections::BTreeMap;
use std::time::Duration;

use outcrop_engine::{Engine, EngineOptions, FeedEvent, FeedTables, NewTable, OnConflict, Snapshot, WriteMode};
use outcrop_env::{Env, Sim};
use outcrop_testkit::seed::for_each_seed;
use outcrop_testkit::{Row, rows_of};
use outcrop_types::{ColumnId, Condition, DataType, Retention, TableId, Value};

use crate::support::follower::Follower;
use crate::support::*;

const HOUR: Duration = Duration::from_secs(3_600);
const HOUR_US: i64 = 3_600 * 1_000_000;

/// A table that keeps its rows for ten hours.
fn kept_for_ten_hours() -> NewTable {
    let mut table = keyed("t");
    table.columns.insert(1, column("at", DataType::TimestampTz, true));
    table.options.retention = Some(Retention { column: ColumnId::new(2), period_us: 10 * HOUR_US });
    table
}

fn quiet() -> EngineOptions {
    let mut options = roomy();
    options.compaction_in_background = false;
    options
}

fn open(seed: u64, options: &EngineOptions, table: NewTable) -> (Env, Sim, Engine, TableId) {
    let (env, sim) = Env::simulated(seed);
    let engine = Engine::open(&env, options.clone()).unwrap();
    let table = create(&engine, table);
    (env, sim, engine, table)
}

/// Rows of that many hours ago.
fn aged(env: &Env, ids: std::ops::Range<i64>, hours: i64) -> Vec<Row> {
    let at = env.clock.wall_us() - hours * HOUR_US;
    ids.map(|id| vec![Value::Int(id), Value::TimestampTz(at + id), Value::Text("a".to_owned())]).collect()
}

/// Time passes a minute at a time, and nobody asks for anything.
fn pass(sim: &Sim, time: Duration) {
    for _ in 0..time.as_secs() / 60 {
        sim.run_until_idle(10_000);
        sim.advance(Duration::from_secs(60));
    }
    sim.run_until_idle(10_000);
}

fn ids(snapshot: &Snapshot, table: TableId) -> Vec<i64> {
    let id = |row: Row| match row[0] {
        Value::Int(id) => id,
        _ => panic!("{row:?}"),
    };
    let mut ids: Vec<i64> = scan(snapshot, table).into_iter().map(id).collect();
    ids.sort_unstable();
    ids
}

fn data_files(env: &Env) -> usize {
    let files = env.disk.list("segments").unwrap();
    files.iter().filter(|file| file.name.base().ends_with("vortex")).count()
}

#[test]
fn a_feed_shows_what_retention_takes() {
    let (env, sim, engine, table) = open(79, &quiet(), kept_for_ten_hours());
    let mut follower = Follower::new(&engine, table);
    upsert(&engine, table, &aged(&env, 0..100, 20)).unwrap();
    engine.flush(None).unwrap();
    // Some are dead when their segment goes.
    delete_keys(&engine, table, &[vec![Value::Int(3)], vec![Value::Int(70)]]).unwrap();
    upsert(&engine, table, &[aged(&env, 50..60, 20), aged(&env, 150..200, 5)].concat()).unwrap();
    engine.flush(None).unwrap();
    follower.follow(&engine, |_, _| {}).unwrap();
    follower.store(&engine).unwrap();
    pass(&sim, Duration::from_secs(180));
    assert_eq!(engine.status().segments, 1, "one went as a whole");
    assert_eq!(ids(&engine.snapshot(), table), (150..200).collect::<Vec<_>>());
    (0..2).for_each(|_| engine.checkpoint().unwrap());
    let rows = scan(&engine.snapshot(), table);
    follower.follow(&engine, |_, _| {}).unwrap();
    follower.assert_is(&rows);
    // Also where a start read what is kept: from the manifest here, from the log in the model's tests.
    drop(engine);
    let engine = Engine::open(&sim.crash(), quiet()).unwrap();
    follower.restart(&engine);
    follower.follow(&engine, |_, _| {}).unwrap();
    follower.assert_is(&rows);
    follower.store(&engine).unwrap();
    (0..3).for_each(|_| engine.checkpoint().unwrap());
    assert_eq!(data_files(&sim.env()), 1);
}

#[test]
fn old_rows_go_wherever_they_are_and_counts_are_exact() {
    let (env, sim, engine, table) = open(71, &quiet(), kept_for_ten_hours());
    upsert(&engine, table, &aged(&env, 0..100, 20)).unwrap();
    engine.flush(None).unwrap();
    upsert(&engine, table, &[aged(&env, 100..150, 20), aged(&env, 150..200, 5)].concat()).unwrap();
    engine.flush(None).unwrap();
    let timeless = vec![vec![Value::Int(300), Value::Null, Value::Text("b".to_owned())]];
    upsert(&engine, table, &[aged(&env, 200..220, 20), aged(&env, 220..240, 5), timeless].concat()).unwrap();
    let held = engine.snapshot();
    assert_eq!(held.table(table).unwrap().live_rows(), 241);
    assert_eq!(data_files(&env), 2);

    pass(&sim, Duration::from_secs(180));
    let snapshot = engine.snapshot();
    let expected: Vec<i64> = (150..200).chain(220..240).chain([300]).collect();
    assert_eq!(ids(&snapshot, table), expected);
    assert_eq!(snapshot.table(table).unwrap().live_rows(), 71);
    check_keys(&snapshot, table);
    assert_eq!(engine.status().expired_rows, 170);
    assert_eq!(engine.status().segments, 1, "the one without young rows went as a whole");
    assert_eq!(ids(&held, table).len(), 241, "a snapshot stays as it is");
    check_keys(&held, table);
    assert_eq!(data_files(&env), 2, "its reader keeps the file");
    drop((held, snapshot));
    pass(&sim, Duration::from_secs(120));
    assert_eq!(data_files(&env), 1);

    // Keys that went are free, and their rows are new ones.
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    write.insert(batch(&snapshot, table, &aged(&env, 0..10, 1))).unwrap();
    assert_eq!(write.commit().wait().unwrap().inserted, 10);
    drop((snapshot, engine));
    let engine = Engine::open(&sim.crash(), quiet()).unwrap();
    assert_eq!(ids(&engine.snapshot(), table).len(), 81);
    check_keys(&engine.snapshot(), table);
    pass(&sim, 6 * HOUR);
    assert_eq!(ids(&engine.snapshot(), table), (0..10).chain([300]).collect::<Vec<_>>());
    drop(engine);
    assert_eq!(outcrop_engine::check::check(&sim.env()).unwrap().problems, []);
}

#[test]
fn a_row_without_time_keeps_its_segment() {
    let (env, sim, engine, table) = open(77, &quiet(), kept_for_ten_hours());
    let timeless = vec![vec![Value::Int(300), Value::Null, Value::Text("b".to_owned())]];
    upsert(&engine, table, &[aged(&env, 0..100, 20), timeless].concat()).unwrap();
    engine.flush(None).unwrap();
    pass(&sim, Duration::from_secs(120));
    assert_eq!((ids(&engine.snapshot(), table), engine.status().expired_rows), (vec![300], 100));
}

#[test]
fn a_feed_shows_what_expired_row_by_row() {
    let (env, sim, engine, table) = open(76, &quiet(), kept_for_ten_hours());
    upsert(&engine, table, &aged(&env, 0..100, 20)).unwrap();
    engine.flush(None).unwrap();
    delete_keys(&engine, table, &[vec![Value::Int(7)]]).unwrap();
    upsert(&engine, table, &[aged(&env, 100..120, 20), aged(&env, 120..130, 1)].concat()).unwrap();
    let before: Vec<Row> = scan(&engine.snapshot(), table);
    engine.create_feed_cursor("f", FeedTables::Some([table].into())).wait().unwrap();
    let mut feed = engine.feed("f", None).unwrap();
    pass(&sim, Duration::from_secs(240));
    assert_eq!((engine.status().segments, engine.status().expired_rows), (0, 119));
    let mut deleted = Vec::new();
    while let Some(mut commit) = feed.next_commit(Duration::ZERO).unwrap() {
        while let Some(event) = commit.next_event().unwrap() {
            match event {
                FeedEvent::Deleted { old, .. } => deleted.extend(rows_of(&old)),
                other => panic!("{other:?}"),
            }
        }
    }
    let expected: Vec<Row> = before.into_iter().filter(|row| matches!(row[0], Value::Int(0..120))).collect();
    assert_eq!(expected.len(), 119);
    outcrop_testkit::assert_same_rows("deleted", &expected, &deleted);
}

#[test]
fn whole_segments_go_unread() {
    let (env, sim, engine, table) = open(72, &quiet(), kept_for_ten_hours());
    upsert(&engine, table, &aged(&env, 0..100, 20)).unwrap();
    engine.flush(None).unwrap();
    engine.close().unwrap();
    drop(engine);
    let file = env.disk.list("segments").unwrap().into_iter().find(|file| file.name.base().ends_with("vortex"));
    // Whoever reads a page of it fails.
    sim.corrupt(&file.unwrap().name, |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 0x55)).unwrap();
    let engine = Engine::open(&env, quiet()).unwrap();
    assert!(try_scan(&engine.snapshot(), table).is_err());
    pass(&sim, Duration::from_secs(120));
    assert_eq!((engine.status().live_rows, engine.status().segments, engine.status().expired_rows), (0, 0, 100));
}

#[test]
fn an_append_only_table_has_retention_too() {
    let mut definition = kept_for_ten_hours();
    definition.primary_key = None;
    definition.options.append_only = true;
    let (env, sim, engine, table) = open(73, &quiet(), definition);
    insert(&engine, table, &[aged(&env, 0..50, 11), aged(&env, 50..100, 9)].concat()).unwrap();
    let snapshot = engine.snapshot();
    let refused = engine.write(&snapshot, table, WriteMode::Change(None)).map(|_| ()).unwrap_err();
    assert_eq!(refused.condition(), Condition::FeatureNotSupported);
    assert_eq!(engine.status().key_index_bytes, 0, "it pays for no key index");
    pass(&sim, Duration::from_secs(120));
    assert_eq!(ids(&engine.snapshot(), table), (50..100).collect::<Vec<_>>());
}

#[test]
fn a_row_that_became_young_meanwhile_stays() {
    for steps in 0..40 {
        let (env, sim, engine, table) = open(74, &quiet(), kept_for_ten_hours());
        upsert(&engine, table, &[aged(&env, 0..50, 20), aged(&env, 50..60, 1)].concat()).unwrap();
        if steps % 2 == 0 {
            engine.flush(None).unwrap();
        }
        let snapshot = engine.snapshot();
        let victims = find(&snapshot, table, &[8]);
        sim.advance(Duration::from_secs(61));
        sim.run_until_idle(steps);
        upsert(&engine, table, &aged(&env, 7..8, 2)).unwrap();
        // An UPDATE that read the old row: it comes before its end, or finds nothing.
        let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
        write.update(&victims, batch(&snapshot, table, &aged(&env, 8..9, 2))).unwrap();
        let updated = write.commit().wait().unwrap().updated;
        pass(&sim, Duration::from_secs(180));
        let mut expected: Vec<i64> = (50..60).collect();
        expected.push(7);
        expected.extend((updated == 1).then_some(8));
        expected.sort_unstable();
        assert_eq!(ids(&engine.snapshot(), table), expected, "after {steps} steps");
        check_keys(&engine.snapshot(), table);
    }
}

#[test]
fn a_clock_that_leaps_ahead_deletes_nothing_for_a_while() {
    let (env, sim, engine, table) = open(75, &quiet(), kept_for_ten_hours());
    upsert(&engine, table, &aged(&env, 0..50, 1)).unwrap();
    pass(&sim, Duration::from_secs(120));
    sim.jump_wall_us(1_000 * HOUR_US);
    pass(&sim, Duration::from_secs(300));
    assert_eq!(ids(&engine.snapshot(), table).len(), 50);
    sim.jump_wall_us(-1_000 * HOUR_US);
    pass(&sim, Duration::from_secs(300));
    assert_eq!(ids(&engine.snapshot(), table).len(), 50, "the clock was set right");
    sim.jump_wall_us(1_000 * HOUR_US);
    pass(&sim, Duration::from_secs(900));
    assert_eq!(ids(&engine.snapshot(), table), [0_i64; 0], "that is the time");
}

/// Random statements with times, flushes, compactions, crashes at any moment: a row is there until it is too old, may be there
/// until a pass over its table is complete, and never comes back.
#[test]
fn retention_deletes_what_is_old_and_nothing_else_whatever_fails() {
    for_each_seed("retention_deletes_what_is_old_and_nothing_else_whatever_fails", 20, |seed| {
        let mut options = tiny();
        options.retention_interval = Duration::from_secs(30);
        let mut definition = kept_for_ten_hours();
        if seed % 2 == 0 {
            definition.options.sort_key = vec![ColumnId::new(2)];
        }
        let (_, sim, first, table) = open(seed, &options, definition);
        let mut engine = Some(first);
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut below = move |bound: i64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            i64::try_from(random % bound.unsigned_abs()).unwrap()
        };
        // The time of each row that was acknowledged.
        let mut model: BTreeMap<i64, i64> = BTreeMap::new();
        for _ in 0..40 {
            let env = sim.env();
            let node = engine.as_ref().unwrap();
            match below(8) {
                0..4 => {
                    let rows = aged(&env, 0..1, 0);
                    let Value::TimestampTz(now) = rows[0][1] else { panic!("{rows:?}") };
                    let batch: BTreeMap<i64, i64> =
                        (0..below(20)).map(|_| (below(200), now - below(14 * HOUR_US))).collect();
                    let text = |id: i64| Value::Text(format!("row {id}"));
                    let rows: Vec<Row> = batch
                        .iter()
                        .map(|(id, at)| vec![Value::Int(*id), Value::TimestampTz(*at), text(*id)])
                        .collect();
                    upsert(node, table, &rows).unwrap();
                    model.extend(batch);
                }
                4 => node.flush(None).unwrap(),
                5 => node.compact().unwrap(),
                6 => {
                    sim.advance(Duration::from_secs(below(1_800).unsigned_abs()));
                    sim.run_until_idle(usize::try_from(below(60)).unwrap());
                }
                _ => {
                    drop(engine.take());
                    engine = Some(Engine::open(&sim.crash(), options.clone()).unwrap());
                }
            }
            let now = sim.env().clock.wall_us();
            let snapshot = engine.as_ref().unwrap().snapshot();
            let found: BTreeMap<i64, i64> = times(&snapshot, table);
            check_keys(&snapshot, table);
            for (id, at) in &model {
                let young = *at > now - 10 * HOUR_US;
                assert!(!young || found.get(id) == Some(at), "row {id} of {at} at {now} is {:?}", found.get(id));
            }
            assert!(found.iter().all(|(id, at)| model.get(id) == Some(at)), "{found:?} {model:?}");
            model = found;
        }
        let node = engine.as_ref().unwrap();
        pass(&sim, Duration::from_secs(180));
        let limit = sim.env().clock.wall_us() - 10 * HOUR_US;
        let found = times(&node.snapshot(), table);
        assert!(found.values().all(|at| *at > limit - 60 * 1_000_000), "{found:?}");
        model.retain(|_, at| *at > limit);
        assert!(model.keys().all(|id| found.contains_key(id)));
        node.close().unwrap();
        drop(engine);
        assert_eq!(outcrop_engine::check::check(&sim.env()).unwrap().problems, []);
    });
}

fn times(snapshot: &Snapshot, table: TableId) -> BTreeMap<i64, i64> {
    let time = |row: Row| match (&row[0], &row[1]) {
        (Value::Int(id), Value::TimestampTz(at)) => (*id, *at),
        _ => panic!("{row:?}"),
    };
    scan(snapshot, table).into_iter().map(time).collect()
}
