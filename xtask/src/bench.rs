//! `cargo xtask bench`: end-to-end figures as ratios to PostgreSQL and DuckDB, in one run on one machine.

use std::process::Command;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{cache, command};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Which measures.
    #[arg(value_enum, default_value_t = Suite::Compare)]
    suite: Suite,
    /// For the script of the suite, such as `--rows 20000000 --seconds 600`; `--help` lists what it takes.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// A group of measures; each writes `bench/results/<name>.md`.
#[derive(Clone, Copy, ValueEnum)]
enum Suite {
    /// Loads, scans, upserts and deletes on a small table and the flights.
    Compare,
    /// Upserts over some connections for a while.
    Upsert,
    /// Single rows, each committed, by one client and by 32.
    Commits,
    /// Bulk load from Parquet.
    Load,
    /// From a commit at a fixed time to a reader that sees it.
    Visible,
    /// Scans before and after a tenth of the rows was deleted.
    DeadRows,
    /// Starts after a kill and after a clean stop.
    Recovery,
    /// Disk after all rows were rewritten five times.
    Space,
}

impl Suite {
    /// The script, and its first arguments.
    fn script(self) -> &'static [&'static str] {
        match self {
            Self::Compare => &["bench/compare.py"],
            Self::Upsert => &["bench/writes.py", "upsert"],
            Self::Commits => &["bench/writes.py", "commits"],
            Self::Load => &["bench/writes.py", "load"],
            Self::Visible => &["bench/changes.py", "visible"],
            Self::DeadRows => &["bench/changes.py", "dead-rows"],
            Self::Recovery => &["bench/changes.py", "recovery"],
            Self::Space => &["bench/changes.py", "space"],
        }
    }
}

/// Builds the server as users do and hands over to the script of the suite.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = cache::repository();
    command::run(Command::new("cargo").current_dir(&root).args(["build", "--release", "--package", "outcrop"]))?;
    cache::need_programs(&[("psql", "postgresql-client")])?;
    if !std::path::Path::new("/usr/lib/postgresql/15/bin/postgres").exists() {
        cache::need_programs(&[("postgres-15-server-is-missing", "postgresql-15")])?;
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), std::path::PathBuf::from);
    command::run(
        Command::new(cache::python()?)
            .current_dir(&root)
            .env("OUTCROP_BINARY", target.join("release/outcrop"))
            .env("OUTCROP_CACHE", cache::directory()?)
            .args(options.suite.script())
            .args(&options.arguments),
    )
}
