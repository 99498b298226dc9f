//! The power fails at every single change of the disk, one run for each.

use outcrop_engine::{Ddl, Engine, EngineOptions, WriteMode};
use outcrop_env::{Env, FaultKind, OperationClass, Sim};
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

/// The keys and values of the table that the script made.
fn content(engine: &Engine) -> Option<Vec<(i64, String)>> {
    let snapshot = engine.snapshot();
    let table = snapshot.catalog().table(&TableName::new("commons", "t"))?.id;
    Some(pairs(&snapshot, table))
}

fn options() -> EngineOptions {
    let mut options = tiny();
    options.commit_inline_bytes_max = 1_000;
    options.checkpoint_inline_bytes_max = 0;
    options.compaction_in_background = false;
    options
}

/// Whether the table holds what was acknowledged: the step under way may have happened.
fn fits(rows: &[(i64, String)], acknowledged: usize, states: &[Vec<(i64, String)>]) -> bool {
    states.iter().skip(acknowledged.saturating_sub(1)).take(2).any(|state| state == rows)
}

fn check_recovered(sim: &Sim, env: &Env, acknowledged: usize, states: &[Vec<(i64, String)>], place: &str) {
    let engine = Engine::open(env, options()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let snapshot = engine.snapshot();
    let found = snapshot.catalog().table(&TableName::new("commons", "t")).map(|schema| schema.id);
    match found {
        None => assert_eq!(acknowledged, 0, "{place}: the table is lost"),
        Some(table) => {
            let rows = pairs(&snapshot, table);
            assert!(fits(&rows, acknowledged, states), "{place}: {acknowledged} of {} steps: {rows:?}", STEPS.len());
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
    let manifests = env.disk.list("manifest").unwrap();
    let (manifests, deletes): (Vec<_>, Vec<_>) =
        manifests.iter().map(|entry| entry.name.base()).partition(|base| base.ends_with(".manifest"));
    assert!(manifests.len() == 2 && deletes.len() <= 1, "{place}: {manifests:?} {deletes:?}");
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

#[test]
fn every_disk_that_a_power_cut_may_leave_recovers() {
    let states = states(&options());
    let (env, sim) = Env::simulated(3);
    live(&env, &options()).1.unwrap();
    for at in (0..sim.changes()).step_by(2) {
        let (env, sim) = Env::simulated(3);
        sim.power_off_after(at);
        let (acknowledged, outcome) = live(&env, &options());
        for (index, image) in sim.legal_images(6).iter().enumerate() {
            let (env, sim) = Sim::from_image(image, 3);
            check_recovered(&sim, &env, acknowledged, &states, &format!("disk {index} after change {at}, {outcome:?}"));
        }
    }
}

/// What a start has shown is there after a power cut: also what the process before had only written.
#[test]
fn a_power_cut_after_a_restart_loses_nothing_that_was_shown() {
    let (env, sim) = Env::simulated(4);
    live(&env, &options()).1.unwrap();
    for at in (0..sim.changes()).step_by(2) {
        let (env, sim) = Env::simulated(4);
        sim.power_off_after(at);
        // The last changes are removals, which may fail without a consequence.
        drop(live(&env, &options()));
        shown_and_durable(&sim, &format!("kill after change {at}"));
    }
}

/// Starts the process again, and compares what it shows with what every disk holds that a power cut may leave then.
fn shown_and_durable(sim: &Sim, place: &str) -> Option<Vec<(i64, String)>> {
    let engine = Engine::open(&sim.kill(), options()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let shown = content(&engine);
    let disks = sim.legal_images(5);
    drop(engine);
    for (index, image) in disks.iter().enumerate() {
        let (env, _sim) = Sim::from_image(image, 4);
        let engine = Engine::open(&env, options()).unwrap_or_else(|error| panic!("{place}, disk {index}: {error}"));
        assert_eq!(content(&engine), shown, "{place}, disk {index}");
    }
    shown
}

#[test]
fn a_second_power_cut_during_the_start_loses_nothing() {
    let states = states(&options());
    let (env, sim) = Env::simulated(5);
    live(&env, &options()).1.unwrap();
    for at in (0..sim.changes()).step_by(9) {
        let (env, sim) = Env::simulated(5);
        sim.power_off_after(at);
        let (acknowledged, _) = live(&env, &options());
        sim.crash();
        let first = sim.image();
        let before = sim.changes();
        drop(Engine::open(&sim.env(), options()).unwrap());
        for cut in (0..sim.changes() - before).step_by(3) {
            let (env, sim) = Sim::from_image(&first, 5);
            sim.power_off_after(cut);
            drop(Engine::open(&env, options()));
            for image in sim.legal_images(4) {
                let (env, sim) = Sim::from_image(&image, 5);
                let place = format!("cuts after change {at} and after {cut} of the start");
                check_recovered(&sim, &env, acknowledged, &states, &place);
            }
        }
    }
}

/// P8: each operation on the disk fails once. The process is started again, without and with a power cut.
#[test]
fn one_failure_of_any_operation_loses_nothing_acknowledged() {
    let states = states(&options());
    for class in [
        OperationClass::Create,
        OperationClass::Write,
        OperationClass::ZeroFill,
        OperationClass::Sync,
        OperationClass::SyncDir,
        OperationClass::Rename,
        OperationClass::Remove,
    ] {
        let (env, sim) = Env::simulated(6);
        live(&env, &options()).1.unwrap();
        let count = sim.trace().iter().filter(|operation| operation.class == class).count() as u64;
        assert!(count > 0, "{class:?}");
        // Every one of the rare ones, a sample of the others.
        for nth in (0..count).step_by(1 + usize::try_from(count).unwrap() / 40) {
            let (env, sim) = Env::simulated(6);
            sim.fail_once(class, nth, FaultKind::Io);
            let (acknowledged, outcome) = live(&env, &options());
            let place = format!("{class:?} {nth} of {count} fails, {outcome:?}");
            for image in sim.legal_images(2) {
                let (env, sim) = Sim::from_image(&image, 6);
                check_recovered(&sim, &env, acknowledged, &states, &place);
            }
            match shown_and_durable(&sim, &place) {
                None => assert_eq!(acknowledged, 0, "{place}: the table is lost"),
                Some(rows) => assert!(fits(&rows, acknowledged, &states), "{place}: {rows:?}"),
            }
        }
    }
}
