//! The two tables, and how they are kept current.

use std::time::SystemTime;

use anyhow::{Context as _, Result};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use super::processes::{ProcessKey, Processes, Sample};

/// The statements that write, prepared.
#[derive(Debug)]
pub(super) struct Tables {
    upsert: Statement,
    delete: Statement,
    append: Statement,
}

impl Tables {
    /// Creates the tables where they are missing.
    pub(super) async fn open(client: &Client) -> Result<Self> {
        for statement in [WARNINGS_ONLY, CREATE_PROCESSES, CREATE_SAMPLES] {
            client.batch_execute(statement).await.context("create the tables")?;
        }
        Ok(Self {
            upsert: client.prepare_typed(UPSERT, &UPSERT_TYPES).await.context("prepare the upsert")?,
            delete: client.prepare(DELETE).await.context("prepare the delete")?,
            append: client.prepare_typed(APPEND, &APPEND_TYPES).await.context("prepare the append")?,
        })
    }

    /// All processes that run, in one statement: new ones are inserted, known ones updated. The number of rows.
    pub(super) async fn upsert(&self, client: &Client, processes: &Processes, seen_at: SystemTime) -> Result<u64> {
        let (pids, starts) = columns_of_keys(processes.keys());
        let names: Vec<&str> = processes.values().map(|process| process.name.as_str()).collect();
        let states: Vec<&str> = processes.values().map(|process| process.state.as_str()).collect();
        let parents: Vec<i32> = processes.values().map(|process| process.parent_pid).collect();
        let threads: Vec<i32> = processes.values().map(|process| process.threads).collect();
        let cpu: Vec<i64> = processes.values().map(|process| process.cpu_ms).collect();
        let resident: Vec<i64> = processes.values().map(|process| process.resident_bytes).collect();
        let read: Vec<Option<i64>> = processes.values().map(|process| Some(process.disk?.read)).collect();
        let written: Vec<Option<i64>> = processes.values().map(|process| Some(process.disk?.written)).collect();
        client
            .execute(
                &self.upsert,
                &[&seen_at, &pids, &starts, &names, &states, &parents, &threads, &cpu, &resident, &read, &written],
            )
            .await
            .context("upsert the processes")
    }

    /// Removes the processes that the upsert of `seen_at` did not touch: they have ended, now or while no demo ran. The
    /// number of rows.
    pub(super) async fn delete_ended(&self, client: &Client, seen_at: SystemTime) -> Result<u64> {
        client.execute(&self.delete, &[&seen_at]).await.context("delete the processes that ended")
    }

    /// Appends what was used since the samples before. The number of rows.
    pub(super) async fn append(&self, client: &Client, samples: &[Sample], sampled_at: SystemTime) -> Result<u64> {
        let (pids, starts) = columns_of_keys(samples.iter().map(|sample| &sample.key));
        let cpu: Vec<i64> = samples.iter().map(|sample| sample.cpu_ms).collect();
        let resident: Vec<i64> = samples.iter().map(|sample| sample.resident_bytes).collect();
        let read: Vec<Option<i64>> = samples.iter().map(|sample| Some(sample.disk?.read)).collect();
        let written: Vec<Option<i64>> = samples.iter().map(|sample| Some(sample.disk?.written)).collect();
        client
            .execute(&self.append, &[&sampled_at, &pids, &starts, &cpu, &resident, &read, &written])
            .await
            .context("append the samples")
    }
}

fn columns_of_keys<'a>(keys: impl Iterator<Item = &'a ProcessKey>) -> (Vec<i32>, Vec<SystemTime>) {
    keys.map(|key| (key.pid, key.started_at)).unzip()
}

/// That a table exists already is nothing to tell.
const WARNINGS_ONLY: &str = "SET client_min_messages = warning";

const CREATE_PROCESSES: &str = "
CREATE TABLE IF NOT EXISTS processes (
    pid integer,
    started_at timestamptz,
    name text NOT NULL,
    state text NOT NULL,
    parent_pid integer NOT NULL,
    threads integer NOT NULL,
    cpu_ms bigint NOT NULL,
    resident_bytes bigint NOT NULL,
    read_bytes bigint,
    written_bytes bigint,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (pid, started_at)
)";

const CREATE_SAMPLES: &str = "
CREATE TABLE IF NOT EXISTS samples (
    sampled_at timestamptz NOT NULL,
    pid integer NOT NULL,
    started_at timestamptz NOT NULL,
    cpu_ms bigint NOT NULL,
    resident_bytes bigint NOT NULL,
    read_bytes bigint,
    written_bytes bigint
)";

const UPSERT: &str = "
INSERT INTO processes (seen_at, pid, started_at, name, state, parent_pid, threads, cpu_ms, resident_bytes, read_bytes,
                       written_bytes)
SELECT $1, now.*
FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS now
ON CONFLICT (pid, started_at) DO UPDATE SET
    name = EXCLUDED.name,
    state = EXCLUDED.state,
    parent_pid = EXCLUDED.parent_pid,
    threads = EXCLUDED.threads,
    cpu_ms = EXCLUDED.cpu_ms,
    resident_bytes = EXCLUDED.resident_bytes,
    read_bytes = EXCLUDED.read_bytes,
    written_bytes = EXCLUDED.written_bytes,
    seen_at = EXCLUDED.seen_at";

const UPSERT_TYPES: [Type; 11] = [
    Type::TIMESTAMPTZ,
    Type::INT4_ARRAY,
    Type::TIMESTAMPTZ_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT4_ARRAY,
    Type::INT4_ARRAY,
    Type::INT8_ARRAY,
    Type::INT8_ARRAY,
    Type::INT8_ARRAY,
    Type::INT8_ARRAY,
];

const DELETE: &str = "DELETE FROM processes WHERE seen_at < $1";

const APPEND: &str = "
INSERT INTO samples (sampled_at, pid, started_at, cpu_ms, resident_bytes, read_bytes, written_bytes)
SELECT $1, used.*
FROM unnest($2, $3, $4, $5, $6, $7) AS used";

const APPEND_TYPES: [Type; 7] = [
    Type::TIMESTAMPTZ,
    Type::INT4_ARRAY,
    Type::TIMESTAMPTZ_ARRAY,
    Type::INT8_ARRAY,
    Type::INT8_ARRAY,
    Type::INT8_ARRAY,
    Type::INT8_ARRAY,
];
