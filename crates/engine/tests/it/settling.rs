//! Rounds off the turn (Q7): what they look up must stay findable, whatever flushes and checkpoints do meanwhile (E3).

use arrow_array::{BooleanArray, RecordBatch};
use outcrop_engine::{Engine, OnConflict, Recheck, Rechecked, WriteMode};
use outcrop_env::Env;
use outcrop_testkit::{Row, batch_of, rows_of};
use outcrop_types::{Condition, Result, TableSchema, Value};

use crate::support::*;

/// A recheck that lets the world turn before its first answer.
struct Interrupted {
    engine: Engine,
    interrupted: bool,
    judge: fn(&TableSchema, &[Row]) -> Rechecked,
    schema: TableSchema,
}

impl Recheck for Interrupted {
    fn recheck(&mut self, current: &RecordBatch) -> Result<Rechecked> {
        if !std::mem::replace(&mut self.interrupted, true) {
            self.engine.flush(None)?;
            self.engine.checkpoint()?;
        }
        Ok((self.judge)(&self.schema, &rows_of(current)))
    }
}

#[test]
fn a_flush_between_two_look_ups_hides_no_row_from_a_delete() {
    const ROWS: i64 = 10_000;
    let (env, _sim) = Env::simulated(41);
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &rows(0..ROWS, "a")).unwrap();
    engine.flush(None).unwrap();
    let snapshot = engine.snapshot();
    let schema = TableSchema::clone(snapshot.catalog().table_by_id(table).unwrap());
    let all: Vec<i64> = (0..ROWS).collect();
    let victims = find(&snapshot, table, &all);
    // Every row is replaced, by a generation that the snapshot does not know.
    upsert(&engine, table, &rows(0..ROWS, "b")).unwrap();
    let judge =
        |_: &TableSchema, rows: &[Row]| Rechecked { matches: BooleanArray::from(vec![true; rows.len()]), rows: None };
    let recheck = Interrupted { engine: engine.clone(), interrupted: false, judge, schema };
    let mut write = engine.write(&snapshot, table, WriteMode::Change(Some(Box::new(recheck)))).unwrap();
    write.delete(&victims).unwrap();
    assert_eq!(write.commit().wait().unwrap().deleted, 10_000);
    assert_eq!(pairs(&engine.snapshot(), table), []);
}

#[test]
fn a_flush_between_two_look_ups_lets_no_key_in_twice() {
    let (env, sim) = Env::simulated(42);
    let mut options = roomy();
    options.commit_inline_bytes_max = 100;
    let engine = Engine::open(&env, options).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &[row(1, "one"), row(2, "two")]).unwrap();
    engine.flush(None).unwrap();
    let snapshot = engine.snapshot();
    let schema = TableSchema::clone(snapshot.catalog().table_by_id(table).unwrap());
    let victims = find(&snapshot, table, &[1, 2]);
    upsert(&engine, table, &[row(2, "changed")]).unwrap();
    insert(&engine, table, &[row(100, "x")]).unwrap();
    let judge = |schema: &TableSchema, rows: &[Row]| Rechecked {
        matches: BooleanArray::from(vec![false; rows.len()]),
        rows: Some(batch_of(schema, rows)),
    };
    let recheck = Interrupted { engine: engine.clone(), interrupted: false, judge, schema };
    let mut write = engine.write(&snapshot, table, WriteMode::Change(Some(Box::new(recheck)))).unwrap();
    let long = "so long that the statement is staged ".repeat(10);
    write.update(&victims, batch(&snapshot, table, &[row(100, &long), row(2, &long)])).unwrap();
    let error = write.commit().wait().unwrap_err();
    assert_eq!(error.condition(), Condition::UniqueViolation, "{error}");
    drop(snapshot);
    check_keys(&engine.snapshot(), table);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(outcrop_engine::check::check(&sim.env()).unwrap().problems, []);
}

/// Inline rounds have no journal: a hot key whose newest entries are folded away under a round would lose the update.
#[test]
fn writes_of_a_hot_key_between_two_look_ups_lose_no_update() {
    struct Hot(Engine, bool, TableSchema);
    impl Recheck for Hot {
        fn recheck(&mut self, current: &RecordBatch) -> Result<Rechecked> {
            let table = self.2.id;
            if !std::mem::replace(&mut self.1, true) {
                // The keys of the next chunk are written again and again, so that older entries of them are folded.
                for turn in 0..8 {
                    upsert(&self.0, table, &rows(8_192..8_200, &format!("b{turn}")))?;
                }
            }
            let rows = rows_of(current);
            let matches = BooleanArray::from(vec![true; rows.len()]);
            let rows: Vec<Row> =
                rows.into_iter().map(|row| vec![row[0].clone(), Value::Text(format!("{}+", text_of(&row)))]).collect();
            Ok(Rechecked { matches, rows: Some(batch_of(&self.2, &rows)) })
        }
    }
    const ROWS: i64 = 8_200;
    let (env, _sim) = Env::simulated(43);
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &rows(0..ROWS, "a")).unwrap();
    let snapshot = engine.snapshot();
    let schema = TableSchema::clone(snapshot.catalog().table_by_id(table).unwrap());
    let all: Vec<i64> = (0..ROWS).collect();
    let victims = find(&snapshot, table, &all);
    upsert(&engine, table, &rows(0..ROWS, "b")).unwrap();
    upsert(&engine, table, &rows(8_192..ROWS, "b")).unwrap();
    let recheck = Hot(engine.clone(), false, schema);
    let mut write = engine.write(&snapshot, table, WriteMode::Change(Some(Box::new(recheck)))).unwrap();
    write.update(&victims, batch(&snapshot, table, &rows(0..ROWS, "stale"))).unwrap();
    assert_eq!(write.commit().wait().unwrap().updated, 8_200);
    let found = pairs(&engine.snapshot(), table);
    assert_eq!((found[0].1.as_str(), found[8_199].1.as_str()), ("b+", "b7+"));
}

fn text_of(row: &Row) -> &str {
    match &row[1] {
        Value::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

/// A staged statement that begins while its table is empty, and everything it asks for is flushed under it.
#[test]
fn a_staged_insert_meets_a_row_that_was_flushed_while_it_looked() {
    let (env, _sim) = Env::simulated(44);
    let mut options = roomy();
    options.commit_inline_bytes_max = 100;
    let engine = Engine::open(&env, options).unwrap();
    let table = create(&engine, keyed("t"));
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    write.insert(batch(&snapshot, table, &rows(0..1_000, "staged"))).unwrap();
    insert(&engine, table, &[row(7, "first")]).unwrap();
    engine.flush(None).unwrap();
    engine.checkpoint().unwrap();
    assert_eq!(write.commit().wait().unwrap_err().condition(), Condition::UniqueViolation);
}
