//! The extended protocol through tokio-postgres.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use tokio_postgres::NoTls;
use tokio_postgres::types::Type;

use crate::support::{PATIENCE, TestServer, text_rows};

/// Runs until it is cancelled.
const ENDLESS: &str = "select count(*) from generate_series(1, 1000000) a(i), generate_series(1, 1000000) b(j) \
                       where i * j % 7 = 3";

#[tokio::test]
async fn parameters_are_inferred_and_statements_are_reused() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.batch_execute("create table t (id bigint primary key, name text)").await.unwrap();
    let insert = client.prepare("insert into t (id, name) values ($1, $2)").await.unwrap();
    assert_eq!(insert.params(), [Type::INT8, Type::TEXT]);
    for id in 0..10_i64 {
        assert_eq!(client.execute(&insert, &[&id, &format!("n{id}")]).await.unwrap(), 1);
    }
    let select = client.prepare("select name, id from t where id >= $1 order by id limit $2").await.unwrap();
    assert_eq!(select.columns()[0].name(), "name");
    let rows = client.query(&select, &[&7_i64, &2_i64]).await.unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, ["n7", "n8"]);
    client.execute(&insert, &[&10_i64, &None::<String>]).await.unwrap();
    let row = client.query_one(&select, &[&10_i64, &2_i64]).await.unwrap();
    assert_eq!(row.get::<_, Option<&str>>(0), None);
}

#[tokio::test]
async fn pipelined_statements_commit_one_by_one() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.batch_execute("create table t (id int primary key)").await.unwrap();
    let insert = client.prepare("insert into t values ($1)").await.unwrap();
    let ids = [1, 2, 1, 3];
    let results = futures::future::join_all(ids.iter().map(|id| {
        let (client, insert) = (&client, &insert);
        async move { client.execute(insert, &[id]).await }
    }))
    .await;
    let codes: Vec<_> =
        results.iter().map(|result| result.as_ref().err().and_then(|e| e.code()).map(|c| c.code())).collect();
    assert_eq!(codes, [None, None, Some("23505"), None]);
    assert_eq!(text_rows(&client, "select id from t order by id").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn portals_in_a_block_outlive_other_statements() {
    let server = TestServer::start();
    let mut client = server.connect().await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("select i from generate_series(1, 10) g(i)", &[]).await.unwrap();
    assert_eq!(transaction.query_portal(&portal, 4).await.unwrap().len(), 4);
    assert_eq!(transaction.query("select 1", &[]).await.unwrap().len(), 1);
    assert_eq!(transaction.query_portal(&portal, 4).await.unwrap().len(), 4);
    assert_eq!(transaction.query_portal(&portal, 4).await.unwrap().len(), 2);
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn a_running_statement_is_cancelled_from_another_connection() {
    let server = TestServer::start();
    let client = server.connect().await;
    let token = client.cancel_token();
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        token.cancel_query(NoTls).await.unwrap();
    };
    let (result, ()) = tokio::join!(tokio::time::timeout(PATIENCE, client.query(ENDLESS, &[])), cancel);
    let error = result.expect("it was not cancelled").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014");
    assert_eq!(client.query_one("select 1::int", &[]).await.unwrap().get::<_, i32>(0), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_statement_with_it() {
    let server = TestServer::start();
    let (client, connection) = server.config().connect(NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let query = tokio::spawn(async move { client.query(ENDLESS, &[]).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.server().connections(), 1);
    connection.abort();
    server.wait_for_connections(0).await;
    query.abort();
}

#[tokio::test]
async fn rows_stream_while_the_client_reads_slowly() {
    let server = TestServer::start();
    let client = server.connect().await;
    let rows = client.query_raw("select i from generate_series(1, 200000) g(i)", Vec::<i32>::new()).await.unwrap();
    let mut rows = std::pin::pin!(rows);
    rows.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let rest: Vec<_> = rows.try_collect().await.unwrap();
    assert_eq!(rest.len(), 199_999);
}

#[tokio::test]
async fn wrong_parameters_are_refused() {
    let server = TestServer::start();
    let client = server.connect().await;
    let error = client.prepare("select $1").await.map(drop);
    // As PostgreSQL, a parameter that nothing constrains is text.
    assert!(error.is_ok() || error.unwrap_err().code().unwrap().code() == "42P18");
    let error = client.prepare_typed("select $1", &[Type::POINT]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42704");
    assert_eq!(client.prepare("select 1; select 2").await.unwrap_err().code().unwrap().code(), "42601");
}
