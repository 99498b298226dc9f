//! The power fails at every single change of the disk, one run for each.

use outcrop_engine::{Ddl, Engine, EngineOptions, WriteMode};
use outcrop_env::{Env, Sim};
use outcrop_testkit::Row;
use outcrop_types::{Result, TableId, TableName, Value};

use crate::support::*;

/// A short life with everything in it. Returns how many of its commits were acknowledged before the machine failed.
fn live(env: &Env, options: &EngineOptions) -> (usize, Result<()>) {
    let mut acknowledged = 0;
    let mut run = || -> Result<()> {
        let engine = Engine::open(env, options.clone())?;
        engine.ddl(Ddl::CreateTable(keyed("t"))).wait()?;
        let table = engine.snapshot().catalog().table(&TableName::new("commons", "t")).unwrap().id;
        acknowledged += 1;
        for step in STEPS {
            step(&engine, table)?;
            acknowledged += 1;
        }
        engine.close()
    };
    let outcome = run();
    (acknowledged, outcome)
}

type Script = fn(&Engine, TableId) -> Result<()>;

/// Each one is one commit, or none (flush, compaction).
const STEPS: &[Script] = &[
    |engine, table| insert(engine, table, &rows(0..5, "a")).map(drop),
    |engine, table| upsert(engine, table, &rows(3..8, "b")).map(drop),
    |engine, _| engine.flush(None),
    |engine, table| delete_keys(engine, table, &[vec![Value::Int(0)], vec![Value::Int(7)]]).map(drop),
    // Staged.
    |engine, table| write_rows(engine, table, &rows(5..40, "staged"), WriteMode::Upsert).map(drop),
    |engine, table| upsert(engine, table, &rows(6..8, "c")).map(drop),
    |engine, _| engine.flush(None),
    |engine, _| engine.compact(),
    |engine, table| delete_keys(engine, table, &[vec![Value::Int(9)]]).map(drop),
    |engine, _| engine.ddl(Ddl::CreateSchema("s".into())).wait().map(drop),
    |engine, _| engine.ddl(Ddl::Truncate(vec![TableName::new("commons", "t")])).wait().map(drop),
    |engine, table| insert(engine, table, &rows(1..3, "d")).map(drop),
    |engine, _| engine.checkpoint(),
];

/// What the table holds after each step; the first is after CREATE TABLE.
fn states(options: &EngineOptions) -> Vec<Vec<(i64, String)>> {
    let (env, _sim) = Env::simulated(0);
    let engine = Engine::open(&env, options.clone()).unwrap();
    let table = create(&engine, keyed("t"));
    let mut states = vec![pairs(&engine.snapshot(), table)];
    for step in STEPS {
        step(&engine, table).unwrap();
        states.push(pairs(&engine.snapshot(), table));
    }
    states
}

fn options() -> EngineOptions {
    let mut options = tiny();
    options.commit_inline_bytes_max = 1_000;
    options.compaction_in_background = false;
    options
}

fn check_recovered(sim: &Sim, env: &Env, acknowledged: usize, states: &[Vec<(i64, String)>], place: &str) {
    let engine = Engine::open(env, options()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let snapshot = engine.snapshot();
    let found = snapshot.catalog().table(&TableName::new("commons", "t")).map(|schema| schema.id);
    match found {
        None => assert_eq!(acknowledged, 0, "{place}: the table is lost"),
        Some(table) => {
            let rows = pairs(&snapshot, table);
            let known = acknowledged.saturating_sub(1);
            // The step under way may have happened, and a few of the states are equal.
            let fits = states.iter().skip(known).take(2).any(|state| *state == rows);
            assert!(fits, "{place}: after step {known} of {STEPS_TEXT}: {rows:?}", STEPS_TEXT = STEPS.len());
            check_keys(&snapshot, table);
            let new: Row = row(1_000, "new");
            insert(&engine, table, &[new]).unwrap();
        }
    }
    drop(snapshot);
    engine.close().unwrap();
    drop(engine);
    let report = outcrop_engine::check::check(&sim.env()).unwrap();
    assert_eq!(report.problems, [], "{place}");
    // Two checkpoints later only files that are in use are there.
    let env = sim.env();
    let engine = Engine::open(&env, options()).unwrap();
    for name in ["one", "two"] {
        create(&engine, keyed(name));
        engine.checkpoint().unwrap();
    }
    let files = u64::try_from(env.disk.list("segments").unwrap().len()).unwrap();
    assert_eq!(files, 2 * engine.status().segments + engine.status().key_runs, "{place}");
}

#[test]
fn a_power_cut_at_any_change_of_the_disk_loses_nothing_acknowledged() {
    let states = states(&options());
    let (env, sim) = Env::simulated(1);
    let (_, outcome) = live(&env, &options());
    outcome.unwrap();
    let changes = sim.changes();
    assert!(changes > 100, "{changes}");
    for at in 0..changes {
        let (env, sim) = Env::simulated(1);
        sim.power_off_after(at);
        let (acknowledged, outcome) = live(&env, &options());
        let place = format!("power cut after change {at} of {changes}, {outcome:?}");
        let env = sim.crash();
        check_recovered(&sim, &env, acknowledged, &states, &place);
    }
}

#[test]
fn a_kill_at_any_change_of_the_disk_loses_nothing_acknowledged() {
    let states = states(&options());
    let (env, sim) = Env::simulated(2);
    live(&env, &options()).1.unwrap();
    for at in (0..sim.changes()).step_by(3) {
        let (env, sim) = Env::simulated(2);
        sim.power_off_after(at);
        let (acknowledged, outcome) = live(&env, &options());
        let env = sim.kill();
        check_recovered(&sim, &env, acknowledged, &states, &format!("kill after change {at}, {outcome:?}"));
    }
}
