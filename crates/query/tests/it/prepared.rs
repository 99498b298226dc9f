//! What prepared statements may keep between executions, and what not.

use outcrop_query::Prepared;
use outcrop_types::Condition;

use crate::support::{TestDatabase, TestSession};

async fn prepare(session: &mut TestSession, sql: &str) -> Prepared {
    let statement = session.session.parse(sql).await.unwrap().remove(0);
    session.session.prepare(statement, &[]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_holds_no_version() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key, n int)").await;
    session.tag("insert into t values (1, 1)").await;
    let mut kept = Vec::new();
    for sql in [
        "select n from t where id = $1",
        "select count(*) from t a join t b on a.n = b.n where a.n in (select n from t)",
        "with w as (select * from t) select (select max(n) from w)",
        "update t set n = n + 1 where n > $1 returning id",
        "delete from t using t b where t.n = b.n and b.n = $1",
        "insert into t select id + 10, n from t where n = $1 on conflict (id) do update set n = excluded.n",
        "select relname from pg_class",
    ] {
        kept.push(prepare(&mut session, sql).await);
    }
    session.tag("insert into t values (2, 2)").await;
    session.tag("insert into t values (3, 3)").await;
    assert_eq!(database.database.engine().versions_held(), 1);
    drop(kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn returning_keeps_to_the_types_that_were_described() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key, a int)").await;
    let mut prepared = Vec::new();
    for sql in [
        "update t set a = a + 1 returning a",
        "delete from t returning a",
        "insert into t values (2, 2) returning a",
        "insert into t select 3, 3 returning a + 0 as a",
    ] {
        prepared.push(prepare(&mut session, sql).await);
    }
    session.tag("drop table t").await;
    session.tag("create table t (id int primary key, a bigint)").await;
    session.tag("insert into t values (1, 1)").await;
    for prepared in &prepared {
        let error = session.execute(prepared, &[]).await.unwrap_err();
        assert_eq!(error.condition(), Condition::FeatureNotSupported, "{error:?}");
        assert_eq!(error.message(), "cached plan must not change result type");
    }
    assert_eq!(session.rows("select id, a from t").await, ["1|1"]);
}
