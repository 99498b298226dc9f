//! Answer of one execution.

use std::fmt;

use crate::copy::{CopyIn, CopyOut};
use crate::result::RowStream;

/// What executing a statement answers.
#[derive(Debug)]
pub enum Execution {
    /// Rows follow; the tag is known at their end.
    Rows(RowStream),
    /// The statement is done and durable.
    Done(CommandTag),
    /// The client sends rows.
    CopyIn(CopyIn),
    /// The rows are to be sent in COPY format.
    CopyOut(CopyOut),
    /// There was no statement, only white space or comments.
    Empty,
}

/// What a statement did, as PostgreSQL's CommandComplete spells it: `INSERT 0 5`, `SELECT 3`, `CREATE TABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandTag {
    command: &'static str,
    rows: Option<u64>,
}

impl CommandTag {
    /// A tag without a row count.
    pub const fn new(command: &'static str) -> Self {
        Self { command, rows: None }
    }

    /// A tag with a row count.
    pub const fn with_rows(command: &'static str, rows: u64) -> Self {
        Self { command, rows: Some(rows) }
    }

    /// The command: `INSERT`, `CREATE TABLE`.
    pub const fn command(&self) -> &'static str {
        self.command
    }

    /// Rows read or changed, for commands that count.
    pub const fn rows(&self) -> Option<u64> {
        self.rows
    }
}

impl fmt::Display for CommandTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rows {
            // The 0 is where PostgreSQL once printed an oid; drivers parse it.
            Some(rows) if self.command == "INSERT" => write!(f, "INSERT 0 {rows}"),
            Some(rows) => write!(f, "{} {rows}", self.command),
            None => f.write_str(self.command),
        }
    }
}
