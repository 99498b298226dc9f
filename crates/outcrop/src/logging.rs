//! Log output, on standard error.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use outcrop_server::config::LogSection;
use tracing_subscriber::EnvFilter;

/// Starts the log as configured.
pub(crate) fn start(log: &LogSection) -> Result<()> {
    let filter =
        EnvFilter::try_new(&log.level).with_context(|| format!("log.level \"{}\" is no log filter", log.level))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = if log.format == "full" { builder.try_init() } else { builder.compact().try_init() };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}
