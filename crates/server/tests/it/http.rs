//! HTTP connections, byte by byte: limits, time limits, bodies.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use outcrop_server::ServerConfig;

use crate::support::{PATIENCE, TestServer};

/// A client that sends what it is told.
pub(crate) struct HttpClient {
    stream: TcpStream,
}

impl HttpClient {
    pub(crate) fn open(server: &TestServer) -> Self {
        let stream = TcpStream::connect(server.server().http_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // A server that has hung up is noticed when reading.
        drop(self.stream.write_all(bytes));
    }

    /// Sends the head of a POST of a query, with these headers more.
    fn post(&mut self, headers: &str) {
        self.send(format!("POST /v1/orgs/self/queries HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n").as_bytes());
    }

    /// The head of an answer and its body; empty if the connection ends without one.
    pub(crate) fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut byte) {
                Ok(1) => answer.push(byte[0]),
                _ => return String::from_utf8(answer).unwrap(),
            }
        }
        let head = String::from_utf8(answer).unwrap();
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).unwrap();
        head + &String::from_utf8(body).unwrap()
    }

    fn greet(&mut self) -> String {
        self.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.answer()
    }

    /// Waits for the end of the connection, and says how much came before.
    fn until_end(&mut self) -> usize {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest.len(),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the connection did not end");
                rest.len()
            }
        }
    }
}

pub(crate) fn start(configure: impl FnOnce(&mut ServerConfig)) -> TestServer {
    TestServer::start_with(|config| {
        config.http_listen = Some("127.0.0.1:0".parse().unwrap());
        configure(config);
    })
}

/// Asks until it is let in: a place is free soon after its connection was closed.
fn greet_soon(server: &TestServer) {
    let begun = std::time::Instant::now();
    while !HttpClient::open(server).greet().starts_with("HTTP/1.1 200") {
        assert!(begun.elapsed() < PATIENCE, "no place became free");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn connections_beyond_the_limit_get_503_and_places_are_freed() {
    let server = start(|config| config.http_connections_max = 3);
    let mut kept: Vec<HttpClient> = (0..3).map(|_| HttpClient::open(&server)).collect();
    assert!(kept[2].greet().starts_with("HTTP/1.1 200"));
    let refused = HttpClient::open(&server).greet();
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("\"type\":\"SERVICEUNAVAILABLE\"") && refused.contains("retry-after"), "{refused}");
    assert!(kept[0].greet().starts_with("HTTP/1.1 200"), "those inside are served on");
    drop(kept);
    greet_soon(&server);
}

#[test]
fn silent_connections_end_and_free_their_places() {
    let server = start(|config| {
        config.http_connections_max = 3;
        config.http_idle_timeout = Duration::from_millis(300);
    });
    let mut silent = HttpClient::open(&server);
    let mut half = HttpClient::open(&server);
    half.send(b"GET / HTTP/1.1\r\nHost: local");
    let mut kept_alive = HttpClient::open(&server);
    assert!(kept_alive.greet().starts_with("HTTP/1.1 200"));
    for client in [&mut silent, &mut half, &mut kept_alive] {
        client.until_end();
    }
    greet_soon(&server);
}

#[test]
fn a_client_that_does_not_read_its_answer_loses_its_connection() {
    let server = start(|config| {
        config.http_connections_max = 1;
        config.http_idle_timeout = Duration::from_millis(300);
    });
    let mut client = HttpClient::open(&server);
    let query = r#"{"sql":{"query":"select repeat('x', 100000) as a from generate_series(1, 2000)"}}"#;
    client.post(&format!("Content-Length: {}", query.len()));
    client.send(query.as_bytes());
    // It keeps the only place until it is dropped for not reading.
    greet_soon(&server);
    assert!(client.until_end() < 100 << 20, "the answer was cut off");
}
