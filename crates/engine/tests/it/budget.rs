//! P12: whatever is stuck, memory stays within its limit; writes are delayed, refused, and go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use outcrop_engine::{Engine, EngineOptions};
use outcrop_env::{Env, FaultKind, OperationClass};
use outcrop_types::{Condition, Value};

use crate::support::*;

const LIMIT: u64 = 200_000;
const VALUE_BYTES: usize = 2_000;

fn limited() -> EngineOptions {
    let mut options = roomy();
    options.log_file_bytes = 8 << 20;
    options.memtable_bytes_max = LIMIT;
    options.stall_max = Duration::from_millis(50);
    options
}

#[test]
fn p12_a_stuck_flush_refuses_writes_with_a_retryable_error_and_never_grows_memory() {
    let (env, sim) = Env::simulated(51);
    let engine = Engine::open(&env, limited()).unwrap();
    let table = create(&engine, keyed("t"));
    // No segment can be begun; the disk is not full.
    sim.fail_always(OperationClass::Create, 0, FaultKind::OutOfHandles);
    let (mut written, mut refused, mut most) = (0, 0, 0);
    for id in 0..300 {
        match upsert(&engine, table, &[row(id, &"x".repeat(VALUE_BYTES))]) {
            Ok(_) => written += 1,
            Err(error) => {
                assert_eq!(error.condition(), Condition::WriteStalled, "{error}");
                assert_eq!(engine.status().stall_reason, Some("memtables full"));
                refused += 1;
            }
        }
        most = most.max(engine.status().memtable_bytes);
    }
    assert!(written > 50 && refused > 50, "{written} written, {refused} refused");
    assert!(most >= LIMIT && most < LIMIT + 3 * VALUE_BYTES as u64, "{most} bytes in memory");
    // Reads and deletes are not held up.
    delete_keys(&engine, table, &[vec![Value::Int(0)]]).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table).len(), written - 1);
    sim.clear_faults();
    sim.advance(Duration::from_secs(2));
    upsert(&engine, table, &[row(1_000, "x")]).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table).len(), written);
    assert_eq!((engine.status().stall_reason, engine.status().poisoned), (None, None));
}

#[test]
fn p12_writers_that_come_together_do_not_overshoot_the_limit() {
    const WRITERS: i64 = 8;
    const STATEMENT_BYTES: u64 = 60_000;
    let directory = tempfile::tempdir().unwrap();
    let env = Env::real(directory.path()).unwrap();
    let mut options = limited();
    options.stall_max = Duration::from_secs(60);
    let engine = Engine::open(&env, options).unwrap();
    let table = create(&engine, keyed("t"));
    let (most, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(engine.status().memtable_bytes, Ordering::Relaxed);
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let engine = &engine;
                scope.spawn(move || {
                    for round in 0..12 {
                        let first = writer * 1_000 + round * 20;
                        upsert(engine, table, &rows(first..first + 20, &"x".repeat(2_800))).unwrap();
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        stop.store(true, Ordering::Relaxed);
        watcher.join().unwrap();
    });
    let most = most.into_inner();
    // One statement may pass just below the limit; chunks of the memtable have some bytes of their own.
    assert!(most < LIMIT + 2 * STATEMENT_BYTES, "{most} bytes in memory");
    assert_eq!(scan(&engine.snapshot(), table).len(), 8 * 12 * 20);
}

/// Flushes go on, and each of them adds a segment, while no compaction can read what it should merge.
#[test]
fn p12_a_stuck_compaction_refuses_writes_with_a_retryable_error_and_never_grows_files_or_memory() {
    const SEGMENTS: u64 = 20;
    for staged in [false, true] {
        let (env, sim) = Env::simulated(52);
        let mut options = tiny();
        options.small_segments_max = 20;
        options.stall_max = Duration::from_millis(50);
        options.commit_inline_bytes_max = if staged { 1 } else { 1 << 20 };
        let engine = Engine::open(&env, options).unwrap();
        let mut definition = keyed("t");
        definition.primary_key = None;
        definition.options.append_only = true;
        let table = create(&engine, definition);
        let (mut written, mut refused, mut files, mut memory) = (0, 0, 0, 0);
        // No file that is there can be opened: compaction waits and tries again.
        sim.fail_always(OperationClass::Open, 0, FaultKind::OutOfHandles);
        for round in 0..200 {
            match insert(&engine, table, &rows(round * 50..round * 50 + 50, "x")) {
                Ok(_) => written += 50,
                Err(error) => {
                    assert_eq!(error.condition(), Condition::WriteStalled, "{error}");
                    assert_eq!(error.message(), "writes arrive faster than they can be compacted");
                    assert_eq!(engine.status().stall_reason, Some("compaction behind"));
                    refused += 1;
                }
            }
            sim.run_until_idle(1_000);
            files = files.max(env.disk.list("segments").unwrap().len());
            memory = memory.max(engine.status().memtable_bytes);
        }
        assert!(refused > 100, "{written} rows written, {refused} statements refused");
        assert!(engine.status().segments <= SEGMENTS + 1, "{} segments", engine.status().segments);
        assert!(files <= 2 * (20 + 2), "{files} files of {SEGMENTS} segments");
        assert!(memory <= tiny().memtable_bytes_max, "{memory} bytes in memory");
        // Deletes and DDL add no segment.
        engine.ddl(outcrop_engine::Ddl::CreateSchema("s".into())).wait().unwrap();
        sim.clear_faults();
        sim.advance(Duration::from_secs(6));
        insert(&engine, table, &rows(100_000..100_001, "x")).unwrap();
        sim.run_until_idle(100_000);
        assert_eq!(scan(&engine.snapshot(), table).len(), written + 1);
        assert_eq!((engine.status().stall_reason, engine.status().poisoned), (None, None));
        assert!(engine.status().segments < SEGMENTS / 2, "{} segments", engine.status().segments);
    }
}
