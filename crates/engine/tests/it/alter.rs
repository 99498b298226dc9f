//! `ALTER TABLE`: rows of every age under the newest schema, whatever happens between.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use outcrop_engine::{
    AlterAction, Ddl, Engine, Fill, FillColumns, NewColumn, OnConflict, ScanColumn, Snapshot, WriteMode,
};
use outcrop_env::{Env, Sim};
use outcrop_testkit::{Row, assert_same_rows, rows_of};
use outcrop_types::{CompareOp, Condition, DataType, Error, Predicate, Result, TableId, TableName, TableSchema, Value};

use crate::support::*;

fn open() -> (Sim, Engine, TableId) {
    let (env, sim) = Env::simulated(17);
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    (sim, engine, table)
}

fn schema(engine: &Engine, table: TableId) -> Arc<TableSchema> {
    Arc::clone(engine.snapshot().catalog().table_by_id(table).unwrap())
}

fn alter(engine: &Engine, table: TableId, actions: Vec<AlterAction>) -> Result<()> {
    let table = schema(engine, table).name.clone();
    engine.ddl(Ddl::AlterTable { table, actions }).wait().map(drop)
}

fn add(name: &str, data_type: DataType, initial_default: Value) -> AlterAction {
    AlterAction::AddColumn {
        column: NewColumn { initial_default, ..column(name, data_type, true) },
        if_not_exists: false,
    }
}

fn drop_column(name: &str) -> AlterAction {
    AlterAction::DropColumn { name: name.to_owned(), if_exists: false }
}

fn rename(from: &str, to: &str) -> AlterAction {
    AlterAction::RenameColumn { from: from.to_owned(), to: to.to_owned() }
}

fn set_type(column: &str, data_type: DataType) -> AlterAction {
    AlterAction::SetType { column: column.to_owned(), data_type }
}

fn not_null(column: &str) -> AlterAction {
    AlterAction::SetNullable { column: column.to_owned(), nullable: false }
}

/// The same state after crashes, a checkpoint, a flush, a compaction and a good close; `outcrop check` finds nothing. The first
/// checkpoint leaves rows in the log that are older than its schema.
#[track_caller]
fn stays(sim: &Sim, engine: Engine, table: TableId, expected: &[Row]) {
    let mut engine = engine;
    for turn in
        ["as it is", "replayed", "checkpointed", "replayed again", "flushed", "compacted", "and again", "closed"]
    {
        match turn {
            "replayed" | "replayed again" | "and again" => {
                drop(engine);
                engine = Engine::open(&sim.crash(), roomy()).unwrap();
            }
            "flushed" => engine.flush(None).unwrap(),
            "compacted" => engine.compact().unwrap(),
            "checkpointed" => engine.checkpoint().unwrap(),
            "closed" => {
                engine.close().unwrap();
                drop(engine);
                assert_eq!(outcrop_engine::check::check(&sim.env()).unwrap().problems, []);
                engine = Engine::open(&sim.env(), roomy()).unwrap();
            }
            _ => {}
        }
        let snapshot = engine.snapshot();
        assert_same_rows(turn, expected, &scan(&snapshot, table));
        check_keys(&snapshot, table);
    }
}

fn int(value: i64) -> Value {
    Value::Int(value)
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

#[test]
fn rows_older_than_a_column_have_its_initial_default_and_dropped_values_never_come_back() {
    let (sim, engine, table) = open();
    insert(&engine, table, &rows(0..2, "flushed")).unwrap();
    engine.flush(None).unwrap();
    insert(&engine, table, &rows(2..4, "in memory")).unwrap();
    let before = engine.snapshot();
    alter(&engine, table, vec![add("n", DataType::Int4, int(7)), drop_column("value"), rename("id", "number")])
        .unwrap();
    insert(&engine, table, &[vec![int(4), int(8)]]).unwrap();
    // A name that comes back is another column.
    alter(&engine, table, vec![add("value", DataType::Text, Value::Null)]).unwrap();
    upsert(&engine, table, &[vec![int(3), int(9), text("new")]]).unwrap();
    let names: Vec<String> = schema(&engine, table).columns.iter().map(|column| column.name.clone()).collect();
    assert_eq!(names, ["number", "n", "value"]);
    // Readers of before see what was there.
    assert_same_rows("held", &[rows(0..2, "flushed"), rows(2..4, "in memory")].concat(), &scan(&before, table));
    drop(before);
    let old = |id| vec![int(id), int(7), Value::Null];
    let expected = [old(0), old(1), old(2), vec![int(3), int(9), text("new")], vec![int(4), int(8), Value::Null]];
    stays(&sim, engine, table, &expected);
}

#[test]
fn a_renamed_table_is_found_by_its_new_name_only() {
    let (sim, engine, table) = open();
    insert(&engine, table, &rows(0..2, "a")).unwrap();
    create(&engine, keyed("taken"));
    let renamed = |name: &str| vec![AlterAction::RenameTable(name.to_owned())];
    let error = alter(&engine, table, renamed("taken")).unwrap_err();
    assert_eq!(error.condition(), Condition::DuplicateTable);
    alter(&engine, table, renamed("new")).unwrap();
    let catalog =
        |snapshot: &Snapshot, name: &str| snapshot.catalog().table(&TableName::new("commons", name)).is_some();
    assert!(catalog(&engine.snapshot(), "new") && !catalog(&engine.snapshot(), "t"));
    let old = Ddl::AlterTable { table: TableName::new("commons", "t"), actions: renamed("x") };
    assert_eq!(engine.ddl(old).wait().unwrap_err().condition(), Condition::UndefinedTable);
    create(&engine, keyed("t"));
    stays(&sim, engine, table, &rows(0..2, "a"));
}

/// Ids of the rows that a scan with this condition may not leave out, and does not.
fn ids_where(snapshot: &Snapshot, table: TableId, predicate: &Predicate) -> Vec<i64> {
    let table = snapshot.table(table).unwrap();
    let id = ScanColumn::Column(table.schema().columns[0].id);
    let mut found: Vec<i64> = table
        .morsels(8_192)
        .iter()
        .filter(|morsel| table.may_match(morsel, predicate))
        .flat_map(|morsel| rows_of(&table.scan(morsel, &[id], Some(predicate)).unwrap()))
        .map(|row| match row[0] {
            Value::Int(id) => id,
            _ => panic!("an id is a number"),
        })
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn widened_columns_are_read_looked_up_and_pruned_in_their_new_type() {
    let (env, sim) = Env::simulated(18);
    let engine = Engine::open(&env, roomy()).unwrap();
    let mut new = keyed("t");
    new.columns = vec![
        column("id", DataType::Int2, false),
        column("n", DataType::Int4, true),
        column("f", DataType::Float4, true),
        column("v", DataType::Varchar { length: 3 }, true),
        column("d", DataType::Numeric { precision: 5, scale: 2 }, true),
    ];
    let table = create(&engine, new);
    let old = |id: i64| vec![int(id), int(10 * id), Value::Float(0.5), text("abc"), Value::Decimal(150, 2)];
    insert(&engine, table, &[old(1), old(2)]).unwrap();
    engine.flush(None).unwrap();
    insert(&engine, table, &[old(3)]).unwrap();
    let numeric = |precision, scale| DataType::Numeric { precision, scale };
    let actions = vec![
        set_type("id", DataType::Int8),
        set_type("n", numeric(38, 10)),
        set_type("f", DataType::Float8),
        set_type("v", DataType::Text),
        set_type("d", numeric(50, 4)),
    ];
    alter(&engine, table, actions).unwrap();
    let billion = 10_000_000_000;
    let large = vec![
        int(1 << 40),
        Value::Decimal(15 * billion / 10, 10),
        Value::Float(0.1),
        text("longer"),
        Value::Decimal(12_345, 4),
    ];
    insert(&engine, table, std::slice::from_ref(&large)).unwrap();
    // The key of an old row is the same in its wider type.
    let duplicate = vec![vec![int(1), Value::Null, Value::Null, Value::Null, Value::Null]];
    assert_eq!(insert(&engine, table, &duplicate).unwrap_err().condition(), Condition::UniqueViolation);
    let snapshot = engine.snapshot();
    let columns = &snapshot.table(table).unwrap().schema().columns.clone();
    let number = columns[1].id;
    let compare = |op, digits: i128| Predicate::Compare(number, op, Value::Decimal(digits, 10));
    for (predicate, wanted) in [
        (compare(CompareOp::Equal, 20 * billion), vec![2]),
        (compare(CompareOp::Equal, 20 * billion + 1), vec![]),
        (compare(CompareOp::Greater, 20 * billion), vec![3]),
        // Out of the range of the old type.
        (compare(CompareOp::Equal, (1 << 40) * billion), vec![]),
        (Predicate::In(number, vec![Value::Decimal(10 * billion, 10), Value::Decimal(30 * billion, 10)]), vec![1, 3]),
    ] {
        let found = ids_where(&snapshot, table, &predicate);
        assert!(wanted.iter().all(|id| found.contains(id)), "{predicate:?}: {found:?}");
        // Nothing but what cannot be told apart without reading stays.
        assert!(found.len() <= wanted.len() + 1, "{predicate:?}: {found:?}");
    }
    let bounds = snapshot.table(table).unwrap().column_statistics(number).unwrap();
    assert_eq!(bounds.max, Some(Value::Decimal(30 * billion, 10)));
    assert_eq!(find(&snapshot, table, &[1, 2, 3, 1 << 40]).len(), 4);
    drop(snapshot);
    let wide = |id: i64| {
        let n = Value::Decimal(i128::from(10 * id) * billion, 10);
        vec![int(id), n, Value::Float(0.5), text("abc"), Value::Decimal(15_000, 4)]
    };
    stays(&sim, engine, table, &[wide(1), wide(2), wide(3), large]);
}

#[test]
fn not_null_is_refused_while_a_living_row_has_null_and_forgets_the_dead() {
    let (sim, engine, table) = open();
    let null = |id: i64| vec![int(id), Value::Null];
    insert(&engine, table, &[null(1), row(2, "a")]).unwrap();
    engine.flush(None).unwrap();
    insert(&engine, table, &[null(3), row(4, "b")]).unwrap();
    for doomed in [1, 3] {
        let error = alter(&engine, table, vec![not_null("value")]).unwrap_err();
        assert_eq!(error.condition(), Condition::NotNullViolation);
        assert_eq!(error.message(), "column \"value\" of relation \"t\" contains null values");
        assert_eq!(error.constraint().unwrap().column.as_deref(), Some("value"));
        delete_keys(&engine, table, &[vec![int(doomed)]]).unwrap();
    }
    alter(&engine, table, vec![not_null("value")]).unwrap();
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    let lax = schema(&engine, table).with_nulls();
    let refused = write.insert(outcrop_testkit::batch_of(&lax, &[null(5)])).unwrap_err();
    assert_eq!(refused.condition(), Condition::NotNullViolation);
    drop((write, snapshot));
    // A column without a value for the rows that are there.
    let strict = AlterAction::AddColumn { column: column("n", DataType::Int4, false), if_not_exists: false };
    let error = alter(&engine, table, vec![strict.clone()]).unwrap_err();
    assert_eq!(error.condition(), Condition::NotNullViolation);
    let empty = create(&engine, keyed("empty"));
    alter(&engine, empty, vec![strict]).unwrap();
    // The log still has the rows with NULL, and the segment too.
    stays(&sim, engine, table, &[row(2, "a"), row(4, "b")]);
}

#[test]
fn an_alter_is_one_commit_and_one_that_fails_leaves_nothing() {
    let (sim, engine, table) = open();
    insert(&engine, table, &rows(0..2, "a")).unwrap();
    let before = (engine.snapshot().commit_seq(), schema(&engine, table));
    let error = alter(&engine, table, vec![add("n", DataType::Int4, int(1)), drop_column("nowhere")]).unwrap_err();
    assert_eq!(error.condition(), Condition::UndefinedColumn);
    assert_eq!((engine.snapshot().commit_seq(), schema(&engine, table)), before);
    alter(&engine, table, vec![add("n", DataType::Int4, int(1)), drop_column("value")]).unwrap();
    assert_eq!(Some(engine.snapshot().commit_seq()), before.0.next());
    stays(&sim, engine, table, &[vec![int(0), int(1)], vec![int(1), int(1)]]);
}

#[test]
fn default_and_comments_are_of_the_catalog_and_stay() {
    let (sim, engine, table) = open();
    let set = |default: Option<&str>| AlterAction::SetDefault {
        column: "value".to_owned(),
        default: default.map(str::to_owned),
    };
    let comment = |column: Option<&str>| AlterAction::Comment {
        column: column.map(str::to_owned),
        text: Some("said".to_owned()),
    };
    alter(&engine, table, vec![set(Some("'x'")), comment(None), comment(Some("id"))]).unwrap();
    let altered = schema(&engine, table);
    assert_eq!(altered.columns[1].write_default.as_deref(), Some("'x'"));
    assert_eq!((altered.comments.table.as_deref(), altered.comments.columns.len()), (Some("said"), 1));
    drop(engine);
    let engine = Engine::open(&sim.crash(), roomy()).unwrap();
    assert_eq!(schema(&engine, table), altered);
    engine.close().unwrap();
    drop(engine);
    let engine = Engine::open(&sim.env(), roomy()).unwrap();
    assert_eq!(schema(&engine, table), altered);
    alter(&engine, table, vec![set(None)]).unwrap();
    assert_eq!(schema(&engine, table).columns[1].write_default, None);
}

/// What becomes of a statement that was begun before `actions` and committed after them.
fn overtaken(
    engine: &Engine,
    table: TableId,
    mode: WriteMode,
    rows: &[Row],
    actions: Vec<AlterAction>,
) -> Result<outcrop_engine::Commit> {
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, mode)?;
    for rows in rows.chunks(500) {
        write.insert(batch(&snapshot, table, rows))?;
    }
    alter(engine, table, actions)?;
    write.commit().wait()
}

/// In memory, and staged.
fn both_ways(test: impl Fn(&Sim, Engine, TableId, i64)) {
    for (rows, inline_max) in [(3, None), (2_000, Some(2_000))] {
        let (env, sim) = Env::simulated(19);
        let mut options = roomy();
        options.commit_inline_bytes_max = inline_max.unwrap_or(options.commit_inline_bytes_max);
        let engine = Engine::open(&env, options).unwrap();
        let table = create(&engine, keyed("t"));
        test(&sim, engine, table, rows);
    }
}

#[test]
fn rows_of_a_statement_that_an_alter_overtook_are_brought_to_the_new_schema() {
    both_ways(|sim, engine, table, count| {
        let actions = vec![
            add("n", DataType::Int4, int(7)),
            add("none", DataType::Text, Value::Null),
            drop_column("value"),
            rename("id", "number"),
        ];
        let mode = || WriteMode::Insert(OnConflict::Error);
        let commit = overtaken(&engine, table, mode(), &rows(0..count, "a"), actions).unwrap();
        assert_eq!(commit.inserted, count.unsigned_abs());
        let widen = vec![set_type("n", DataType::Numeric { precision: 20, scale: 1 })];
        let more: Vec<Row> = (count..2 * count).map(|id| vec![int(id), int(8), text("b")]).collect();
        overtaken(&engine, table, WriteMode::Upsert, &more, widen).unwrap();
        let row = |id, n, last: Value| vec![int(id), Value::Decimal(n, 1), last];
        let old = (0..count).map(|id| row(id, 70, Value::Null));
        let expected: Vec<Row> = old.chain((count..2 * count).map(|id| row(id, 80, text("b")))).collect();
        // One of its keys is there by now.
        let again = vec![vec![int(0), Value::Null, Value::Null]];
        let error = overtaken(&engine, table, mode(), &again, vec![rename("n", "m")]).unwrap_err();
        assert_eq!(error.condition(), Condition::UniqueViolation);
        stays(sim, engine, table, &expected);
    });
}

#[test]
fn what_cannot_be_brought_over_is_refused_whole() {
    both_ways(|sim, engine, table, count| {
        let mode = || WriteMode::Insert(OnConflict::Error);
        let with_default = |name: &str| AlterAction::AddColumn {
            column: NewColumn { write_default: Some("1".to_owned()), ..column(name, DataType::Int4, true) },
            if_not_exists: false,
        };
        let strict = AlterAction::AddColumn { column: column("s", DataType::Int4, false), if_not_exists: false };
        let nulls: Vec<Row> = (0..count).map(|id| vec![int(id), Value::Null]).collect();
        for actions in [vec![with_default("a")], vec![drop_column("a"), strict, drop_column("s"), not_null("value")]] {
            let snapshot = engine.snapshot();
            let width = snapshot.catalog().table_by_id(table).unwrap().columns.len();
            let padded: Vec<Row> =
                nulls.iter().map(|row| [row.clone(), vec![Value::Null; width - 2]].concat()).collect();
            let error = overtaken(&engine, table, mode(), &padded, actions).unwrap_err();
            assert_eq!(error.condition(), Condition::SerializationFailure, "{error}");
            assert_eq!(scan(&engine.snapshot(), table), Vec::<Row>::new());
        }
        stays(sim, engine, table, &[]);
    });
}

#[test]
fn updates_and_deletes_that_an_alter_overtook_keep_the_new_columns_of_their_rows() {
    both_ways(|sim, engine, table, count| {
        insert(&engine, table, &rows(0..count, "a")).unwrap();
        let snapshot = engine.snapshot();
        let ids: Vec<i64> = (0..count).collect();
        let addresses = find(&snapshot, table, &ids);
        let mut update = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
        let (last, first) = addresses.split_last().unwrap();
        update.update(first, batch(&snapshot, table, &rows(0..count - 1, "b"))).unwrap();
        update.delete(&[*last]).unwrap();
        // A flush moves the rows meanwhile.
        alter(&engine, table, vec![add("n", DataType::Int4, int(7))]).unwrap();
        engine.flush(None).unwrap();
        let commit = update.commit().wait().unwrap();
        assert_eq!((commit.updated, commit.deleted), (count.unsigned_abs() - 1, 1));
        drop(snapshot);
        let expected: Vec<Row> = (0..count - 1).map(|id| vec![int(id), text("b"), int(7)]).collect();
        stays(sim, engine, table, &expected);
    });
}

#[test]
fn callbacks_and_returned_rows_of_the_old_schema_are_never_mixed_with_the_new() {
    let (sim, engine, table) = open();
    insert(&engine, table, &rows(0..2, "a")).unwrap();
    let update = || callbacks::concat(&engine, table);
    // With other names the columns are what they were.
    let actions = vec![rename("value", "v"), AlterAction::RenameTable("u".to_owned())];
    overtaken(&engine, table, update(), &[row(1, "!")], actions).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), [(0, "a".to_owned()), (1, "a!".to_owned())]);
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Upsert).unwrap().keep_rows();
    write.insert(batch(&snapshot, table, &[row(1, "a")])).unwrap();
    alter(&engine, table, vec![rename("v", "value")]).unwrap();
    let commit = write.commit().wait().unwrap();
    assert_eq!(commit.rows.map(|rows| rows_of(&rows.unwrap())).collect::<Vec<_>>().concat(), [row(1, "a")]);
    // Without a conflict nobody is called.
    overtaken(&engine, table, update(), &[row(2, "x")], vec![add("n", DataType::Int4, int(1))]).unwrap();
    let conflicting = [vec![int(1), text("x"), int(2)]];
    let error = overtaken(&engine, table, update(), &conflicting, vec![add("m", DataType::Int4, int(1))]).unwrap_err();
    assert_eq!(error.condition(), Condition::SerializationFailure);
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Upsert).unwrap().keep_rows();
    write.insert(batch(&snapshot, table, &[vec![int(9), text("x"), int(2), int(3)]])).unwrap();
    alter(&engine, table, vec![drop_column("m")]).unwrap();
    assert_eq!(write.commit().wait().unwrap_err().condition(), Condition::SerializationFailure);
    drop(snapshot);
    let expected: Vec<Row> = (0..3).map(|id| vec![int(id), text(if id < 2 { "a" } else { "x" }), int(1)]).collect();
    stays(&sim, engine, table, &expected);
}

/// Numbers rows as they come, and fails at one of them.
struct Counter {
    next: i64,
    fails_at: i64,
}

impl FillColumns for Counter {
    fn fill(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        let first = self.next;
        self.next += rows as i64;
        if self.next > self.fails_at {
            return Err(Error::new(Condition::DivisionByZero, "division by zero"));
        }
        Ok(vec![Arc::new(Int64Array::from_iter_values(first..self.next))])
    }
}

fn numbered(engine: &Engine, fails_at: i64, others: Vec<AlterAction>) -> Result<outcrop_engine::Commit> {
    let column = NewColumn { write_default: Some("next()".to_owned()), ..column("n", DataType::Int8, false) };
    let actions = [vec![AlterAction::AddColumn { column, if_not_exists: false }], others].concat();
    let fill = Fill { columns: vec!["n".to_owned()], values: Box::new(Counter { next: 0, fails_at }) };
    engine.alter_filling(&TableName::new("commons", "t"), &actions, fill).wait()
}

#[test]
fn a_default_of_its_own_for_each_row_writes_all_rows_anew_in_one_commit() {
    let (sim, engine, table) = open();
    insert(&engine, table, &rows(0..10, "a")).unwrap();
    engine.flush(None).unwrap();
    insert(&engine, table, &rows(10..20, "b")).unwrap();
    delete_keys(&engine, table, &[vec![int(3)], vec![int(13)]]).unwrap();
    let before = engine.snapshot();
    let mut overtaken = engine.write(&before, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    overtaken.insert(batch(&before, table, &[row(90, "x")])).unwrap();
    let commit = numbered(&engine, i64::MAX, vec![rename("value", "v"), drop_column("v")]).unwrap();
    assert_eq!(Some(commit.seq), before.commit_seq().next().and_then(|flush| flush.next()));
    // What it would have in the new column nobody knows.
    assert_eq!(overtaken.commit().wait().unwrap_err().condition(), Condition::SerializationFailure);
    assert_eq!(scan(&before, table).len(), 18);
    drop(before);
    insert(&engine, table, &[vec![int(20), int(77)]]).unwrap();
    let mut found = scan(&engine.snapshot(), table);
    found.sort_by_key(|row| format!("{:?}", row[1]));
    found.dedup_by_key(|row| format!("{:?}", row[1]));
    assert_eq!(found.len(), 19, "each row has a value of its own");
    stays(&sim, engine, table, &found);
}

#[test]
fn a_default_that_fails_at_some_row_leaves_the_table_and_the_disk_as_they_were() {
    let (sim, engine, table) = open();
    insert(&engine, table, &rows(0..10, "a")).unwrap();
    engine.flush(None).unwrap();
    let before = schema(&engine, table);
    let error = numbered(&engine, 9, Vec::new()).unwrap_err();
    assert_eq!(error.condition(), Condition::DivisionByZero);
    insert(&engine, table, &[vec![int(10), Value::Null]]).unwrap();
    let error = numbered(&engine, i64::MAX, vec![not_null("value")]).unwrap_err();
    assert_eq!(error.message(), "column \"value\" of relation \"t\" contains null values");
    assert_eq!(schema(&engine, table), before);
    engine.close().unwrap();
    drop(engine);
    let report = outcrop_engine::check::check(&sim.env()).unwrap();
    assert_eq!((report.problems, report.leftovers), (Vec::new(), Vec::new()));
    let engine = Engine::open(&sim.env(), roomy()).unwrap();
    stays(&sim, engine, table, &[rows(0..10, "a"), vec![vec![int(10), Value::Null]]].concat());
}

/// Others write while the first rows are written anew.
struct Interrupted {
    counter: Counter,
    engine: Option<Engine>,
    table: TableId,
}

impl FillColumns for Interrupted {
    fn fill(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        if let Some(engine) = self.engine.take() {
            insert(&engine, self.table, &[row(100, "flushed")]).unwrap();
            delete_keys(&engine, self.table, &[vec![int(1)]]).unwrap();
            engine.flush(None).unwrap();
            upsert(&engine, self.table, &[row(2, "newer"), row(101, "in memory")]).unwrap();
            delete_keys(&engine, self.table, &[vec![int(101)]]).unwrap();
            if rows > 5 {
                engine.compact().unwrap();
            }
        }
        self.counter.fill(rows)
    }
}

#[test]
fn rows_that_others_write_while_rows_are_written_anew_have_values_too() {
    for count in [5, 6] {
        let (sim, engine, table) = open();
        insert(&engine, table, &rows(0..count, "a")).unwrap();
        let column = NewColumn { write_default: Some("next()".to_owned()), ..column("n", DataType::Int8, false) };
        let actions = [AlterAction::AddColumn { column, if_not_exists: false }];
        let counter = Counter { next: 0, fails_at: i64::MAX };
        let values = Box::new(Interrupted { counter, engine: Some(engine.clone()), table });
        let fill = Fill { columns: vec!["n".to_owned()], values };
        engine.alter_filling(&TableName::new("commons", "t"), &actions, fill).wait().unwrap();
        let found = scan(&engine.snapshot(), table);
        let mut kept: Vec<Row> = found.iter().map(|row| row[..2].to_vec()).collect();
        kept.sort_by_key(|row| format!("{row:?}"));
        let mut expected: Vec<Row> =
            rows(0..count, "a").into_iter().filter(|row| !matches!(row[0], Value::Int(1 | 2))).collect();
        expected.extend([row(2, "newer"), row(100, "flushed")]);
        expected.sort_by_key(|row| format!("{row:?}"));
        assert_eq!(kept, expected);
        let values: std::collections::BTreeSet<String> = found.iter().map(|row| format!("{:?}", row[2])).collect();
        assert_eq!(values.len(), found.len(), "each row has a value of its own");
        stays(&sim, engine, table, &found);
    }
}

/// Given up when all its values are there.
struct Unwanted(Counter);

impl FillColumns for Unwanted {
    fn fill(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        self.0.fill(rows)
    }

    fn last_word(&mut self) -> Result<()> {
        Err(Error::new(Condition::QueryCanceled, "canceling statement due to user request"))
    }
}

#[test]
fn an_alter_that_is_given_up_at_its_last_word_leaves_nothing() {
    let (sim, engine, table) = open();
    insert(&engine, table, &rows(0..10, "a")).unwrap();
    engine.flush(None).unwrap();
    insert(&engine, table, &rows(10..20, "a")).unwrap();
    let before = schema(&engine, table);
    let column = NewColumn { write_default: Some("next()".to_owned()), ..column("n", DataType::Int8, false) };
    let actions = [AlterAction::AddColumn { column, if_not_exists: false }];
    let values = Box::new(Unwanted(Counter { next: 0, fails_at: i64::MAX }));
    let fill = Fill { columns: vec!["n".to_owned()], values };
    let error = engine.alter_filling(&TableName::new("commons", "t"), &actions, fill).wait().unwrap_err();
    assert_eq!(error.condition(), Condition::QueryCanceled);
    assert_eq!((schema(&engine, table), engine.status().poisoned), (before, None));
    engine.close().unwrap();
    drop(engine);
    let report = outcrop_engine::check::check(&sim.env()).unwrap();
    assert_eq!((report.problems, report.leftovers), (Vec::new(), Vec::new()));
    let engine = Engine::open(&sim.env(), roomy()).unwrap();
    stays(&sim, engine, table, &rows(0..20, "a"));
}
