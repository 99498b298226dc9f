//! How long a change takes until another session sees it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use outcrop_env::Clock;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::processes::ProcessKey;
use crate::client::Connection;

/// Looks at the tables from a session of its own, again and again, until a change is there.
#[derive(Debug)]
pub(super) struct Observer {
    connection: Connection,
    process: Statement,
    samples: Statement,
    clock: Arc<dyn Clock>,
}

impl Observer {
    pub(super) async fn new(connection: Connection, clock: Arc<dyn Clock>) -> Result<Self> {
        let process = connection.client.prepare(FIND_PROCESS).await.context("prepare the look at a process")?;
        let samples = connection.client.prepare(FIND_SAMPLES).await.context("prepare the look at the samples")?;
        Ok(Self { connection, process, samples, clock })
    }

    /// Ready when the row of `key` has the state of `seen_at`. A statement is visible whole or not at all, so one of its
    /// rows is enough. The time from `sent` to the answer that had it.
    pub(super) async fn see_process(&self, key: ProcessKey, seen_at: SystemTime, sent: Duration) -> Result<Duration> {
        self.see(&self.process, &[&key.pid, &key.started_at, &seen_at], sent).await
    }

    /// Ready when the samples of `sampled_at` are there.
    pub(super) async fn see_samples(&self, sampled_at: SystemTime, sent: Duration) -> Result<Duration> {
        self.see(&self.samples, &[&sampled_at], sent).await
    }

    async fn see(&self, find: &Statement, values: &[&(dyn ToSql + Sync)], sent: Duration) -> Result<Duration> {
        loop {
            let found = self.connection.client.query_opt(find, values).await.context("look for a change")?;
            let waited = self.clock.monotonic().saturating_sub(sent);
            if found.is_some() {
                return Ok(waited);
            }
            if waited > PATIENCE {
                bail!("a change was not visible after {} s", PATIENCE.as_secs());
            }
        }
    }
}

/// A change that takes longer than this is lost, not late.
const PATIENCE: Duration = Duration::from_secs(60);

const FIND_PROCESS: &str = "SELECT pid FROM processes WHERE pid = $1 AND started_at = $2 AND seen_at = $3";
const FIND_SAMPLES: &str = "SELECT pid FROM samples WHERE sampled_at = $1 LIMIT 1";
