//! Every type, in text and in binary, to the server and back.

use std::time::{Duration, UNIX_EPOCH};

use tokio_postgres::types::{FromSql, Type};

use crate::support::{TestServer, text_rows};

/// The bytes of a value of any type.
#[derive(Debug, PartialEq)]
struct Raw(String);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Column type, literal, text form, binary form.
const CELLS: &[(&str, &str, &str, &str)] = &[
    ("boolean", "true", "t", "01"),
    ("smallint", "-2", "-2", "fffe"),
    ("integer", "2147483647", "2147483647", "7fffffff"),
    ("bigint", "-1", "-1", "ffffffffffffffff"),
    ("real", "1.5", "1.5", "3fc00000"),
    ("double precision", "1e100", "1e+100", "54b249ad2594c37d"),
    ("numeric(12,4)", "12345.6789", "12345.6789", "0003000100000004000109291a85"),
    ("text", "'ä|'", "ä|", "c3a47c"),
    ("varchar(5)", "'abc'", "abc", "616263"),
    ("bytea", "'\\x00ff'", "\\x00ff", "00ff"),
    ("date", "'2000-01-02'", "2000-01-02", "00000001"),
    ("time", "'00:00:01.5'", "00:00:01.5", "000000000016e360"),
    ("timestamp", "'2000-01-01 00:00:00.000001'", "2000-01-01 00:00:00.000001", "0000000000000001"),
    ("timestamptz", "'2000-01-01 01:00:00+01'", "2000-01-01 00:00:00+00", "0000000000000000"),
    (
        "uuid",
        "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0eebc999c0b4ef8bb6d6bb9bd380a11",
    ),
    ("jsonb", "'{\"b\":1,\"a\":[true]}'", "{\"a\": [true], \"b\": 1}", "017b2261223a205b747275655d2c202262223a20317d"),
    ("integer[]", "'{1,NULL}'", "{1,NULL}", "00000001000000010000001700000002000000010000000400000001ffffffff"),
    ("text[]", "'{\"a b\"}'", "{\"a b\"}", "000000010000000000000019000000010000000100000003612062"),
];

#[tokio::test]
async fn every_type_is_stored_and_sent_in_both_formats() {
    let server = TestServer::start();
    let client = server.connect().await;
    for (data_type, literal, text, binary) in CELLS {
        client.batch_execute("drop table if exists t").await.unwrap();
        client.batch_execute(&format!("create table t (id int primary key, v {data_type})")).await.unwrap();
        let insert = format!("insert into t values (1, {literal}), (2, null)");
        client.batch_execute(&insert).await.unwrap_or_else(|error| panic!("{data_type}: {error:?}"));
        assert_eq!(text_rows(&client, "select v from t order by id").await, [*text, "~"], "{data_type}");
        let rows = client.query("select v from t order by id", &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, Raw>(0), Raw((*binary).to_owned()), "{data_type}");
        assert_eq!(rows[1].get::<_, Option<Raw>>(0), None, "{data_type}");
    }
}

#[tokio::test]
async fn clients_use_their_own_types() {
    let server = TestServer::start();
    let client = server.connect().await;
    client
        .batch_execute(
            "create table t (id int primary key, a boolean, b smallint, c bigint, d real, e double precision, f text,
             g bytea, h timestamp, i timestamptz, j int[], k text[])",
        )
        .await
        .unwrap();
    let time = UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
    let insert = "insert into t values (1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let (ints, texts) = (vec![Some(1_i32), None], vec!["a b".to_owned()]);
    let changed = client
        .execute(
            insert,
            &[&true, &-5_i16, &i64::MAX, &1.25_f32, &f64::NAN, &"ä", &vec![0_u8, 255], &time, &time, &ints, &texts],
        )
        .await
        .unwrap();
    assert_eq!(changed, 1);
    let row = client.query_one("select * from t", &[]).await.unwrap();
    assert!(row.get::<_, bool>("a"));
    assert_eq!(row.get::<_, i16>("b"), -5);
    assert_eq!(row.get::<_, i64>("c"), i64::MAX);
    assert!((row.get::<_, f32>("d") - 1.25).abs() < f32::EPSILON);
    assert!(row.get::<_, f64>("e").is_nan());
    assert_eq!(row.get::<_, String>("f"), "ä");
    assert_eq!(row.get::<_, Vec<u8>>("g"), [0, 255]);
    assert_eq!(row.get::<_, std::time::SystemTime>("h"), time);
    assert_eq!(row.get::<_, std::time::SystemTime>("i"), time);
    assert_eq!(row.get::<_, Vec<Option<i32>>>("j"), ints);
    assert_eq!(row.get::<_, Vec<String>>("k"), texts);
}

#[tokio::test]
async fn the_time_zone_of_the_session_shapes_timestamptz() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.batch_execute("set timezone to 'America/New_York'").await.unwrap();
    assert_eq!(text_rows(&client, "select timestamptz '2024-07-01 12:00:00+00'").await, ["2024-07-01 08:00:00-04"]);
}
