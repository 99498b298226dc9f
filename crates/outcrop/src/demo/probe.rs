//! How fresh answers are: from a change to its being seen by another session.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::Client;

use super::board::Event;
use super::machine::Machine;
use super::writer::{execute, upsert};
use crate::client::{Connection, describe};

const PAUSE: Duration = Duration::from_millis(100);
/// Between looks while a change is not visible yet.
const LOOK_PAUSE: Duration = Duration::from_micros(200);
/// Longest that a change may take; more is a failure of the demo.
const VISIBLE_MAX: Duration = Duration::from_secs(30);

/// Updates this process's own row ten times a second, and looks from a second session until the change is there. The
/// time between is what a user of fresh data waits: it holds the write, its sync to disk, and the query that sees it.
pub(super) async fn run(writer: Connection, reader: Connection, events: mpsc::Sender<Event>) -> Result<()> {
    let mut machine = Machine::new()?;
    let pid = machine.own()?.pid;
    let sql = format!("SELECT coalesce(max(change), 0) FROM processes WHERE pid = {pid}");
    let statement = reader.client.prepare(&sql).await.map_err(|error| anyhow!(describe(&error, &sql)))?;
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for change in 1.. {
        ticks.tick().await;
        let process = machine.own()?;
        let begin = Instant::now();
        let sql = upsert(&[process], change);
        let (written, seen) =
            tokio::join!(execute(&writer.client, &sql), wait_for(&reader.client, &statement, change, begin));
        let changes = written?;
        if events.send(Event::Fresh { time: seen?, changes }).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn wait_for(
    client: &Client,
    statement: &tokio_postgres::Statement,
    change: i64,
    begin: Instant,
) -> Result<Duration> {
    loop {
        let row = client.query_one(statement, &[]).await.map_err(|error| anyhow!(describe(&error, "")))?;
        let seen: i64 = row.try_get(0).context("read a change's number")?;
        if seen >= change {
            return Ok(begin.elapsed());
        }
        if begin.elapsed() > VISIBLE_MAX {
            anyhow::bail!("a change was not visible after {} s", VISIBLE_MAX.as_secs());
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}
