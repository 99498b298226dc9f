//! The shell.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::SimpleQueryMessage;

use super::complete::{Completion, NAMES_MAX};
use super::meta::{self, After};
use super::session::{Outcome, Session};
use super::split::{is_blank, split};
use crate::cli::SqlArguments;
use crate::client::{Notices, connect, quote_name};
use crate::terminal::note;

const HISTORY_ENTRIES_MAX: usize = 10_000;
const HISTORY_FILE: &str = ".outcrop_history";
/// A script is read whole; longer ones are for `psql` or for `outcrop load`.
const SCRIPT_BYTES_MAX: u64 = 256 << 20;

/// Runs what `-c` says, else a script from standard input, else asks a person.
pub(crate) fn run(arguments: &SqlArguments) -> Result<ExitCode> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start the threads of the connection")?;
    let connection = runtime.block_on(connect(&arguments.server, "outcrop sql", Notices::Shown))?;
    let mut session = Session::new(connection);
    if !arguments.commands.is_empty() {
        return script(&runtime, &mut session, &arguments.commands.join(";\n"));
    }
    if io::stdin().is_terminal() {
        return talk(&runtime, session);
    }
    let mut text = String::new();
    io::stdin().take(SCRIPT_BYTES_MAX).read_to_string(&mut text).context("read standard input")?;
    script(&runtime, &mut session, &text)
}

/// Runs all statements and commands of a text, and stops at the first statement that fails.
fn script(runtime: &Runtime, session: &mut Session, text: &str) -> Result<ExitCode> {
    let mut out = io::stdout();
    let mut pending = String::new();
    for line in text.lines() {
        if is_blank(&pending) && line.trim_start().starts_with('\\') {
            if runtime.block_on(meta::run(line, session, &mut out))? == After::Quit {
                return Ok(ExitCode::SUCCESS);
            }
            continue;
        }
        pending.push_str(line);
        pending.push('\n');
        // Only a line with a semicolon can end a statement.
        if line.contains(';') {
            let (statements, end) = split(&pending);
            for statement in statements {
                if runtime.block_on(session.run(statement, &mut out))? == Outcome::Failed {
                    return Ok(ExitCode::FAILURE);
                }
            }
            pending.drain(..end.min(pending.len()));
        }
    }
    // The last statement needs no semicolon.
    if !is_blank(&pending) && runtime.block_on(session.run(pending.trim(), &mut out))? == Outcome::Failed {
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads lines until the end of input or `\q`.
fn talk(runtime: &Runtime, mut session: Session) -> Result<ExitCode> {
    let config = Config::builder().max_history_size(HISTORY_ENTRIES_MAX).map(|config| config.auto_add_history(false));
    let config = config.context("set up the line editor")?.build();
    let mut editor: Editor<Completion, FileHistory> = Editor::with_config(config).context("set up the line editor")?;
    editor.set_helper(Some(Completion::default()));
    let history = history_path();
    if let Some(path) = &history {
        // The first time there is none.
        editor.load_history(path).unwrap_or_default();
    }
    writeln!(io::stdout(), "outcrop {}. \\? lists commands, \\q quits.", env!("CARGO_PKG_VERSION"))
        .context("write to standard output")?;
    learn_names(runtime, &session, &mut editor);
    let mut text = String::new();
    loop {
        let prompt = if is_blank(&text) { "outcrop> " } else { "     ... " };
        match editor.readline(prompt) {
            Ok(line) => {
                if take_line(runtime, &mut session, &mut editor, &mut text, &line)? == After::Quit {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => text.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("read a line"),
        }
    }
    if let Some(path) = &history
        && let Err(error) = editor.save_history(path)
    {
        note(&format!("The history is not kept: {error}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds a line to the text and runs the statements that it completes.
fn take_line(
    runtime: &Runtime,
    session: &mut Session,
    editor: &mut Editor<Completion, FileHistory>,
    text: &mut String,
    line: &str,
) -> Result<After> {
    let mut out = io::stdout();
    if is_blank(text) && line.trim_start().starts_with('\\') {
        editor.add_history_entry(line).context("keep the history")?;
        return runtime.block_on(meta::run(line, session, &mut out));
    }
    text.push_str(line);
    text.push('\n');
    let (statements, end) = split(text);
    if statements.is_empty() {
        return Ok(After::GoOn);
    }
    editor.add_history_entry(text.trim()).context("keep the history")?;
    let mut changed_names = false;
    for statement in statements {
        changed_names |= ["create", "drop", "alter"].iter().any(|verb| statement.to_lowercase().starts_with(verb));
        if runtime.block_on(session.run(statement, &mut out))? == Outcome::Failed {
            text.clear();
            return Ok(After::GoOn);
        }
    }
    text.drain(..end.min(text.len()));
    if changed_names {
        learn_names(runtime, session, editor);
    }
    Ok(After::GoOn)
}

/// Asks the server for tables and columns. Without an answer completion knows keywords only.
fn learn_names(runtime: &Runtime, session: &Session, editor: &mut Editor<Completion, FileHistory>) {
    let sql = format!(
        "SELECT table_name, column_name FROM information_schema.columns \
         WHERE table_schema NOT IN ('pg_catalog', 'information_schema') LIMIT {NAMES_MAX}"
    );
    let messages = runtime.block_on(session.connection.client.simple_query(&sql)).unwrap_or_default();
    let mut names = Vec::new();
    for message in &messages {
        if let SimpleQueryMessage::Row(row) = message {
            names.extend([row.get(0), row.get(1)].into_iter().flatten().map(quote_name));
        }
    }
    if let Some(helper) = editor.helper_mut() {
        helper.set_names(names);
    }
}

fn history_path() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(HISTORY_FILE))
}
