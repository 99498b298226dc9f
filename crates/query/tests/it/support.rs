//! A database in a temporary directory, and sessions that answer in text.

use arrow_array::RecordBatch;
use futures::StreamExt;
use outcrop_engine::{Engine, EngineOptions};
use outcrop_env::Env;
use outcrop_ingest::{Cells, TextSettings};
use outcrop_query::{
    Database, DatabaseOptions, ExecuteOptions, Execution, ResultType, RowStream, Session, SessionInfo,
};
use outcrop_testkit::slt::shown;
use outcrop_types::{Condition, Error, Result, Value};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// A database of its own for a test.
pub(crate) struct TestDatabase {
    pub(crate) database: Database,
    dir: TempDir,
}

/// What a statement answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) tag: String,
    pub(crate) count: Option<u64>,
}

impl TestDatabase {
    pub(crate) fn new() -> Self {
        Self::with_options(EngineOptions::default())
    }

    pub(crate) fn with_options(options: EngineOptions) -> Self {
        Self::open(tempfile::tempdir().unwrap(), options, Handle::current())
    }

    /// With queries that may spill.
    pub(crate) fn spilling(options: EngineOptions, spill: &std::path::Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::real(dir.path()).unwrap();
        let query = DatabaseOptions { spill_dir: Some(spill.to_owned()), ..DatabaseOptions::default() };
        Self::over(env, dir, options, query, Handle::current())
    }

    /// Over a disk of the test's own.
    pub(crate) fn in_env(env: Env, dir: TempDir, options: EngineOptions) -> Self {
        Self::over(env, dir, options, DatabaseOptions::default(), Handle::current())
    }

    /// With queries on a runtime of their own.
    pub(crate) fn on(queries: Handle) -> Self {
        Self::open(tempfile::tempdir().unwrap(), EngineOptions::default(), queries)
    }

    pub(crate) fn session(&self) -> TestSession {
        let info = SessionInfo {
            user: "tester".to_owned(),
            database: "outcrop".to_owned(),
            application_name: "test".to_owned(),
            process_id: 42,
            client_addr: None,
        };
        TestSession { session: self.database.session(info) }
    }

    /// Closes and opens again, as after a clean stop.
    pub(crate) async fn reopened(self) -> Self {
        let Self { database, dir } = self;
        let engine = database.engine().clone();
        drop(database);
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap().unwrap();
        Self::open(dir, EngineOptions::default(), Handle::current())
    }

    fn open(dir: TempDir, options: EngineOptions, queries: Handle) -> Self {
        let env = Env::real(dir.path()).unwrap();
        let query = DatabaseOptions { target_partitions: 2, memory_bytes: 256 << 20, ..DatabaseOptions::default() };
        Self::over(env, dir, options, query, queries)
    }

    fn over(env: Env, dir: TempDir, options: EngineOptions, query: DatabaseOptions, queries: Handle) -> Self {
        let engine = Engine::open(&env, options).unwrap();
        Self { database: Database::new(engine, env, query, queries).unwrap(), dir }
    }
}

/// A session that speaks text.
pub(crate) struct TestSession {
    pub(crate) session: Session,
}

impl TestSession {
    /// Runs the statements of a message; answers for the last.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<Answer> {
        let statements = self.session.parse(sql).await?;
        self.session.check_batch(&statements)?;
        let mut answer = Answer { columns: Vec::new(), rows: Vec::new(), tag: String::new(), count: None };
        for statement in statements {
            let prepared = self.session.prepare(statement, &[]).await?;
            answer = self.execute(&prepared, &[]).await?;
        }
        Ok(answer)
    }

    pub(crate) async fn execute(&mut self, prepared: &outcrop_query::Prepared, values: &[Value]) -> Result<Answer> {
        match self.session.execute(prepared, values, ExecuteOptions::default()).await? {
            Execution::Rows(rows) => {
                let settings = TextSettings::of_session(|name| self.session.setting(name));
                let drained = drain(rows, &settings).await;
                if drained.is_err() {
                    self.session.fail_transaction();
                }
                drained
            }
            Execution::Done(tag) => {
                Ok(Answer { columns: Vec::new(), rows: Vec::new(), tag: tag.to_string(), count: tag.rows() })
            }
            Execution::CopyIn(_) | Execution::CopyOut(_) => {
                Err(Error::new(Condition::FeatureNotSupported, "COPY in a text session"))
            }
            Execution::Empty => Ok(Answer { columns: Vec::new(), rows: Vec::new(), tag: String::new(), count: None }),
        }
    }

    /// Rows of a query, columns joined by `|`.
    pub(crate) async fn rows(&mut self, sql: &str) -> Vec<String> {
        let answer = self.run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        answer.rows.iter().map(|row| row.join("|")).collect()
    }

    /// The tag of a statement.
    pub(crate) async fn tag(&mut self, sql: &str) -> String {
        self.run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).tag
    }

    /// The error of a statement.
    pub(crate) async fn error(&mut self, sql: &str) -> Error {
        match self.run(sql).await {
            Ok(answer) => panic!("{sql} succeeded: {answer:?}"),
            Err(error) => error,
        }
    }
}

/// All rows of a stream as text.
pub(crate) async fn drain(mut rows: RowStream, settings: &TextSettings) -> Result<Answer> {
    let columns = rows.columns().to_vec();
    let mut text = Vec::new();
    while let Some(batch) = rows.next().await {
        text_rows(&batch?, &columns, settings, &mut text)?;
    }
    let tag = rows.tag();
    Ok(Answer {
        columns: columns.iter().map(|column| column.name.clone()).collect(),
        rows: text,
        tag: tag.to_string(),
        count: tag.rows(),
    })
}

fn text_rows(
    batch: &RecordBatch,
    columns: &[outcrop_query::ResultColumn],
    settings: &TextSettings,
    out: &mut Vec<Vec<String>>,
) -> Result<()> {
    assert_eq!(batch.num_columns(), columns.len());
    let cells = batch
        .columns()
        .iter()
        .zip(columns)
        .map(|(array, column)| match &column.data_type {
            ResultType::Data(data_type) => {
                assert_eq!(*array.data_type(), data_type.to_arrow(), "column {} is not what it says", column.name);
                Cells::of_type(array.as_ref(), data_type)
            }
            ResultType::Interval | ResultType::Unknown | ResultType::Catalog(_) => Cells::try_new(array.as_ref()),
        })
        .collect::<Result<Vec<_>>>()?;
    for row in 0..batch.num_rows() {
        let mut values = Vec::with_capacity(cells.len());
        for cell in &cells {
            if cell.is_null(row) {
                values.push(shown(None));
                continue;
            }
            let mut value = Vec::new();
            cell.write_text(row, settings, &mut value);
            values.push(shown(Some(std::str::from_utf8(&value).unwrap())));
        }
        out.push(values);
    }
    Ok(())
}
