//! `outcrop check`

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use outcrop_engine::check::{CheckReport, check};
use outcrop_env::Env;

use crate::cli::CheckArguments;
use crate::restore::moments;
use crate::terminal::{grouped, megabytes};

/// Verifies every file and tells what is wrong. Exit code 1 if anything is.
pub(crate) fn run(arguments: &CheckArguments) -> Result<ExitCode> {
    let data = &arguments.data;
    // Opening an environment would create it.
    if !data.is_dir() {
        bail!("there is no directory {}", data.display());
    }
    let env = Env::real(data).with_context(|| format!("open {}", data.display()))?;
    let report = check(&env).with_context(|| format!("check {}", data.display()))?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(render(&report).as_bytes()).context("write to standard output")?;
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was found: counts, then leftovers, then problems, each on its line.
fn render(report: &CheckReport) -> String {
    let mut text = format!(
        "{} tables, {} rows, {} segments ({}), {} key runs ({}), {} manifests, {} log records up to commit {}\n",
        grouped(report.tables),
        grouped(report.rows),
        grouped(report.segments),
        megabytes(report.segment_bytes),
        grouped(report.key_runs),
        megabytes(report.key_run_bytes),
        grouped(report.manifests),
        grouped(report.records),
        report.commit_seq,
    );
    // Writing to a string cannot fail.
    if let Some(range) = &report.backup {
        writeln!(text, "backup: {}", moments(range)).unwrap_or_default();
    }
    for leftover in &report.leftovers {
        writeln!(text, "leftover, removed at the next start: {leftover}").unwrap_or_default();
    }
    for problem in &report.problems {
        writeln!(text, "problem: {problem}").unwrap_or_default();
    }
    match report.problems.len() {
        0 => text.push_str("clean: every file, checksum and key is sound\n"),
        count => writeln!(text, "{count} problems found").unwrap_or_default(),
    }
    text
}
