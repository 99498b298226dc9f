//! The three queries that run again and again.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::board::Event;
use crate::client::{Connection, describe};

/// A query and what it is about.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) title: &'static str,
    pub(super) sql: &'static str,
}

/// Rows of each answer.
pub(super) const ROWS: usize = 5;

pub(super) const QUESTIONS: [Question; 3] = [
    Question {
        title: "Busiest processes now",
        sql: "SELECT pid, name, cpu_percent, memory_bytes / 1000000 AS memory_mb, threads FROM processes \
              ORDER BY cpu_percent DESC, memory_bytes DESC LIMIT 5",
    },
    Question {
        title: "Memory by program",
        sql: "SELECT name, count(*) AS processes, sum(memory_bytes) / 1000000 AS memory_mb FROM processes \
              GROUP BY name ORDER BY memory_mb DESC LIMIT 5",
    },
    Question {
        title: "Processor time in the last 30 seconds, by program that still runs",
        sql: "SELECT p.name, count(*) AS samples, round(avg(s.cpu_percent)::numeric, 1) AS cpu_mean, \
              max(s.cpu_percent) AS cpu_max FROM samples s \
              JOIN processes p ON p.pid = s.pid AND p.started = s.started \
              WHERE s.at > now() - interval '30 seconds' GROUP BY p.name ORDER BY cpu_mean DESC, cpu_max DESC LIMIT 5",
    },
];

/// What a query says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) names: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
    pub(super) latency: Duration,
}

const ROUND: Duration = Duration::from_secs(1);

/// Asks all questions each second, for ever, and counts the samples.
pub(super) async fn run(connection: Connection, events: mpsc::Sender<Event>) -> Result<()> {
    let mut ticks = interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for (number, question) in QUESTIONS.iter().enumerate() {
            let answer = ask(&connection.client, question.sql).await?;
            if events.send(Event::Answer { number, answer }).await.is_err() {
                return Ok(());
            }
        }
        let counted = ask(&connection.client, "SELECT count(*) FROM samples").await?;
        let count = counted.rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
        if events.send(Event::Samples(count.unwrap_or(0))).await.is_err() {
            return Ok(());
        }
    }
}

async fn ask(client: &Client, sql: &str) -> Result<Answer> {
    let begin = Instant::now();
    let messages = client.simple_query(sql).await.map_err(|error| anyhow!(describe(&error, sql)))?;
    let mut answer = Answer { latency: begin.elapsed(), ..Answer::default() };
    for message in &messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                answer.names = columns.iter().map(|column| column.name().to_owned()).collect();
            }
            SimpleQueryMessage::Row(row) => {
                answer.rows.push((0..row.len()).map(|cell| row.get(cell).map(str::to_owned)).collect());
            }
            // The end of the statement, and what the crate may learn of later.
            _ => {}
        }
    }
    Ok(answer)
}
