//! What prepared statements may keep between executions, and what not.

use outcrop_query::Prepared;
use outcrop_types::{Condition, Value};

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

#[tokio::test(flavor = "multi_thread")]
async fn statements_prepared_before_an_alter_see_the_new_columns_or_say_that_they_cannot() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id smallint primary key, a int, b text)").await;
    session.tag("insert into t values (1, 10, 'x'), (2, 20, 'y')").await;
    let lookup = prepare(&mut session, "select a from t where id = $1").await;
    let all = prepare(&mut session, "select * from t").await;
    let count = prepare(&mut session, "select count(*) as n from t where a > 15").await;
    let named = prepare(&mut session, "select b from t where a = 10").await;
    let insert = prepare(&mut session, "insert into t (id, a) values (3, 30)").await;
    let update = prepare(&mut session, "update t set a = a + 1 where id = 2").await;
    session.execute(&update, &[]).await.unwrap();
    session.tag("alter table t add column c int not null default 5, alter column b set default 'z'").await;
    for prepared in [&lookup, &all] {
        // PostgreSQL's words for a row that is not what was described; a look-up's is.
        let outcome = session.execute(prepared, &[Value::Int(1)][..prepared.parameters().len()]).await;
        match prepared.columns().map(<[_]>::len) {
            Some(1) => assert_eq!(outcome.unwrap().rows, [["10"]]),
            _ => assert_eq!(outcome.unwrap_err().message(), "cached plan must not change result type"),
        }
    }
    session.execute(&insert, &[]).await.unwrap();
    session.execute(&update, &[]).await.unwrap();
    assert_eq!(session.rows("select * from t order by id").await, ["1|10|x|5", "2|22|y|5", "3|30|z|5"]);
    session.tag("alter table t alter column a type numeric(12,1), alter column id type bigint").await;
    session.execute(&update, &[]).await.unwrap();
    assert_eq!(session.execute(&count, &[]).await.unwrap().rows, [["2"]]);
    assert_eq!(session.execute(&named, &[]).await.unwrap().rows, [["x"]]);
    let error = session.execute(&lookup, &[Value::Int(1)]).await.unwrap_err();
    assert_eq!(error.message(), "cached plan must not change result type");
    session.tag("alter table t rename column b to d").await;
    assert_eq!(session.execute(&named, &[]).await.unwrap_err().condition(), Condition::UndefinedColumn);
    session.tag("alter table t rename to u").await;
    for prepared in [&count, &insert, &update] {
        assert_eq!(session.execute(prepared, &[]).await.unwrap_err().condition(), Condition::UndefinedTable);
    }
    assert_eq!(session.rows("select id, a from u order by id").await, ["1|10.0", "2|23.0", "3|30.0"]);
}
