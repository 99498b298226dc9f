//! One query thread for all: nobody keeps it, and whoever is cancelled gives it back.

use std::time::Duration;

use futures::StreamExt;
use outcrop_query::{ExecuteOptions, Execution};
use outcrop_types::Condition;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::support::{TestDatabase, TestSession};

/// Ends a test that hangs; nothing is measured.
const HANGS: Duration = Duration::from_secs(30);

fn one_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(HANGS, work).await.unwrap_or_else(|_late| panic!("{what} hangs"))
}

async fn tables(session: &mut TestSession) {
    session.tag("create table a (n bigint primary key, k int)").await;
    session.tag("create table b (n bigint primary key, k int)").await;
    session.tag("insert into a select n, 0 from generate_series(1, 100000) g(n)").await;
    session.tag("insert into b select n, k from a").await;
}

/// Queries that take minutes at least, most of them without a row to show for it.
const LONG: &[&str] = &[
    "select sum(a.k + b.k + c.k) from a, b, b c",
    "select count(*) from a join b on a.n * b.n < -1",
    "select count(*) from a left join b on a.n * b.n < -1",
    "select count(*) from a full join b on a.k = b.k and a.n * b.n < -1",
    "select count(*) from a join b on a.k = b.k and a.n * b.n < -1",
    "select sum(a.n + c.n) from a join b using (k) join b c using (k)",
    "select count(*) from a where exists (select from b where b.k = a.k and a.n * b.n < -1)",
    "select count(*) from a where not exists (select from b where a.n * b.n < -1)",
    "with recursive r as (select 1 as n union all select 1 - n from r) select count(*) from r",
    "select sum(a.n + g) from a, generate_series(1, 10000000000) g(g)",
    "insert into a select a.n + b.n, 0 from a, b where a.n * b.n < -1",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_long_query_lets_others_run_and_ends_when_it_is_cancelled() {
    let queries = one_thread();
    let database = TestDatabase::on(queries.handle().clone());
    let mut other = database.session();
    tables(&mut other).await;
    for sql in LONG {
        let mut session = database.session();
        let handle = session.session.cancel_token();
        let long = tokio::spawn(async move { session.error(sql).await.condition() });
        // Three times, so that the long query is at its work for some of them.
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(in_time(sql, other.rows("select 1")).await, ["1"]);
        }
        assert!(!long.is_finished(), "{sql} ended by itself");
        handle.cancel();
        assert_eq!(in_time(sql, long).await.unwrap(), Condition::QueryCanceled, "{sql}");
    }
    assert_eq!(in_time("after all", other.rows("select count(*) from a")).await, ["100000"]);
    queries.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_query_gives_its_thread_back() {
    let queries = one_thread();
    let database = TestDatabase::on(queries.handle().clone());
    let mut session = database.session();
    tables(&mut session).await;
    session.tag("set statement_timeout = '100ms'").await;
    for sql in LONG {
        assert_eq!(in_time(sql, session.error(sql)).await.condition(), Condition::QueryCanceled, "{sql}");
        assert_eq!(in_time(sql, database.session().rows("select 1")).await, ["1"]);
    }
    queries.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_cancel_ends_open_portals_too() {
    let database = TestDatabase::new();
    let mut session = database.session();
    let statement = session.session.parse("select * from generate_series(1, 10000000000)").await.unwrap().remove(0);
    let prepared = session.session.prepare(statement, &[]).await.unwrap();
    let execution = session.session.execute(&prepared, &[], ExecuteOptions::default()).await.unwrap();
    let Execution::Rows(mut portal) = execution else { panic!("no rows") };
    portal.next().await.unwrap().unwrap();
    assert_eq!(session.rows("select 1").await, ["1"]);
    session.session.cancel_token().cancel();
    let error = in_time("the portal", async {
        loop {
            match portal.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("the portal ended without an error"),
            }
        }
    });
    assert_eq!(error.await.condition(), Condition::QueryCanceled);
    assert_eq!(session.rows("select 2").await, ["2"]);
}
