//! Writes that meet other writes, and large ones.

use outcrop_engine::EngineOptions;
use outcrop_types::Condition;

use crate::support::TestDatabase;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_increments_are_all_counted() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key, n int)").await;
    session.tag("insert into t values (1, 0), (2, 0)").await;
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let mut session = database.session();
            tokio::spawn(async move {
                for _ in 0..25 {
                    assert_eq!(session.tag("update t set n = n + 1 where id = 1").await, "UPDATE 1");
                    session
                        .tag("insert into t values (2, 1) on conflict (id) do update set n = t.n + excluded.n")
                        .await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(session.rows("select id, n from t order by id").await, ["1|100", "2|100"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_increments_through_a_subquery_are_all_counted() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key, n int)").await;
    session.tag("create table step (by int)").await;
    session.tag("insert into t values (1, 0)").await;
    session.tag("insert into step values (1)").await;
    let tasks: Vec<_> = (0..3)
        .map(|at| {
            let mut session = database.session();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let sql = if at == 0 {
                        "update t set n = n + by from step where id = 1"
                    } else {
                        "update t set n = n + (select max(by) from step) where id = 1"
                    };
                    assert_eq!(session.tag(sql).await, "UPDATE 1");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(session.rows("select n from t").await, ["30"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_insert_is_staged_and_whole_or_nothing() {
    let mut options = EngineOptions::default();
    options.commit_inline_bytes_max = 64 << 10;
    let database = TestDatabase::with_options(options);
    let mut session = database.session();
    session.tag("create table t (id int primary key, v text)").await;
    let insert = "insert into t select i, 'value ' || i from generate_series(1, 100000) as g(i)";
    assert_eq!(session.tag(insert).await, "INSERT 0 100000");
    assert_eq!(session.error(insert).await.condition(), Condition::UniqueViolation);
    assert_eq!(session.rows("select count(*), min(v), max(id) from t").await, ["100000|value 1|100000"]);
    assert_eq!(session.tag("update t set v = upper(v) where id % 2 = 0").await, "UPDATE 50000");
    assert_eq!(session.tag("delete from t where id % 4 = 0").await, "DELETE 25000");
    assert_eq!(session.rows("select count(*) from t where v like 'VALUE%'").await, ["25000"]);
    let returned = session.run("delete from t returning id").await.unwrap();
    assert_eq!((returned.tag.as_str(), returned.rows.len()), ("DELETE 75000", 75_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_reopening() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key, at timestamptz default now(), n numeric(10,3))").await;
    session.tag("insert into t (id, n) values (1, 1.5), (2, -0.0005)").await;
    session.tag("update t set n = 2 where id = 1").await;
    session.tag("delete from t where id = 2").await;
    drop(session);
    let database = database.reopened().await;
    let mut session = database.session();
    assert_eq!(session.rows("select id, n, at is not null from t").await, ["1|2.000|t"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn returning_keeps_little_in_memory_and_every_row() {
    let mut options = EngineOptions::default();
    options.commit_inline_bytes_max = 64 << 10;
    let spill = tempfile::tempdir().unwrap();
    let database = TestDatabase::spilling(options, spill.path());
    let mut session = database.session();
    session.tag("create table t (id int primary key, v text)").await;
    // 30 MB of answers, of which 8 MiB stay in memory.
    let insert = "insert into t select i, 'v' from generate_series(1, 30000) as g(i)
        returning id, repeat('x', 1000) || id";
    let returned = session.run(insert).await.unwrap();
    assert_eq!((returned.tag.as_str(), returned.rows.len()), ("INSERT 0 30000", 30_000));
    for (row, id) in returned.rows.iter().zip(1..) {
        assert_eq!(row, &[id.to_string(), format!("{}{id}", "x".repeat(1000))]);
    }
    assert_eq!(std::fs::read_dir(spill.path()).unwrap().flatten().map(|dir| files_in(&dir.path())).sum::<usize>(), 0);
    let failing = "delete from t returning repeat('x', 1000) || 1 / (id - 25000)";
    assert_eq!(session.error(failing).await.condition(), Condition::DivisionByZero);
    assert_eq!(session.rows("select count(*) from t").await, ["30000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_returning_without_a_place_to_spill_changes_nothing() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int)").await;
    let insert = "insert into t select i from generate_series(1, 30000) as g(i) returning repeat('x', 1000) || id";
    assert_eq!(session.error(insert).await.condition(), Condition::OutOfMemory);
    assert_eq!(session.rows("select count(*) from t").await, ["0"]);
}

fn files_in(dir: &std::path::Path) -> usize {
    std::fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.path().is_file()).count()
}
