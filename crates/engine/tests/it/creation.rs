//! A directory whose creation was interrupted is a database with nothing in it; one that lost its manifests is not.

use outcrop_engine::Engine;
use outcrop_engine::check::check;
use outcrop_env::Env;
use outcrop_types::Condition;

use crate::support::*;

#[test]
fn an_interrupted_creation_leaves_a_directory_without_problems() {
    let (env, sim) = Env::simulated(1);
    Engine::open(&env, tiny()).unwrap();
    let changes = sim.changes();
    let mut checked = 0;
    for at in 0..changes {
        let (env, sim) = Env::simulated(1);
        sim.power_off_after(at);
        drop(Engine::open(&env, tiny()));
        let env = sim.kill();
        match check(&env) {
            Ok(report) => {
                assert_eq!(report.problems, [], "after change {at} of {changes}");
                checked += 1;
            }
            Err(error) => assert_eq!(error.condition(), Condition::ObjectNotInPrerequisiteState, "{error}"),
        }
        Engine::open(&env, tiny()).unwrap();
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn a_directory_that_lost_its_manifests_is_not_taken_for_a_new_one() {
    let (env, sim) = Env::simulated(2);
    let engine = Engine::open(&env, tiny()).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &rows(0..20, "a")).unwrap();
    engine.flush(None).unwrap();
    engine.close().unwrap();
    drop(engine);
    let env = sim.kill();
    // The log too: its newest file may be one that holds no record yet.
    for dir in ["manifest", "log"] {
        env.disk.list(dir).unwrap().iter().for_each(|entry| env.disk.remove(&entry.name).unwrap());
    }
    let segments = env.disk.list("segments").unwrap();
    let error = Engine::open(&env, tiny()).unwrap_err();
    assert_eq!(error.condition(), Condition::DataCorrupted, "{error}");
    assert_eq!(env.disk.list("segments").unwrap(), segments);
    let report = check(&sim.kill()).unwrap();
    assert!(report.problems.iter().any(|problem| problem.what == "no manifest can be read"), "{:?}", report.problems);
}
