//! Reads of one row by its key: no plan, and the same answer as with one.

use outcrop_types::{Condition, DataType, Value};

use crate::support::{TestDatabase, TestSession};

const ROWS: i64 = 300;

async fn tables(session: &mut TestSession) {
    session
        .tag("create table t (id bigint primary key, v text, n numeric(8,2), at timestamptz, d double precision)")
        .await;
    session.tag("create table k (a int, b varchar(8), w int, primary key (b, a))").await;
    session
        .tag(&format!(
            "insert into t select i, 'v' || i, i * 1.5, timestamptz '2013-01-01 00:00+00', i / 7.0 from generate_series(1, {ROWS}) g(i)"
        ))
        .await;
    session.tag("insert into k select i % 10, 'b' || i / 10, i from generate_series(0, 99) g(i)").await;
}

/// Queries of `$1`, which is the id of `t`.
const BY_ID: &[&str] = &[
    "select * from t where id = $1",
    "select v, id + 1 as next, n * 2 from t where $1 = id",
    "select x.v || '!' from t x where x.id = $1 and x.n > 100",
    "select v from t where id = $1 and v in ('v7', 'v200') and not (d is null)",
    "select case when id > 150 then v end, n::int, id between 100 and $1 from t where (id = $1)",
    "select v from t where id = $1 or v = 'v5'",
    "select 10 / (id - 7) from t where id = $1 and id <> 7",
    "select id, count(*) from t where id = $1 group by id",
    "select v, v from t where id = $1 and id = 7",
];

fn changes(round: i64) -> String {
    let id = (round * 37) % ROWS + 1;
    match round % 4 {
        0 => format!("update t set v = 'w{round}', n = {round} where id = {id}"),
        1 => format!("delete from t where id = {id}"),
        2 => format!("insert into t (id, v) values ({id}, 'n{round}') on conflict (id) do update set v = excluded.v"),
        _ => format!("update t set id = id + 1000 where id = {id}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_look_up_answers_as_every_other_path() {
    let database = TestDatabase::new();
    let (mut session, mut scanning) = (database.session(), database.session());
    tables(&mut session).await;
    scanning.tag("set outcrop.access_path = 'scan'").await;
    let mut queries = Vec::new();
    for sql in BY_ID {
        let statement = session.session.parse(sql).await.unwrap().remove(0);
        let types = [Some(DataType::Int8)];
        let looked = session.session.prepare(statement.clone(), &types).await.unwrap();
        let scanned = scanning.session.prepare(statement, &types).await.unwrap();
        assert_eq!(looked.columns(), scanned.columns(), "{sql}");
        queries.push((sql, looked, scanned));
    }
    for round in 0..60 {
        session.tag(&changes(round)).await;
        let changed = (round * 37) % ROWS + 1;
        for key in [Value::Int(changed), Value::Int(changed + 1000), Value::Int(7), Value::Int(-1), Value::Null] {
            for (sql, looked, scanned) in &queries {
                let values = [key.clone()];
                let by_key = session.execute(looked, &values).await.unwrap();
                let by_scan = scanning.execute(scanned, &values).await.unwrap();
                let (mut by_key, mut by_scan) = (by_key.rows, by_scan.rows);
                by_key.sort();
                by_scan.sort();
                assert_eq!(by_key, by_scan, "{sql} of {key:?} in round {round}");
            }
        }
    }
}

/// Changes of rows that a list of keys names, and what else WHERE may say beside it; `{keys}` is the list.
const BY_KEYS: &[&str] = &[
    "delete from t where id in ({keys})",
    "delete from t x where (x.id in ({keys})) and x.n > 100",
    "delete from t where id in ({keys}) returning id, v",
    "delete from t where id in ({keys}) and id in (7, 8, 9, 10, 11, 12)",
    "update t set v = v || '!', n = n + 1 where id in ({keys})",
    "update t set id = id + 1000 where id in ({keys}) and v <> 'v9' returning *",
    "delete from k where b = 'b3' and a in ({keys})",
    "delete from k where a in ({keys}) and b in ('b1', 'b7', null)",
    "update k set w = -w where b in ('b2', 'b4', 'b4') and a = 5",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_keys_changes_the_rows_that_every_other_path_does() {
    let (looking, scanned) = (TestDatabase::new(), TestDatabase::new());
    let (mut session, mut scanning) = (looking.session(), scanned.session());
    tables(&mut session).await;
    tables(&mut scanning).await;
    scanning.tag("set outcrop.access_path = 'scan'").await;
    for round in 0..10_i64 {
        let mut keys: Vec<String> = (0..round % 7 + 1).map(|at| ((round * 13 + at * at) % 320).to_string()).collect();
        match round % 5 {
            0 => keys.push("null".to_owned()),
            1 => keys.push(keys[0].clone()),
            2 => keys.push(format!("'{}'", round + 1)),
            3 => keys.push("7.5".to_owned()),
            _ => {}
        }
        for sql in BY_KEYS {
            let sql = sql.replace("{keys}", &keys.join(", "));
            let (by_key, by_scan) = (session.run(&sql).await, scanning.run(&sql).await);
            match (by_key, by_scan) {
                (Ok(mut by_key), Ok(mut by_scan)) => {
                    by_key.rows.sort();
                    by_scan.rows.sort();
                    assert_eq!(by_key, by_scan, "{sql}");
                }
                (Err(by_key), Err(by_scan)) => assert_eq!(by_key.condition(), by_scan.condition(), "{sql}"),
                (by_key, by_scan) => panic!("{sql}: {by_key:?} but {by_scan:?}"),
            }
        }
        for table in ["t", "k"] {
            let all = format!("select * from {table} order by 1, 2");
            assert_eq!(session.rows(&all).await, scanning.rows(&all).await, "{table} after round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_a_key_look_up() {
    let database = TestDatabase::new();
    let mut session = database.session();
    tables(&mut session).await;
    for (sql, line) in [
        ("select v from t where id = 5", "KeyLookup: table=commons.t, key=[id]"),
        ("select * from k where a = 3 and w > 0 and b = 'b1'", "KeyLookup: table=commons.k, key=[b, a]"),
    ] {
        assert_eq!(session.rows(&format!("explain {sql}")).await, [line], "{sql}");
        assert_eq!(session.rows(&format!("explain analyze {sql}")).await, [format!("{line}, rows=1")], "{sql}");
    }
    for sql in [
        "select v from t where id = 1.5",
        "select v from t where id = 5 order by v",
        "select count(*) from t where id = 5",
        "select * from k where a = 3",
        "select now() from t where id = 5",
        "select v from t where id = (select 5)",
        "select x.v from t x, t y where x.id = 5",
        "select unnest(array[1, 2]) from t where id = 5",
    ] {
        let lines = session.rows(&format!("explain {sql}")).await;
        assert!(!lines.iter().any(|line| line.contains("KeyLookup")), "{sql}: {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_follows_its_table_and_its_settings() {
    let database = TestDatabase::new();
    let mut session = database.session();
    tables(&mut session).await;
    let statement = session.session.parse("select id, at from t where id = $1").await.unwrap().remove(0);
    let prepared = session.session.prepare(statement, &[]).await.unwrap();
    let seven = [Value::Int(7)];
    assert_eq!(session.execute(&prepared, &seven).await.unwrap().rows.len(), 1);
    session.tag("set outcrop.access_path = 'scan'").await;
    assert_eq!(session.execute(&prepared, &seven).await.unwrap().rows.len(), 1);
    session.tag("set timezone = 'Europe/Berlin'").await;
    assert_eq!(session.execute(&prepared, &seven).await.unwrap().rows.len(), 1);
    let failing = session.session.parse("select 1 / (id - 7) from t where id = $1").await.unwrap().remove(0);
    let failing = session.session.prepare(failing, &[]).await.unwrap();
    let error = session.execute(&failing, &seven).await.unwrap_err();
    assert_eq!(error.condition(), Condition::DivisionByZero);
    session.tag("drop table t").await;
    assert!(session.execute(&prepared, &seven).await.is_err());
}
