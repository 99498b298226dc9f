//! The simple protocol through tokio-postgres.

use tokio_postgres::SimpleQueryMessage;

use crate::support::{TestServer, refusal, text_rows};

#[tokio::test]
async fn statements_of_one_message_run_in_order_and_the_first_error_ends_it() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.simple_query("create table t (id int primary key, name text)").await.unwrap();
    client.simple_query("insert into t values (1, 'a'), (2, null)").await.unwrap();
    let messages = client.simple_query("select * from t order by id; insert into t values (3, 'c')").await;
    let tags: Vec<_> = messages
        .unwrap()
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
            _ => None,
        })
        .collect();
    assert_eq!(tags, [2, 1]);
    assert_eq!(refusal(&client, "select 1; select 1/0; insert into t values (4, 'd')").await.code().code(), "22012");
    assert_eq!(text_rows(&client, "select id, name from t order by id").await, ["1|a", "2|~", "3|c"]);
}

/// What follows a write in its message could fail, and the write would stay.
#[tokio::test]
async fn a_write_that_is_not_the_last_of_its_message_is_refused() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.simple_query("create table t (id int primary key)").await.unwrap();
    let error = refusal(&client, "insert into t values (1); select 1/0").await;
    assert_eq!(error.code().code(), "0A000");
    assert_eq!(text_rows(&client, "select count(*) from t").await, ["0"]);
}

#[tokio::test]
async fn a_message_with_two_writes_is_refused_whole() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.simple_query("create table t (id int primary key)").await.unwrap();
    let error = refusal(&client, "insert into t values (1); insert into t values (2)").await;
    assert_eq!(error.code().code(), "0A000");
    assert!(error.hint().is_some());
    assert_eq!(text_rows(&client, "select count(*) from t").await, ["0"]);
}

#[tokio::test]
async fn errors_carry_code_detail_position_and_constraint() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.simple_query("create table t (id int primary key, name text not null)").await.unwrap();
    client.simple_query("insert into t values (1, 'a')").await.unwrap();
    let error = refusal(&client, "insert into t values (1, 'b')").await;
    assert_eq!(error.code().code(), "23505");
    assert_eq!(error.detail(), Some("Key (id)=(1) already exists."));
    assert_eq!((error.table(), error.constraint()), (Some("t"), Some("t_pkey")));
    let error = refusal(&client, "insert into t values (2, null)").await;
    assert_eq!((error.code().code(), error.column()), ("23502", Some("name")));
    let error = refusal(&client, "select 'ä' 1").await;
    assert_eq!(error.code().code(), "42601");
    assert_eq!(error.position(), Some(&tokio_postgres::error::ErrorPosition::Original(12)));
    assert_eq!(refusal(&client, "select * from nowhere").await.code().code(), "42P01");
    assert_eq!(refusal(&client, "select nothing from t").await.code().code(), "42703");
    assert_eq!(text_rows(&client, "select count(*) from t").await, ["1"]);
}

#[tokio::test]
async fn a_block_reads_one_snapshot_and_refuses_writes() {
    let server = TestServer::start();
    let reader = server.connect().await;
    let writer = server.connect().await;
    writer.simple_query("create table t (id int primary key)").await.unwrap();
    reader.simple_query("begin").await.unwrap();
    assert_eq!(text_rows(&reader, "select count(*) from t").await, ["0"]);
    writer.simple_query("insert into t values (1)").await.unwrap();
    assert_eq!(text_rows(&reader, "select count(*) from t").await, ["0"]);
    assert_eq!(refusal(&reader, "insert into t values (2)").await.code().code(), "0A000");
    assert_eq!(refusal(&reader, "select 1").await.code().code(), "25P02");
    reader.simple_query("rollback").await.unwrap();
    assert_eq!(text_rows(&reader, "select count(*) from t").await, ["1"]);
}

#[tokio::test]
async fn results_larger_than_every_buffer_stream() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.simple_query("create table t (id int primary key, pad text)").await.unwrap();
    let insert = "insert into t select i, repeat('x', 1000) from generate_series(1, 20000) g(i)";
    client.simple_query(insert).await.unwrap();
    assert_eq!(text_rows(&client, "select id, pad from t").await.len(), 20_000);
}
