//! Runs `tests/sql/**/*.slt` in process. `server` runs the same files over the wire.

use async_trait::async_trait;
use outcrop_testkit::slt::{SqlAnswer, SqlFailure, SqlServer, SqlSession, run_sql_files};

use crate::support::{TestDatabase, TestSession};

#[async_trait]
impl SqlServer for TestDatabase {
    type Session = TestSession;

    async fn session(&self) -> TestSession {
        Self::session(self)
    }
}

#[async_trait]
impl SqlSession for TestSession {
    async fn run(&mut self, sql: &str) -> Result<SqlAnswer, SqlFailure> {
        let answer = Self::run(self, sql).await.map_err(|error| SqlFailure {
            message: [Some(error.message()), error.detail()].into_iter().flatten().collect::<Vec<_>>().join(" "),
            state: error.condition().sqlstate().to_owned(),
        })?;
        Ok(if answer.columns.is_empty() {
            SqlAnswer::Done(answer.count.unwrap_or_default())
        } else {
            SqlAnswer::Rows { columns: answer.columns.len(), rows: answer.rows }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_sql_file_passes_in_process() {
    run_sql_files(TestDatabase::new).await;
}
