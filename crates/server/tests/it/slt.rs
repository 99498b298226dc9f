//! `tests/sql/**/*.slt` over the wire, by the runner that also runs them in process: in the simple protocol through
//! tokio-postgres, and in the extended one with results in text and in binary, message by message.

use async_trait::async_trait;
use bytes::Bytes;
use outcrop_ingest::{TextSettings, binary::oid};
use outcrop_testkit::slt::{SqlAnswer, SqlFailure, SqlServer, SqlSession, run_sql_files, shown};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::raw::{RawClient, field};
use crate::support::TestServer;
use crate::value::to_text;

/// Sessions of the simple protocol.
struct Simple(TestServer);

/// Sessions of the extended protocol whose results are text (0) or binary (1).
struct Extended<const FORMAT: u8>(TestServer);

struct SimpleSession(Client);

struct ExtendedSession<const FORMAT: u8> {
    client: RawClient,
    /// What the server reported.
    parameters: Vec<(String, String)>,
}

#[async_trait]
impl SqlServer for Simple {
    type Session = SimpleSession;

    async fn session(&self) -> SimpleSession {
        let mut config = self.0.config();
        config.user("tester");
        SimpleSession(crate::support::connect(&config).await.unwrap())
    }
}

#[async_trait]
impl<const FORMAT: u8> SqlServer for Extended<FORMAT> {
    type Session = ExtendedSession<FORMAT>;

    async fn session(&self) -> ExtendedSession<FORMAT> {
        let mut client = RawClient::open(&self.0);
        client.send_untyped(b"\0\x03\0\0user\0tester\0database\0outcrop\0\0");
        let mut session = ExtendedSession { client, parameters: Vec::new() };
        session.until_ready();
        session
    }
}

#[async_trait]
impl SqlSession for SimpleSession {
    async fn run(&mut self, sql: &str) -> Result<SqlAnswer, SqlFailure> {
        let messages = self.0.simple_query(sql).await.map_err(|error| {
            let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error:?}"));
            SqlFailure {
                message: [Some(error.message()), error.detail()].into_iter().flatten().collect::<Vec<_>>().join(" "),
                state: error.code().code().to_owned(),
            }
        })?;
        let mut answer = SqlAnswer::Done(0);
        let mut is_complete = true;
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    answer = SqlAnswer::Rows { columns: columns.len(), rows: Vec::new() };
                    is_complete = false;
                }
                SimpleQueryMessage::Row(row) => {
                    let SqlAnswer::Rows { rows, .. } = &mut answer else { panic!("{sql}: a row without description") };
                    rows.push((0..row.len()).map(|column| shown(row.get(column))).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => {
                    if is_complete {
                        answer = SqlAnswer::Done(count);
                    }
                    is_complete = true;
                }
                other => panic!("{sql}: {other:?}"),
            }
        }
        Ok(answer)
    }
}

#[async_trait]
impl<const FORMAT: u8> SqlSession for ExtendedSession<FORMAT> {
    async fn run(&mut self, sql: &str) -> Result<SqlAnswer, SqlFailure> {
        let nul = |text: &str| [text.as_bytes(), b"\0"].concat();
        self.client.send(b'P', &[nul(""), nul(sql), vec![0, 0]].concat());
        self.client.send(b'B', &[nul(""), nul(""), vec![0, 0, 0, 0, 0, 1, 0, FORMAT]].concat());
        self.client.send(b'D', b"P\0");
        self.client.send(b'E', b"\0\0\0\0\0");
        self.client.send(b'S', b"");
        let messages = self.until_ready();
        if let Some((_, error)) = messages.iter().find(|(kind, _)| *kind == b'E') {
            let message = [field(error, b'M'), field(error, b'D')].into_iter().flatten().collect::<Vec<_>>().join(" ");
            if message == "cannot insert multiple commands into a prepared statement" {
                // What only the simple protocol has; its rows are text, which the other runs compare.
                return self.run_simple(sql);
            }
            return Err(SqlFailure { message, state: field(error, b'C').unwrap() });
        }
        Ok(self.answer(&messages, FORMAT))
    }
}

impl<const FORMAT: u8> ExtendedSession<FORMAT> {
    fn run_simple(&mut self, sql: &str) -> Result<SqlAnswer, SqlFailure> {
        self.client.send(b'Q', format!("{sql}\0").as_bytes());
        let messages = self.until_ready();
        match messages.iter().find(|(kind, _)| *kind == b'E') {
            Some((_, error)) => {
                Err(SqlFailure { message: field(error, b'M').unwrap(), state: field(error, b'C').unwrap() })
            }
            None => Ok(self.answer(&messages, 0)),
        }
    }

    /// Messages up to ReadyForQuery; reported parameters are kept.
    fn until_ready(&mut self) -> Vec<(u8, Vec<u8>)> {
        let messages = self.client.until_ready();
        assert_eq!(messages.last().map(|(kind, _)| *kind), Some(b'Z'), "the connection ended: {messages:?}");
        for (_, body) in messages.iter().filter(|(kind, _)| *kind == b'S') {
            let texts: Vec<_> = body.split(|byte| *byte == 0).map(|text| String::from_utf8(text.to_vec())).collect();
            let (name, value) = (texts[0].clone().unwrap(), texts[1].clone().unwrap());
            self.parameters.retain(|(known, _)| *known != name);
            self.parameters.push((name, value));
        }
        messages
    }

    /// The answer of the last statement.
    fn answer(&self, messages: &[(u8, Vec<u8>)], format: u8) -> SqlAnswer {
        let reported = |name: &str| {
            let known = self.parameters.iter().find(|(known, _)| known == name);
            known.map(|(_, value)| value.clone())
        };
        let settings = TextSettings::of_session(reported);
        let mut types: Option<Vec<u32>> = None;
        let mut rows = Vec::new();
        let mut count = 0;
        for (kind, body) in messages {
            let mut body = Bytes::copy_from_slice(body);
            match kind {
                b'T' => {
                    types = Some(described(&mut body, format));
                    rows.clear();
                }
                b'n' => (types, rows) = (None, Vec::new()),
                b'D' => {
                    let types = types.as_ref().expect("rows are described");
                    let cells = cells(&mut body);
                    assert_eq!(cells.len(), types.len());
                    let text = |(cell, type_oid): (Option<Bytes>, &u32)| match (cell, format) {
                        (None, _) => shown(None),
                        (Some(cell), 0) => shown(Some(std::str::from_utf8(&cell).unwrap())),
                        (Some(cell), _) => shown(Some(&to_text(*type_oid, &cell, &settings))),
                    };
                    rows.push(cells.into_iter().zip(types).map(text).collect());
                }
                b'C' => {
                    let tag = String::from_utf8(body.to_vec()).unwrap();
                    count = tag.trim_end_matches('\0').rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
                }
                _ => {}
            }
        }
        match types {
            Some(types) => SqlAnswer::Rows { columns: types.len(), rows },
            None => SqlAnswer::Done(count),
        }
    }
}

fn take<const N: usize>(body: &mut Bytes) -> [u8; N] {
    body.split_to(N).as_ref().try_into().unwrap()
}

/// The type of each column of a RowDescription, which must promise `format`.
fn described(body: &mut Bytes, format: u8) -> Vec<u32> {
    let columns = u16::from_be_bytes(take(body));
    let column = |_| {
        let name = body.iter().position(|byte| *byte == 0).unwrap();
        drop(body.split_to(name + 1 + 6));
        let type_oid = u32::from_be_bytes(take(body));
        let size = i16::from_be_bytes(take(body));
        assert_eq!(size, oid::size(type_oid), "size of type {type_oid}");
        drop(body.split_to(4));
        assert_eq!(u16::from_be_bytes(take(body)), u16::from(format));
        type_oid
    };
    (0..columns).map(column).collect()
}

/// The cells of a DataRow.
fn cells(body: &mut Bytes) -> Vec<Option<Bytes>> {
    let columns = u16::from_be_bytes(take(body));
    let cell = |_| usize::try_from(i32::from_be_bytes(take(body))).ok().map(|length| body.split_to(length));
    (0..columns).map(cell).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sql_file_passes_in_the_simple_protocol() {
    run_sql_files(|| Simple(TestServer::start())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sql_file_passes_in_the_extended_protocol_with_results_in_text() {
    run_sql_files(|| Extended::<0>(TestServer::start())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sql_file_passes_in_the_extended_protocol_with_results_in_binary() {
    run_sql_files(|| Extended::<1>(TestServer::start())).await;
}
