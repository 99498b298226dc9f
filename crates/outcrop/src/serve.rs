//! `outcrop serve`

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use outcrop_server::config::{Config, Sources};
use outcrop_server::{Authentication, RunningServer};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{ConfigArguments, ServeArguments};
use crate::logging;
use crate::node::Node;
use crate::report::BadConfiguration;

/// Exit code of a process that a second signal ended, as shells count it (128 + SIGINT).
const INTERRUPTED: i32 = 130;

/// Serves until a signal.
pub(crate) fn run(arguments: &ServeArguments) -> Result<ExitCode> {
    let flags = [
        ("pg_listen", arguments.pg_listen.clone()),
        ("http_listen", arguments.http_listen.clone()),
        ("log.level", arguments.log.clone()),
        ("log.format", arguments.log_format.clone()),
    ];
    let flags = flags.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let config = load_config(&arguments.config, flags.collect())?;
    let checked = config.check().map_err(BadConfiguration)?;
    logging::start(&config.log)?;

    let mut signals = Signals::new()?;
    let node = Node::start(checked)?;
    say_ready(&node)?;
    while signals.wait() == Asked::Reload {
        reload(&config, node.server());
    }
    tracing::info!("stopping");
    let watcher = std::thread::Builder::new().name("outcrop-signals".to_owned()).spawn(move || signals.abort_on_next());
    drop(watcher.context("watch for a second signal")?);
    node.stop()?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Reads users and certificate again. If something is wrong with them, all stays as it was.
fn reload(config: &Config, server: &RunningServer) {
    let reloaded = config.read_access().map_err(|problems| {
        problems.iter().for_each(|problem| tracing::error!("{problem}"));
    });
    let Ok((authentication, tls)) = reloaded else {
        tracing::error!("users and certificate stay as they were");
        return;
    };
    let users = match &authentication {
        Authentication::Trust => 0,
        Authentication::Users(users) => users.users().len(),
    };
    match server.reload(authentication, tls.as_ref()) {
        Ok(()) => tracing::info!(users, tls = tls.is_some(), "users and certificate were read again"),
        Err(error) => tracing::error!("users and certificate stay as they were: {error}"),
    }
}

/// The configuration of a command.
pub(crate) fn load_config(
    arguments: &ConfigArguments,
    mut flags: Vec<(&'static str, String)>,
) -> Result<Config, BadConfiguration> {
    flags.extend(arguments.data.as_ref().map(|data| ("data", data.to_string_lossy().into_owned())));
    let sources = Sources { file: arguments.config.clone(), environment: std::env::vars_os().collect(), flags };
    sources.load().map_err(BadConfiguration)
}

/// O1. Programs wait for this line and read the ports from it.
fn say_ready(node: &Node) -> Result<()> {
    let mut line = format!("ready: postgres on {}", node.server().pg_addr());
    if let Some(address) = node.server().http_addr() {
        line.push_str(&format!(", http on {address}"));
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("print the ready line")
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Reload,
    Stop,
}

/// SIGINT, SIGTERM and SIGHUP.
struct Signals {
    runtime: Runtime,
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on signals are kept for [`Signals::wait`].
    fn new() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().context("watch for signals")?;
        let entered = runtime.enter();
        let interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
        let terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
        let hangup = signal(SignalKind::hangup()).context("watch for SIGHUP")?;
        drop(entered);
        Ok(Self { runtime, hangup, interrupt, terminate })
    }

    /// Blocks until one comes.
    fn wait(&mut self) -> Asked {
        let Self { hangup, interrupt, terminate, .. } = self;
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => Asked::Stop,
                _ = terminate.recv() => Asked::Stop,
                _ = hangup.recv() => Asked::Reload,
            }
        })
    }

    /// Whoever asks a second time does not want to wait: acknowledged commits are in the log, so nothing is lost.
    fn abort_on_next(&mut self) {
        while self.wait() == Asked::Reload {}
        std::process::exit(INTERRUPTED);
    }
}
