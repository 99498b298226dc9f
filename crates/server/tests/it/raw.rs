//! The protocol, byte by byte.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::support::{PATIENCE, TestServer};

/// A client without manners.
pub(crate) struct RawClient {
    stream: TcpStream,
    /// What a request to cancel must show.
    key: Vec<u8>,
}

impl RawClient {
    pub(crate) fn open(server: &TestServer) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, key: Vec::new() }
    }

    /// Opens and starts a session.
    pub(crate) fn start(server: &TestServer) -> Self {
        let mut client = Self::open(server);
        client.send_untyped(b"\0\x03\0\0user\0anna\0\0");
        let messages = client.until_ready();
        assert_eq!(messages.last().unwrap(), &(b'Z', b"I".to_vec()));
        let key = messages.into_iter().find(|(kind, _)| *kind == b'K');
        client.key = key.map(|(_, body)| body).unwrap();
        client
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        // A server that has hung up is noticed when reading.
        drop(self.stream.write_all(bytes));
    }

    /// Sends `bytes` again and again until the server takes no more for a second, or `limit` bytes are sent.
    fn send_until_stalled(&mut self, bytes: &[u8], limit: usize) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut sent = 0;
        while sent < limit {
            match self.stream.write(&bytes[sent % bytes.len()..]) {
                Ok(written) => sent += written,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
        }
        sent
    }

    pub(crate) fn send_untyped(&mut self, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).unwrap();
        self.send_bytes(&[&length.to_be_bytes(), body].concat());
    }

    pub(crate) fn send(&mut self, kind: u8, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).unwrap();
        self.send_bytes(&[&[kind], length.to_be_bytes().as_slice(), body].concat());
    }

    pub(crate) fn query(&mut self, sql: &str) -> Vec<(u8, Vec<u8>)> {
        self.send(b'Q', format!("{sql}\0").as_bytes());
        self.until_ready()
    }

    /// The next message; `None` at the end of the connection.
    pub(crate) fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        self.stream.read_exact(&mut body).ok()?;
        Some((head[0], body))
    }

    pub(crate) fn read_byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// Messages up to ReadyForQuery or the end.
    pub(crate) fn until_ready(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut messages = Vec::new();
        while let Some(message) = self.read() {
            messages.push(message);
            if messages.last().unwrap().0 == b'Z' {
                break;
            }
        }
        messages
    }

    pub(crate) fn half_close(&mut self) {
        drop(self.stream.shutdown(Shutdown::Write));
    }
}

/// A field of an ErrorResponse.
pub(crate) fn field(body: &[u8], code: u8) -> Option<String> {
    body.split(|byte| *byte == 0)
        .find(|field| field.first() == Some(&code))
        .map(|field| String::from_utf8(field[1..].to_vec()).unwrap())
}

/// Types of messages, as text.
fn kinds(messages: &[(u8, Vec<u8>)]) -> String {
    messages.iter().map(|(kind, _)| char::from(*kind)).collect()
}

/// The SQLSTATE of the only error among messages.
fn state(messages: &[(u8, Vec<u8>)]) -> String {
    let errors: Vec<_> = messages.iter().filter(|(kind, _)| *kind == b'E').collect();
    assert_eq!(errors.len(), 1, "{}", kinds(messages));
    field(&errors[0].1, b'C').unwrap()
}

#[test]
fn a_session_begins_with_its_parameters_and_its_key() {
    let server = TestServer::start();
    for (code, key_bytes) in [(b"\0\x03\0\0", 4), (b"\0\x03\0\x02", 32)] {
        let mut client = RawClient::open(&server);
        client.send_untyped(&[code.as_slice(), b"user\0anna\0TimeZone\0Europe/Berlin\0\0"].concat());
        let messages = client.until_ready();
        assert_eq!(messages[0], (b'R', vec![0, 0, 0, 0]));
        let key = messages.iter().find(|(kind, _)| *kind == b'K').unwrap();
        assert_eq!(key.1.len(), 4 + key_bytes);
        let parameters: Vec<_> = messages
            .iter()
            .filter(|(kind, _)| *kind == b'S')
            .map(|(_, body)| String::from_utf8(body.clone()).unwrap())
            .collect();
        for wanted in ["client_encoding\0UTF8\0", "standard_conforming_strings\0on\0", "TimeZone\0Europe/Berlin\0"] {
            assert!(parameters.iter().any(|parameter| parameter == wanted), "{wanted:?} in {parameters:?}");
        }
        for name in ["server_version\x0015", "outcrop.commit_seq\0", "DateStyle\0ISO", "integer_datetimes\0on"] {
            assert!(parameters.iter().any(|parameter| parameter.starts_with(name)), "{name:?} in {parameters:?}");
        }
    }
}

#[test]
fn versions_and_options_that_we_do_not_know_are_negotiated() {
    let server = TestServer::start();
    let mut client = RawClient::open(&server);
    client.send_untyped(b"\0\x03\x27\x0fuser\0anna\0_pq_.magic\0on\0\0");
    let messages = client.until_ready();
    assert_eq!(messages[0], (b'v', b"\0\x03\0\x02\0\0\0\x01_pq_.magic\0".to_vec()));
    assert_eq!(messages.last().unwrap().0, b'Z');
}

#[test]
fn encryption_is_refused_politely_when_there_is_none() {
    let server = TestServer::start();
    let mut client = RawClient::open(&server);
    client.send_untyped(b"\x04\xd2\x16\x30");
    assert_eq!(client.read_byte(), b'N');
    client.send_untyped(b"\x04\xd2\x16\x2f");
    assert_eq!(client.read_byte(), b'N');
    client.send_untyped(b"\0\x03\0\0user\0anna\0\0");
    assert_eq!(client.until_ready().last().unwrap().0, b'Z');
}

#[test]
fn bad_starts_are_refused_each_with_its_code() {
    let server = TestServer::start();
    for (packet, code) in [
        (b"\0\x02\0\0".as_slice(), "0A000"),
        (b"\0\x03\0\0\0", "28000"),
        (b"\0\x03\0\0user\0anna\0replication\0database\0\0", "0A000"),
        (b"\0\x03\0\0user\0anna\0nonsense\x001\0\0", "42704"),
        (b"\0\x03\0\0user\0anna\0client_encoding\0LATIN1\0\0", "0A000"),
        (b"\0\x03\0\0us", "08P01"),
    ] {
        let mut client = RawClient::open(&server);
        client.send_untyped(packet);
        let messages = client.until_ready();
        let (kind, body) = messages.last().unwrap();
        assert_eq!((char::from(*kind), field(body, b'C').as_deref()), ('E', Some(code)), "{packet:?}");
        assert_eq!(field(body, b'S').as_deref(), Some("FATAL"));
    }
    let mut client = RawClient::open(&server);
    client.send_bytes(b"\xff\xff\xff\xff");
    assert_eq!(state(&client.until_ready()), "08P01");
}

#[test]
fn a_message_that_is_too_long_ends_the_session_before_it_is_read() {
    let server = TestServer::start_with(|config| config.message_bytes_max = 1_000);
    let mut client = RawClient::start(&server);
    client.send_bytes(b"Q\x7f\xff\xff\xff");
    let messages = client.until_ready();
    assert_eq!(kinds(&messages), "E");
    assert_eq!(state(&messages), "08P01");
    let mut client = RawClient::start(&server);
    client.send(b'z', b"");
    assert_eq!(kinds(&client.until_ready()), "E");
}

#[test]
fn malformed_messages_leave_the_session_usable() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    client.send(b'Q', b"select 1");
    assert_eq!(state(&client.until_ready()), "08P01");
    client.send(b'Q', b"select '\xff'\0");
    assert_eq!(state(&client.until_ready()), "22021");
    client.send(b'B', b"\0\0\0\0\0\x05");
    client.send(b'E', b"\0\0\0\0\0");
    client.send(b'S', b"");
    let messages = client.until_ready();
    assert_eq!((kinds(&messages).as_str(), state(&messages).as_str()), ("EZ", "08P01"));
    client.send(b'F', b"\0\0\0\0");
    assert_eq!(state(&client.until_ready()), "0A000");
    assert_eq!(kinds(&client.query("select 1")), "TDCZ");
}

#[test]
fn after_an_error_everything_up_to_sync_is_skipped() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    client.send(b'P', b"\0selec 1\0\0\0");
    client.send(b'B', b"\0\0\0\0\0\0\0\0");
    client.send(b'E', b"\0\0\0\0\0");
    client.send(b'Q', b"select 1\0");
    client.send(b'S', b"");
    let messages = client.until_ready();
    assert_eq!((kinds(&messages).as_str(), state(&messages).as_str()), ("EZ", "42601"));
    client.send(b'P', b"\0select 1\0\0\0");
    client.send(b'B', b"\0\0\0\0\0\0\0\0");
    client.send(b'D', b"P\0");
    client.send(b'E', b"\0\0\0\0\0");
    client.send(b'S', b"");
    assert_eq!(kinds(&client.until_ready()), "12TDCZ");
}

#[test]
fn answers_come_at_flush_and_errors_at_once() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    client.send(b'P', b"s\0select 1\0\0\0");
    client.send(b'H', b"");
    assert_eq!(client.read().unwrap().0, b'1');
    client.send(b'P', b"\0selec 1\0\0\0");
    assert_eq!(client.read().unwrap().0, b'E');
    client.send(b'H', b"");
    client.send(b'S', b"");
    assert_eq!(kinds(&client.until_ready()), "Z");
}

#[test]
fn statements_and_portals_are_described() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    client.query("create table t (id bigint primary key, name varchar(7), price numeric(6,2))");
    client.send(b'P', b"s\0select name, price from t where id = $1\0\0\0");
    client.send(b'D', b"Ss\0");
    client.send(b'B', b"p\0s\0\0\0\0\x01\0\0\0\x011\0\x02\0\0\0\x01");
    client.send(b'D', b"Pp\0");
    client.send(b'P', b"w\0insert into t (name, id) values ($1, $2)\0\0\0");
    client.send(b'D', b"Sw\0");
    client.send(b'S', b"");
    let messages = client.until_ready();
    assert_eq!(kinds(&messages), "1tT2T1tnZ");
    assert_eq!(messages[1].1, [&[0, 1][..], &20_u32.to_be_bytes()].concat());
    let column = |name: &str, type_oid: u32, size: i16, typmod: i32, format: u8| {
        let (size, typmod) = (size.to_be_bytes(), typmod.to_be_bytes());
        [name.as_bytes(), &[0; 7], &type_oid.to_be_bytes(), &size, &typmod, &[0, format]].concat()
    };
    let described = |format: u8| {
        let name = column("name", 1043, -1, 11, 0);
        [vec![0, 2], name, column("price", 1700, -1, (6 << 16 | 2) + 4, format)].concat()
    };
    assert_eq!(messages[2].1, described(0));
    assert_eq!(messages[4].1, described(1), "a portal knows its formats");
    assert_eq!(messages[6].1, [&[0, 2][..], &1043_u32.to_be_bytes(), &20_u32.to_be_bytes()].concat());
}

#[test]
fn changed_settings_are_told() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    let told = |messages: &[(u8, Vec<u8>)]| -> Vec<String> {
        let parameters = messages.iter().filter(|(kind, _)| *kind == b'S');
        parameters.map(|(_, body)| String::from_utf8_lossy(body).replace('\0', "=")).collect()
    };
    assert_eq!(told(&client.query("set timezone to 'Europe/Berlin'")), ["TimeZone=Europe/Berlin="]);
    assert_eq!(told(&client.query("set timezone to 'Europe/Berlin'")), [""; 0], "nothing changed");
    assert_eq!(told(&client.query("select set_config('datestyle', 'ISO, DMY', false)")), ["DateStyle=ISO, DMY="]);
    assert_eq!(told(&client.query("set statement_timeout to 1000")), [""; 0], "clients need not know");
    client.send(b'P', b"\0set application_name to 'x'\0\0\0");
    client.send(b'B', b"\0\0\0\0\0\0\0\0");
    client.send(b'E', b"\0\0\0\0\0");
    client.send(b'S', b"");
    assert_eq!(told(&client.until_ready()), ["application_name=x="]);
    assert_eq!(told(&client.query("reset timezone")), ["TimeZone=Etc/UTC="]);
}

#[test]
fn large_values_pass_and_too_long_statements_are_refused() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    let value = vec![b'x'; 20 << 20];
    client.send(b'P', b"\0select length($1::text), $1::text\0\0\0");
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    client.send(b'B', &[b"\0\0\0\0\0\x01".as_slice(), &length, &value, b"\0\0"].concat());
    client.send(b'E', b"\0\0\0\0\0");
    client.send(b'S', b"");
    let messages = client.until_ready();
    assert_eq!(kinds(&messages), "12DCZ");
    let wanted = [&[0, 2, 0, 0, 0, 8], b"20971520".as_slice(), &length, &value].concat();
    assert!(messages[2].1 == wanted);
    let statement = format!("select '{}'", "x".repeat(17 << 20));
    assert_eq!(state(&client.query(&statement)), "54000");
    assert_eq!(kinds(&client.query("select 1")), "TDCZ");
}

#[test]
fn portals_give_their_rows_in_pieces() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    client.send(b'P', b"\0select * from (values (1),(2),(3),(4),(5)) t(a)\0\0\0");
    client.send(b'B', b"p\0\0\0\0\0\0\0\0");
    for _ in 0..4 {
        client.send(b'E', b"p\0\0\0\0\x02");
    }
    client.send(b'S', b"");
    let messages = client.until_ready();
    assert_eq!(kinds(&messages), "12DDsDDsDCCZ");
    assert_eq!(messages[9].1, b"SELECT 1\0");
    assert_eq!(messages[10].1, b"SELECT 0\0");
    // Outside of a block a portal ends at Sync.
    client.send(b'E', b"p\0\0\0\0\0");
    client.send(b'S', b"");
    assert_eq!(state(&client.until_ready()), "34000");
}

#[test]
fn an_empty_statement_has_its_own_answer() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    assert_eq!(kinds(&client.query(" -- nothing")), "IZ");
    client.send(b'P', b"\0\0\0\0");
    client.send(b'D', b"S\0");
    client.send(b'B', b"\0\0\0\0\0\0\0\0");
    client.send(b'E', b"\0\0\0\0\0");
    client.send(b'S', b"");
    assert_eq!(kinds(&client.until_ready()), "1tn2IZ");
}

#[test]
fn the_newest_commit_is_told_before_ready() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    let position = |messages: &[(u8, Vec<u8>)]| {
        let place = messages.iter().find(|(kind, body)| *kind == b'S' && body.starts_with(b"outcrop.commit_seq\0"));
        place.map(|(_, body)| body.clone())
    };
    let created = position(&client.query("create table t (id int primary key)"));
    let inserted = position(&client.query("insert into t values (1)"));
    assert!(created.is_some() && inserted.is_some() && created != inserted);
    assert_eq!(position(&client.query("select * from t")), None, "nothing changed");
}

#[test]
fn stray_copy_messages_are_ignored() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    client.send(b'd', b"rubbish");
    client.send(b'c', b"");
    client.send(b'f', b"why\0");
    assert_eq!(kinds(&client.query("select 1")), "TDCZ");
}

#[test]
fn another_message_in_a_copy_ends_the_session() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    client.query("create table t (id int primary key)");
    client.send(b'Q', b"copy t from stdin\0");
    assert_eq!(client.read().unwrap().0, b'G');
    client.send(b'Q', b"select 1\0");
    assert_eq!(kinds(&client.until_ready()), "E");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_either() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    // Each has an answer, none flushes. What both sides' sockets hold is far below the limit.
    let close = b"C\0\0\0\x06S\0".repeat(10_000);
    let limit = 64 << 20;
    let sent = client.send_until_stalled(&close, limit);
    assert!(sent < limit, "the server collects answers that nobody reads");
    server.connect().await;
    drop(client);
    server.wait_for_connections(0).await;
}

#[test]
fn a_copy_that_waits_for_its_client_is_cancelled() {
    let server = TestServer::start();
    let mut client = RawClient::start(&server);
    client.query("create table t (id int primary key)");
    client.send(b'Q', b"copy t from stdin\0");
    assert_eq!(client.read().unwrap().0, b'G');
    client.send(b'd', b"1\n");
    let mut other = RawClient::open(&server);
    other.send_untyped(&[b"\x04\xd2\x16\x2e", client.key.as_slice()].concat());
    assert_eq!(state(&client.until_ready()), "57014");
    client.send(b'c', b"");
    let messages = client.query("select count(*) from t");
    assert_eq!(messages.iter().find(|(kind, _)| *kind == b'D').unwrap().1, b"\0\x01\0\0\0\x010");
}
