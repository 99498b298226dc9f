//! SCRAM-SHA-256 and TLS.

use std::sync::Arc;

use outcrop_env::Env;
use outcrop_server::auth::Users;
use outcrop_server::{Authentication, Tls};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::raw::{RawClient, field};
use crate::support::{TestServer, connect};

const CERTIFICATE: &[u8] = include_bytes!("fixtures/localhost.crt");
const KEY: &[u8] = include_bytes!("fixtures/localhost.key");
const OTHER_CERTIFICATE: &[u8] = include_bytes!("fixtures/other.crt");
const OTHER_KEY: &[u8] = include_bytes!("fixtures/other.key");

fn users() -> Users {
    let dir = TempDir::new().unwrap();
    let env = Env::real(dir.path()).unwrap();
    let mut users = Users::default();
    users.set_password("anna", "p\u{e4}ss w\u{f6}rd", env.rng.as_ref());
    users
}

#[tokio::test]
async fn the_right_password_is_let_in_and_no_other() {
    let server = TestServer::start_with(|config| config.authentication = Authentication::Users(users()));
    let client = connect(server.config().password("p\u{e4}ss w\u{f6}rd")).await.unwrap();
    assert_eq!(client.query_one("select 1::int", &[]).await.unwrap().get::<_, i32>(0), 1);
    for (user, password) in [("anna", "wrong"), ("nobody", "p\u{e4}ss w\u{f6}rd"), ("anna", "")] {
        let error = connect(server.config().user(user).password(password)).await.map(drop).unwrap_err();
        let error = error.as_db_error().unwrap_or_else(|| panic!("{user}: {error:?}"));
        assert_eq!(error.code().code(), "28P01");
        assert_eq!(error.message(), format!("password authentication failed for user \"{user}\""));
    }
}

#[test]
fn whoever_answers_something_else_is_refused() {
    let server = TestServer::start_with(|config| config.authentication = Authentication::Users(users()));
    for (kind, body) in [
        (b'Q', b"select 1\0".as_slice()),
        (b'p', b"PLAIN\0\0\0\0\0"),
        (b'p', b"SCRAM-SHA-256\0\x7f\0\0\0"),
        (b'p', b""),
    ] {
        let mut client = RawClient::open(&server);
        client.send_untyped(b"\0\x03\0\0user\0anna\0\0");
        assert_eq!(client.read().unwrap(), (b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0".to_vec()));
        client.send(kind, body);
        let (kind, body) = client.read().unwrap();
        assert_eq!((char::from(kind), field(&body, b'C').as_deref()), ('E', Some("08P01")));
        assert!(client.read().is_none());
    }
}

#[test]
fn without_users_only_loopback_is_served() {
    let dir = TempDir::new().unwrap();
    let env = Env::real(dir.path()).unwrap();
    let engine = outcrop_engine::Engine::open(&env, outcrop_engine::EngineOptions::default()).unwrap();
    let queries = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let options = outcrop_query::DatabaseOptions::default();
    let database =
        outcrop_query::Database::new(engine.clone(), env.clone(), options, queries.handle().clone()).unwrap();
    let config = outcrop_server::ServerConfig::new("0.0.0.0:0".parse().unwrap());
    let error = outcrop_server::Server::start(config, database, env).unwrap_err();
    assert_eq!(error.condition().sqlstate(), "28000");
    assert!(error.hint().is_some());
    engine.close().unwrap();
}

#[tokio::test]
async fn users_are_replaced_while_sessions_go_on() {
    let server = TestServer::start();
    let open = server.connect().await;
    server.server().reload(Authentication::Users(users()), None).unwrap();
    assert!(connect(&server.config()).await.is_err(), "a password is wanted now");
    let anna = connect(server.config().password("p\u{e4}ss w\u{f6}rd")).await.unwrap();
    let dir = TempDir::new().unwrap();
    let mut others = Users::default();
    others.set_password("bob", "secret", Env::real(dir.path()).unwrap().rng.as_ref());
    server.server().reload(Authentication::Users(others), None).unwrap();
    assert!(connect(server.config().password("p\u{e4}ss w\u{f6}rd")).await.is_err());
    assert!(connect(server.config().user("bob").password("secret")).await.is_ok());
    let error = server.server().reload(Authentication::Trust, None).unwrap_err();
    assert_eq!(error.condition().sqlstate(), "28000");
    assert!(connect(&server.config()).await.is_err(), "an empty file opens nothing");
    for client in [open, anna] {
        assert!(client.query_one("select 1::int", &[]).await.is_ok());
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_and_never_taken_away() {
    let tls = |certificate, key| Tls::from_pem(certificate, key).unwrap();
    let server = TestServer::start_with(|config| config.tls = Some(tls(OTHER_CERTIFICATE, OTHER_KEY)));
    assert_eq!(tls_session(&server, true).await, None, "it is not the certificate that the client trusts");
    server.server().reload(Authentication::Trust, Some(&tls(CERTIFICATE, KEY))).unwrap();
    assert!(tls_session(&server, true).await.is_some());
    assert!(server.server().reload(Authentication::Trust, None).is_err());
    assert!(tls_session(&server, true).await.is_some());
}

/// What the server answers inside of TLS; `None` if the client does not trust it.
async fn tls_session(server: &TestServer, asks_first: bool) -> Option<Vec<u8>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut &*CERTIFICATE) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !asks_first {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    if asks_first {
        stream.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'S');
    }
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    stream.write_all(b"\0\0\0\x13\0\x03\0\0user\0anna\0\0").await.unwrap();
    let mut answer = vec![0; 9];
    stream.read_exact(&mut answer).await.unwrap();
    Some(answer)
}

#[tokio::test]
async fn tls_is_spoken_when_asked_for_and_at_once() {
    let server = TestServer::start_with(|config| config.tls = Some(Tls::from_pem(CERTIFICATE, KEY).unwrap()));
    for asks_first in [true, false] {
        assert_eq!(tls_session(&server, asks_first).await.unwrap(), b"R\0\0\0\x08\0\0\0\0");
    }
    // Without encryption it still works.
    assert!(server.connect().await.query_one("select 1::int", &[]).await.is_ok());
}

#[test]
fn bytes_in_the_clear_behind_the_request_for_tls_are_refused() {
    let server = TestServer::start_with(|config| config.tls = Some(Tls::from_pem(CERTIFICATE, KEY).unwrap()));
    let mut client = RawClient::open(&server);
    client.send_bytes(b"\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x13\0\x03\0\0user\0anna\0\0");
    let (kind, body) = client.read().unwrap();
    assert_eq!((char::from(kind), field(&body, b'C').as_deref()), ('E', Some("08P01")));
}

#[test]
fn certificates_that_are_none_are_refused() {
    assert!(Tls::from_pem(b"", KEY).is_err());
    assert!(Tls::from_pem(CERTIFICATE, b"rubbish").is_err());
    assert!(Tls::from_pem(CERTIFICATE, CERTIFICATE).is_err());
}
