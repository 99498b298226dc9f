//! Limits, and how a server stops.

use std::time::Duration;

use crate::raw::{RawClient, field};
use crate::support::{PATIENCE, TestServer, connect};

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_places_are_freed() {
    let server = TestServer::start_with(|config| config.connections_max = 2);
    let first = server.connect().await;
    let _second = server.connect().await;
    let error = connect(&server.config()).await.map(drop).unwrap_err();
    assert_eq!(error.code().unwrap().code(), "53300");
    drop(first);
    server.wait_for_connections(1).await;
    server.connect().await;
}

#[test]
fn a_client_that_never_speaks_is_dropped() {
    let server = TestServer::start_with(|config| config.startup_timeout = Duration::from_millis(100));
    assert!(RawClient::open(&server).read().is_none());
}

#[test]
fn idle_sessions_are_told_that_the_server_stops() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    server.server().shutdown();
    let (kind, body) = client.read().unwrap();
    assert_eq!((char::from(kind), field(&body, b'C').as_deref()), ('E', Some("57P01")));
    assert!(client.read().is_none());
}

#[tokio::test]
async fn running_statements_are_cancelled_after_the_drain_timeout() {
    let server = TestServer::start_with(|config| config.drain_timeout = Duration::from_millis(200));
    let client = server.connect().await;
    let endless =
        "select count(*) from generate_series(1, 1000000) a(i), generate_series(1, 1000000) b(j) where i * j % 7 = 3";
    let stop = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.server().shutdown();
        tokio::time::timeout(PATIENCE, server.server().stopped()).await.expect("the server did not stop");
    };
    let (result, ()) = tokio::join!(client.query(endless, &[]), stop);
    assert_eq!(result.unwrap_err().code().unwrap().code(), "57014");
    assert!(connect(&server.config()).await.is_err());
}

#[tokio::test]
async fn prepared_statements_are_limited() {
    let server = TestServer::start_with(|config| config.prepared_max = 3);
    let client = server.connect().await;
    let mut kept = Vec::new();
    let refused = loop {
        match client.prepare("select 1").await {
            Ok(statement) => kept.push(statement),
            Err(error) => break error,
        }
        assert!(kept.len() <= 3);
    };
    assert_eq!(refused.code().unwrap().code(), "54000");
    drop(kept);
    assert!(client.query_one("select 1", &[]).await.is_ok());
}

#[test]
fn connections_far_beyond_the_limit_are_told_so_too() {
    let server = TestServer::start_with(|config| config.connections_max = 1);
    // None of these ever speaks: the first ones wait for their refusal, the last one is turned away unheard.
    let _waiting: Vec<RawClient> = (0..17).map(|_| RawClient::open(&server)).collect();
    let mut refused = RawClient::open(&server);
    let (kind, body) = refused.read().unwrap();
    assert_eq!((char::from(kind), field(&body, b'C').as_deref()), ('E', Some("53300")));
    assert!(refused.read().is_none());
}
