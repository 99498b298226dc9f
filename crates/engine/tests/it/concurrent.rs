//! Real threads on a real disk: readers see whole commits while writers, flushes and checkpoints run.

use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::RecordBatch;
use outcrop_engine::{AlterAction, Ddl, Engine, NewColumn, Recheck, Rechecked, WriteMode};
use outcrop_env::Env;
use outcrop_testkit::{Row, assert_same_rows, batch_of, rows_of};
use outcrop_types::{Condition, DataType, Result, TableSchema, Value};

use crate::support::*;

/// The sum of all values is the same in every snapshot: transfers between accounts (K3).
#[test]
fn readers_see_whole_commits_while_writers_and_flushes_run() {
    const ACCOUNTS: i64 = 200;
    let directory = tempfile::tempdir().unwrap();
    let env = Env::real(directory.path()).unwrap();
    let mut options = tiny();
    options.memtable_bytes_max = 8 << 20;
    let engine = Engine::open(&env, options.clone()).unwrap();
    let mut accounts = keyed("accounts");
    accounts.columns[1] = column("balance", DataType::Int8, false);
    let table = create(&engine, accounts);
    let all: Vec<Row> = (0..ACCOUNTS).map(|id| vec![Value::Int(id), Value::Int(100)]).collect();
    upsert(&engine, table, &all).unwrap();
    let stop = AtomicBool::new(false);
    let sum = |rows: Vec<Row>| -> (usize, i64) {
        let balance = |row: &Row| if let Value::Int(balance) = row[1] { balance } else { panic!("{row:?}") };
        (rows.len(), rows.iter().map(balance).sum())
    };
    let expected = (usize::try_from(ACCOUNTS).unwrap(), 100 * ACCOUNTS);
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (engine, stop, sum) = (&engine, &stop, &sum);
            scope.spawn(move || {
                let mut held = engine.snapshot();
                let mut last = held.commit_seq();
                while !stop.load(Ordering::Relaxed) {
                    let snapshot = engine.snapshot();
                    assert!(snapshot.commit_seq() >= last);
                    last = snapshot.commit_seq();
                    assert_eq!(sum(scan(&snapshot, table)), expected, "reader {reader} at {last}");
                    check_keys(&snapshot, table);
                    assert_eq!(sum(scan(&held, table)), expected);
                    if last.get() % 7 == 0 {
                        held = snapshot;
                    }
                }
            });
        }
        let writers: Vec<_> = (0..3_i64)
            .map(|writer| {
                let engine = &engine;
                scope.spawn(move || {
                    // Each writer has accounts of its own, so that no transfer reads what another one changes.
                    let mine: Vec<i64> = (0..ACCOUNTS).filter(|id| id % 3 == writer).collect();
                    let mut balances = vec![100_i64; mine.len()];
                    for turn in 0..150_usize {
                        let (from, to) = (turn * 7 % mine.len(), (turn * 13 + 1) % mine.len());
                        if from == to {
                            continue;
                        }
                        balances[from] -= 1;
                        balances[to] += 1;
                        let snapshot = engine.snapshot();
                        let mut write = engine.write(&snapshot, table, WriteMode::Upsert).unwrap();
                        let rows: Vec<Row> =
                            [from, to].map(|index| vec![Value::Int(mine[index]), Value::Int(balances[index])]).to_vec();
                        write.insert(batch(&snapshot, table, &rows)).unwrap();
                        let commit = write.commit().wait().unwrap();
                        assert_eq!(commit.updated, 2);
                        assert!(engine.snapshot().commit_seq() >= commit.seq);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        engine.flush(None).unwrap();
        stop.store(true, Ordering::Relaxed);
    });
    assert!(engine.status().flushes > 5, "{:?}", engine.status());
    let balances = scan(&engine.snapshot(), table);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(outcrop_engine::check::check(&env).unwrap().problems, []);
    let engine = Engine::open(&env, options).unwrap();
    assert_same_rows("after restart", &balances, &scan(&engine.snapshot(), table));
}

/// `n = n + 1` where `n` was read in an older snapshot.
struct Increment(TableSchema);

impl Increment {
    fn apply(&self, rows: &[Row]) -> RecordBatch {
        let incremented = |row: &Row| match row.as_slice() {
            [id, Value::Int(n)] => vec![id.clone(), Value::Int(n + 1)],
            other => panic!("{other:?}"),
        };
        batch_of(&self.0, &rows.iter().map(incremented).collect::<Vec<_>>())
    }
}

impl Recheck for Increment {
    fn recheck(&mut self, current: &RecordBatch) -> Result<Rechecked> {
        let rows = rows_of(current);
        Ok(Rechecked { matches: vec![true; rows.len()].into(), rows: Some(self.apply(&rows)) })
    }
}

/// No update is lost when small and staged statements change the same rows beside flushes and checkpoints (E3).
#[test]
fn p2_increments_of_shared_rows_add_up_to_what_was_acknowledged() {
    const ROWS: i64 = 400;
    const CLIENTS: i64 = 4;
    const TURNS: i64 = 60;
    let directory = tempfile::tempdir().unwrap();
    let env = Env::real(directory.path()).unwrap();
    let mut options = tiny();
    options.memtable_bytes_max = 8 << 20;
    let engine = Engine::open(&env, options.clone()).unwrap();
    let mut counters = keyed("counters");
    counters.columns[1] = column("n", DataType::Int8, false);
    let table = create(&engine, counters);
    let all: Vec<Row> = (0..ROWS).map(|id| vec![Value::Int(id), Value::Int(0)]).collect();
    upsert(&engine, table, &all).unwrap();
    let schema = TableSchema::clone(engine.snapshot().catalog().table_by_id(table).unwrap());
    let increment = |wanted: &dyn Fn(i64) -> bool| {
        let snapshot = engine.snapshot();
        let seen = scan_addresses(&snapshot, table).into_iter();
        let (addresses, rows): (Vec<_>, Vec<_>) =
            seen.filter(|(_, row)| matches!(row[0], Value::Int(id) if wanted(id))).unzip();
        let recheck = Increment(schema.clone());
        let new_rows = recheck.apply(&rows);
        let mut write = engine.write(&snapshot, table, WriteMode::Change(Some(Box::new(recheck)))).unwrap();
        write.update(&addresses, new_rows).unwrap();
        write.commit().wait().unwrap().updated
    };
    let stop = AtomicBool::new(false);
    let staged = std::thread::scope(|scope| {
        let flusher = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                engine.flush(None).unwrap();
                engine.checkpoint().unwrap();
            }
        });
        let stager = scope.spawn(|| {
            let mut turns = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(increment(&|_| true), ROWS.unsigned_abs());
                turns += 1;
            }
            turns
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let increment = &increment;
                scope.spawn(move || {
                    for turn in 0..TURNS {
                        assert_eq!(increment(&|id| id == (client + turn) % 3), 1);
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        stop.store(true, Ordering::Relaxed);
        flusher.join().unwrap();
        stager.join().unwrap()
    });
    let sum: i64 = scan(&engine.snapshot(), table)
        .iter()
        .map(|row| if let Value::Int(n) = row[1] { n } else { panic!("{row:?}") })
        .sum();
    assert_eq!(sum, CLIENTS * TURNS + staged * ROWS);
    check_keys(&engine.snapshot(), table);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(outcrop_engine::check::check(&env).unwrap().problems, []);
}

/// Writers, readers, flushes and compactions go on while columns come, go and widen: what was acknowledged is there.
#[test]
fn nothing_acknowledged_is_lost_while_the_table_is_altered() {
    const ROUNDS: i64 = 40;
    let directory = tempfile::tempdir().unwrap();
    let env = Env::real(directory.path()).unwrap();
    let mut options = tiny();
    options.memtable_bytes_max = 8 << 20;
    let engine = Engine::open(&env, options.clone()).unwrap();
    let mut new = keyed("t");
    new.columns = vec![column("id", DataType::Int4, false), column("n", DataType::Int2, false)];
    let table = create(&engine, new);
    let stop = AtomicBool::new(false);
    let name = engine.snapshot().catalog().table_by_id(table).unwrap().name.clone();
    let acknowledged = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3_i64)
            .map(|writer| {
                let (engine, stop) = (&engine, &stop);
                scope.spawn(move || {
                    let mut done = Vec::new();
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let id = writer * 100_000 + number;
                        let snapshot = engine.snapshot();
                        let schema = snapshot.catalog().table_by_id(table).unwrap();
                        let value = |column: &outcrop_types::Column| match (column.name.as_str(), &column.data_type) {
                            ("id", _) => Value::Int(id),
                            ("n", DataType::Numeric { .. }) => Value::Decimal(i128::from(number % 100) * 100, 2),
                            ("n", _) => Value::Int(number % 100),
                            _ => Value::Int(-1),
                        };
                        let row: Row = schema.columns.iter().map(value).collect();
                        let mut write = engine.write(&snapshot, table, WriteMode::Upsert).unwrap();
                        write.insert(batch(&snapshot, table, &[row])).unwrap();
                        match write.commit().wait() {
                            Ok(_) => done.push((id, number % 100)),
                            Err(error) => assert_eq!(error.condition(), Condition::SerializationFailure),
                        }
                    }
                    done
                })
            })
            .collect();
        for round in 0..ROUNDS {
            let extra = NewColumn { initial_default: Value::Int(round), ..column("extra", DataType::Int8, false) };
            let mut actions = vec![AlterAction::AddColumn { column: extra, if_not_exists: false }];
            let types = [DataType::Int4, DataType::Int8, DataType::Numeric { precision: 30, scale: 2 }];
            if let Some(data_type) = usize::try_from(round - 10).ok().and_then(|round| types.get(round)) {
                actions.push(AlterAction::SetType { column: "n".to_owned(), data_type: data_type.clone() });
            }
            engine.ddl(Ddl::AlterTable { table: name.clone(), actions }).wait().unwrap();
            let snapshot = engine.snapshot();
            check_keys(&snapshot, table);
            let drop = AlterAction::DropColumn { name: "extra".to_owned(), if_exists: false };
            engine.ddl(Ddl::AlterTable { table: name.clone(), actions: vec![drop] }).wait().unwrap();
            scan(&snapshot, table);
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(acknowledged.len() > 100, "{} commits", acknowledged.len());
    let expected: Vec<Row> =
        acknowledged.into_iter().map(|(id, n)| vec![Value::Int(id), Value::Decimal(i128::from(n) * 100, 2)]).collect();
    assert_same_rows("at the end", &expected, &scan(&engine.snapshot(), table));
    engine.close().unwrap();
    drop(engine);
    let engine = Engine::open(&env, options).unwrap();
    assert_same_rows("after a restart", &expected, &scan(&engine.snapshot(), table));
    check_keys(&engine.snapshot(), table);
}
