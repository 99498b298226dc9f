//! Commands that begin with a backslash.

use std::io::Write;

use anyhow::{Context as _, Result};

use super::session::{Outcome, Session};

/// What the shell does after one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    GoOn,
    Quit,
}

const HELP: &str = "\\d           list tables
\\d NAME      describe a table
\\dt          list tables
\\dn          list schemas
\\l           list databases
\\timing      show how long statements take, or no longer
\\x           show rows as lists of cells, or no longer
\\q           quit
Everything else is SQL and ends with a semicolon.
";

/// Runs `\command argument`.
pub(super) async fn run(line: &str, session: &mut Session, out: &mut (dyn Write + Send)) -> Result<After> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim();
    match command {
        "\\q" | "\\quit" => return Ok(After::Quit),
        "\\?" | "\\h" | "\\help" => say(out, HELP)?,
        "\\x" => {
            session.is_expanded = !session.is_expanded;
            say(out, if session.is_expanded { "Expanded display is on.\n" } else { "Expanded display is off.\n" })?;
        }
        "\\timing" => {
            session.shows_time = !session.shows_time;
            say(out, if session.shows_time { "Timing is on.\n" } else { "Timing is off.\n" })?;
        }
        "\\d" if !argument.is_empty() => describe(argument, session, out).await?,
        "\\d" | "\\dt" => query(session, TABLES, out).await?,
        "\\dn" => query(session, SCHEMAS, out).await?,
        "\\l" => query(session, DATABASES, out).await?,
        _ => say(out, &format!("There is no command {command}; \\? lists them.\n"))?,
    }
    Ok(After::GoOn)
}

const TABLES: &str = "SELECT table_schema AS schema, table_name AS name FROM information_schema.tables \
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2";
const SCHEMAS: &str = "SELECT schema_name AS name FROM information_schema.schemata \
    WHERE schema_name NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
const DATABASES: &str = "SELECT datname AS name FROM pg_catalog.pg_database ORDER BY 1";

/// Columns and key of a table.
async fn describe(name: &str, session: &Session, out: &mut (dyn Write + Send)) -> Result<()> {
    let (schema, table) = super::split::table_name(name);
    let schema = schema.unwrap_or_else(|| "commons".to_owned());
    let (schema, table) = (literal(&schema), literal(&table));
    let columns = format!(
        "SELECT column_name AS column, data_type AS type, is_nullable AS nullable, column_default AS default \
         FROM information_schema.columns WHERE table_schema = {schema} AND table_name = {table} ORDER BY ordinal_position"
    );
    query(session, &columns, out).await?;
    let key = format!(
        "SELECT c.constraint_name AS key, k.column_name AS column FROM information_schema.table_constraints c \
         JOIN information_schema.key_column_usage k \
         ON k.constraint_schema = c.constraint_schema AND k.constraint_name = c.constraint_name \
         AND k.table_name = c.table_name \
         WHERE c.constraint_type = 'PRIMARY KEY' AND c.table_schema = {schema} AND c.table_name = {table} \
         ORDER BY k.ordinal_position"
    );
    query(session, &key, out).await
}

async fn query(session: &Session, sql: &str, out: &mut (dyn Write + Send)) -> Result<()> {
    // A failure was shown already.
    match session.run(sql, out).await? {
        Outcome::Done | Outcome::Failed => Ok(()),
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn say(out: &mut dyn Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("write to standard output")
}
