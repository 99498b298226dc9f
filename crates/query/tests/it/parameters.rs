//! Prepared statements and their parameters.

use outcrop_types::{Condition, DataType, Value};

use crate::support::{TestDatabase, TestSession};

async fn prepare(session: &mut TestSession, sql: &str) -> outcrop_query::Prepared {
    let statement = session.session.parse(sql).await.unwrap().remove(0);
    session.session.prepare(statement, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn types_are_inferred_from_the_place() {
    use DataType as T;
    let database = TestDatabase::new();
    let mut session = database.session();
    session
        .tag("create table t (id bigint primary key, name varchar(5), at timestamptz, tags text[], n numeric(8,2))")
        .await;
    for (sql, expected) in [
        (
            "insert into t values ($1, $2, $3, $4, $5)",
            vec![
                T::Int8,
                T::Varchar { length: 5 },
                T::TimestampTz,
                T::Array(Box::new(T::Text)),
                T::Numeric { precision: 8, scale: 2 },
            ],
        ),
        ("insert into t (name, id) values ($2, $1)", vec![T::Int8, T::Varchar { length: 5 }]),
        ("insert into t (id, name) select $1, $2", vec![T::Int8, T::Varchar { length: 5 }]),
        ("update t set name = $2 where id = $1", vec![T::Int8, T::Varchar { length: 5 }]),
        ("delete from t where id = $1", vec![T::Int8]),
        (
            "insert into t (id) values ($1) on conflict (id) do update set name = $2 where t.id > $3",
            vec![T::Int8, T::Varchar { length: 5 }, T::Int8],
        ),
        ("select id from t where id = $1 limit $2", vec![T::Int8, T::Int8]),
        ("select id from t where id = any($1)", vec![T::Array(Box::new(T::Int8))]),
        ("select $1::int + 1", vec![T::Int4]),
        ("select name from t where at > $1", vec![T::TimestampTz]),
    ] {
        assert_eq!(prepare(&mut session, sql).await.parameters(), expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_without_a_place_has_no_type() {
    let database = TestDatabase::new();
    let mut session = database.session();
    for sql in ["select $1 is null", "select $2::int", "select 1 where $1 is not null"] {
        let statement = session.session.parse(sql).await.unwrap().remove(0);
        let error = session.session.prepare(statement, &[]).await.unwrap_err();
        assert_eq!(error.condition(), Condition::IndeterminateDatatype, "{sql}");
    }
    for (sql, expected) in [
        ("select $1", DataType::Text),
        ("select coalesce($1, 'x')", DataType::Text),
        ("select $1::int where $1 is null", DataType::Int4),
    ] {
        assert_eq!(prepare(&mut session, sql).await.parameters(), [expected], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_sees_the_newest_rows_and_tables() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key, v text)").await;
    let count = prepare(&mut session, "select count(*) from t").await;
    let insert = prepare(&mut session, "insert into t values ($1, $2) returning id, v || '!' as loud").await;
    assert_eq!(insert.columns().unwrap().iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["id", "loud"]);
    for id in 1..=3 {
        let answer = session.execute(&insert, &[Value::Int(id), Value::Text("x".into())]).await.unwrap();
        assert_eq!((answer.tag.as_str(), answer.rows), ("INSERT 0 1", vec![vec![id.to_string(), "x!".to_owned()]]));
        assert_eq!(session.execute(&count, &[]).await.unwrap().rows, [[id.to_string()]]);
    }
    session.tag("drop table t").await;
    session.tag("create table t (id int primary key, v text)").await;
    assert_eq!(session.execute(&count, &[]).await.unwrap().rows, [["0"]]);
    session.tag("drop table t").await;
    assert_eq!(session.execute(&count, &[]).await.unwrap_err().condition(), Condition::UndefinedTable);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_refused() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id smallint primary key)").await;
    let insert = prepare(&mut session, "insert into t values ($1)").await;
    let error = session.execute(&insert, &[]).await.unwrap_err();
    assert_eq!(error.condition(), Condition::ProtocolViolation);
    let error = session.execute(&insert, &[Value::Int(70_000)]).await.unwrap_err();
    assert_eq!(error.condition(), Condition::NumericValueOutOfRange);
    let statement = session.session.parse("insert into t values ($1)").await.unwrap().remove(0);
    let typed = session.session.prepare(statement, &[Some(DataType::Int8)]).await.unwrap();
    assert_eq!(typed.parameters(), [DataType::Int8]);
    let error = session.execute(&typed, &[Value::Int(70_000)]).await.unwrap_err();
    assert_eq!(error.condition(), Condition::NumericValueOutOfRange);
    assert_eq!(session.execute(&typed, &[Value::Int(7)]).await.unwrap().tag, "INSERT 0 1");
    assert_eq!(session.error("insert into t values ($2)").await.condition(), Condition::IndeterminateDatatype);
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_and_deletes_take_parameters() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key, n int)").await;
    session.tag("insert into t values (1, 10), (2, 20), (3, 30)").await;
    let update = prepare(&mut session, "update t set n = n + $1 where id = $2 returning n").await;
    for _ in 0..2 {
        session.execute(&update, &[Value::Int(5), Value::Int(2)]).await.unwrap();
    }
    assert_eq!(session.rows("select n from t where id = 2").await, ["30"]);
    let delete = prepare(&mut session, "delete from t where id = any($1)").await;
    let ids = Value::Array(vec![Value::Int(1), Value::Int(3), Value::Int(9)]);
    assert_eq!(session.execute(&delete, &[ids]).await.unwrap().tag, "DELETE 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_change_takes_new_values_and_new_tables() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key, n int, s text)").await;
    session.tag("insert into t values (1, 1, 'a')").await;
    let update = prepare(&mut session, "update t set n = n + $1, s = $3 where id = $2 and n < 100").await;
    let upsert = prepare(
        &mut session,
        "insert into t values ($1, $2, $3) on conflict (id) do update set n = t.n + excluded.n + $4, s = excluded.s",
    )
    .await;
    for step in 1..=3 {
        let text = |suffix: &str| Value::Text(format!("{step}{suffix}"));
        let answer = session.execute(&update, &[Value::Int(step), Value::Int(1), text("u")]).await.unwrap();
        assert_eq!(answer.tag, "UPDATE 1");
        session.execute(&upsert, &[Value::Int(1), Value::Int(10), text("i"), Value::Int(step)]).await.unwrap();
    }
    assert_eq!(session.rows("select n, s from t").await, ["43|3i"]);
    session.tag("drop table t").await;
    session.tag("create table t (n int, s text, id int primary key)").await;
    session.tag("insert into t values (5, 'z', 1)").await;
    let values = [Value::Int(7), Value::Int(1), Value::Text("new".into())];
    assert_eq!(session.execute(&update, &values).await.unwrap().tag, "UPDATE 1");
    assert_eq!(session.rows("select * from t").await, ["12|new|1"]);
    session.tag("set timezone = 'Asia/Tokyo'").await;
    assert_eq!(session.execute(&update, &values).await.unwrap().tag, "UPDATE 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_numeric_parameter_has_the_digits_of_its_place() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table n (a numeric(38,20), b numeric(20,15))").await;
    let declared = [Some(DataType::NUMERIC_DEFAULT)];
    let a = DataType::Numeric { precision: 38, scale: 20 };
    let b = DataType::Numeric { precision: 20, scale: 15 };
    let digits = Value::Decimal(12_345_678_901_234_567_890, 20);
    for (sql, expected, value, tag) in [
        ("insert into n (a, b) values ($1, 1)", &a, digits.clone(), "INSERT 0 1"),
        ("update n set b = $1", &b, Value::Decimal(123_456_789_012_345, 15), "UPDATE 1"),
        ("delete from n where b = $1 and a > 1", &b, Value::Decimal(123_456_789_012_345, 15), "DELETE 0"),
        ("select a from n where a = $1", &a, digits.clone(), "SELECT 1"),
        ("select a from n where b = $1", &b, Value::Decimal(123_456_789_012_345, 15), "SELECT 1"),
        ("select $1", &DataType::NUMERIC_DEFAULT, Value::Decimal(1, 0), "SELECT 1"),
        ("select 1 + $1", &DataType::NUMERIC_DEFAULT, Value::Decimal(15, 1), "SELECT 1"),
    ] {
        let statement = session.session.parse(sql).await.unwrap().remove(0);
        let prepared = session.session.prepare(statement, &declared).await.unwrap();
        assert_eq!(prepared.parameters(), std::slice::from_ref(expected), "{sql}");
        assert_eq!(session.execute(&prepared, &[value]).await.unwrap().tag, tag, "{sql}");
    }
    assert_eq!(session.rows("select a, b from n").await, ["0.12345678901234567890|0.123456789012345"]);
}
