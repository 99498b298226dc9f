//! `cargo xtask bench`: end-to-end figures as ratios to PostgreSQL and DuckDB, in one run on one machine.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::{cache, command};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Rows of the generated table.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Runs of each measurement; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: u32,
}

/// Builds the server as users do and hands over to `bench/compare.py`, which writes `bench/results/compare.md`.
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
            .arg("bench/compare.py")
            .args(["--rows", &options.rows.to_string(), "--runs", &options.runs.to_string()]),
    )
}
