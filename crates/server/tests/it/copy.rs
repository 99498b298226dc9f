//! COPY through tokio-postgres.

use bytes::Bytes;
use futures::{SinkExt as _, TryStreamExt as _};
use tokio_postgres::{Client, Error};

use crate::raw::{RawClient, field};
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
    assert_eq!(refusal(&client, "copy t to stdout with (format parquet)").await.code().code(), "22023");
    assert_eq!(refusal(&client, "copy nowhere from stdin").await.code().code(), "42P01");
}

#[tokio::test]
async fn rows_whose_keys_are_there_are_skipped_or_replaced_as_asked() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    client.query("create table t (id int primary key, name text default 'none', n int)");
    client.query("insert into t values (1, 'one', 1), (2, 'two', 2)");
    let mut copy = |sql: &str, data: &str| {
        client.send(b'Q', format!("{sql}\0").as_bytes());
        assert_eq!(client.read().unwrap().0, b'G');
        client.send(b'd', data.as_bytes());
        client.send(b'c', b"");
        let messages = client.until_ready();
        let notices = messages.iter().filter(|(kind, _)| *kind == b'N');
        let notices: Vec<_> =
            notices.map(|(_, body)| (field(body, b'C').unwrap(), field(body, b'M').unwrap())).collect();
        let tag =
            messages.iter().find(|(kind, _)| *kind == b'C').map(|(_, body)| String::from_utf8_lossy(body).into_owned());
        (tag.unwrap_or_default(), notices)
    };
    let skipped = |rows: &str| ("23505".to_owned(), format!("skipped rows {rows}: their keys are there already"));
    let sql = "copy t (id, n) from stdin with (on_conflict skip)";
    assert_eq!(copy(sql, "3\t3\n1\t9\n2\t9\n4\t4\n3\t9\n5\t5\n"), ("COPY 3\0".to_owned(), vec![skipped("2-3, 5")]));
    assert_eq!(copy(sql, "6\t6\n"), ("COPY 1\0".to_owned(), vec![]));
    let sql = "copy t (id, n) from stdin with (on_conflict replace)";
    assert_eq!(copy(sql, "1\t7\n7\t7\n1\t8\n").1, []);
    let client = server.connect().await;
    let rows = text_rows(&client, "select id, name, n from t where id in (1, 2, 3, 7) order by id").await;
    assert_eq!(rows, ["1|none|8", "2|two|2", "3|none|3", "7|none|7"]);
    client.batch_execute("create table keyless (n int)").await.unwrap();
    for (sql, code) in [
        ("copy keyless from stdin with (on_conflict replace)", "42P10"),
        ("copy t from stdin with (on_conflict whatever)", "22023"),
        ("copy t to stdout with (on_conflict skip)", "42601"),
    ] {
        assert_eq!(refusal(&client, sql).await.code().code(), code, "{sql}");
    }
}
