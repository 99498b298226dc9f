//! `INSERT … VALUES` of literals goes to columns without a plan; a comment in front makes the same statement go the general
//! way. Both must leave the same rows and say the same.

use outcrop_types::{DataType, Result, Value};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use crate::support::{Answer, TestDatabase, TestSession};

/// As long as [`GENERAL`], so that positions in errors are the same.
const LITERAL: &str = "    ";
const GENERAL: &str = "/**/";

/// Two databases with the same tables: one gets statements the short way, the other the general one.
struct Pair {
    sessions: [TestSession; 2],
    _databases: [TestDatabase; 2],
}

impl Pair {
    fn new() -> Self {
        let databases = [TestDatabase::new(), TestDatabase::new()];
        Self { sessions: [databases[0].session(), databases[1].session()], _databases: databases }
    }

    async fn both(&mut self, sql: &str) {
        for session in &mut self.sessions {
            session.run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    }

    /// Executes a statement both ways and compares what is said, and what the table holds then.
    async fn same(&mut self, sql: &str, table: &str) -> Result<Answer> {
        let [literal, general] = &mut self.sessions;
        let answers = [literal.run(&format!("{LITERAL}{sql}")).await, general.run(&format!("{GENERAL}{sql}")).await];
        assert_eq!(said(&answers[0]), said(&answers[1]), "{sql}");
        self.same_rows(sql, table).await;
        answers.into_iter().next().unwrap()
    }

    /// The same with a prepared statement, executed with each of the lists of values.
    async fn same_prepared(&mut self, sql: &str, table: &str, types: &[Option<DataType>], executions: &[Vec<Value>]) {
        for values in executions {
            let mut answers = Vec::new();
            for (session, prefix) in self.sessions.iter_mut().zip([LITERAL, GENERAL]) {
                let statement = session.session.parse(&format!("{prefix}{sql}")).await.unwrap().remove(0);
                answers.push(match session.session.prepare(statement, types).await {
                    Ok(prepared) => (prepared.parameters().to_vec(), session.execute(&prepared, values).await),
                    Err(error) => (Vec::new(), Err(error)),
                });
            }
            assert_eq!(answers[0].0, answers[1].0, "{sql}");
            assert_eq!(said(&answers[0].1), said(&answers[1].1), "{sql} with {values:?}");
            self.same_rows(sql, table).await;
        }
    }

    async fn same_rows(&mut self, sql: &str, table: &str) {
        let query = format!("SELECT * FROM {table} ORDER BY 1");
        let rows = [self.sessions[0].rows(&query).await, self.sessions[1].rows(&query).await];
        assert_eq!(rows[0], rows[1], "after {sql}");
    }
}

/// What a client sees of an answer.
fn said(answer: &Result<Answer>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!(
            "{:?} {} detail {:?} hint {:?} at {:?} constraint {:?}",
            error.condition(),
            error.message(),
            error.detail(),
            error.hint(),
            error.position(),
            error.constraint()
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_and_their_errors_are_the_same_both_ways() {
    let mut pair = Pair::new();
    pair.both(
        "create table t (id bigint primary key, a int default 7, b text not null default 'x', c numeric(6,2),
         d varchar(3), e timestamptz, f float8, g smallint, h int[], i jsonb, j bytea, k uuid, l time, m bool, n real)",
    )
    .await;
    for sql in [
        "insert into t values (1)",
        "insert into t values (2, null, 'b')",
        "INSERT INTO t (b, id, a) VALUES ('it''s', 3, DEFAULT), (DEFAULT, 4, -5), (E'a\\\\b', 5, default)",
        "insert into t (id, b) values (6, null)",
        "insert into t (id, b) values (null, 'x')",
        "insert into t (id) values (7), (7)",
        "insert into t (id) values (1)",
        "insert into t (id) values (1), (8) on conflict do nothing",
        "insert into t (id, a) values (1, 10), (9, 10) on conflict (id) do update set a = excluded.a returning id, a, b",
        "insert into t (id, a) values (1, 10), (1, 11) on conflict (id) do update set a = excluded.a",
        "insert into t (id, a, b) values (1, 11, 'new') on conflict (id) do update set b = excluded.b, a = excluded.a",
        "insert into t (id, a, b) values (1, 12, 'newer') on conflict (id) do update set id = excluded.id, b = EXCLUDED.\"b\"",
        "insert into t as x (id, a) values (1, 5) on conflict (id) do update set a = x.a + excluded.a where x.a < 100 returning *",
        "insert into t as x (id, a) values (1, 5) on conflict (id) do update set a = excluded.id",
        "insert into t as x (id, a) values (1, 5) on conflict (id) do update set a = excluded.b",
        "insert into t as x (id, a) values (1, 5) on conflict (id) do update set a = excluded.zz",
        "insert into t as x (id, a) values (1, 5) on conflict (id) do update set zz = excluded.a",
        "insert into t as x (id, a) values (1, 5) on conflict (a) do update set a = excluded.a",
        "insert into t as x (id, a) values (1, 5) on conflict do update set a = excluded.a",
        "insert into t as excluded (id, a) values (1, 5) on conflict (id) do update set a = excluded.a",
        "insert into t (id, a) values (1, 5) on conflict (id) do update set a = 1 / (excluded.a - 5)",
        "insert into t (id) values (10) returning id + 1 as next, b",
        "insert into t (id) values (11) returning zz",
        "insert into t (id) values (11) returning 1 / 0",
        "insert into t (id, zz) values (11, 1)",
        "insert into t (id, id) values (11, 1)",
        "insert into t (id, a) values (11)",
        "insert into t (id) values (11, 12)",
        "insert into t (id) values (11), (12, 13)",
        "insert into nowhere (id) values (11)",
        "insert into public.t (id) values (12)",
        "insert into pg_catalog.t (id) values (12)",
        "insert into t (id, a) values (13, 'x')",
        "insert into t (id, a) values (13, 99999999999)",
        "insert into t (id, a) values (13, 1.5)",
        "insert into t (id, a) values (14, '15')",
        "insert into t (id, a) values (15, true)",
        "insert into t (id, c) values (16, 1.005), (17, '2.5'), (18, 1e3), (19, -0.994)",
        "insert into t (id, c) values (20, 12345)",
        "insert into t (id, d) values (21, 'abcd')",
        "insert into t (id, d) values (21, 'abc   '), (22, 12)",
        "insert into t (id, b) values (23, 12)",
        "insert into t (id, e) values (24, '2024-03-10 02:30:00'), (25, '2024-02-29 12:00:00+05:30'), (26, 'infinity')",
        "insert into t (id, e) values (27, '2024-02-30')",
        "insert into t (id, e) values (27, '2024-02-29'::timestamptz), (28, '2024-02-29'::date), (29, date '2024-02-29')",
        "insert into t (id, f) values (30, 1e308), (31, 'NaN'), (32, '-inf'), (33, -0.0)",
        "insert into t (id, f) values (34, 1e309)",
        "insert into t (id, g) values (34, 40000)",
        "insert into t (id, h) values (34, '{1,2,NULL}'), (35, '{}'::int[]), (36, null)",
        "insert into t (id, h) values (37, '{1,x}')",
        "insert into t (id, i) values (37, '{\"b\": 1, \"a\": 2}'), (38, 'null')",
        "insert into t (id, i) values (39, '{')",
        "insert into t (id, j) values (39, '\\xdeadbeef'), (40, E'\\\\001')",
        "insert into t (id, k) values (41, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), (42, null)",
        "insert into t (id, k) values (43, 'a0eebc99')",
        "insert into t (id, l) values (43, '12:34:56.7')",
        "insert into t (id, m) values (44, true), (45, 'off'), (46, null)",
        "insert into t (id, m) values (47, 1)",
        "insert into t (id, n) values (47, 1.1), (48, '3.4e38')",
        "insert into t (id) values ($1)",
    ] {
        drop(pair.same(sql, "t").await);
    }
    pair.both("set timezone = 'America/New_York'").await;
    pair.same("insert into t (id, e) values (50, '2024-07-01 12:00:00'), (51, '2024-11-03 01:30:00')", "t")
        .await
        .unwrap();
    pair.both("set default_transaction_read_only = on").await;
    drop(pair.same("insert into t values (61)", "t").await);
    pair.both("begin").await;
    let [literal, general] = &mut pair.sessions;
    let sql = "insert into t values (60)";
    let answers = [literal.run(&format!("{LITERAL}{sql}")).await, general.run(&format!("{GENERAL}{sql}")).await];
    assert_eq!(said(&answers[0]), said(&answers[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_literals_are_the_same_both_ways() {
    let mut pair = Pair::new();
    pair.both("create table t (id bigint primary key, a int, b text, c numeric(6,2), d varchar(3), f float8)").await;
    let text = |text: &str| Value::Text(text.to_owned());
    let sql = "insert into t values ($1, $2, $3, $4, $5, $6), ($1, 2, 'x', 3, 'y', 4)";
    let row = vec![Value::Int(1), Value::Int(2), text("b"), Value::Decimal(125, 2), text("abc"), Value::Float(0.5)];
    pair.same_prepared(sql, "t", &[], std::slice::from_ref(&row)).await;
    let sql = "insert into t values ($1, $2, $3, $4, $5, $6), (7, 2, 'x', 3, 'y', 4)
               on conflict (id) do update set a = excluded.a, b = excluded.b returning a, b, f";
    let nulls = vec![Value::Int(2), Value::Null, Value::Null, Value::Null, Value::Null, Value::Null];
    pair.same_prepared(sql, "t", &[], &[row.clone(), nulls, row]).await;
    // Parameters of other types than their columns.
    let types = [Some(DataType::Int2), Some(DataType::Int8), Some(DataType::Varchar { length: 9 })];
    let sql = "insert into t (id, a, b) values ($1, $2, $3) on conflict do nothing";
    pair.same_prepared(
        sql,
        "t",
        &types,
        &[
            vec![Value::Int(3), Value::Int(4), text("x")],
            vec![Value::Int(4), Value::Int(1 << 40), text("x")],
            vec![Value::Null, Value::Int(4), text("x")],
        ],
    )
    .await;
    let types = [Some(DataType::Text), Some(DataType::Float4), Some(DataType::Int4)];
    let sql = "insert into t (d, f, id) values ($1, $2, $3)";
    pair.same_prepared(
        sql,
        "t",
        &types,
        &[
            vec![text("abc"), Value::Float(f64::from(0.1_f32)), Value::Int(20)],
            vec![text("abcd"), Value::Float(0.5), Value::Int(21)],
        ],
    )
    .await;
    let types = [Some(DataType::Float8), Some(DataType::Text)];
    pair.same_prepared("insert into t (id, c) values ($2, $1)", "t", &types, &[vec![Value::Float(1.5), text("22")]])
        .await;
    pair.same_prepared("insert into t (id, a) values (23, 1) returning $1::int + a", "t", &[], &[vec![Value::Int(5)]])
        .await;
    pair.same_prepared("insert into t (id, a) values ($2, 1)", "t", &[], &[vec![Value::Int(5), Value::Int(24)]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_literal_statements_are_the_same_both_ways() {
    let mut pair = Pair::new();
    pair.both(
        "create table t (id bigint primary key, n int default 5, s text default 'unset', d float8 default random())",
    )
    .await;
    let row = |id: usize, salt: usize| match (id + salt) % 4 {
        0 => format!("({id}, default, 'row {id}')"),
        1 => format!("({id}, {salt}, default)"),
        2 => format!("({id}, null, 'it''s {salt}')"),
        _ => format!("({id}, -{id}, E'a\\\\{salt}')"),
    };
    let rows = |salt| (0..10_000).map(|id| row(id * 3 % 10_000, salt)).collect::<Vec<_>>().join(",\n");
    let first = format!("insert into t (id, n, s) values {}", rows(0));
    let again = format!(
        "insert into t (id, n, s) values {} on conflict (id) do update set n = excluded.n, s = excluded.s",
        rows(1)
    );
    for sql in [first.as_str(), again.as_str(), first.as_str()] {
        let mut said_by = Vec::new();
        for (session, prefix) in pair.sessions.iter_mut().zip([LITERAL, GENERAL]) {
            said_by.push(said(&session.run(&format!("{prefix}{sql}")).await));
        }
        assert_eq!(said_by[0], said_by[1]);
        let query = "select id, n, s from t order by id";
        assert_eq!(pair.sessions[0].rows(query).await, pair.sessions[1].rows(query).await);
    }
    // A volatile default is a value of its own in each row, and an upsert that does not name the column keeps it.
    let distinct = pair.sessions[0].rows("select count(distinct d) > 9000 from t").await;
    assert_eq!(distinct, ["t"]);
}

/// A cell of any kind, right or wrong.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-1_000_000_000_000_i64..1_000_000_000_000).prop_map(|number| number.to_string()),
        4 => (-300_i32..300).prop_map(|number| number.to_string()),
        3 => "-?[0-9]{1,4}\\.[0-9]{1,4}",
        4 => "[a-z0-9' ]{0,3}".prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
        1 => Just("null".to_owned()),
        1 => Just("default".to_owned()),
        1 => Just("true".to_owned()),
        2 => "'20[0-3][0-9]-[01][0-9]-[0-3][0-9]( [0-2][0-9]:[0-5][0-9]:00)?'",
        1 => "'-?[0-9]{1,3}'::(int|text|date|timestamptz)",
    ]
}

#[test]
fn drawn_statements_are_the_same_both_ways() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let pair = runtime.block_on(async {
        let mut pair = Pair::new();
        pair.both("create table t (id int primary key, a bigint, b text default 'd', c numeric(5,1), d timestamp)")
            .await;
        pair
    });
    let pair = parking_lot::Mutex::new(pair);
    let row = (-20_i32..20, prop::collection::vec(cell(), 4));
    let rows = prop::collection::vec(row, 1..4);
    let tail = prop::sample::select(vec![
        "",
        "on conflict do nothing",
        "on conflict (id) do update set a = excluded.a",
        "on conflict (id) do update set a = excluded.a, b = excluded.b, c = excluded.c, d = excluded.d returning *",
        "on conflict (id) do update set b = excluded.b where t.a is not null returning id",
    ]);
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&(rows, tail), |(rows, tail)| {
        let rows: Vec<String> = rows.iter().map(|(id, cells)| format!("({id}, {})", cells.join(", "))).collect();
        let sql = format!("insert into t values {} {tail}", rows.join(", "));
        let mut pair = pair.lock();
        runtime.block_on(async { drop(pair.same(&sql, "t").await) });
        Ok(())
    });
    if let Err(TestError::Fail(reason, input)) = outcome {
        panic!("{reason}\n{input:?}");
    }
}
