//! Statements that meet each other: Q7, W3, and what a flush moves meanwhile.

use outcrop_engine::{Ddl, Engine, OnConflict, RowOutcome, WriteMode};
use outcrop_env::{Env, FaultKind, OperationClass};
use outcrop_testkit::{Row, rows_of};
use outcrop_types::{Condition, TableId, Value};

use crate::support::callbacks::{Append, concat, overwrite};
use crate::support::*;

fn open() -> (Env, Engine, TableId) {
    let (env, _sim) = Env::simulated(11);
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    (env, engine, table)
}

fn text(pairs: &[(i64, &str)]) -> Vec<(i64, String)> {
    pairs.iter().map(|(id, value)| (*id, (*value).to_owned())).collect()
}

#[test]
fn do_update_sees_the_newest_row_and_may_leave_it() {
    let (_env, engine, table) = open();
    insert(&engine, table, &[row(1, "a"), row(2, "keep")]).unwrap();
    let commit = write_rows(&engine, table, &[row(1, "b"), row(2, "b"), row(3, "c")], concat(&engine, table)).unwrap();
    assert_eq!(commit.outcomes, [RowOutcome::Updated, RowOutcome::Skipped, RowOutcome::Inserted]);
    assert_eq!(pairs(&engine.snapshot(), table), text(&[(1, "ab"), (2, "keep"), (3, "c")]));
    let returned: Vec<Row> = commit.rows.flat_map(|rows| rows_of(&rows.unwrap())).collect();
    assert_eq!(returned, [row(1, "ab"), row(3, "c")]);
}

#[test]
fn do_update_meeting_a_row_twice_is_refused() {
    let (_env, engine, table) = open();
    insert(&engine, table, &[row(1, "a"), row(2, "keep")]).unwrap();
    for twice in [[row(1, "b"), row(1, "c")], [row(7, "b"), row(7, "c")]] {
        let error = write_rows(&engine, table, &twice, concat(&engine, table)).unwrap_err();
        assert_eq!(error.condition(), Condition::CardinalityViolation);
    }
    // A row that the WHERE left alone was not met.
    let commit = write_rows(&engine, table, &[row(2, "b"), row(2, "c")], concat(&engine, table)).unwrap();
    assert_eq!((commit.updated, commit.outcomes), (0, vec![RowOutcome::Skipped; 2]));
}

#[test]
fn an_overwrite_takes_its_columns_from_the_new_row_and_keeps_the_others() {
    let (_env, engine, table) = open();
    insert(&engine, table, &[row(1, "a"), row(2, "b")]).unwrap();
    engine.flush(None).unwrap();
    insert(&engine, table, &[row(3, "c")]).unwrap();
    let new = [row(9, "new"), row(3, "new"), row(1, "new")];
    let commit = write_rows(&engine, table, &new, overwrite(&engine, table, &["value"])).unwrap();
    assert_eq!(commit.outcomes, [RowOutcome::Inserted, RowOutcome::Updated, RowOutcome::Updated]);
    let returned: Vec<Row> = commit.rows.flat_map(|rows| rows_of(&rows.unwrap())).collect();
    assert_eq!(returned, new);
    assert_eq!(pairs(&engine.snapshot(), table), text(&[(1, "new"), (2, "b"), (3, "new"), (9, "new")]));
    // The key is the same in both rows, so that it makes no difference whether it is assigned.
    let newer = [row(2, "newer"), row(10, "newer"), row(3, "newer")];
    let commit = write_rows(&engine, table, &newer, overwrite(&engine, table, &["id"])).unwrap();
    assert_eq!((commit.inserted, commit.updated), (1, 2));
    let returned: Vec<Row> = commit.rows.flat_map(|rows| rows_of(&rows.unwrap())).collect();
    assert_eq!(returned, [row(2, "b"), row(10, "newer"), row(3, "new")]);
    let all = [(1, "new"), (2, "b"), (3, "new"), (9, "new"), (10, "newer")];
    assert_eq!(pairs(&engine.snapshot(), table), text(&all));
    check_keys(&engine.snapshot(), table);
}

#[test]
fn an_overwrite_meeting_a_row_twice_is_refused() {
    let (_env, engine, table) = open();
    insert(&engine, table, &[row(1, "a")]).unwrap();
    for twice in [[row(1, "b"), row(1, "c")], [row(7, "b"), row(7, "c")]] {
        let error = write_rows(&engine, table, &twice, overwrite(&engine, table, &["value"])).unwrap_err();
        assert_eq!(error.condition(), Condition::CardinalityViolation);
    }
    assert_eq!(pairs(&engine.snapshot(), table), text(&[(1, "a")]));
}

#[test]
fn an_update_finds_rows_that_a_flush_moved() {
    let (_env, engine, table) = open();
    insert(&engine, table, &rows(0..100, "a")).unwrap();
    delete_keys(&engine, table, &[vec![Value::Int(3)]]).unwrap();
    let snapshot = engine.snapshot();
    let victims = find(&snapshot, table, &[5, 50]);
    let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
    engine.flush(None).unwrap();
    write.update(&victims, batch(&snapshot, table, &[row(5, "five"), row(50, "fifty")])).unwrap();
    assert_eq!(write.commit().wait().unwrap().updated, 2);
    let found = pairs(&engine.snapshot(), table);
    assert_eq!((found.len(), &found[4], &found[49]), (99, &(5, "five".to_owned()), &(50, "fifty".to_owned())));
    check_keys(&engine.snapshot(), table);

    // And without a callback rows that were replaced are gone.
    let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap().keep_rows();
    write.delete(&find(&snapshot, table, &[5, 6])).unwrap();
    let commit = write.commit().wait().unwrap();
    assert_eq!(commit.outcomes, [RowOutcome::Skipped, RowOutcome::Deleted]);
    assert_eq!(commit.rows.flat_map(|rows| rows_of(&rows.unwrap())).collect::<Vec<_>>(), [row(6, "a")]);
}

#[test]
fn a_row_that_changed_is_judged_again_and_its_change_is_not_lost() {
    let (_env, engine, table) = open();
    insert(&engine, table, &[row(1, "a"), row(2, "a"), row(3, "a"), row(4, "a")]).unwrap();
    let snapshot = engine.snapshot();
    let recheck = Append::boxed(&engine, table, "a", Some("+"));
    let seen = [row(1, "a"), row(2, "a"), row(3, "a"), row(4, "a")];
    let new_rows = recheck.apply(&seen, "+");
    let mut write = engine.write(&snapshot, table, WriteMode::Change(Some(recheck))).unwrap().keep_rows();
    write.update(&find(&snapshot, table, &[1, 2, 3, 4]), new_rows).unwrap();
    // Meanwhile one row changes and matches still, one changes and does not, one goes.
    upsert(&engine, table, &[row(1, "ab"), row(2, "b")]).unwrap();
    delete_keys(&engine, table, &[vec![Value::Int(3)]]).unwrap();
    engine.flush(None).unwrap();
    let commit = write.commit().wait().unwrap();
    use RowOutcome::{Skipped, Updated};
    assert_eq!(commit.outcomes, [Updated, Skipped, Skipped, Updated]);
    assert_eq!(pairs(&engine.snapshot(), table), text(&[(1, "ab+"), (2, "b"), (4, "a+")]));
}

#[test]
fn a_delete_judges_changed_rows_again() {
    let (_env, engine, table) = open();
    insert(&engine, table, &[row(1, "a"), row(2, "a")]).unwrap();
    let snapshot = engine.snapshot();
    let recheck = Append::boxed(&engine, table, "a", None);
    let mut write = engine.write(&snapshot, table, WriteMode::Change(Some(recheck))).unwrap();
    write.delete(&find(&snapshot, table, &[1, 2])).unwrap();
    upsert(&engine, table, &[row(1, "ab"), row(2, "b")]).unwrap();
    assert_eq!(write.commit().wait().unwrap().deleted, 1);
    assert_eq!(pairs(&engine.snapshot(), table), text(&[(2, "b")]));
}

#[test]
fn two_rows_can_swap_their_keys_but_not_share_one() {
    let (_env, engine, table) = open();
    insert(&engine, table, &[row(1, "one"), row(2, "two"), row(3, "three")]).unwrap();
    let snapshot = engine.snapshot();
    let change = |victims: &[i64], new_rows: &[Row]| {
        let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
        write.update(&find(&snapshot, table, victims), batch(&snapshot, table, new_rows)).unwrap();
        write.commit().wait()
    };
    let taken = change(&[1], &[row(3, "one")]).unwrap_err();
    assert_eq!(taken.detail(), Some("Key (id)=(3) already exists."));
    let shared = change(&[1, 2], &[row(9, "one"), row(9, "two")]).unwrap_err();
    assert_eq!(shared.detail(), Some("Key (id)=(9) already exists."));
    assert_eq!(change(&[1, 2], &[row(2, "one"), row(1, "two")]).unwrap().updated, 2);
    assert_eq!(pairs(&engine.snapshot(), table), text(&[(1, "two"), (2, "one"), (3, "three")]));
    check_keys(&engine.snapshot(), table);
    check_keys(&snapshot, table);
}

#[test]
fn a_victim_given_twice_counts_once() {
    let (_env, engine, table) = open();
    insert(&engine, table, &[row(1, "one")]).unwrap();
    let snapshot = engine.snapshot();
    let victim = find(&snapshot, table, &[1])[0];
    let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
    write.update(&[victim, victim], batch(&snapshot, table, &[row(1, "first"), row(1, "second")])).unwrap();
    assert_eq!(write.commit().wait().unwrap().updated, 1);
    assert_eq!(pairs(&engine.snapshot(), table), text(&[(1, "first")]));
}

#[test]
fn an_answer_waits_for_the_commit_it_depends_on() {
    let (_env, engine, table) = open();
    let snapshot = engine.snapshot();
    let mut first = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    first.insert(batch(&snapshot, table, &[row(1, "one")])).unwrap();
    let mut second = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    second.insert(batch(&snapshot, table, &[row(1, "two")])).unwrap();
    let first = first.commit();
    // No worker ran: the first commit is not durable, so the refusal of the second must not leave.
    let second = second.commit();
    assert_eq!(engine.snapshot().commit_seq(), snapshot.commit_seq());
    let (sender, receiver) = std::sync::mpsc::channel();
    second.on_done(move |answer| sender.send(answer.map(|commit| commit.seq)).unwrap());
    assert!(receiver.try_recv().is_err());
    let seq = first.wait().unwrap().seq;
    assert_eq!(receiver.recv().unwrap().unwrap_err().condition(), Condition::UniqueViolation);
    assert_eq!(engine.snapshot().commit_seq(), seq);
}

#[test]
fn a_group_of_commits_is_synced_once() {
    let (_env, engine, table) = open();
    let before = engine.status();
    let snapshot = engine.snapshot();
    let handles: Vec<_> = (0..50)
        .map(|id| {
            let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
            write.insert(batch(&snapshot, table, &[row(id, "x")])).unwrap();
            write.commit()
        })
        .collect();
    handles.into_iter().for_each(|handle| {
        handle.wait().unwrap();
    });
    let after = engine.status();
    assert_eq!((after.commits - before.commits, after.groups - before.groups), (50, 1));
}

#[test]
fn a_write_to_a_table_that_was_dropped_meanwhile_is_refused() {
    let (_env, engine, table) = open();
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    write.insert(batch(&snapshot, table, &[row(1, "one")])).unwrap();
    let name = snapshot.catalog().table_by_id(table).unwrap().name.clone();
    engine.ddl(Ddl::DropTable(name)).wait().unwrap();
    assert_eq!(write.commit().wait().unwrap_err().condition(), Condition::UndefinedTable);
}

/// W3: whether the table is gone is known once the DROP is durable.
#[test]
fn a_refusal_that_depends_on_a_drop_waits_for_it() {
    let (env, sim) = Env::simulated(12);
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &[row(1, "one")]).unwrap();
    let snapshot = engine.snapshot();
    let name = snapshot.catalog().table_by_id(table).unwrap().name.clone();
    let drop_table = engine.ddl(Ddl::DropTable(name.clone()));
    let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    write.insert(batch(&snapshot, table, &[row(2, "two")])).unwrap();
    let refused = write.commit();
    let again = engine.ddl(Ddl::Truncate(vec![name]));
    sim.fail_once(OperationClass::Sync, 0, FaultKind::Io);
    assert_eq!(refused.wait().unwrap_err().condition(), Condition::Poisoned);
    assert_eq!(again.wait().unwrap_err().condition(), Condition::Poisoned);
    assert_eq!(drop_table.wait().unwrap_err().condition(), Condition::Poisoned);
}

#[test]
fn a_table_that_is_gone_leaves_nothing_behind_in_the_node() {
    let (_env, engine, table) = open();
    let snapshot = engine.snapshot();
    let name = snapshot.catalog().table_by_id(table).unwrap().name.clone();
    engine.ddl(Ddl::DropTable(name)).wait().unwrap();
    // Durable: the refusal needs no commit to wait for.
    let error = engine.write(&snapshot, table, WriteMode::Upsert).unwrap_err();
    assert_eq!(error.condition(), Condition::UndefinedTable);
}

/// Whoever waits for a commit gets an answer, also when the callback of the one before panics.
#[test]
fn a_panic_in_a_callback_leaves_nobody_waiting() {
    let (_env, engine, table) = open();
    let snapshot = engine.snapshot();
    let commit = |id| {
        let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
        write.insert(batch(&snapshot, table, &[row(id, "x")])).unwrap();
        write.commit()
    };
    let (first, second) = (commit(1), commit(2));
    first.on_done(|_| panic!("a panic of a test's callback"));
    let error = second.wait().unwrap_err();
    assert_eq!(error.condition(), Condition::Poisoned, "{error}");
    assert!(engine.status().poisoned.is_some());
    assert_eq!(insert(&engine, table, &[row(3, "x")]).unwrap_err().condition(), Condition::Poisoned);
}

/// The last handle of an engine may go in a callback, on the thread that would have to do what its drop waits for.
#[test]
fn an_engine_may_be_dropped_by_its_own_callback() {
    let (env, sim) = Env::simulated(13);
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    let snapshot = engine.snapshot();
    let begin = |id| {
        let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
        write.insert(batch(&snapshot, table, &[row(id, "x")])).unwrap();
        write
    };
    let (first, second) = (begin(1).commit(), begin(2));
    let (sender, receiver) = std::sync::mpsc::channel();
    first.on_done(move |answer| {
        let second = second.commit();
        drop(engine);
        sender.send((answer.is_ok(), second)).unwrap();
    });
    sim.run_until_idle(1_000);
    let (first, second) = receiver.recv().unwrap();
    assert!(first);
    // It was in the next group, which nobody wrote any more.
    drop(snapshot);
    assert_eq!(second.wait().unwrap_err().condition(), Condition::Poisoned);
    let engine = Engine::open(&sim.kill(), roomy()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), text(&[(1, "x")]));
}

#[test]
fn whoever_waits_for_a_flush_learns_that_the_engine_closed() {
    let (_env, engine, table) = open();
    insert(&engine, table, &[row(1, "one")]).unwrap();
    let clone = engine.clone();
    engine.close().unwrap();
    assert_eq!(clone.checkpoint().unwrap_err().condition(), Condition::AdminShutdown);
    assert_eq!(clone.flush(None).unwrap_err().condition(), Condition::AdminShutdown);
    assert_eq!(clone.flush(Some(table)).unwrap_err().condition(), Condition::AdminShutdown);
    clone.close().unwrap();
}

/// Neither of them is durable when the second is decided: it replaces the row of the first, whose address is in no version that
/// anybody reads.
#[test]
fn two_writers_of_one_key_in_one_group_leave_the_row_of_the_second() {
    let (env, engine, table) = open();
    let before = engine.status();
    let snapshot = engine.snapshot();
    let handles: Vec<_> = ["one", "two", "three"]
        .map(|value| {
            let mut write = engine.write(&snapshot, table, WriteMode::Upsert).unwrap();
            write.insert(batch(&snapshot, table, &[row(1, value), row(2, value)])).unwrap();
            write.commit()
        })
        .into();
    assert_eq!(engine.snapshot().commit_seq(), snapshot.commit_seq(), "none of them is published");
    let commits: Vec<_> = handles.into_iter().map(|handle| handle.wait().unwrap()).collect();
    let after = engine.status();
    assert_eq!((after.commits - before.commits, after.groups - before.groups), (3, 1));
    let counts: Vec<_> = commits.iter().map(|commit| (commit.inserted, commit.updated)).collect();
    assert_eq!(counts, [(2, 0), (0, 2), (0, 2)]);
    assert_eq!(pairs(&engine.snapshot(), table), text(&[(1, "three"), (2, "three")]));
    check_keys(&engine.snapshot(), table);
    drop(engine);
    let engine = Engine::open(&env, roomy()).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), text(&[(1, "three"), (2, "three")]));
    check_keys(&engine.snapshot(), table);
}
