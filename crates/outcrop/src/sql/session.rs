//! Running statements and showing what they answer.

use std::io::{self, Write};
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::table::{Layout, Row, SAMPLE_ROWS};
use crate::client::{Connection, describe};
use crate::terminal::{duration, note};

/// A connection and how its answers are shown.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) is_expanded: bool,
    pub(super) shows_time: bool,
}

/// Whether a statement worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// The error was shown.
    Failed,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, is_expanded: false, shows_time: false }
    }

    /// Runs one statement; Ctrl-C cancels it. Rows are shown as they come, at most a sample of them is kept.
    ///
    /// # Errors
    /// Only if the connection is lost or nothing can be written.
    pub(super) async fn run(&self, sql: &str, out: &mut (dyn Write + Send)) -> Result<Outcome> {
        let begin = Instant::now();
        let outcome = match self.show_or_cancel(sql, out).await? {
            Ok(()) => Outcome::Done,
            Err(Failure::Output(error)) => return Err(error).context("write to standard output"),
            Err(Failure::Server(error)) => {
                note(&describe(&error, sql));
                if error.is_closed() || self.connection.client.is_closed() {
                    anyhow::bail!("the connection to the server is lost");
                }
                Outcome::Failed
            }
        };
        if self.shows_time {
            writeln!(out, "Time: {}", duration(begin.elapsed())).context("write to standard output")?;
        }
        Ok(outcome)
    }

    /// The outer error is one of cancelling.
    async fn show_or_cancel(&self, sql: &str, out: &mut (dyn Write + Send)) -> Result<Result<(), Failure>> {
        let cancel = self.connection.client.cancel_token();
        let mut work = std::pin::pin!(self.show(sql, out));
        loop {
            tokio::select! {
                answer = &mut work => return Ok(answer),
                interrupted = tokio::signal::ctrl_c() => {
                    interrupted.context("watch for Ctrl-C")?;
                    note("cancelling");
                    cancel.cancel_query(NoTls).await.context("cancel the statement")?;
                }
            }
        }
    }

    async fn show(&self, sql: &str, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
        let stream = self.connection.client.simple_query_raw(sql).await?;
        let mut stream = std::pin::pin!(stream);
        let mut result: Option<Shown> = None;
        while let Some(message) = stream.next().await.transpose()? {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    let names = columns.iter().map(|column| column.name().to_owned()).collect();
                    result = Some(Shown::new(names, self.is_expanded));
                }
                SimpleQueryMessage::Row(row) => {
                    let cells = (0..row.len()).map(|position| row.get(position).map(str::to_owned)).collect();
                    if let Some(result) = &mut result {
                        result.take(cells, out)?;
                    }
                }
                SimpleQueryMessage::CommandComplete(rows) => match result.take() {
                    Some(result) => result.finish(out)?,
                    None => writeln!(out, "{}", tag(sql, rows))?,
                },
                // The crate may learn of more messages; they have nothing to show.
                _ => {}
            }
        }
        out.flush()?;
        Ok(())
    }
}

/// Why showing ended.
pub(super) enum Failure {
    Server(tokio_postgres::Error),
    Output(io::Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// A result that is being shown: first a sample of its rows is kept to find the widths.
struct Shown {
    names: Vec<String>,
    is_expanded: bool,
    sample: Vec<Row>,
    layout: Option<Layout>,
    rows: u64,
}

impl Shown {
    fn new(names: Vec<String>, is_expanded: bool) -> Self {
        Self { names, is_expanded, sample: Vec::new(), layout: None, rows: 0 }
    }

    fn take(&mut self, row: Row, out: &mut dyn Write) -> io::Result<()> {
        self.rows += 1;
        if let Some(layout) = &mut self.layout {
            return layout.row(&row, out);
        }
        self.sample.push(row);
        if self.sample.len() >= SAMPLE_ROWS { self.lay_out(out) } else { Ok(()) }
    }

    fn lay_out(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let mut layout = Layout::new(std::mem::take(&mut self.names), &self.sample, self.is_expanded);
        layout.head(out)?;
        for row in self.sample.drain(..) {
            layout.row(&row, out)?;
        }
        self.layout = Some(layout);
        Ok(())
    }

    fn finish(mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.layout.is_none() {
            self.lay_out(out)?;
        }
        let plural = if self.rows == 1 { "" } else { "s" };
        writeln!(out, "({} row{plural})", self.rows)
    }
}

/// The tag of a statement without rows. The crate passes only its number on, so the command is read from the statement.
fn tag(sql: &str, rows: u64) -> String {
    let words: Vec<String> = sql
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .take(2)
        .map(str::to_ascii_uppercase)
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["INSERT", ..] => format!("INSERT 0 {rows}"),
        [command @ ("UPDATE" | "DELETE" | "COPY" | "SELECT"), ..] => format!("{command} {rows}"),
        ["CREATE" | "DROP" | "ALTER", what] => words.first().map_or_else(String::new, |verb| format!("{verb} {what}")),
        ["TRUNCATE", ..] => "TRUNCATE TABLE".to_owned(),
        [command, ..] => (*command).to_owned(),
        [] => String::new(),
    }
}
