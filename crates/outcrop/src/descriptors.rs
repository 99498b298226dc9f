//! How many files the process may open.

use anyhow::Result;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use outcrop_server::ServerConfig;

/// Raises the limit as far as the system allows, and fits the server's connections into it.
///
/// # Errors
/// If a server makes no sense with so few.
pub(crate) fn fit(server: &mut ServerConfig) -> Result<()> {
    // A system that does not tell has no limit that is known.
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let limit = if raised { hard } else { soft };
    if let Some((pg, http)) = server.fit_descriptors(limit)? {
        tracing::warn!(
            limit,
            connections_max = pg,
            http_connections_max = http,
            "fewer connections than configured: the process may open too few files (ulimit -n)"
        );
    }
    Ok(())
}
