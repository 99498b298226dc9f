//! Keeps the tables current: upserts, deletes, appends.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use futures::SinkExt as _;
use outcrop_types::Value;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::Client;

use super::board::Event;
use super::machine::{Machine, Process};
use crate::client::{Connection, describe};

const ROUND: Duration = Duration::from_secs(1);

/// The demo's tables. A directory of an earlier demo has them already.
pub(super) const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS processes (pid integer, started timestamptz, parent integer, name text NOT NULL, \
     state text, threads bigint, cpu_percent double precision, memory_bytes bigint, read_bytes bigint, \
     written_bytes bigint, change bigint, PRIMARY KEY (pid, started))",
    "CREATE TABLE IF NOT EXISTS samples (at timestamptz NOT NULL, pid integer NOT NULL, started timestamptz NOT NULL, \
     cpu_percent double precision, memory_bytes bigint, read_bytes bigint, written_bytes bigint)",
];

const COLUMNS: &str =
    "pid, started, parent, name, state, threads, cpu_percent, memory_bytes, read_bytes, written_bytes, change";

/// Makes the tables and removes processes that an earlier demo left.
pub(super) async fn prepare(client: &Client) -> Result<()> {
    for sql in TABLES.iter().copied().chain(["DELETE FROM processes"]) {
        client
            .batch_execute(sql)
            .await
            .map_err(|error| anyhow!(describe(&error, sql)))
            .context("prepare the tables")?;
    }
    Ok(())
}

/// A round each second, for ever.
pub(super) async fn run(connection: Connection, events: mpsc::Sender<Event>) -> Result<()> {
    let mut machine = Machine::new()?;
    let mut known: BTreeSet<(i32, i64)> = BTreeSet::new();
    let mut ticks = interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Reading /proc of a few hundred processes takes some ms.
        let (seen, back) =
            tokio::task::spawn_blocking(move || (machine.look(), machine)).await.context("read /proc")?;
        machine = back;
        let processes = seen?;
        let now: BTreeSet<(i32, i64)> = processes.iter().map(|process| (process.pid, process.started_us)).collect();
        let ended: Vec<(i32, i64)> = known.difference(&now).copied().collect();
        let client = &connection.client;
        let mut changes = execute(client, &upsert(&processes, 0)).await?;
        if !ended.is_empty() {
            changes += execute(client, &delete(&ended)).await?;
        }
        changes += append(client, &processes).await?;
        known = now;
        let round = Event::Round { processes: u64::try_from(processes.len()).unwrap_or(u64::MAX), changes };
        if events.send(round).await.is_err() {
            return Ok(());
        }
    }
}

/// The statement that inserts processes or replaces what is known of them. `change` numbers the changes of a probe.
pub(super) fn upsert(processes: &[Process], change: i64) -> String {
    let mut sql = format!("INSERT INTO processes ({COLUMNS}) VALUES ");
    for (position, p) in processes.iter().enumerate() {
        let comma = if position > 0 { ", " } else { "" };
        // Writing to a string cannot fail.
        write!(
            sql,
            "{comma}({}, {}, {}, {}, '{}', {}, {:?}, {}, {}, {}, {change})",
            p.pid,
            time(p.started_us),
            p.parent,
            text(&p.name),
            p.state,
            p.threads,
            p.cpu_percent,
            p.memory_bytes,
            p.read_bytes,
            p.written_bytes,
        )
        .unwrap_or_default();
    }
    sql.push_str(" ON CONFLICT (pid, started) DO UPDATE SET ");
    let set = COLUMNS.split(", ").skip(2).filter(|column| *column != "change" || change > 0);
    let set: Vec<String> = set.map(|column| format!("{column} = EXCLUDED.{column}")).collect();
    sql.push_str(&set.join(", "));
    sql
}

fn delete(ended: &[(i32, i64)]) -> String {
    let keys: Vec<String> =
        ended.iter().map(|(pid, started)| format!("pid = {pid} AND started = {}", time(*started))).collect();
    format!("DELETE FROM processes WHERE {}", keys.join(" OR "))
}

async fn append(client: &Client, processes: &[Process]) -> Result<u64> {
    const SQL: &str =
        "COPY samples (at, pid, started, cpu_percent, memory_bytes, read_bytes, written_bytes) FROM STDIN";
    let failed = |error: tokio_postgres::Error| anyhow!(describe(&error, SQL));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| i64::try_from(now.as_micros()).unwrap_or(0));
    let at = Value::TimestampTz(now);
    let mut lines = String::new();
    for p in processes {
        let started = Value::TimestampTz(p.started_us);
        writeln!(
            lines,
            "{at}\t{}\t{started}\t{:?}\t{}\t{}\t{}",
            p.pid, p.cpu_percent, p.memory_bytes, p.read_bytes, p.written_bytes
        )
        .unwrap_or_default();
    }
    let sink = client.copy_in::<_, Bytes>(SQL).await.map_err(failed)?;
    let mut sink = std::pin::pin!(sink);
    sink.feed(Bytes::from(lines)).await.map_err(failed)?;
    sink.finish().await.map_err(failed)
}

/// Runs a statement and returns how many rows it changed.
pub(super) async fn execute(client: &Client, sql: &str) -> Result<u64> {
    client.execute(sql, &[]).await.map_err(|error| anyhow!(describe(&error, sql)))
}

fn time(us: i64) -> String {
    format!("timestamptz '{}'", Value::TimestampTz(us))
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\0', "").replace('\'', "''"))
}
