//! A server on a directory of its own.

use std::time::Duration;

use outcrop_engine::{Engine, EngineOptions};
use outcrop_env::Env;
use outcrop_query::{Database, DatabaseOptions};
use outcrop_server::{RunningServer, Server, ServerConfig};
use outcrop_testkit::alarms;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// Longest that a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; its directory goes with it.
pub(crate) struct TestServer {
    server: Option<RunningServer>,
    engine: Engine,
    queries: Option<Runtime>,
    _dir: TempDir,
    /// The last to go.
    _alarms: alarms::Watch,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::start_with(|_config| {})
    }

    pub(crate) fn start_with(configure: impl FnOnce(&mut ServerConfig)) -> Self {
        let alarms = alarms::watch();
        let dir = TempDir::new().unwrap();
        let env = Env::real(dir.path()).unwrap();
        let engine = Engine::open(&env, EngineOptions::default()).unwrap();
        let queries = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let options = DatabaseOptions::default();
        let database = Database::new(engine.clone(), env.clone(), options, queries.handle().clone()).unwrap();
        let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
        config.drain_timeout = Duration::from_secs(1);
        configure(&mut config);
        let server = Server::start(config, database, env).unwrap();
        Self { server: Some(server), engine, queries: Some(queries), _dir: dir, _alarms: alarms }
    }

    pub(crate) fn server(&self) -> &RunningServer {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.server().pg_addr().port()
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port()).user("anna").dbname("outcrop");
        config
    }

    pub(crate) async fn connect(&self) -> Client {
        connect(&self.config()).await.unwrap()
    }

    /// Waits until so many sessions are left.
    pub(crate) async fn wait_for_connections(&self, wanted: usize) {
        let reached = async {
            while self.server().connections() != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("sessions did not end");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.server.take());
        self.engine.close().unwrap();
        if let Some(queries) = self.queries.take() {
            queries.shutdown_background();
        }
    }
}

/// Connects, and drives the connection until the client is dropped.
pub(crate) async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The rows of a simple query in text, cells joined by `|`, NULL as `~`.
pub(crate) async fn text_rows(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (0..row.len()).map(|i| row.get(i).unwrap_or("~")).collect::<Vec<_>>().join("|")).collect()
}

/// The error of a simple query.
pub(crate) async fn refusal(client: &Client, sql: &str) -> tokio_postgres::error::DbError {
    match client.simple_query(sql).await {
        Ok(_) => panic!("{sql} was not refused"),
        Err(error) => error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error:?}")).clone(),
    }
}
