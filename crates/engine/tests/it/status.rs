//! What the engine tells of itself.

use std::time::Duration;

use outcrop_engine::Engine;
use outcrop_engine::status::{CompactionOutcome, HistogramStatus};
use outcrop_env::Env;
use outcrop_types::Value;

use crate::support::*;

fn measured(histogram: &HistogramStatus) -> u64 {
    histogram.counts.iter().sum()
}

#[test]
fn tables_segments_and_compactions_add_up() {
    let (env, sim) = Env::simulated(81);
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    let other = create(&engine, keyed("other"));
    insert(&engine, table, &rows(0..100, "a")).unwrap();
    engine.flush(None).unwrap();
    insert(&engine, table, &rows(100..150, "b")).unwrap();
    insert(&engine, other, &rows(0..10, "c")).unwrap();
    let before = engine.snapshot();
    delete_keys(&engine, table, &(0..20).map(|id| vec![Value::Int(id)]).collect::<Vec<_>>()).unwrap();

    let snapshot = engine.snapshot();
    let status = snapshot.table(table).unwrap().status();
    assert_eq!((status.live_rows, status.memtable_rows, status.segments), (130, 50, 1));
    assert_eq!((status.segment_rows, status.dead_rows, status.key_runs), (100, 20, 1));
    assert!(status.segment_bytes > 0 && status.memtable_bytes > 0 && status.key_run_bytes > 0);
    let of_before = before.table(table).unwrap().status();
    assert_eq!((of_before.live_rows, of_before.dead_rows), (150, 0), "a snapshot tells of its own commit");
    let segments = snapshot.table(table).unwrap().segments();
    assert_eq!(segments.len(), 1);
    assert_eq!((segments[0].rows, segments[0].dead_rows), (100, 20));
    assert!(segments[0].key_run.is_some() && segments[0].min_seq == segments[0].max_seq);

    let all = engine.status();
    assert_eq!((all.live_rows, all.segment_rows, all.dead_rows, all.segments), (140, 100, 20, 1));
    assert_eq!((all.oldest_pin, all.pins), (before.commit_seq(), 2));
    assert_eq!(measured(&all.group_commits), all.groups);
    assert_eq!((all.group_commits.sum, measured(&all.freshness)), (all.commits, all.commits));
    assert_eq!(measured(&all.commit_time), 4, "installs and definitions are nobody's wish to commit rows");
    assert!(measured(&all.sync_time) >= all.groups && all.stalls == 0);
    drop((before, snapshot));

    assert_eq!(engine.compactions(), []);
    delete_keys(&engine, table, &(20..60).map(|id| vec![Value::Int(id)]).collect::<Vec<_>>()).unwrap();
    sim.run_until_idle(10_000);
    sim.advance(Duration::from_secs(10));
    sim.run_until_idle(10_000);
    let [done] = &engine.compactions()[..] else { panic!("{:?}", engine.compactions()) };
    assert_eq!((done.table, done.rows, &done.inputs[..]), (table, 40, &[segments[0].unit][..]));
    assert!(matches!(done.outcome, CompactionOutcome::Installed(_)), "{done:?}");
    assert!(done.ended_us >= Some(done.started_us));
}
