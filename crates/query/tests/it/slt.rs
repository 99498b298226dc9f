//! Runs `tests/sql/**/*.slt` in process. `server` runs the same files over the wire.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::support::{TestDatabase, TestSession};

/// An error as the runner wants it.
#[derive(Debug, thiserror::Error)]
#[error("{message} ({state})")]
pub(crate) struct SqlError {
    message: String,
    state: &'static str,
}

#[async_trait]
impl AsyncDB for TestSession {
    type Error = SqlError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SqlError> {
        let answer = Self::run(self, sql).await.map_err(|error| SqlError {
            message: [Some(error.message()), error.detail()].into_iter().flatten().collect::<Vec<_>>().join(" "),
            state: error.condition().sqlstate(),
        })?;
        Ok(if answer.columns.is_empty() {
            DBOutput::StatementComplete(answer.count.unwrap_or_default())
        } else {
            DBOutput::Rows { types: vec![DefaultColumnType::Any; answer.columns.len()], rows: answer.rows }
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "outcrop"
    }

    async fn sleep(duration: std::time::Duration) {
        tokio::time::sleep(duration).await;
    }

    fn error_sql_state(error: &SqlError) -> Option<String> {
        Some(error.state.to_owned())
    }
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            out.push(path);
        }
    }
}

/// `OUTCROP_SLT=ddl/create` runs the files whose path holds that text.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_sql_file_passes_in_process() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sql");
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.sort();
    if let Ok(wanted) = std::env::var("OUTCROP_SLT") {
        paths.retain(|path| path.to_string_lossy().contains(&wanted));
    }
    assert!(!paths.is_empty(), "no .slt files under {}", root.display());
    let mut failures = Vec::new();
    for path in paths {
        let database = TestDatabase::new();
        let mut runner = Runner::new(|| async { Ok(database.session()) });
        if let Err(error) = runner.run_file_async(&path).await {
            failures.push(format!("{}:\n{}", path.display(), error.display(false)));
        }
        runner.shutdown_async().await;
    }
    assert!(failures.is_empty(), "{} files failed\n{}", failures.len(), failures.join("\n\n"));
}
