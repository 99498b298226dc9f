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
