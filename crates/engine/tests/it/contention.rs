//! Statements that take long, and readers that stay long, while keys change under them all the time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use outcrop_engine::{CommitHandle, Engine, Snapshot, WriteMode};
use outcrop_env::Env;
use outcrop_testkit::Row;
use outcrop_types::{ColumnId, TableId, Value};

use crate::support::callbacks::Append;
use crate::support::*;

/// The row of a key, by a look-up and by a scan, which must agree.
fn value_of(snapshot: &Snapshot, table: TableId, id: i64) -> String {
    let view = snapshot.table(table).unwrap();
    let found = view.lookup(&key_batch(snapshot, table, &[vec![Value::Int(id)]])).unwrap()[0];
    let scanned: Vec<_> =
        scan_addresses(snapshot, table).into_iter().filter(|(_, row)| row[0] == Value::Int(id)).collect();
    let [(address, row)] = scanned.as_slice() else { panic!("{scanned:?}") };
    assert_eq!(found, Some(*address), "at {}", snapshot.commit_seq());
    match &row[1] {
        Value::Text(value) => value.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_old_snapshot_finds_a_key_that_was_written_ten_thousand_times_since() {
    for sorted in [false, true] {
        let (env, sim) = Env::simulated(81);
        let mut options = roomy();
        options.compaction_in_background = false;
        let engine = Engine::open(&env, options).unwrap();
        let mut definition = keyed("t");
        if sorted {
            definition.options.sort_key = vec![ColumnId::new(2)];
        }
        let table = create(&engine, definition);
        upsert(&engine, table, &rows(0..50, "first")).unwrap();
        let mut held = vec![(engine.snapshot(), "first".to_owned())];
        for round in 0..10 {
            let mut handles: Vec<CommitHandle> = Vec::new();
            for turn in 0..1_000 {
                let snapshot = engine.snapshot();
                let mut write = engine.write(&snapshot, table, WriteMode::Upsert).unwrap();
                write.insert(batch(&snapshot, table, &[row(7, &format!("{round} {turn}"))])).unwrap();
                handles.push(write.commit());
            }
            handles.into_iter().for_each(|handle| assert_eq!(handle.wait().unwrap().updated, 1));
            engine.flush(None).unwrap();
            held.push((engine.snapshot(), format!("{round} 999")));
        }
        // Segments become one, and so do their runs.
        engine.compact().unwrap();
        sim.run_until_idle(10_000);
        assert_eq!((engine.status().segments, engine.status().key_runs), (1, 1));
        held.push((engine.snapshot(), "9 999".to_owned()));
        for (snapshot, expected) in &held {
            assert_eq!(value_of(snapshot, table, 7), *expected);
            assert_eq!(value_of(snapshot, table, 8), "first");
        }
        assert_eq!(engine.verify(table).unwrap().unwrap().problems, []);
    }
}

/// `UPDATE … WHERE id % 5 = 0`, again and again beside writers that replace rows, flushes and compactions: each of them ends,
/// and what a writer wrote last is there, with or without what an UPDATE made of it.
#[test]
fn a_large_update_beside_upserts_ends_and_undoes_none() {
    const ROWS: i64 = 4_000;
    const WRITERS: i64 = 2;
    let directory = tempfile::tempdir().unwrap();
    let env = Env::real(directory.path()).unwrap();
    let mut options = tiny();
    options.flush_rows_max = 2_000;
    options.memtable_bytes_max = 8 << 20;
    options.commit_inline_bytes_max = 40 << 10;
    let engine = Engine::open(&env, options).unwrap();
    let mut definition = keyed("t");
    definition.options.sort_key = vec![ColumnId::new(2)];
    let table = create(&engine, definition);
    upsert(&engine, table, &rows(0..ROWS, "0.")).unwrap();
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let last: Vec<AtomicU64> = (0..ROWS).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (engine, stop, last, written) = (&engine, &stop, &last, &written);
            scope.spawn(move || {
                for turn in 1_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // Keys of its own, so that the order of its writes is that of their values.
                    let start = i64::try_from(turn).unwrap() * 37 % (ROWS / WRITERS - 100);
                    let ids: Vec<i64> = (start..start + 100).map(|id| id * WRITERS + writer).collect();
                    let changed: Vec<Row> = ids.iter().map(|id| row(*id, &format!("{turn}."))).collect();
                    upsert(engine, table, &changed).unwrap();
                    ids.iter().for_each(|id| last[usize::try_from(*id).unwrap()].store(turn, Ordering::Relaxed));
                    written.fetch_add(100, Ordering::Relaxed);
                }
            });
        }
        // Until flushes and compactions fell between as well.
        let is_stirred = || engine.status().flushes > 2 && engine.status().compactions > 0;
        for round in (0..).take_while(|round| *round < 6 || !is_stirred()) {
            assert!(round < 1_000, "{:?}", engine.status());
            let snapshot = engine.snapshot();
            let fifth = |(_, row): &(_, Row)| matches!(row[0], Value::Int(id) if id % 5 == 0);
            let (victims, old): (Vec<_>, Vec<_>) = scan_addresses(&snapshot, table).into_iter().filter(fifth).unzip();
            // The others go on while the statement thinks.
            let before = written.load(Ordering::Relaxed);
            while written.load(Ordering::Relaxed) < before + 1_000 {
                std::thread::sleep(Duration::from_millis(1));
            }
            let recheck = Append::boxed(&engine, table, "", Some("u"));
            let new_rows = recheck.apply(&old, "u");
            let mut write = engine.write(&snapshot, table, WriteMode::Change(Some(recheck))).unwrap();
            write.update(&victims, new_rows).unwrap();
            assert_eq!(write.commit().wait().unwrap().updated, (ROWS / 5).unsigned_abs(), "round {round}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let snapshot = engine.snapshot();
    let found = pairs(&snapshot, table);
    assert_eq!(found.len(), usize::try_from(ROWS).unwrap());
    for (id, value) in found {
        let expected = format!("{}.", last[usize::try_from(id).unwrap()].load(Ordering::Relaxed));
        assert_eq!(value.trim_end_matches('u'), expected, "row {id}");
        assert!(id % 5 == 0 || value == expected, "row {id}: {value}");
    }
    check_keys(&snapshot, table);
    assert_eq!(engine.verify(table).unwrap().unwrap().problems, []);
}
