//! `outcrop backup`

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use outcrop_engine::backup::{open_backup, open_target};
use outcrop_engine::{BackupReport, Engine, EngineOptions};
use outcrop_env::Env;
use serde::Deserialize;
use tokio::runtime::Builder;
use tokio_postgres::SimpleQueryMessage;

use crate::cli::BackupArguments;
use crate::client::{Notices, connect, describe};
use crate::restore::time;
use crate::terminal::{grouped, megabytes};

/// What a backup has become.
#[derive(Debug, Deserialize)]
struct Taken {
    files: u64,
    bytes: u64,
    copied_files: u64,
    copied_bytes: u64,
    first_commit: u64,
    last_commit: u64,
    first_time: String,
    last_time: String,
}

/// Has a backup taken, and tells what it holds.
pub(crate) fn run(arguments: &BackupArguments) -> Result<ExitCode> {
    let absolute = |path: &Path| std::path::absolute(path).with_context(|| format!("look at {}", path.display()));
    let to = absolute(&arguments.to)?;
    let since = arguments.since.as_deref().map(absolute).transpose()?;
    let taken = match &arguments.data {
        Some(data) => of_directory(data, &to, since.as_deref())?,
        None => of_server(arguments, &to, since.as_deref())?,
    };
    let Taken { files, bytes, copied_files, copied_bytes, first_commit, last_commit, first_time, last_time } = taken;
    let text = format!(
        "backup taken: {} files ({}), {} of them copied ({})\n\
         it can be restored to commits {first_commit} to {last_commit}, times {first_time} to {last_time}\n",
        grouped(files),
        megabytes(bytes),
        grouped(copied_files),
        megabytes(copied_bytes),
    );
    std::io::stdout().lock().write_all(text.as_bytes()).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn of_server(arguments: &BackupArguments, to: &Path, since: Option<&Path>) -> Result<Taken> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.with_context(|| format!("\"{}\" is not UTF-8, and so cannot be sent to the server", path.display()))
    };
    let (to, since) = (text(to)?, since.map(text).transpose()?);
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start the threads of the connection")?;
    runtime.block_on(async {
        let connection = connect(&arguments.server, "outcrop backup", Notices::Shown).await?;
        let since = since.map(|since| format!(", {}", quote_text(&since))).unwrap_or_default();
        let sql = format!("SELECT outcrop.backup({}{since})", quote_text(&to));
        let answer = connection.client.simple_query(&sql).await;
        let messages = answer.map_err(|error| anyhow!(describe(&error, &sql)))?;
        let report = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        serde_json::from_str(report.context("the server gave no answer")?).context("read the server's answer")
    })
}

/// A literal of SQL.
fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A server that is stopped: its database is opened for the purpose, which recovers it as a start does.
fn of_directory(data: &Path, to: &Path, since: Option<&Path>) -> Result<Taken> {
    if !data.is_dir() {
        bail!("there is no directory {}", data.display());
    }
    let env = Env::real(data).with_context(|| format!("open {}", data.display()))?;
    if env.disk.list("").context("list the data directory")?.is_empty() {
        bail!("{} is not a data directory: it is empty", data.display());
    }
    let mut options = EngineOptions::default();
    options.compaction_in_background = false;
    let engine = Engine::open(&env, options).with_context(|| format!("open the database in {}", data.display()))?;
    let taken = (|| {
        let since = since.map(open_backup).transpose()?;
        let target = open_target(&engine, to)?;
        engine.backup(&target, since.as_ref(), &|| false)
    })();
    let closed = engine.close();
    let BackupReport { range, files, bytes, copied_files, copied_bytes, .. } = taken.context("take the backup")?;
    closed.context("close the database")?;
    Ok(Taken {
        files,
        bytes,
        copied_files,
        copied_bytes,
        first_commit: range.first.get(),
        last_commit: range.last.get(),
        first_time: time(range.first_us),
        last_time: time(range.last_us),
    })
}
