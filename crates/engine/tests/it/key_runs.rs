//! The key index on disk: what it needs, what it survives, what `check` says of it.

use outcrop_engine::{CheckReport, Engine, EngineOptions, Snapshot, WriteMode};
use outcrop_env::{Env, FileName, Sim};
use outcrop_format::key::KeyCodec;
use outcrop_segment::{KeyRunBuilder, KeyRunPlace};
use outcrop_types::{Condition, DataType, RowAddress, TableId, TableName, UnitId, Value};

use crate::support::*;

/// Flushes of 50 rows, so that there are many runs; no compaction, which would leave few segments.
fn options() -> EngineOptions {
    let mut options = tiny();
    options.compaction_in_background = false;
    options
}

fn open(seed: u64) -> (Env, Sim, Engine, TableId) {
    let (env, sim) = Env::simulated(seed);
    let engine = Engine::open(&env, options()).unwrap();
    let table = create(&engine, keyed("t"));
    (env, sim, engine, table)
}

fn reopen(env: &Env) -> Engine {
    Engine::open(env, options()).unwrap()
}

/// A closed database of 40 rows in one segment.
fn one_segment(seed: u64) -> (Env, Sim, TableId) {
    let (env, sim, engine, table) = open(seed);
    insert(&engine, table, &rows(0..40, "a")).unwrap();
    engine.flush(None).unwrap();
    engine.close().unwrap();
    (env, sim, table)
}

fn files(env: &Env, suffix: &str) -> Vec<FileName> {
    let names = env.disk.list("segments").unwrap().into_iter().map(|entry| entry.name);
    names.filter(|name| name.base().ends_with(suffix)).collect()
}

fn check(env: &Env) -> CheckReport {
    outcrop_engine::check::check(env).unwrap()
}

/// What is wrong, where one thing is.
fn only_problem(env: &Env) -> String {
    let problems = check(env).problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string()
}

fn found(snapshot: &Snapshot, table: TableId, ids: std::ops::Range<i64>) -> Vec<Option<RowAddress>> {
    let keys: Vec<_> = ids.map(|id| vec![Value::Int(id)]).collect();
    snapshot.table(table).unwrap().lookup(&key_batch(snapshot, table, &keys)).unwrap()
}

#[test]
fn a_start_and_a_look_up_by_key_read_no_segment() {
    let (env, _sim, engine, table) = open(1);
    for round in 0..10 {
        upsert(&engine, table, &rows(round * 30..round * 30 + 50, "a")).unwrap();
        engine.flush(None).unwrap();
    }
    let before = found(&engine.snapshot(), table, -10..400);
    assert_eq!(before.iter().flatten().count(), 320);
    engine.close().unwrap();
    drop(engine);
    let data = files(&env, ".vortex");
    assert!(!data.is_empty());
    data.iter().for_each(|name| env.disk.remove(name).unwrap());
    let engine = reopen(&env);
    assert_eq!(engine.status().key_index_bytes, 0, "not even filters are read before they are needed");
    assert_eq!(found(&engine.snapshot(), table, -10..400), before);
    assert!(engine.status().key_index_bytes > 0);
}

#[test]
fn many_flushes_leave_few_runs() {
    let (env, sim, engine, table) = open(2);
    for round in 0..60 {
        insert(&engine, table, &rows(round * 50..round * 50 + 50, "a")).unwrap();
        engine.flush(None).unwrap();
        sim.run_until_idle(10_000);
    }
    // Merges enter a version with the next commit.
    upsert(&engine, table, &[row(0, "b")]).unwrap();
    let status = engine.status();
    assert_eq!(status.segments, 60);
    assert!(status.key_runs <= 9, "{} runs", status.key_runs);
    check_keys(&engine.snapshot(), table);
    assert!(found(&engine.snapshot(), table, 3_000..4_000).iter().all(Option::is_none));
    for id in 0..3 {
        upsert(&engine, table, &[row(id, "c")]).unwrap();
        engine.checkpoint().unwrap();
    }
    assert_eq!(files(&env, ".keys").len() as u64, engine.status().key_runs, "inputs of merges are gone");
    let found_before = found(&engine.snapshot(), table, 0..3_000);
    engine.close().unwrap();
    drop(engine);
    let report = check(&env);
    assert_eq!((report.problems, report.key_runs), (Vec::new(), status.key_runs));
    let engine = reopen(&env);
    assert_eq!(engine.status().key_runs, status.key_runs);
    let found_after = found(&engine.snapshot(), table, 0..3_000);
    // The newest rows were in memory and have been flushed by no one.
    assert_eq!(found_before[3..], found_after[3..]);
    check_keys(&engine.snapshot(), table);
}

#[test]
fn an_old_snapshot_finds_its_row_through_upserts_flushes_and_merges() {
    let (_env, sim, engine, table) = open(3);
    insert(&engine, table, &rows(0..20, "old")).unwrap();
    let in_memory = engine.snapshot();
    engine.flush(None).unwrap();
    let flushed = engine.snapshot();
    for round in 0..600_i64 {
        upsert(&engine, table, &[row(7, &format!("new {round}")), row(1_000 + round, "other")]).unwrap();
        if round % 20 == 19 {
            engine.flush(None).unwrap();
            sim.run_until_idle(10_000);
        }
    }
    assert!(engine.status().key_runs < engine.status().segments);
    for snapshot in [&in_memory, &flushed, &engine.snapshot()] {
        check_keys(snapshot, table);
    }
    assert_eq!(pairs(&in_memory, table), pairs(&flushed, table));
    assert_eq!(found(&flushed, table, 1_000..1_600).iter().flatten().count(), 0);
}

#[test]
fn a_staged_statement_brings_its_run() {
    let (env, _sim, engine, table) = open(4);
    write_rows(&engine, table, &rows(0..400, "staged"), WriteMode::Upsert).unwrap();
    write_rows(&engine, table, &rows(300..700, "again"), WriteMode::Upsert).unwrap();
    assert_eq!(engine.status().memtable_bytes, 0, "all of it was staged");
    check_keys(&engine.snapshot(), table);
    let error = insert(&engine, table, &[row(650, "taken")]).unwrap_err();
    assert_eq!(error.condition(), Condition::UniqueViolation);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(check(&env).problems, []);
    check_keys(&reopen(&env).snapshot(), table);
}

#[test]
fn a_missing_run_is_reported_and_built_anew() {
    let (env, _sim, table) = one_segment(5);
    let run = files(&env, ".keys").pop().unwrap();
    env.disk.remove(&run).unwrap();
    let problems: Vec<String> = check(&env).problems.iter().map(ToString::to_string).collect();
    assert!(problems.iter().all(|problem| problem.contains(run.base())), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("missing")), "{problems:?}");
    let engine = reopen(&env);
    check_keys(&engine.snapshot(), table);
    assert_eq!(files(&env, ".keys"), [run]);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(check(&env).problems, []);
}

#[test]
fn a_missing_merged_run_is_built_anew_segment_by_segment() {
    let (env, sim, engine, table) = open(6);
    for round in 0..8 {
        insert(&engine, table, &rows(round * 50..round * 50 + 50, "a")).unwrap();
        engine.flush(None).unwrap();
        sim.run_until_idle(10_000);
    }
    for id in 0..4 {
        upsert(&engine, table, &[row(id, "b")]).unwrap();
        engine.checkpoint().unwrap();
    }
    let runs = engine.status().key_runs;
    assert!(runs < 8, "{runs} runs");
    engine.close().unwrap();
    drop(engine);
    files(&env, ".keys").iter().for_each(|name| env.disk.remove(name).unwrap());
    assert!(check(&env).problems.len() > 8);
    let engine = reopen(&env);
    check_keys(&engine.snapshot(), table);
    sim.run_until_idle(10_000);
    for id in 0..4 {
        upsert(&engine, table, &[row(id, "c")]).unwrap();
        engine.checkpoint().unwrap();
    }
    assert!(engine.status().key_runs < 8, "they were merged again");
    check_keys(&engine.snapshot(), table);
    assert_eq!(files(&env, ".keys").len() as u64, engine.status().key_runs);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(check(&env).problems, []);
}

#[test]
fn a_damaged_run_is_never_believed() {
    for (seed, offset) in [(7, 100), (8, 4_096 + 8), (9, 2 * 4_096 + 40), (10, 3 * 4_096 + 1)] {
        let (env, sim, table) = one_segment(seed);
        let run = files(&env, ".keys").pop().unwrap();
        sim.corrupt(&run, |bytes| bytes[offset] ^= 4).unwrap();
        let problems: Vec<String> = check(&env).problems.iter().map(ToString::to_string).collect();
        assert!(problems.iter().all(|problem| problem.contains(run.base())), "offset {offset}: {problems:?}");
        assert!(!problems.is_empty(), "offset {offset}");
        let engine = reopen(&env);
        let snapshot = engine.snapshot();
        if offset < 4_096 {
            // Seen at the start, and built anew.
            check_keys(&snapshot, table);
        } else {
            let keys: Vec<_> = (0..40).map(|id| vec![Value::Int(id)]).collect();
            let error = snapshot.table(table).unwrap().lookup(&key_batch(&snapshot, table, &keys)).unwrap_err();
            assert_eq!(error.condition(), Condition::DataCorrupted, "offset {offset}");
            assert!(
                error.message().contains(run.base()) && error.hint().unwrap().contains("remove the file"),
                "{error}"
            );
            let error = upsert(&engine, table, &[row(1, "b")]).unwrap_err();
            assert_eq!(error.condition(), Condition::DataCorrupted, "no row is taken for new");
            assert_eq!(engine.status().poisoned, None);
            assert_eq!(pairs(&snapshot, table).len(), 40, "scans go on");
            engine.close().unwrap();
            drop((snapshot, engine));
            env.disk.remove(&run).unwrap();
            let engine = reopen(&env);
            check_keys(&engine.snapshot(), table);
            upsert(&engine, table, &[row(1, "b")]).unwrap();
            engine.close().unwrap();
        }
    }
}

/// Puts a run in the place of the only one, with the hashes of these keys for the rows.
fn replace_run(env: &Env, table: TableId, ids: impl Iterator<Item = i64>) {
    let engine = Engine::open(env, EngineOptions::default()).unwrap();
    let schema = engine.snapshot().catalog().table(&TableName::new("commons", "t")).map(std::sync::Arc::clone).unwrap();
    let (log_id, key) = (engine.log_id(), schema.primary_key().unwrap().clone());
    let unit = find(&engine.snapshot(), table, &[0])[0].unit;
    drop(engine);
    let codec = KeyCodec::new(vec![DataType::Int8], &key.secret);
    let ids: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::Int64Array::from_iter_values(ids));
    let mut builder = KeyRunBuilder::new(unit, codec.width());
    builder.add(&codec.hashes(&[ids], 100).unwrap());
    let dir = "segments".to_owned();
    let place = KeyRunPlace { dir, log_id, unit: UnitId::new(unit.get()), table, index: key.id, width: codec.width() };
    builder.finish(env, &place).unwrap();
}

#[test]
fn check_finds_rows_that_the_index_does_not_have_and_keys_that_share_a_hash() {
    let (env, _sim, table) = one_segment(11);
    replace_run(&env, table, 0..40);
    assert_eq!(check(&env).problems, []);
    replace_run(&env, table, (0..40).map(|id| if id == 17 { 999 } else { id }));
    let problem = only_problem(&env);
    assert!(problem.contains("is not in the key index: Key (id)=(17)"), "{problem}");
    replace_run(&env, table, (0..40).map(|id| if id == 17 { 3 } else { id }));
    let problem = only_problem(&env);
    assert!(problem.contains("two keys have one hash: Key (id)=(3)"), "{problem}");
}

/// Flushes, merges and checkpoints. Returns how many rows were acknowledged.
fn live(env: &Env) -> outcrop_types::Result<i64> {
    let engine = Engine::open(env, options())?;
    engine.ddl(outcrop_engine::Ddl::CreateTable(keyed("t"))).wait()?;
    let table = engine.snapshot().catalog().table(&TableName::new("commons", "t")).unwrap().id;
    let mut acknowledged = 0;
    let mut run = || -> outcrop_types::Result<()> {
        for round in 0..6 {
            insert(&engine, table, &rows(round * 5..round * 5 + 5, "a"))?;
            acknowledged += 5;
            engine.flush(None)?;
        }
        for _ in 0..3 {
            upsert(&engine, table, &[row(2, "b")])?;
            engine.checkpoint()?;
        }
        assert!(engine.status().key_runs < engine.status().segments, "runs were merged");
        engine.close()
    };
    drop(run());
    Ok(acknowledged)
}

#[test]
fn a_power_cut_around_merges_leaves_every_key_in_a_run_that_is_there() {
    let (env, sim) = Env::simulated(12);
    assert_eq!(live(&env).unwrap(), 30);
    let changes = sim.changes();
    for at in 0..changes {
        let (env, sim) = Env::simulated(12);
        sim.power_off_after(at);
        let acknowledged = live(&env).unwrap_or(0);
        let env = sim.crash();
        let place = format!("after change {at} of {changes}");
        if let Ok(report) = outcrop_engine::check::check(&env) {
            let of_keys: Vec<_> =
                report.problems.iter().filter(|problem| problem.to_string().contains("key")).collect();
            assert!(of_keys.is_empty(), "{place}: {of_keys:?}");
        }
        let engine = reopen(&env);
        let snapshot = engine.snapshot();
        let Some(table) = snapshot.catalog().table(&TableName::new("commons", "t")).map(|schema| schema.id) else {
            assert_eq!(acknowledged, 0, "{place}");
            continue;
        };
        assert!(pairs(&snapshot, table).len() as i64 >= acknowledged, "{place}");
        check_keys(&snapshot, table);
    }
}

#[test]
fn the_older_manifest_still_finds_its_runs() {
    let (env, sim, engine, table) = open(13);
    for round in 0..8 {
        insert(&engine, table, &rows(round * 5..round * 5 + 5, "a")).unwrap();
        engine.flush(None).unwrap();
        upsert(&engine, table, &[row(2, "b")]).unwrap();
        engine.checkpoint().unwrap();
        // A copy of the disk whose newest manifest is damaged.
        let (copy, damaged) = Sim::from_image(&sim.image(), 14);
        let newest = copy.disk.list("manifest").unwrap().into_iter().map(|entry| entry.name).max().unwrap();
        damaged.corrupt(&newest, |bytes| bytes[100] ^= 1).unwrap();
        assert!(only_problem(&copy).contains("manifest"), "round {round}");
        let reopened = reopen(&copy);
        assert_eq!(pairs(&reopened.snapshot(), table), pairs(&engine.snapshot(), table));
        check_keys(&reopened.snapshot(), table);
    }
    assert!(engine.status().key_runs < engine.status().segments, "runs were merged");
    assert!(!files(&env, ".keys").is_empty());
}

#[test]
fn every_key_has_a_secret_of_its_own_that_a_restart_keeps() {
    let (env, _sim, engine, _) = open(15);
    create(&engine, keyed("u"));
    let secrets = |engine: &Engine| {
        let snapshot = engine.snapshot();
        let secret = |name| {
            let schema = snapshot.catalog().table(&TableName::new("commons", name)).unwrap();
            *schema.primary_key().unwrap().secret.as_bytes()
        };
        (secret("t"), secret("u"))
    };
    let before = secrets(&engine);
    assert!(before.0 != before.1 && before.0 != [0; 16] && before.1 != [0; 16]);
    drop(engine);
    let engine = reopen(&env);
    assert_eq!(secrets(&engine), before, "from the log");
    engine.checkpoint().unwrap();
    engine.close().unwrap();
    drop(engine);
    assert_eq!(secrets(&reopen(&env)), before, "from the manifest");
}
