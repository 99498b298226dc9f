//! The commit feed: what it shows, what its cursors keep, and when they end.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array};
use outcrop_engine::{
    AlterAction, Ddl, Engine, EngineOptions, Feed, FeedEvent, FeedTables, Fill, FillColumns, WriteMode,
};
use outcrop_env::{Env, FaultKind, OperationClass, Sim};
use outcrop_testkit::{Row, rows_of};
use outcrop_types::{CommitSeq, Condition, Error, TableId, TableName, Value};

use crate::support::follower::{CURSOR, Follower, Mirror};
use crate::support::*;

/// An event in short form.
#[derive(Clone, Debug, PartialEq)]
enum Shown {
    Inserted(Vec<Row>),
    Updated(Vec<(Row, Row)>),
    Deleted(Vec<Row>),
    Other(String),
}

fn shown(event: &FeedEvent) -> Shown {
    match event {
        FeedEvent::Inserted { new, .. } => Shown::Inserted(rows_of(new)),
        FeedEvent::Updated { old, new, .. } => Shown::Updated(rows_of(old).into_iter().zip(rows_of(new)).collect()),
        FeedEvent::Deleted { old, .. } => Shown::Deleted(rows_of(old)),
        FeedEvent::Table(table) => Shown::Other(format!("table {}", table.name.table)),
        FeedEvent::TableDropped(table) => Shown::Other(format!("dropped {}", table.name.table)),
        FeedEvent::Truncated(table) => Shown::Other(format!("truncated {}", table.name.table)),
        FeedEvent::SchemaCreated(name) => Shown::Other(format!("schema {name}")),
        FeedEvent::SchemaDropped(name) => Shown::Other(format!("dropped schema {name}")),
        other => panic!("{other:?}"),
    }
}

/// All commits that a feed has now.
fn drain(feed: &mut Feed) -> Vec<(CommitSeq, Vec<Shown>)> {
    let mut commits = Vec::new();
    while let Some(mut commit) = feed.next_commit(Duration::ZERO).unwrap() {
        let mut events = Vec::new();
        while let Some(event) = commit.next_event().unwrap() {
            events.push(shown(&event));
        }
        commits.push((commit.seq(), events));
    }
    commits
}

fn events(feed: &mut Feed) -> Vec<Shown> {
    drain(feed).into_iter().flat_map(|(_, events)| events).collect()
}

fn open(options: EngineOptions) -> (Env, Sim, Engine, TableId) {
    let (env, sim) = Env::simulated(41);
    let engine = Engine::open(&env, options).unwrap();
    let table = create(&engine, keyed("t"));
    (env, sim, engine, table)
}

fn cursor(engine: &Engine, name: &str, table: TableId) -> CommitSeq {
    engine.create_feed_cursor(name, FeedTables::Some([table].into())).wait().unwrap().seq
}

fn condition<T>(outcome: Result<T, Error>) -> Condition {
    outcome.map(drop).unwrap_err().condition()
}

fn delete(engine: &Engine, table: TableId, ids: &[i64]) {
    let keys: Vec<Row> = ids.iter().map(|id| vec![Value::Int(*id)]).collect();
    delete_keys(engine, table, &keys).unwrap();
}

fn segment_files(env: &Env) -> usize {
    let files = env.disk.list("segments").unwrap();
    files.iter().filter(|file| file.name.base().ends_with(".vortex")).count()
}

#[test]
fn a_feed_shows_inserts_updates_with_both_rows_and_deletes_with_the_old_row() {
    let (_env, _sim, engine, table) = open(roomy());
    insert(&engine, table, &[row(1, "before")]).unwrap();
    let position = cursor(&engine, "f", table);
    let mut feed = engine.feed("f", None).unwrap();
    assert_eq!((feed.position(), drain(&mut feed)), (position, vec![]));
    let other = create(&engine, keyed("other"));
    let mut seqs = vec![insert(&engine, table, &[row(2, "a"), row(3, "b")]).unwrap().seq];
    insert(&engine, other, &[row(1, "not shown")]).unwrap();
    seqs.push(upsert(&engine, table, &[row(1, "after"), row(2, "c"), row(4, "d")]).unwrap().seq);
    seqs.push(delete_keys(&engine, table, &[vec![Value::Int(3)], vec![Value::Int(77)]]).unwrap().seq);
    let commits = drain(&mut feed);
    assert_eq!(commits.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), seqs);
    let expected = [
        vec![Shown::Inserted(vec![row(2, "a"), row(3, "b")])],
        vec![
            Shown::Updated(vec![(row(1, "before"), row(1, "after")), (row(2, "a"), row(2, "c"))]),
            Shown::Inserted(vec![row(4, "d")]),
        ],
        vec![Shown::Deleted(vec![row(3, "b")])],
    ];
    assert_eq!(commits.into_iter().map(|(_, events)| events).collect::<Vec<_>>(), expected);
    // A commit that shows nothing moves the feed too.
    let last = insert(&engine, other, &[row(2, "not shown")]).unwrap().seq;
    assert_eq!((drain(&mut feed), feed.position()), (vec![], last));
}

#[test]
fn only_published_commits_are_shown() {
    let (_env, sim, engine, table) = open(roomy());
    cursor(&engine, "f", table);
    let mut feed = engine.feed("f", None).unwrap();
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Upsert).unwrap();
    write.insert(batch(&snapshot, table, &[row(1, "a")])).unwrap();
    sim.fail_once(OperationClass::Sync, 0, FaultKind::Io);
    let handle = write.commit();
    assert_eq!(condition(handle.wait()), Condition::Poisoned);
    // It has its place and may be on the disk, but nobody knows.
    assert_eq!(drain(&mut feed), []);
}

#[test]
fn old_rows_come_from_the_log_when_their_generation_was_flushed() {
    let (_env, sim, engine, table) = open(roomy());
    insert(&engine, table, &rows(0..50, "first")).unwrap();
    insert(&engine, table, &rows(50..60, "first")).unwrap();
    cursor(&engine, "f", table);
    delete(&engine, table, &[55, 3]);
    upsert(&engine, table, &[row(7, "second")]).unwrap();
    // Rows 3, 7 and 55 were dead when the segment was written: only the log has them.
    engine.flush(None).unwrap();
    engine.checkpoint().unwrap();
    engine.compact().unwrap();
    let expected = [
        Shown::Deleted(vec![row(55, "first"), row(3, "first")]),
        Shown::Updated(vec![(row(7, "first"), row(7, "second"))]),
    ];
    assert_eq!(events(&mut engine.feed("f", None).unwrap()), expected);
    engine.close().unwrap();
    drop(engine);
    let engine = Engine::open(&sim.crash(), roomy()).unwrap();
    engine.checkpoint().unwrap();
    assert_eq!(events(&mut engine.feed("f", None).unwrap()), expected);
}

#[test]
fn old_rows_come_from_segments_that_left() {
    let (_env, sim, engine, table) = open(roomy());
    for part in 0..3 {
        insert(&engine, table, &rows(part * 20..part * 20 + 20, "first")).unwrap();
        engine.flush(None).unwrap();
    }
    engine.checkpoint().unwrap();
    let position = cursor(&engine, "f", table);
    upsert(&engine, table, &[row(5, "second"), row(25, "second")]).unwrap();
    delete(&engine, table, &[45]);
    engine.flush(None).unwrap();
    engine.compact().unwrap();
    engine.ddl(Ddl::Truncate(vec![TableName::new("commons", "t")])).wait().unwrap();
    (0..3).for_each(|_| engine.checkpoint().unwrap());
    assert_eq!(engine.status().segments, 0);
    let expected = [
        Shown::Updated(vec![(row(5, "first"), row(5, "second")), (row(25, "first"), row(25, "second"))]),
        Shown::Deleted(vec![row(45, "first")]),
        Shown::Other("truncated t".to_owned()),
    ];
    assert_eq!(events(&mut engine.feed("f", None).unwrap()), expected);
    drop(engine);
    let engine = Engine::open(&sim.crash(), roomy()).unwrap();
    let kept = segment_files(&sim.env());
    assert!(kept >= 3, "{kept} files of segments");
    (0..3).for_each(|_| engine.checkpoint().unwrap());
    assert_eq!(segment_files(&sim.env()), kept);
    let mut feed = engine.feed("f", None).unwrap();
    assert_eq!(events(&mut feed), expected);
    assert!(engine.feed_cursors()[0].retained_bytes > 0);
    // Passed: the files go.
    assert!(feed.position() > position);
    engine.advance_feed_cursor("f", feed.position()).wait().unwrap();
    (0..3).for_each(|_| engine.checkpoint().unwrap());
    assert_eq!((segment_files(&sim.env()), engine.feed_cursors()[0].retained_bytes), (0, 0));
    engine.close().unwrap();
    drop(engine);
    let report = outcrop_engine::check::check(&sim.env()).unwrap();
    assert_eq!((report.problems, report.leftovers), (vec![], vec![]));
}

/// A directory that keeps files for a cursor is sound.
#[test]
fn check_knows_what_cursors_keep() {
    let (env, _sim, engine, table) = open(roomy());
    insert(&engine, table, &rows(0..20, "first")).unwrap();
    engine.flush(None).unwrap();
    cursor(&engine, "f", table);
    delete(&engine, table, &(0..15).collect::<Vec<_>>());
    engine.compact().unwrap();
    engine.close().unwrap();
    drop(engine);
    assert_eq!(segment_files(&env), 2);
    let report = outcrop_engine::check::check(&env).unwrap();
    assert_eq!((report.problems, report.leftovers), (vec![], vec![]));
}

#[test]
fn staged_commits_are_shown_in_pieces_and_paired_by_key() {
    let mut options = roomy();
    options.commit_inline_bytes_max = 2_000;
    options.flush_rows_max = 15_000;
    let (_env, sim, engine, table) = open(options.clone());
    cursor(&engine, "f", table);
    write_rows(&engine, table, &rows(0..30_000, "first"), WriteMode::Upsert).unwrap();
    write_rows(&engine, table, &rows(10_000..40_000, "second"), WriteMode::Upsert).unwrap();
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
    write.delete(&find(&snapshot, table, &(0..40_000).step_by(2).collect::<Vec<_>>())).unwrap();
    write.commit().wait().unwrap();
    engine.compact().unwrap();
    engine.checkpoint().unwrap();
    let look = |engine: &Engine| {
        let mut feed = engine.feed("f", None).unwrap();
        let commits = drain(&mut feed);
        assert_eq!(commits.len(), 3);
        let mut mirror = std::collections::BTreeMap::new();
        for (number, (_, events)) in commits.iter().enumerate() {
            let (mut inserted, mut updated, mut deleted) = (0, 0, 0);
            for event in events {
                match event {
                    Shown::Inserted(rows) => {
                        assert!(rows.len() <= 8_192);
                        inserted += rows.len();
                        rows.iter().for_each(|row| assert_eq!(mirror.insert(id(row), row.clone()), None));
                    }
                    Shown::Updated(pairs) => {
                        assert!(pairs.len() <= 8_192);
                        updated += pairs.len();
                        for (old, new) in pairs {
                            assert_eq!(id(old), id(new));
                            assert_eq!(mirror.insert(id(new), new.clone()).as_ref(), Some(old));
                        }
                    }
                    Shown::Deleted(rows) => {
                        assert!(rows.len() <= 8_192);
                        deleted += rows.len();
                        rows.iter().for_each(|row| assert_eq!(mirror.remove(&id(row)).as_ref(), Some(row)));
                    }
                    Shown::Other(other) => panic!("{other}"),
                }
            }
            let expected = [(30_000, 0, 0), (10_000, 20_000, 0), (0, 0, 20_000)];
            assert_eq!((inserted, updated, deleted), expected[number]);
        }
        assert_eq!(mirror.len(), 20_000);
    };
    look(&engine);
    drop(engine);
    let engine = Engine::open(&sim.crash(), options).unwrap();
    engine.checkpoint().unwrap();
    look(&engine);
}

fn id(row: &Row) -> i64 {
    if let Value::Int(id) = row[0] { id } else { panic!("{row:?}") }
}

#[test]
fn ddl_is_shown_with_the_schemas_of_its_time() {
    let (_env, sim, engine, table) = open(roomy());
    insert(&engine, table, &[row(1, "a")]).unwrap();
    engine.create_feed_cursor("all", FeedTables::All).wait().unwrap();
    cursor(&engine, "one", table);
    upsert(&engine, table, &[row(1, "b")]).unwrap();
    engine.ddl(Ddl::CreateSchema("s".to_owned())).wait().unwrap();
    let mut wide = keyed("u");
    wide.columns.push(column("more", outcrop_types::DataType::Text, true));
    let other = create(&engine, wide);
    let more: Row = vec![Value::Int(1), Value::Null, Value::Text("x".to_owned())];
    upsert(&engine, other, std::slice::from_ref(&more)).unwrap();
    delete(&engine, other, &[1]);
    engine.ddl(vec![Ddl::DropTable(TableName::new("commons", "t")), Ddl::DropSchema("s".to_owned())]).wait().unwrap();
    engine.ddl(Ddl::DropTable(TableName::new("commons", "u"))).wait().unwrap();
    (0..3).for_each(|_| engine.checkpoint().unwrap());
    let other = |what: &str| Shown::Other(what.to_owned());
    let of_t = Shown::Updated(vec![(row(1, "a"), row(1, "b"))]);
    let all = vec![
        of_t.clone(),
        other("schema s"),
        other("table u"),
        Shown::Inserted(vec![more.clone()]),
        Shown::Deleted(vec![more]),
        other("dropped t"),
        other("dropped schema s"),
        other("dropped u"),
    ];
    let look = |engine: &Engine| {
        assert_eq!(events(&mut engine.feed("all", None).unwrap()), all);
        assert_eq!(events(&mut engine.feed("one", None).unwrap()), [of_t.clone(), other("dropped t")]);
    };
    look(&engine);
    drop(engine);
    let engine = Engine::open(&sim.crash(), roomy()).unwrap();
    engine.checkpoint().unwrap();
    look(&engine);
}

#[test]
fn rows_that_an_alter_table_fills_are_shown_anew() {
    struct Numbers(i64);
    impl FillColumns for Numbers {
        fn fill(&mut self, rows: usize) -> Result<Vec<ArrayRef>, Error> {
            let first = self.0;
            self.0 += i64::try_from(rows).unwrap();
            Ok(vec![Arc::new(Int64Array::from_iter_values(first..self.0))])
        }
    }
    let (_env, sim, engine, table) = open(roomy());
    insert(&engine, table, &rows(0..10, "flushed")).unwrap();
    engine.flush(None).unwrap();
    cursor(&engine, "f", table);
    upsert(&engine, table, &rows(5..15, "b")).unwrap();
    let column = column("n", outcrop_types::DataType::Int8, true);
    let actions = [AlterAction::AddColumn { column, if_not_exists: false }];
    let fill = Fill { columns: vec!["n".to_owned()], values: Box::new(Numbers(100)) };
    engine.alter_filling(&TableName::new("commons", "t"), &actions, fill).wait().unwrap();
    delete(&engine, table, &[0]);
    engine.compact().unwrap();
    let look = |engine: &Engine| {
        let mut shown = events(&mut engine.feed("f", None).unwrap()).into_iter();
        assert!(matches!(shown.next(), Some(Shown::Updated(pairs)) if pairs.len() == 5));
        assert!(matches!(shown.next(), Some(Shown::Inserted(rows)) if rows.len() == 5));
        assert_eq!(shown.next(), Some(Shown::Other("table t".to_owned())));
        assert_eq!(shown.next(), Some(Shown::Other("truncated t".to_owned())));
        let mut rest: Vec<Shown> = shown.collect();
        let deleted = rest.pop().unwrap();
        let mut filled = Vec::new();
        rest.into_iter().for_each(|event| match event {
            Shown::Inserted(rows) => filled.extend(rows),
            other => panic!("{other:?}"),
        });
        let Shown::Deleted(gone) = deleted else { panic!("{deleted:?}") };
        let place = filled.iter().position(|row| *row == gone[0]).unwrap();
        filled.remove(place);
        outcrop_testkit::assert_same_rows("filled", &scan(&engine.snapshot(), table), &filled);
    };
    look(&engine);
    drop(engine);
    look(&Engine::open(&sim.crash(), roomy()).unwrap());
}

#[test]
fn a_cursor_is_advanced_durably_and_never_goes_back() {
    let (_env, sim, engine, table) = open(roomy());
    let created = cursor(&engine, "f", table);
    assert_eq!(condition(engine.create_feed_cursor("f", FeedTables::All).wait()), Condition::DuplicateCursor);
    assert_eq!(condition(engine.create_feed_cursor("", FeedTables::All).wait()), Condition::InvalidTableDefinition);
    let missing = FeedTables::Some([TableId::new(99)].into());
    assert_eq!(condition(engine.create_feed_cursor("g", missing).wait()), Condition::UndefinedTable);
    let first = insert(&engine, table, &[row(1, "a")]).unwrap().seq;
    let second = insert(&engine, table, &[row(2, "b")]).unwrap().seq;
    assert_eq!(condition(engine.advance_feed_cursor("g", first).wait()), Condition::UndefinedObject);
    let beyond = CommitSeq::new(second.get() + 100);
    assert_eq!(condition(engine.advance_feed_cursor("f", beyond).wait()), Condition::InvalidParameterValue);
    assert_eq!(condition(engine.feed("f", Some(beyond))), Condition::InvalidParameterValue);
    let mut behind = engine.feed("f", None).unwrap();
    let advanced = engine.advance_feed_cursor("f", first).wait().unwrap().seq;
    assert_eq!(advanced, engine.snapshot().commit_seq());
    assert_eq!(condition(engine.advance_feed_cursor("f", created).wait()), Condition::InvalidParameterValue);
    // Again is no commit.
    engine.advance_feed_cursor("f", first).wait().unwrap();
    assert_eq!(engine.snapshot().commit_seq(), advanced);
    // A feed that another consumer passed is told so.
    let error = behind.next_commit(Duration::ZERO).map(drop).unwrap_err();
    assert_eq!(error.condition(), Condition::ObjectNotInPrerequisiteState);
    assert!(error.hint().unwrap().contains("snapshot"));
    assert_eq!(condition(engine.feed("f", Some(created))), Condition::ObjectNotInPrerequisiteState);
    drop((engine, behind));
    let engine = Engine::open(&sim.crash(), roomy()).unwrap();
    assert_eq!(engine.feed_cursors()[0].position, first);
    assert_eq!(drain(&mut engine.feed("f", None).unwrap()), [(second, vec![Shown::Inserted(vec![row(2, "b")])])]);
    engine.drop_feed_cursor("f").wait().unwrap();
    assert_eq!(condition(engine.drop_feed_cursor("f").wait()), Condition::UndefinedObject);
    assert_eq!(condition(engine.feed("f", None)), Condition::UndefinedObject);
    assert_eq!(engine.feed_cursors(), []);
}

#[test]
fn there_are_at_most_so_many_cursors() {
    let (_env, _sim, engine, _table) = open(roomy());
    let create = |number: i32| engine.create_feed_cursor(&number.to_string(), FeedTables::All).wait();
    (0..64).for_each(|number| drop(create(number).unwrap()));
    assert_eq!(condition(create(64)), Condition::ProgramLimitExceeded);
}

#[test]
fn a_snapshot_and_its_feed_are_the_database() {
    let (_env, sim, engine, table) = open(tiny());
    insert(&engine, table, &rows(0..30, "a")).unwrap();
    cursor(&engine, "f", table);
    upsert(&engine, table, &rows(20..40, "b")).unwrap();
    // Commits that are sequenced and not visible yet.
    let write = |ids: std::ops::Range<i64>, value| {
        let snapshot = engine.snapshot();
        let mut write = engine.write(&snapshot, table, WriteMode::Upsert).unwrap();
        write.insert(batch(&snapshot, table, &rows(ids, value))).unwrap();
        write.commit()
    };
    let waiting = [write(35..50, "c"), write(0..5, "d")];
    let (snapshot, mut feed) = engine.snapshot_and_feed("f").unwrap();
    waiting.into_iter().for_each(|handle| drop(handle.wait().unwrap()));
    engine.flush(None).unwrap();
    sim.run_until_idle(1_000);
    let mut mirror = Mirror { position: snapshot.commit_seq(), rows: scan(&snapshot, table), schema: None };
    while let Some(mut commit) = feed.next_commit(Duration::ZERO).unwrap() {
        let mut events = Vec::new();
        while let Some(event) = commit.next_event().unwrap() {
            events.push(event);
        }
        mirror.apply(table, &events);
    }
    outcrop_testkit::assert_same_rows("snapshot and feed", &scan(&engine.snapshot(), table), &mirror.rows);
}

#[test]
fn a_cursor_that_keeps_too_much_is_ended_and_holds_nobody_up() {
    let mut options = tiny();
    options.feed_retain_bytes = 300 << 10;
    let (env, sim, engine, table) = open(options.clone());
    cursor(&engine, "slow", table);
    let mut feed = engine.feed("slow", None).unwrap();
    let mut longest = 0;
    for round in 0..400 {
        upsert(&engine, table, &[row(round % 10, &"x".repeat(3_000))]).unwrap();
        sim.run_until_idle(50);
        longest = longest.max(engine.status().feed_log_bytes);
    }
    let [slow] = engine.feed_cursors().try_into().unwrap();
    assert!(slow.ended.unwrap().contains("feed_retain_bytes is 307200"));
    assert!(longest > 100 << 10 && longest < 900 << 10, "{longest} bytes of log were kept");
    let error = feed.next_commit(Duration::ZERO).map(drop).unwrap_err();
    assert_eq!(error.condition(), Condition::ObjectNotInPrerequisiteState);
    assert!(error.message().contains("was ended"), "{error}");
    assert_eq!(condition(engine.snapshot_and_feed("slow")), Condition::ObjectNotInPrerequisiteState);
    assert_eq!(
        condition(engine.advance_feed_cursor("slow", CommitSeq::new(5)).wait()),
        Condition::ObjectNotInPrerequisiteState
    );
    // What it kept is gone, also for the next start.
    (0..3).for_each(|_| engine.checkpoint().unwrap());
    let status = engine.status();
    assert_eq!((status.feed_log_bytes, u64::try_from(segment_files(&env)).unwrap()), (0, status.segments));
    drop((engine, feed));
    let engine = Engine::open(&sim.crash(), options).unwrap();
    assert_eq!(condition(engine.feed("slow", None)), Condition::ObjectNotInPrerequisiteState);
    engine.drop_feed_cursor("slow").wait().unwrap();
    cursor(&engine, "slow", table);
    let (snapshot, mut feed) = engine.snapshot_and_feed("slow").unwrap();
    assert_eq!(scan(&snapshot, table).len(), 10);
    upsert(&engine, table, &[row(1, "new")]).unwrap();
    assert_eq!(drain(&mut feed).len(), 1);
}

#[test]
fn a_cursor_that_is_read_keeps_little_however_much_is_written() {
    let mut options = tiny();
    options.feed_retain_bytes = 300 << 10;
    let (env, sim, engine, table) = open(options);
    let mut follower = Follower::new(&engine, table);
    for round in 0..400 {
        upsert(&engine, table, &[row(round % 10, &"x".repeat(3_000))]).unwrap();
        sim.run_until_idle(50);
        follower.follow(&engine, |_, _| {}).unwrap();
        if round % 10 == 0 {
            follower.store(&engine).unwrap();
        }
    }
    follower.assert_is(&scan(&engine.snapshot(), table));
    let [cursor] = engine.feed_cursors().try_into().unwrap();
    assert_eq!((cursor.name.as_str(), cursor.ended), (CURSOR, None));
    follower.store(&engine).unwrap();
    (0..3).for_each(|_| engine.checkpoint().unwrap());
    assert_eq!(u64::try_from(segment_files(&env)).unwrap(), engine.status().segments);
}

#[test]
fn a_feed_that_waits_needs_no_file_of_what_was_passed() {
    let mut options = tiny();
    options.log_file_bytes = 16 << 10;
    let (_env, sim, engine, table) = open(options);
    cursor(&engine, "f", table);
    let mut long = engine.feed("f", None).unwrap();
    // The log files have three pages for groups: what was passed ends at each place in one.
    for round in 0..24 {
        // It knows where to begin, and has read nothing.
        let mut fresh = engine.feed("f", Some(long.position())).unwrap();
        assert_eq!(drain(&mut fresh), []);
        engine.advance_feed_cursor("f", long.position()).wait().unwrap();
        let added = [1, 2, 12, 13][round % 4];
        let ids = (0..added).map(|n| i64::try_from(round).unwrap() * 100 + n);
        for id in ids.clone() {
            insert(&engine, table, &[row(id, "a")]).unwrap();
            sim.run_until_idle(50);
        }
        engine.flush(None).unwrap();
        (0..2).for_each(|_| engine.checkpoint().unwrap());
        let wanted: Vec<_> = ids.map(|id| Shown::Inserted(vec![row(id, "a")])).collect();
        assert_eq!((events(&mut fresh), events(&mut long)), (wanted.clone(), wanted), "round {round}");
    }
}

#[test]
fn a_full_disk_ends_the_cursor_that_keeps_most_and_writes_go_on() {
    let mut options = tiny();
    options.stall_max = Duration::from_millis(20);
    let (_env, sim, engine, table) = open(options);
    cursor(&engine, "slow", table);
    for round in 0..150 {
        upsert(&engine, table, &[row(round % 10, &"x".repeat(3_000))]).unwrap();
        sim.run_until_idle(50);
    }
    assert!(engine.feed_cursors()[0].retained_bytes > 100 << 10);
    sim.set_capacity(Some(sim.used()));
    let mut refused = 0;
    for round in 0..150 {
        if let Err(error) = upsert(&engine, table, &[row(round % 10, &"y".repeat(3_000))]) {
            assert_eq!(error.condition(), Condition::DiskFull);
            refused += 1;
        }
        sim.advance(Duration::from_millis(100));
        sim.run_until_idle(50);
    }
    let ended = engine.feed_cursors()[0].ended.clone().unwrap();
    assert!(ended.contains("the disk was full"), "{ended}");
    assert!(refused < 60, "{refused} writes were refused");
    assert_eq!(engine.status().poisoned, None);
    upsert(&engine, table, &[row(1, "z")]).unwrap();
}

#[test]
fn a_commit_that_was_not_read_to_its_end_comes_again() {
    let (_env, sim, engine, table) = open(roomy());
    insert(&engine, table, &rows(0..20, "first")).unwrap();
    engine.flush(None).unwrap();
    cursor(&engine, "f", table);
    let seq = upsert(&engine, table, &rows(10..30, "second")).unwrap().seq;
    engine.flush(None).unwrap();
    engine.compact().unwrap();
    let mut feed = engine.feed("f", None).unwrap();
    let position = feed.position();
    let mut commit = feed.next_commit(Duration::ZERO).unwrap().unwrap();
    assert!(matches!(shown(&commit.next_event().unwrap().unwrap()), Shown::Updated(_)));
    assert_eq!(feed.position(), position);
    // Nor is one that could not be read.
    let mut failures = 0;
    for successes in 0..30 {
        let mut feed = engine.feed("f", None).unwrap();
        sim.fail_once(OperationClass::Read, successes, FaultKind::Io);
        let mut read = || -> Result<usize, Error> {
            let Some(mut commit) = feed.next_commit(Duration::ZERO)? else { return Ok(0) };
            let mut events = 0;
            while commit.next_event()?.is_some() {
                events += 1;
            }
            Ok(events)
        };
        if let Err(error) = read() {
            assert_eq!(error.condition(), Condition::IoError, "{error}");
            failures += 1;
            assert_eq!(read().unwrap(), 2);
        }
        sim.clear_faults();
        assert!(feed.position() >= seq);
    }
    assert!(failures > 3, "{failures} reads failed");
}

#[test]
fn a_feed_waits_for_the_next_commit_and_stops_when_the_engine_closes() {
    let directory = tempfile::tempdir().unwrap();
    let env = Env::real(directory.path()).unwrap();
    let engine = Engine::open(&env, roomy()).unwrap();
    let table = create(&engine, keyed("t"));
    cursor(&engine, "f", table);
    let mut feed = engine.feed("f", None).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut seqs = Vec::new();
            loop {
                match feed.next_commit(Duration::from_secs(60)) {
                    Ok(Some(mut commit)) => {
                        while commit.next_event().unwrap().is_some() {}
                        seqs.push(commit.seq());
                    }
                    Ok(None) => panic!("nothing in a minute"),
                    Err(error) => {
                        assert_eq!(error.condition(), Condition::AdminShutdown);
                        return seqs;
                    }
                }
            }
        });
        let written: Vec<CommitSeq> =
            (0..50).map(|id| upsert(&engine, table, &[row(id % 7, "x")]).unwrap().seq).collect();
        engine.close().unwrap();
        assert_eq!(reader.join().unwrap(), written);
    });
}

#[test]
fn without_a_cursor_nothing_is_kept() {
    let (env, sim, engine, table) = open(tiny());
    cursor(&engine, "f", table);
    engine.drop_feed_cursor("f").wait().unwrap();
    for round in 0..200 {
        upsert(&engine, table, &[row(round % 10, &"x".repeat(3_000))]).unwrap();
        sim.run_until_idle(50);
    }
    engine.compact().unwrap();
    for _ in 0..3 {
        // Whatever the workers have begun comes to its end.
        sim.run_until_idle(10_000);
        engine.checkpoint().unwrap();
    }
    let status = engine.status();
    assert_eq!((status.feed_log_bytes, u64::try_from(segment_files(&env)).unwrap()), (0, status.segments));
    assert!(env.disk.list("log").unwrap().len() <= 4);
}

/// Bytes of log files that were read since the trace was so long.
fn log_bytes_read(sim: &Sim, since: usize) -> u64 {
    let reads = sim.trace().into_iter().skip(since).filter(|operation| operation.class == OperationClass::Read);
    reads.filter(|operation| operation.name.starts_with("log/")).map(|operation| operation.len).sum()
}

/// A lot of log holds rows in memory, which no flush made needless.
#[test]
fn a_feed_reads_the_log_before_its_position_only_when_a_row_of_it_is_replaced() {
    const FILE: u64 = 1 << 20;
    let (_env, sim, engine, table) = open(roomy());
    for id in 0..40 {
        insert(&engine, table, &[row(id, &"x".repeat(150_000))]).unwrap();
    }
    cursor(&engine, "f", table);
    insert(&engine, table, &[row(100, "new")]).unwrap();
    let since = sim.trace().len();
    let mut feed = engine.feed("f", None).unwrap();
    assert_eq!(events(&mut feed), [Shown::Inserted(vec![row(100, "new")])]);
    assert!(log_bytes_read(&sim, since) <= FILE, "{} bytes read", log_bytes_read(&sim, since));
    // A row of the memtable, of this commit and of one long ago, whose memtable is gone.
    upsert(&engine, table, &[row(100, "newer"), row(7, "b")]).unwrap();
    engine.flush(None).unwrap();
    let expected =
        [Shown::Updated(vec![(row(100, "new"), row(100, "newer")), (row(7, &"x".repeat(150_000)), row(7, "b"))])];
    let since = sim.trace().len();
    assert_eq!(events(&mut feed), expected);
    assert!(log_bytes_read(&sim, since) > 5 * FILE, "{} bytes read", log_bytes_read(&sim, since));
}
