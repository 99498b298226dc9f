//! COPY through tokio-postgres.

use bytes::Bytes;
use futures::{SinkExt as _, TryStreamExt as _};
use tokio_postgres::{Client, Error};

use crate::support::{TestServer, refusal, text_rows};

async fn copy_in(client: &Client, sql: &str, pieces: &[&str]) -> Result<u64, Error> {
    let sink = client.copy_in(sql).await?;
    let mut sink = std::pin::pin!(sink);
    for piece in pieces {
        sink.send(Bytes::copy_from_slice(piece.as_bytes())).await?;
    }
    sink.finish().await
}

async fn copy_out(client: &Client, sql: &str) -> String {
    let pieces: Vec<Bytes> = client.copy_out(sql).await.unwrap().try_collect().await.unwrap();
    String::from_utf8(pieces.concat()).unwrap()
}

#[tokio::test]
async fn rows_go_in_and_come_out_again() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.batch_execute("create table t (id int primary key, name text, at timestamp)").await.unwrap();
    let csv = "id,name,at\n1,\"a, \"\"b\"\"\",2024-01-02 03:04:05\n2,,\n3,\"\",infinity\n";
    let rows =
        copy_in(&client, "copy t from stdin with (format csv, header)", &[&csv[..17], &csv[17..]]).await.unwrap();
    assert_eq!(rows, 3);
    assert_eq!(copy_out(&client, "copy (select * from t order by id) to stdout with (format csv, header)").await, csv);
    assert_eq!(
        copy_out(&client, "copy (select * from t order by id) to stdout").await,
        "1\ta, \"b\"\t2024-01-02 03:04:05\n2\t\\N\t\\N\n3\t\tinfinity\n"
    );
    assert_eq!(copy_in(&client, "copy t (id) from stdin", &["4\n5\n\\.\n"]).await.unwrap(), 2);
    assert_eq!(text_rows(&client, "select count(*) from t").await, ["5"]);
}

#[tokio::test]
async fn a_bad_line_applies_nothing_and_names_its_place() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.batch_execute("create table t (id int primary key, name text)").await.unwrap();
    for (data, code, place) in [
        ("1\ta\n2\tb\tc\n", "22P04", "COPY t, line 2: \"2\tb\tc\""),
        ("1\ta\nx\tb\n", "22P02", "COPY t, line 2, column id: \"x\""),
        ("1\ta\n2\n", "22P04", "COPY t, line 2: \"2\""),
    ] {
        let error = copy_in(&client, "copy t from stdin", &[data]).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), code, "{data:?}");
        assert_eq!(error.where_(), Some(place));
    }
    let error = copy_in(&client, "copy t from stdin", &["1\ta\n1\tb\n"]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "23505");
    assert_eq!(text_rows(&client, "select count(*) from t").await, ["0"]);
}

#[tokio::test]
async fn a_copy_that_the_client_gives_up_applies_nothing() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.batch_execute("create table t (id int primary key)").await.unwrap();
    {
        let sink = client.copy_in("copy t from stdin").await.unwrap();
        let mut sink = std::pin::pin!(sink);
        sink.send(Bytes::from_static(b"1\n2\n")).await.unwrap();
        // Dropped without an end: the client sends CopyFail.
    }
    assert_eq!(text_rows(&client, "select count(*) from t").await, ["0"]);
}

#[tokio::test]
async fn many_rows_go_in_batch_by_batch() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.batch_execute("create table t (id int primary key, pad text)").await.unwrap();
    let sink = client.copy_in("copy t from stdin").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    for piece in 0..100 {
        let lines: String = (0..1_000).map(|row| format!("{}\t{}\n", piece * 1_000 + row, "x".repeat(100))).collect();
        sink.send(Bytes::from(lines)).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 100_000);
    assert_eq!(
        text_rows(&client, "select count(*), sum(id), min(length(pad)) from t").await,
        ["100000|4999950000|100"]
    );
}

#[tokio::test]
async fn unknown_formats_are_refused() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.batch_execute("create table t (id int primary key)").await.unwrap();
    assert_eq!(refusal(&client, "copy t to stdout with (format binary)").await.code().code(), "0A000");
    assert_eq!(refusal(&client, "copy nowhere from stdin").await.code().code(), "42P01");
}
