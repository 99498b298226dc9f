//! `outcrop check`

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use outcrop_env::Env;

use crate::cli::CheckArguments;

/// Verifies every file and tells what is wrong. Exit code 1 if anything is.
pub(crate) fn run(arguments: &CheckArguments) -> Result<ExitCode> {
    let data = &arguments.data;
    if !data.is_dir() {
        bail!("there is no directory {}", data.display());
    }
    let env = Env::real(data).with_context(|| format!("open {}", data.display()))?;
    let report = outcrop_engine::check(&env).with_context(|| format!("check {}", data.display()))?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{report}").context("write to standard output")?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
