//! Transaction blocks, positions, cancellation.

use std::time::Duration;

use futures::StreamExt;
use outcrop_query::{ExecuteOptions, Execution, TransactionStatus};
use outcrop_types::Condition;

use tokio::runtime::Builder;

use crate::support::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn a_block_reads_one_snapshot() {
    let database = TestDatabase::new();
    let (mut reader, mut writer) = (database.session(), database.session());
    writer.tag("create table t (id int primary key)").await;
    writer.tag("insert into t values (1)").await;
    reader.tag("begin").await;
    assert_eq!(reader.rows("select count(*) from t").await, ["1"]);
    writer.tag("insert into t values (2)").await;
    assert_eq!(reader.rows("select count(*) from t").await, ["1"]);
    assert_eq!(reader.tag("commit").await, "COMMIT");
    assert_eq!(reader.rows("select count(*) from t").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_a_block_fails_the_block() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key)").await;
    session.tag("begin").await;
    let error = session.error("insert into t values (1)").await;
    assert_eq!(error.condition(), Condition::FeatureNotSupported);
    assert!(error.hint().is_some());
    assert_eq!(session.session.transaction(), TransactionStatus::Failed);
    assert_eq!(session.error("select 1").await.condition(), Condition::InFailedTransaction);
    assert_eq!(session.tag("commit").await, "ROLLBACK");
    assert_eq!(session.session.transaction(), TransactionStatus::Idle);
    assert_eq!(session.rows("select count(*) from t").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writes_in_one_message_are_refused_before_the_first_runs() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key)").await;
    let error = session.error("insert into t values (1); select 1; insert into t values (2)").await;
    assert_eq!(error.condition(), Condition::FeatureNotSupported);
    session.tag("prepare p as insert into t values (3)").await;
    let error = session.error("execute p; execute p").await;
    assert_eq!(error.condition(), Condition::FeatureNotSupported);
    assert_eq!(session.rows("select count(*) from t").await, ["0"]);
    assert_eq!(session.tag("select 1; execute p").await, "INSERT 0 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn now_stands_still_in_a_block() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("begin").await;
    let first = session.rows("select now()").await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(session.rows("select now()").await, first);
    session.tag("end").await;
    assert_ne!(session.rows("select now()").await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_waits_for_the_commit_that_it_must_see() {
    let database = TestDatabase::new();
    let (mut writer, mut reader) = (database.session(), database.session());
    let before = writer.session.commit_seq();
    writer.tag("create table t (id int primary key)").await;
    let after = writer.session.commit_seq();
    assert_ne!(before, after);
    reader.tag(&format!("set outcrop.min_commit_seq = '{after}'")).await;
    assert_eq!(reader.rows("select count(*) from t").await, ["0"]);
    assert_eq!(reader.session.commit_seq(), after);
    let (log, _) = after.to_string().split_once('-').map(|(log, seq)| (log.to_owned(), seq.to_owned())).unwrap();
    reader.tag(&format!("set outcrop.min_commit_seq = '{log}-ffffff'")).await;
    reader.tag("set outcrop.min_commit_seq_timeout = '20ms'").await;
    assert_eq!(reader.error("select 1").await.condition(), Condition::QueryCanceled);
    let foreign = "0".repeat(32);
    reader.tag(&format!("set outcrop.min_commit_seq = '{foreign}-1'")).await;
    assert_eq!(reader.error("select 1").await.condition(), Condition::InvalidParameterValue);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_on_request_and_at_its_deadline() {
    let database = TestDatabase::new();
    let mut session = database.session();
    let endless = "select count(*) from generate_series(1, 10000000000) a";
    session.tag("set statement_timeout = '50ms'").await;
    assert_eq!(session.error(endless).await.condition(), Condition::QueryCanceled);
    session.tag("set statement_timeout = 0").await;
    let handle = session.session.cancel_token();
    let canceller = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        handle.cancel();
    });
    assert_eq!(session.error(endless).await.condition(), Condition::QueryCanceled);
    canceller.await.unwrap();
    // A request that comes too late touches nothing.
    session.session.cancel_token().cancel();
    assert_eq!(session.rows("select 1").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_stays_open_while_other_statements_run() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key)").await;
    session.tag("insert into t select * from generate_series(1, 50000)").await;
    let statement = session.session.parse("select id from t").await.unwrap().remove(0);
    let prepared = session.session.prepare(statement, &[]).await.unwrap();
    let execution = session.session.execute(&prepared, &[], ExecuteOptions::default()).await.unwrap();
    let Execution::Rows(mut rows) = execution else { panic!("no rows") };
    let first = rows.next().await.unwrap().unwrap().num_rows();
    assert_eq!(session.tag("delete from t").await, "DELETE 50000");
    let mut total = first;
    while let Some(batch) = rows.next().await {
        total += batch.unwrap().num_rows();
    }
    assert_eq!(total, 50_000);
    assert_eq!(rows.tag().to_string(), "SELECT 50000");
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_say_what_was_skipped() {
    let database = TestDatabase::new();
    let mut session = database.session();
    for (sql, code) in [
        ("create table if not exists t (id int)", None),
        ("create table if not exists t (id int)", Some("42P07")),
        ("drop table if exists u", Some("00000")),
        ("create schema if not exists commons", Some("42P06")),
        ("commit", Some("25P01")),
        ("set local timezone = 'UTC'", Some("25P01")),
    ] {
        session.tag(sql).await;
        let codes: Vec<_> = session.session.take_notices().iter().map(|notice| notice.code).collect();
        assert_eq!(codes, code.into_iter().collect::<Vec<_>>(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_commit_takes_no_thread_and_ends_on_request() {
    // One blocking thread for all: a waiter that kept one would stop the others.
    let queries = Builder::new_multi_thread().worker_threads(1).max_blocking_threads(2).enable_all().build().unwrap();
    let database = TestDatabase::on(queries.handle().clone());
    let mut session = database.session();
    session.tag("create table t (id int)").await;
    let position = session.session.commit_seq().to_string();
    let (log, seq) = position.split_once('-').unwrap();
    let next = format!("{log}-{:x}", u64::from_str_radix(seq, 16).unwrap() + 1);
    let mut waiting = Vec::new();
    for at in 0..40 {
        let mut session = database.session();
        session.tag("set outcrop.min_commit_seq_timeout = 0").await;
        session.tag(&format!("set outcrop.min_commit_seq = '{next}'")).await;
        let cancel = session.session.cancel_token();
        let task = tokio::spawn(async move { session.run("select count(*) from t").await });
        waiting.push((at % 2 == 0, cancel, task));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    for (cancelled, cancel, task) in &waiting {
        assert!(!task.is_finished());
        if *cancelled {
            cancel.cancel();
        }
    }
    let mut left = Vec::new();
    for (cancelled, _, task) in waiting {
        if cancelled {
            assert_eq!(task.await.unwrap().unwrap_err().condition(), Condition::QueryCanceled);
        } else {
            left.push(task);
        }
    }
    assert_eq!(session.tag("insert into t values (1)").await, "INSERT 0 1");
    for task in left {
        assert_eq!(task.await.unwrap().unwrap().rows, [["1"]]);
    }
    queries.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_is_resumed_has_its_whole_time_again() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("set statement_timeout = '400ms'").await;
    let statement = session.session.parse("select * from generate_series(1, 100000)").await.unwrap().remove(0);
    let prepared = session.session.prepare(statement, &[]).await.unwrap();
    let execution = session.session.execute(&prepared, &[], ExecuteOptions::default()).await.unwrap();
    let Execution::Rows(mut rows) = execution else { panic!("no rows") };
    rows.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    session.session.resume(&mut rows);
    rows.next().await.unwrap().unwrap();
    // Without it the limit counts on.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(rows.next().await.unwrap().unwrap_err().condition(), Condition::QueryCanceled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_whose_snapshot_was_given_back_says_so_once_and_then_waits_for_its_end() {
    let mut options = outcrop_engine::EngineOptions::default();
    options.snapshot_age_max = Duration::from_secs(3_600);
    let database = TestDatabase::with_options(options);
    let mut session = database.session();
    session.tag("create table t (id bigint primary key)").await;
    session.tag("begin").await;
    assert_eq!(session.session.snapshot_time_left(), None, "nothing was read yet");
    assert_eq!(session.rows("select count(*) from t").await, ["0"]);
    assert!(session.session.snapshot_time_left().unwrap().as_secs() > 3_000);
    let held = database.database.engine().versions_held();
    database.session().tag("insert into t values (1)").await;
    assert!(database.database.engine().versions_held() > held, "the block holds the version before");
    session.session.give_back_snapshot();
    assert_eq!(database.database.engine().versions_held(), held);
    assert_eq!(session.error("select count(*) from t").await.condition(), Condition::SnapshotTooOld);
    assert_eq!(session.error("select 1").await.condition(), Condition::InFailedTransaction);
    assert_eq!(session.tag("rollback").await, "ROLLBACK");
    assert_eq!(session.rows("select count(*) from t").await, ["1"]);
}

/// Every row is written anew, which takes long: the request comes when the first segment is begun.
#[tokio::test(flavor = "multi_thread")]
async fn an_alter_table_that_writes_rows_anew_ends_on_request_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let segments = dir.path().join("segments");
    let env = outcrop_env::Env::real(dir.path()).unwrap();
    let mut options = outcrop_engine::EngineOptions::default();
    options.compaction_in_background = false;
    let database = TestDatabase::in_env(env, dir, options);
    let mut session = database.session();
    session.tag("create table t (id bigint primary key)").await;
    session.tag("insert into t select i from generate_series(1, 300000) as i").await;
    database.database.engine().flush(None).unwrap();
    let files = move || {
        let mut names: Vec<_> = std::fs::read_dir(&segments).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    let (handle, looking) = (session.session.cancel_token(), files.clone());
    let known = before.clone();
    let canceller = tokio::task::spawn_blocking(move || {
        while looking() == known {
            std::thread::sleep(Duration::from_millis(1));
        }
        handle.cancel();
    });
    let error = session.error("alter table t add column u uuid default gen_random_uuid()").await;
    assert_eq!(error.condition(), Condition::QueryCanceled);
    canceller.await.unwrap();
    assert_eq!(session.error("select u from t").await.condition(), Condition::UndefinedColumn);
    assert_eq!(session.rows("select count(*) from t").await, ["300000"]);
    // What was written goes when the work has noticed; nothing else can be waited for.
    while files() != before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The table takes the same change afterwards.
    session.tag("delete from t where id > 10").await;
    session.tag("alter table t add column u uuid default gen_random_uuid()").await;
    assert_eq!(session.rows("select count(distinct u) from t").await, ["10"]);
}
