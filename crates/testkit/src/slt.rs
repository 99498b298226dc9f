//! The runner of `tests/sql/**/*.slt`: one for every way into the database. A way in is a [`SqlServer`], which gives each
//! file an empty database, and its sessions answer in text.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

/// What a statement answered: the last one, where a text holds several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlAnswer {
    /// Rows of cells in PostgreSQL's text format, as [`shown`].
    Rows {
        /// How many columns there are, also where there are no rows.
        columns: usize,
        /// The rows.
        rows: Vec<Vec<String>>,
    },
    /// No rows, but perhaps some that it changed.
    Done(u64),
}

/// The error of a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({state})")]
pub struct SqlFailure {
    /// Message, and detail if there is one.
    pub message: String,
    /// SQLSTATE.
    pub state: String,
}

/// A session of an SQL file. A file may have several, by name.
#[async_trait]
pub trait SqlSession: Send {
    /// Runs the statements of a text.
    async fn run(&mut self, sql: &str) -> Result<SqlAnswer, SqlFailure>;
}

/// An empty database, for one file.
#[async_trait]
pub trait SqlServer: Sync {
    /// Its sessions.
    type Session: SqlSession;

    /// Opens one.
    async fn session(&self) -> Self::Session;
}

/// Runs every SQL file of the repository, each on a server of its own.
///
/// `OUTCROP_SLT=ddl/create` runs the files whose path holds that text.
///
/// # Panics
/// If files fail: with the first failure of each.
pub async fn run_sql_files<S: SqlServer>(start: impl Fn() -> S) {
    let root = crate::repository().join("tests/sql");
    let mut paths = Vec::new();
    find(&root, &mut paths);
    paths.sort();
    if let Ok(wanted) = std::env::var("OUTCROP_SLT") {
        paths.retain(|path| path.to_string_lossy().contains(&wanted));
    }
    assert!(!paths.is_empty(), "no .slt files under {}", root.display());
    let mut failures = Vec::new();
    for path in &paths {
        let server = start();
        let mut runner = Runner::new(|| async { Ok(Spoken(server.session().await)) });
        if let Err(error) = runner.run_file_async(path).await {
            failures.push(format!("{}:\n{}", path.display(), error.display(false)));
        }
        runner.shutdown_async().await;
    }
    assert!(failures.is_empty(), "{} of {} files failed\n{}", failures.len(), paths.len(), failures.join("\n\n"));
}

fn find(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the folder of SQL files can be read") {
        let path = entry.expect("the folder of SQL files can be read").path();
        if path.is_dir() {
            find(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            out.push(path);
        }
    }
}

/// A session as the runner wants it.
struct Spoken<S>(S);

#[async_trait]
impl<S: SqlSession> AsyncDB for Spoken<S> {
    type Error = SqlFailure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SqlFailure> {
        Ok(match self.0.run(sql).await? {
            SqlAnswer::Done(count) => DBOutput::StatementComplete(count),
            SqlAnswer::Rows { columns, rows } => DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows },
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "outcrop"
    }

    async fn sleep(duration: std::time::Duration) {
        tokio::time::sleep(duration).await;
    }

    fn error_sql_state(error: &SqlFailure) -> Option<String> {
        Some(error.state.clone())
    }
}

/// A cell as the files write it: NULL is `NULL`, and nothing is `(empty)`.
pub fn shown(cell: Option<&str>) -> String {
    match cell {
        None => "NULL",
        Some("") => "(empty)",
        Some(text) => text,
    }
    .to_owned()
}
