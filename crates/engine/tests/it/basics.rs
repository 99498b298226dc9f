//! One statement after the other.

use outcrop_engine::{Ddl, Engine, OnConflict, RowOutcome, WriteMode};
use outcrop_env::Env;
use outcrop_testkit::rows_of;
use outcrop_types::{CommitSeq, Condition, TableId, TableName, Value};

use crate::support::*;

fn open() -> (Env, Engine, TableId) {
    let (env, _sim) = Env::simulated(1);
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    (env, engine, table)
}

#[test]
fn a_row_is_there_after_insert_restart_flush_and_restart() {
    let (env, engine, table) = open();
    let commit = insert(&engine, table, &[row(1, "one"), row(2, "two")]).unwrap();
    assert_eq!((commit.inserted, commit.seq), (2, engine.snapshot().commit_seq()));
    let expected = [(1, "one".to_owned()), (2, "two".to_owned())];
    assert_eq!(pairs(&engine.snapshot(), table), expected);

    drop(engine);
    let engine = Engine::open(&env, roomy()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), expected);
    engine.flush(None).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), expected);
    assert_eq!(engine.status().segments, 1);
    assert_eq!(engine.status().memtable_bytes, 0);
    check_keys(&engine.snapshot(), table);

    engine.close().unwrap();
    drop(engine);
    let engine = Engine::open(&env, roomy()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), expected);
    check_keys(&engine.snapshot(), table);
}

#[test]
fn a_duplicate_key_refuses_the_whole_statement_and_names_the_key() {
    let (_env, engine, table) = open();
    insert(&engine, table, &[row(1, "one")]).unwrap();
    let error = insert(&engine, table, &[row(2, "two"), row(1, "again")]).unwrap_err();
    assert_eq!(error.condition(), Condition::UniqueViolation);
    assert_eq!(error.detail(), Some("Key (id)=(1) already exists."));
    assert_eq!(error.constraint().unwrap().name.as_deref(), Some("t_pkey"));
    let error = insert(&engine, table, &[row(3, "a"), row(3, "b")]).unwrap_err();
    assert_eq!(error.detail(), Some("Key (id)=(3) already exists."));
    assert_eq!(pairs(&engine.snapshot(), table), [(1, "one".to_owned())]);
}

#[test]
fn do_nothing_keeps_the_first_row_of_a_key() {
    let (_env, engine, table) = open();
    insert(&engine, table, &[row(1, "one")]).unwrap();
    let mode = WriteMode::Insert(OnConflict::Nothing);
    let commit = write_rows(&engine, table, &[row(1, "no"), row(2, "first"), row(2, "second")], mode).unwrap();
    assert_eq!(commit.outcomes, [RowOutcome::Skipped, RowOutcome::Inserted, RowOutcome::Skipped]);
    assert_eq!(commit.rows.map(|rows| rows_of(&rows.unwrap())).collect::<Vec<_>>().concat(), [row(2, "first")]);
    assert_eq!(pairs(&engine.snapshot(), table), [(1, "one".to_owned()), (2, "first".to_owned())]);
    // Nothing to do is no commit.
    let before = engine.snapshot().commit_seq();
    let mode = WriteMode::Insert(OnConflict::Nothing);
    assert_eq!(write_rows(&engine, table, &[row(1, "no")], mode).unwrap().seq, before);
    assert_eq!(engine.snapshot().commit_seq(), before);
}

#[test]
fn upsert_replaces_by_key_and_the_last_one_wins() {
    let (_env, engine, table) = open();
    insert(&engine, table, &[row(1, "one"), row(2, "two")]).unwrap();
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Upsert).unwrap().keep_rows();
    write.insert(batch(&snapshot, table, &[row(1, "a"), row(3, "b"), row(1, "c")])).unwrap();
    write.delete_keys(&key_batch(&snapshot, table, &[vec![Value::Int(2)], vec![Value::Int(9)]])).unwrap();
    write.insert(batch(&snapshot, table, &[row(9, "nine")])).unwrap();
    let commit = write.commit().wait().unwrap();
    use RowOutcome::{Deleted, Inserted, Skipped, Updated};
    assert_eq!(commit.outcomes, [Updated, Inserted, Updated, Deleted, Skipped, Inserted]);
    let expected = [(1, "c".to_owned()), (3, "b".to_owned()), (9, "nine".to_owned())];
    assert_eq!(pairs(&engine.snapshot(), table), expected);
    check_keys(&engine.snapshot(), table);
    // The old snapshot is as it was.
    assert_eq!(pairs(&snapshot, table), [(1, "one".to_owned()), (2, "two".to_owned())]);
    check_keys(&snapshot, table);
}

#[test]
fn null_in_a_not_null_column_is_refused_by_name() {
    let (_env, engine, table) = open();
    let snapshot = engine.snapshot();
    let mut schema = snapshot.catalog().table_by_id(table).unwrap().as_ref().clone();
    schema.columns.iter_mut().for_each(|column| column.nullable = true);
    let bad = outcrop_testkit::batch_of(&schema, &[vec![Value::Null, Value::Null]]);
    let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    let error = write.insert(bad).unwrap_err();
    assert_eq!(error.condition(), Condition::NotNullViolation);
    assert_eq!(error.constraint().unwrap().column.as_deref(), Some("id"));
}

#[test]
fn ddl_is_judged_and_survives_restart() {
    let (env, engine, table) = open();
    let refused = |change: Ddl| engine.ddl(change).wait().unwrap_err().condition();
    assert_eq!(refused(Ddl::CreateTable(keyed("t"))), Condition::DuplicateTable);
    assert_eq!(refused(Ddl::DropTable(TableName::new("commons", "x"))), Condition::UndefinedTable);
    assert_eq!(refused(Ddl::CreateSchema("commons".into())), Condition::DuplicateSchema);
    assert_eq!(refused(Ddl::DropSchema("x".into())), Condition::InvalidSchemaName);
    assert_eq!(refused(Ddl::DropSchema("commons".into())), Condition::DependentObjectsStillExist);
    engine.ddl(Ddl::CreateSchema("other".into())).wait().unwrap();
    let mut other = keyed("t");
    other.name.schema = "other".into();
    let second = create(&engine, other);
    assert_ne!(second, table);
    insert(&engine, table, &rows(0..10, "a")).unwrap();
    insert(&engine, second, &rows(0..10, "b")).unwrap();
    engine.flush(None).unwrap();
    insert(&engine, table, &rows(10..20, "a")).unwrap();
    engine.ddl(Ddl::Truncate(vec![TableName::new("commons", "t")])).wait().unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), []);
    // The keys are free again.
    insert(&engine, table, &[row(1, "new")]).unwrap();
    engine.ddl(Ddl::DropTable(TableName::new("other", "t"))).wait().unwrap();
    let old = engine.snapshot();
    drop(engine);
    drop(old);
    let engine = Engine::open(&env, roomy()).unwrap();
    let snapshot = engine.snapshot();
    assert_eq!(pairs(&snapshot, table), [(1, "new".to_owned())]);
    assert!(snapshot.table(second).is_none());
    assert_eq!(snapshot.catalog().schemas().collect::<Vec<_>>(), ["commons", "other"]);
    assert_eq!(snapshot.catalog().tables().count(), 1);
    // A table id is never used again.
    assert!(create(&engine, keyed("third")) > second);
}

#[test]
fn a_held_snapshot_keeps_its_rows_through_flush_truncate_and_checkpoints() {
    let (_env, engine, table) = open();
    insert(&engine, table, &rows(0..100, "a")).unwrap();
    engine.flush(None).unwrap();
    let held = engine.snapshot();
    upsert(&engine, table, &rows(0..50, "b")).unwrap();
    engine.flush(None).unwrap();
    engine.ddl(Ddl::Truncate(vec![TableName::new("commons", "t")])).wait().unwrap();
    for id in 0..5 {
        insert(&engine, table, &[row(id, "c")]).unwrap();
        engine.checkpoint().unwrap();
    }
    assert_eq!(pairs(&held, table), (0..100).map(|id| (id, "a".to_owned())).collect::<Vec<_>>());
    check_keys(&held, table);
    drop(held);
    assert_eq!(pairs(&engine.snapshot(), table).len(), 5);
}

#[test]
fn retired_files_go_when_no_manifest_and_no_reader_needs_them() {
    let (env, engine, table) = open();
    insert(&engine, table, &rows(0..100, "a")).unwrap();
    engine.flush(None).unwrap();
    assert_eq!(env.disk.list("segments").unwrap().len(), 3);
    engine.ddl(Ddl::Truncate(vec![TableName::new("commons", "t")])).wait().unwrap();
    for id in 0..4 {
        insert(&engine, table, &[row(id, "c")]).unwrap();
        engine.checkpoint().unwrap();
    }
    assert_eq!(env.disk.list("segments").unwrap().len(), 0);
    assert_eq!(env.disk.list("manifest").unwrap().len(), 2);
}

#[test]
fn checkpoints_drop_log_files() {
    let (env, _sim) = Env::simulated(2);
    let mut options = roomy();
    options.log_file_bytes = 64 << 10;
    let engine = Engine::open(&env, options.clone()).unwrap();
    let table = create(&engine, keyed("t"));
    for id in 0..200 {
        insert(&engine, table, &[row(id, &"x".repeat(500))]).unwrap();
    }
    let long = engine.status().log_bytes;
    engine.flush(None).unwrap();
    insert(&engine, table, &[row(1000, "x")]).unwrap();
    engine.flush(None).unwrap();
    engine.checkpoint().unwrap();
    insert(&engine, table, &[row(1001, "x")]).unwrap();
    assert!(engine.status().log_bytes < long / 2, "{} of {long}", engine.status().log_bytes);
    drop(engine);
    let engine = Engine::open(&env, options).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table).len(), 202);
}

#[test]
fn a_directory_is_opened_once_and_only_if_it_is_ours() {
    let (env, engine, _table) = open();
    assert_eq!(Engine::open(&env, roomy()).unwrap_err().condition(), Condition::ObjectInUse);
    drop(engine);
    drop(Engine::open(&env, roomy()).unwrap());

    let (env, _sim) = Env::simulated(3);
    let name = outcrop_env::FileName::new("notes.txt").unwrap();
    env.disk.create(&name).unwrap().write_all_at(0, b"mine").unwrap();
    assert_eq!(Engine::open(&env, roomy()).unwrap_err().condition(), Condition::ObjectNotInPrerequisiteState);

    let (env, _sim) = Env::simulated(4);
    let name = outcrop_env::FileName::new("FORMAT").unwrap();
    env.disk.create(&name).unwrap().write_all_at(0, b"Outcrop data directory\nversion 3\nlog 0\n").unwrap();
    assert_eq!(Engine::open(&env, roomy()).unwrap_err().condition(), Condition::UnsupportedVersion);
}

#[test]
fn a_snapshot_can_be_waited_for() {
    let (_env, engine, table) = open();
    let commit = insert(&engine, table, &[row(1, "one")]).unwrap();
    let timeout = std::time::Duration::from_millis(10);
    assert!(engine.snapshot_at_least(commit.seq, timeout).unwrap().commit_seq() >= commit.seq);
    let error = engine.snapshot_at_least(CommitSeq::new(1_000), timeout).unwrap_err();
    assert_eq!(error.condition(), Condition::QueryCanceled);
}

#[test]
fn append_only_tables_refuse_changes_and_take_duplicates() {
    let (_env, engine, _table) = open();
    let mut events = keyed("events");
    events.primary_key = None;
    events.options.append_only = true;
    let table = create(&engine, events);
    insert(&engine, table, &[row(1, "a"), row(1, "a")]).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table).len(), 2);
    let refused = engine.write(&engine.snapshot(), table, WriteMode::Change(None)).unwrap_err();
    assert_eq!(refused.condition(), Condition::FeatureNotSupported);
}

#[test]
fn one_row_per_commit_and_many_flushes() {
    let (env, _sim) = Env::simulated(5);
    let engine = Engine::open(&env, tiny()).unwrap();
    let table = create(&engine, keyed("t"));
    for id in 0..1_500 {
        upsert(&engine, table, &[row(id % 700, &format!("v{id}"))]).unwrap();
    }
    engine.flush(None).unwrap();
    assert!(engine.status().flushes >= 20, "{}", engine.status().flushes);

    let expected: Vec<(i64, String)> =
        (0..700).map(|id| (id, format!("v{}", if id < 100 { id + 1_400 } else { id + 700 }))).collect();
    assert_eq!(pairs(&engine.snapshot(), table), expected);
    drop(engine);
    let engine = Engine::open(&env, tiny()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), expected);
    check_keys(&engine.snapshot(), table);
}

#[test]
fn small_commits_take_little_memory() {
    let (_env, engine, table) = open();
    for id in 0..300 {
        insert(&engine, table, &[row(id, "x")]).unwrap();
    }
    assert!(engine.status().memtable_bytes < 300 * 100, "{:?}", engine.status());
}

#[test]
fn a_list_of_changes_of_the_catalog_is_one_commit_or_none() {
    let (env, engine, _table) = open();
    let name = |schema: &str, table: &str| TableName::new(schema, table);
    let in_schema = |schema: &str, table: &str| {
        let mut new = keyed(table);
        new.name.schema = schema.into();
        Ddl::CreateTable(new)
    };
    let before = engine.snapshot().commit_seq();
    let made = engine
        .ddl([Ddl::CreateSchema("s".into()), in_schema("s", "a"), in_schema("s", "b"), in_schema("commons", "c")])
        .wait()
        .unwrap();
    assert_eq!(made.seq.get(), before.get() + 1);
    let id = |engine: &Engine, name| engine.snapshot().catalog().table(&name).map(|schema| schema.id);
    let a = id(&engine, name("s", "a")).unwrap();
    insert(&engine, a, &rows(0..10, "x")).unwrap();

    // The second one is refused, so the first one does not happen.
    let refused = |changes: Vec<Ddl>| engine.ddl(changes).wait().unwrap_err();
    let error = refused(vec![Ddl::DropTable(name("s", "a")), Ddl::DropTable(name("s", "x"))]);
    assert_eq!(error.condition(), Condition::UndefinedTable);
    let error = refused(vec![Ddl::Truncate(vec![name("s", "a")]), Ddl::DropSchema("s".into())]);
    assert_eq!(error.condition(), Condition::DependentObjectsStillExist);
    assert_eq!(error.detail(), Some("table s.a depends on schema s"));
    assert_eq!(pairs(&engine.snapshot(), a).len(), 10);

    // Later changes are judged on what the ones before them leave.
    let dropped = engine.ddl([
        Ddl::DropTable(name("commons", "c")),
        Ddl::DropSchemaCascade("s".into()),
        in_schema("commons", "c"),
    ]);
    let seq = dropped.wait().unwrap().seq;
    let check = |engine: &Engine| {
        let snapshot = engine.snapshot();
        assert_eq!(snapshot.catalog().schemas().collect::<Vec<_>>(), ["commons"]);
        assert_eq!(snapshot.catalog().tables().map(|table| table.name.table.as_str()).collect::<Vec<_>>(), ["c", "t"]);
        assert!(snapshot.table(a).is_none());
    };
    check(&engine);
    assert_eq!(engine.snapshot().commit_seq(), seq);
    engine.ddl(Ddl::DropTableIfExists(name("commons", "gone"))).wait().unwrap();
    drop(engine);
    let engine = Engine::open(&env, roomy()).unwrap();
    check(&engine);
    // A table id is never used again.
    let again = create(&engine, keyed("last"));
    assert!(again > id(&engine, name("commons", "c")).unwrap());
}
