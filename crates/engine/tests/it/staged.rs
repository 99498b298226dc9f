//! Large statements: staged segments, one small record (W10).

use outcrop_engine::{Ddl, Engine, EngineOptions, OnConflict, RowOutcome, TableWrite, WriteMode};
use outcrop_env::{Env, Sim};
use outcrop_testkit::{Row, rows_of};
use outcrop_types::{Condition, TableId, TableName, Value};

use crate::support::callbacks::{Append, concat, overwrite};
use crate::support::*;

/// Everything but the smallest statement is staged; nothing is flushed by itself.
fn staging() -> EngineOptions {
    let mut options = roomy();
    options.commit_inline_bytes_max = 2_000;
    options.flush_rows_max = 700;
    options
}

fn open() -> (Env, Sim, Engine, TableId) {
    let (env, sim) = Env::simulated(31);
    let engine = Engine::open(&env, staging()).unwrap();
    let table = create(&engine, keyed("t"));
    (env, sim, engine, table)
}

fn begin(engine: &Engine, table: TableId, mode: WriteMode, rows: &[Row]) -> TableWrite {
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, mode).unwrap().keep_rows();
    for rows in rows.chunks(500) {
        write.insert(batch(&snapshot, table, rows)).unwrap();
    }
    write
}

fn expected(groups: &[(std::ops::Range<i64>, &str)]) -> Vec<(i64, String)> {
    groups.iter().flat_map(|(ids, value)| ids.clone().map(|id| (id, (*value).to_owned()))).collect()
}

#[test]
fn a_staged_insert_is_visible_whole_and_survives_a_crash() {
    let (_env, sim, engine, table) = open();
    let write = begin(&engine, table, WriteMode::Insert(OnConflict::Error), &rows(0..2_000, "a"));
    assert_eq!(pairs(&engine.snapshot(), table), []);
    let log_before = engine.status().log_bytes;
    let commit = write.commit().wait().unwrap();
    assert_eq!((commit.inserted, commit.outcomes.len()), (2_000, 2_000));
    let returned: Vec<Row> = commit.rows.flat_map(|rows| rows_of(&rows.unwrap())).collect();
    assert_eq!(returned, rows(0..2_000, "a"));
    assert!(engine.status().log_bytes - log_before < 10_000, "rows are not written twice");
    assert_eq!((engine.status().segments, engine.status().memtable_bytes), (3, 0));
    assert_eq!(pairs(&engine.snapshot(), table), expected(&[(0..2_000, "a")]));
    check_keys(&engine.snapshot(), table);
    drop(engine);
    let env = sim.crash();
    let engine = Engine::open(&env, staging()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), expected(&[(0..2_000, "a")]));
    engine.checkpoint().unwrap();
    engine.close().unwrap();
    drop(engine);
    assert_eq!(outcrop_engine::check::check(&env).unwrap().problems, []);
}

#[test]
fn staged_rows_know_their_commit() {
    let (env, _sim, engine, table) = open();
    let seq = begin(&engine, table, WriteMode::Upsert, &rows(0..100, "a")).commit().wait().unwrap().seq;
    let seqs = |engine: &Engine| {
        let table = engine.snapshot().table(table).unwrap();
        let morsel = table.morsels(1_000).remove(0);
        let scanned = table.scan(&morsel, &[outcrop_engine::ScanColumn::CommitSeq], None).unwrap();
        let seqs = scanned.column(0).as_any().downcast_ref::<arrow_array::UInt64Array>().unwrap().clone();
        seqs.values().iter().copied().collect::<std::collections::BTreeSet<u64>>()
    };
    assert_eq!(seqs(&engine), [seq.get()].into());
    for _ in 0..2 {
        insert(&engine, table, &[row(500 + i64::from(engine.status().segments > 0), "x")]).ok();
        engine.checkpoint().unwrap();
    }
    drop(engine);
    let engine = Engine::open(&env, staging()).unwrap();
    assert_eq!(seqs(&engine), [seq.get()].into());
}

#[test]
fn files_of_a_staged_statement_without_record_go() {
    let (env, sim, engine, table) = open();
    let write = begin(&engine, table, WriteMode::Insert(OnConflict::Error), &rows(0..2_000, "a"));
    assert!(!env.disk.list("segments").unwrap().is_empty());
    drop(write);
    assert_eq!(env.disk.list("segments").unwrap(), []);
    // Its keys are free.
    insert(&engine, table, &[row(5, "b")]).unwrap();

    let write = begin(&engine, table, WriteMode::Insert(OnConflict::Error), &rows(1_000..3_000, "a"));
    let env = sim.crash();
    drop(write);
    drop(engine);
    let engine = Engine::open(&env, staging()).unwrap();
    assert_eq!(env.disk.list("segments").unwrap(), []);
    assert_eq!(pairs(&engine.snapshot(), table), expected(&[(5..6, "b")]));
}

#[test]
fn a_staged_insert_meets_rows_before_and_behind_it() {
    let (_env, _sim, engine, table) = open();
    insert(&engine, table, &[row(1_500, "old")]).unwrap();
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    write.insert(batch(&snapshot, table, &rows(0..1_000, "a"))).unwrap();
    let error = write.insert(batch(&snapshot, table, &rows(1_000..2_000, "a"))).unwrap_err();
    assert_eq!(error.detail(), Some("Key (id)=(1500) already exists."));
    drop(write);
    let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    write.insert(batch(&snapshot, table, &rows(0..1_000, "a"))).unwrap();
    let error = write.insert(batch(&snapshot, table, &[row(7, "again")])).unwrap_err();
    assert_eq!(error.detail(), Some("Key (id)=(7) already exists."));
    drop(write);
    // A row that comes while the statement is under way.
    let write = begin(&engine, table, WriteMode::Insert(OnConflict::Error), &rows(0..1_000, "a"));
    insert(&engine, table, &[row(999, "first")]).unwrap();
    let error = write.commit().wait().unwrap_err();
    assert_eq!(error.condition(), Condition::UniqueViolation);
    assert_eq!(error.detail(), Some("Key (id)=(999) already exists."));
    assert_eq!(pairs(&engine.snapshot(), table), expected(&[(999..1_000, "first"), (1_500..1_501, "old")]));
}

#[test]
fn a_staged_do_nothing_skips_what_is_there() {
    let (_env, _sim, engine, table) = open();
    insert(&engine, table, &rows(0..10, "old")).unwrap();
    let mut given = rows(5..1_000, "new");
    given.push(row(20, "twice"));
    let write = begin(&engine, table, WriteMode::Insert(OnConflict::Nothing), &given);
    insert(&engine, table, &[row(50, "meanwhile")]).unwrap();
    engine.flush(None).unwrap();
    let commit = write.commit().wait().unwrap();
    assert_eq!((commit.inserted, commit.outcomes.len()), (1_000 - 10 - 1, 996));
    assert_eq!(commit.outcomes[0], RowOutcome::Skipped);
    assert_eq!(commit.outcomes[995], RowOutcome::Skipped);
    let all = [(0..10, "old"), (10..50, "new"), (50..51, "meanwhile"), (51..1_000, "new")];
    assert_eq!(pairs(&engine.snapshot(), table), expected(&all));
    check_keys(&engine.snapshot(), table);
    assert_eq!(commit.rows.map(|rows| rows.unwrap().num_rows()).sum::<usize>(), 989);
}

#[test]
fn a_staged_do_update_makes_new_rows_of_the_newest_old_ones() {
    let (env, _sim, engine, table) = open();
    insert(&engine, table, &rows(0..10, "old")).unwrap();
    upsert(&engine, table, &[row(3, "keep")]).unwrap();
    let write = begin(&engine, table, concat(&engine, table), &rows(0..1_000, "new"));
    upsert(&engine, table, &[row(5, "newer"), row(50, "meanwhile")]).unwrap();
    let commit = write.commit().wait().unwrap();
    assert_eq!((commit.inserted, commit.updated), (989, 10));
    let check = |engine: &Engine| {
        let found = pairs(&engine.snapshot(), table);
        assert_eq!(found.len(), 1_000);
        for (id, value) in [(0, "oldnew"), (3, "keep"), (5, "newernew"), (10, "new"), (50, "meanwhilenew")] {
            assert_eq!(found[id].1, value, "row {id}");
        }
        check_keys(&engine.snapshot(), table);
    };
    check(&engine);
    drop(engine);
    check(&Engine::open(&env, staging()).unwrap());
}

#[test]
fn a_staged_overwrite_takes_its_columns_from_the_new_rows() {
    let (env, _sim, engine, table) = open();
    insert(&engine, table, &rows(0..10, "old")).unwrap();
    let write = begin(&engine, table, overwrite(&engine, table, &["value"]), &rows(5..1_000, "new"));
    upsert(&engine, table, &[row(7, "newer"), row(50, "meanwhile")]).unwrap();
    let commit = write.commit().wait().unwrap();
    assert_eq!((commit.inserted, commit.updated), (989, 6));
    let write = begin(&engine, table, overwrite(&engine, table, &[]), &rows(0..1_100, "kept out"));
    assert_eq!(write.commit().wait().unwrap().updated, 1_000);
    let all = [(0..5, "old"), (5..1_000, "new"), (1_000..1_100, "kept out")];
    assert_eq!(pairs(&engine.snapshot(), table), expected(&all));
    check_keys(&engine.snapshot(), table);
    drop(engine);
    assert_eq!(pairs(&Engine::open(&env, staging()).unwrap().snapshot(), table), expected(&all));
}

#[test]
fn a_staged_upsert_replaces_and_deletes_and_the_last_one_wins() {
    let (env, _sim, engine, table) = open();
    insert(&engine, table, &rows(0..100, "old")).unwrap();
    engine.flush(None).unwrap();
    let mut write = begin(&engine, table, WriteMode::Upsert, &rows(50..1_000, "new"));
    let snapshot = engine.snapshot();
    let keys: Vec<Row> = (0..60).map(|id| vec![Value::Int(id)]).collect();
    write.delete_keys(&key_batch(&snapshot, table, &keys)).unwrap();
    write.insert(batch(&snapshot, table, &rows(55..57, "last"))).unwrap();
    upsert(&engine, table, &[row(10, "meanwhile"), row(2_000, "meanwhile"), row(70, "meanwhile")]).unwrap();
    let commit = write.commit().wait().unwrap();
    assert_eq!(commit.outcomes.len(), 950 + 60 + 2);
    assert_eq!((commit.inserted, commit.updated, commit.deleted), (900 + 2, 50, 60));
    let all = [(55..57, "last"), (60..1_000, "new"), (2_000..2_001, "meanwhile")];
    assert_eq!(pairs(&engine.snapshot(), table), expected(&all));
    check_keys(&engine.snapshot(), table);
    drop(engine);
    let engine = Engine::open(&env, staging()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), expected(&all));
}

#[test]
fn a_staged_update_judges_changed_rows_again() {
    let (env, _sim, engine, table) = open();
    begin(&engine, table, WriteMode::Upsert, &rows(0..1_000, "a")).commit().wait().unwrap();
    let snapshot = engine.snapshot();
    let recheck = Append::boxed(&engine, table, "a", Some("+"));
    let ids: Vec<i64> = (0..1_000).collect();
    let new_rows = recheck.apply(&rows(0..1_000, "a"), "+");
    let mut write = engine.write(&snapshot, table, WriteMode::Change(Some(recheck))).unwrap().keep_rows();
    write.update(&find(&snapshot, table, &ids), new_rows).unwrap();
    upsert(&engine, table, &[row(1, "ab"), row(2, "b")]).unwrap();
    delete_keys(&engine, table, &[vec![Value::Int(3)]]).unwrap();
    engine.flush(None).unwrap();
    let commit = write.commit().wait().unwrap();
    assert_eq!((commit.updated, commit.outcomes.len()), (998, 1_000));
    let check = |engine: &Engine| {
        let found = pairs(&engine.snapshot(), table);
        assert_eq!(found.len(), 999);
        assert_eq!(found[0..4].iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a+", "ab+", "b", "a+"]);
        check_keys(&engine.snapshot(), table);
    };
    check(&engine);
    drop(engine);
    check(&Engine::open(&env, staging()).unwrap());
}

#[test]
fn keys_can_be_shifted_by_a_staged_update_but_not_doubled() {
    let (_env, _sim, engine, table) = open();
    begin(&engine, table, WriteMode::Upsert, &rows(0..1_000, "a")).commit().wait().unwrap();
    let snapshot = engine.snapshot();
    let ids: Vec<i64> = (0..1_000).collect();
    let victims = find(&snapshot, table, &ids);
    let shift = |by: i64, meanwhile: Option<i64>| {
        let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
        write.update(&victims, batch(&snapshot, table, &rows(by..1_000 + by, "b"))).unwrap();
        if let Some(id) = meanwhile {
            insert(&engine, table, &[row(id, "meanwhile")]).unwrap();
        }
        write.commit().wait()
    };
    let error = shift(1, Some(1_000)).unwrap_err();
    assert_eq!(error.detail(), Some("Key (id)=(1000) already exists."));
    delete_keys(&engine, table, &[vec![Value::Int(1_000)]]).unwrap();
    assert_eq!(shift(1, None).unwrap().updated, 1_000);
    assert_eq!(pairs(&engine.snapshot(), table), expected(&[(1..1_001, "b")]));
    check_keys(&engine.snapshot(), table);
}

#[test]
fn many_victims_go_to_a_file_that_goes_with_the_log() {
    let (env, sim, engine, table) = open();
    begin(&engine, table, WriteMode::Upsert, &rows(0..20_000, "a")).commit().wait().unwrap();
    let snapshot = engine.snapshot();
    let ids: Vec<i64> = (0..19_990).collect();
    let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
    write.delete(&find(&snapshot, table, &ids)).unwrap();
    drop(snapshot);
    assert_eq!(write.commit().wait().unwrap().deleted, 19_990);
    assert_eq!(env.disk.list("staged").unwrap().len(), 1);
    drop(engine);
    let env = sim.crash();
    let engine = Engine::open(&env, staging()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), expected(&[(19_990..20_000, "a")]));
    for id in 0..3 {
        insert(&engine, table, &[row(id, "b")]).unwrap();
        engine.flush(None).unwrap();
    }
    engine.checkpoint().unwrap();
    assert_eq!(env.disk.list("staged").unwrap(), []);
    assert_eq!(pairs(&engine.snapshot(), table).len(), 13);
}

#[test]
fn a_truncate_meanwhile_leaves_only_the_staged_rows() {
    let (_env, _sim, engine, table) = open();
    insert(&engine, table, &rows(0..10, "old")).unwrap();
    let write = begin(&engine, table, WriteMode::Upsert, &rows(0..1_000, "new"));
    engine.ddl(Ddl::Truncate(vec![TableName::new("commons", "t")])).wait().unwrap();
    assert_eq!(write.commit().wait().unwrap().inserted, 1_000);
    assert_eq!(pairs(&engine.snapshot(), table), expected(&[(0..1_000, "new")]));
    check_keys(&engine.snapshot(), table);
    let error = insert(&engine, table, &[row(5, "again")]).unwrap_err();
    assert_eq!(error.condition(), Condition::UniqueViolation);
}

#[test]
fn a_full_disk_fails_the_staged_statement_alone() {
    let (env, sim, engine, table) = open();
    insert(&engine, table, &[row(0, "a")]).unwrap();
    sim.run_until_idle(1_000);
    sim.set_capacity(Some(sim.used() + 1_000));
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    let outcome = (1..20)
        .try_for_each(|part| {
            write.insert(batch(&snapshot, table, &rows(part * 1_000..(part + 1) * 1_000, "some text")))
        })
        .map_or_else(Err, |()| write.commit().wait().map(|_| ()));
    assert_eq!(outcome.unwrap_err().condition(), Condition::DiskFull);
    assert_eq!(engine.status().poisoned, None);
    assert_eq!(env.disk.list("segments").unwrap(), []);
    assert_eq!(pairs(&engine.snapshot(), table), expected(&[(0..1, "a")]));
    sim.set_capacity(None);
    begin(&engine, table, WriteMode::Insert(OnConflict::Error), &rows(1..1_000, "a")).commit().wait().unwrap();
}
