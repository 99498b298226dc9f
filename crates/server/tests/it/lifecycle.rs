//! Limits, and how a server stops.

use std::time::Duration;

use outcrop_testkit::alarms;

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
    alarms::allow("cancelling what still runs");
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

#[tokio::test]
async fn what_a_session_prepares_by_name_is_limited_in_bytes() {
    let server = TestServer::start_with(|config| config.session_bytes_max = 1 << 20);
    let client = server.connect().await;
    let text = format!("select $1::text as a where 'x' <> '{}'", "y".repeat(1_000));
    let mut kept = Vec::new();
    let refused = loop {
        match client.prepare(&text).await {
            Ok(statement) => kept.push(statement),
            Err(error) => break error.as_db_error().unwrap().clone(),
        }
        assert!(kept.len() <= 10, "nothing was refused");
    };
    assert_eq!(refused.code().code(), "54000");
    assert!(refused.detail().unwrap().contains("session_bytes_max"), "{refused:?}");
    assert!(refused.hint().is_some());
    let few = kept.len();
    kept.clear();
    // Closing them gives the room back.
    client.prepare(&text).await.unwrap();
    assert!(few >= 2);
}

#[test]
fn portals_weigh_what_their_parameters_do() {
    let server = TestServer::start_with(|config| config.session_bytes_max = 1 << 20);
    let mut client = RawClient::start(&server);
    client.send(b'P', b"\0select $1::text\0\0\0");
    let parameter = vec![b'x'; 300_000];
    let length = u32::try_from(parameter.len()).unwrap().to_be_bytes();
    for name in [b'a', b'b', b'c', b'd'] {
        let head: &[u8] = &[name, 0, 0, 0, 0, 0, 1];
        client.send(b'B', &[head, &length, &parameter, b"\0\0"].concat());
    }
    client.send(b'S', b"");
    let messages = client.until_ready();
    let kinds: String = messages.iter().map(|(kind, _)| char::from(*kind)).collect();
    assert_eq!(kinds, "1222EZ");
    assert_eq!(field(&messages[4].1, b'C').as_deref(), Some("54000"));
    // The unnamed portal is replaced each time.
    client.send(b'P', b"\0select length($1::text)\0\0\0");
    for _ in 0..5 {
        client.send(b'B', &[b"\0\0\0\0\0\x01".as_slice(), &length, &parameter, b"\0\0"].concat());
        client.send(b'E', b"\0\0\0\0\0");
    }
    client.send(b'S', b"");
    let kinds: String = client.until_ready().iter().map(|(kind, _)| char::from(*kind)).collect();
    assert_eq!(kinds, format!("1{}Z", "2DC".repeat(5)));
}
