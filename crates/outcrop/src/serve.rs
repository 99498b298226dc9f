//! `outcrop serve`

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use outcrop_server::config::{Config, Sources};
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
    signals.wait();
    tracing::info!("stopping");
    let watcher = std::thread::Builder::new().name("outcrop-signals".to_owned()).spawn(move || signals.abort_on_next());
    drop(watcher.context("watch for a second signal")?);
    node.stop()?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
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

/// SIGINT and SIGTERM.
struct Signals {
    runtime: Runtime,
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
        drop(entered);
        Ok(Self { runtime, interrupt, terminate })
    }

    /// Blocks until one comes.
    fn wait(&mut self) {
        let (interrupt, terminate) = (&mut self.interrupt, &mut self.terminate);
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
    }

    /// Whoever asks a second time does not want to wait: acknowledged commits are in the log, so nothing is lost.
    fn abort_on_next(&mut self) {
        self.wait();
        std::process::exit(INTERRUPTED);
    }
}
