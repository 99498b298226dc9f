//! The demo, from beginning to end.

use std::io::{IsTerminal as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use outcrop_server::config::Config;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::board::{Board, Event};
use super::screen::{self, Addresses};
use super::{probe, questions, writer};
use crate::cli::{DemoArguments, ServerArguments};
use crate::client::connect;
use crate::logging;
use crate::node::Node;
use crate::report::BadConfiguration;

const PG_LISTEN: &str = "127.0.0.1:5433";
const HTTP_LISTEN: &str = "127.0.0.1:8090";
const ANY_PORT: &str = "127.0.0.1:0";
const EVENTS_MAX: usize = 256;
const REDRAW: Duration = Duration::from_secs(1);

/// Runs the demo until Ctrl-C or the end of its time.
pub(crate) fn run(arguments: &DemoArguments) -> Result<ExitCode> {
    let directory = Directory::new(arguments.data.as_deref())?;
    let mut config = Config {
        data: directory.path.clone(),
        pg_listen: arguments.pg_listen.clone().unwrap_or_else(|| free_or_any(PG_LISTEN)),
        http_listen: arguments.http_listen.clone().unwrap_or_else(|| free_or_any(HTTP_LISTEN)),
        ..Config::default()
    };
    config.log.level = "warn".to_owned();
    // Nobody waits for statements of the demo's own clients.
    config.drain_timeout = "1s".parse().context("set up the demo")?;
    logging::start(&config.log)?;
    let node = Node::start(config.check().map_err(BadConfiguration)?)?;
    let addresses = Addresses { pg: node.server().pg_addr(), http: node.server().http_addr() };
    let runtime =
        Builder::new_multi_thread().worker_threads(1).enable_all().build().context("start the demo's threads")?;
    let watched = runtime.block_on(watch(addresses, arguments.seconds.map(Duration::from_secs)));
    drop(runtime);
    node.stop()?;
    let board = watched?;
    say(&screen::summary(&board, Instant::now()))?;
    directory.say_where()?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the clients and shows what they do.
async fn watch(addresses: Addresses, time: Option<Duration>) -> Result<Board> {
    let (send, mut events) = mpsc::channel(EVENTS_MAX);
    let mut clients = start_clients(addresses, &send).await?;
    drop(send);
    let begin = Instant::now();
    let mut board = Board::new(begin);
    let show = Show::begin(addresses)?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let end = tokio::time::sleep(time.unwrap_or(Duration::MAX));
    let mut end = std::pin::pin!(end);
    let mut ticks = interval(REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = ticks.tick() => show.draw(&board)?,
            Some(event) = events.recv() => board.take(event, Instant::now()),
            Some(ended) = clients.join_next() => {
                let cause = match ended {
                    Ok(Ok(())) => anyhow!("it ended by itself"),
                    Ok(Err(error)) => error,
                    Err(panic) => anyhow!(panic),
                };
                return Err(cause.context("a client of the demo failed"));
            }
        }
    }
    clients.shutdown().await;
    Ok(board)
}

async fn start_clients(addresses: Addresses, send: &mpsc::Sender<Event>) -> Result<JoinSet<Result<()>>> {
    let server = ServerArguments { pg: addresses.pg.to_string(), user: None };
    let open = || connect(&server, "outcrop demo");
    let first = open().await?;
    writer::prepare(&first.client).await?;
    let mut clients = JoinSet::new();
    clients.spawn(writer::run(first, send.clone()));
    clients.spawn(probe::run(open().await?, open().await?, send.clone()));
    clients.spawn(questions::run(open().await?, send.clone()));
    Ok(clients)
}

/// The terminal, or lines where there is none.
struct Show {
    addresses: Addresses,
    is_screen: bool,
}

impl Show {
    fn begin(addresses: Addresses) -> Result<Self> {
        let is_screen = std::io::stdout().is_terminal();
        if is_screen {
            say(screen::BEGIN)?;
        } else {
            say(&format!("Outcrop demo: the processes of this machine. Connect with:\n{}\n", addresses.advice()))?;
        }
        Ok(Self { addresses, is_screen })
    }

    fn draw(&self, board: &Board) -> Result<()> {
        let now = Instant::now();
        if self.is_screen {
            say(&screen::draw(board, &self.addresses, now))
        } else {
            say(&format!("{}\n", screen::line(board, now)))
        }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        if self.is_screen {
            // A terminal that is gone needs nothing undone.
            say(screen::END).unwrap_or_default();
        }
    }
}

/// Where the demo's database is.
struct Directory {
    path: PathBuf,
    is_temporary: bool,
}

impl Directory {
    /// The one that was asked for, or a new one among the temporary files.
    fn new(wanted: Option<&Path>) -> Result<Self> {
        if let Some(path) = wanted {
            return Ok(Self { path: path.to_path_buf(), is_temporary: false });
        }
        let path = std::env::temp_dir().join(format!("outcrop-demo-{}", std::process::id()));
        // The name is ours alone while we run; what is there is of a process that is gone.
        remove(&path)?;
        std::fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path, is_temporary: true })
    }

    fn say_where(&self) -> Result<()> {
        if self.is_temporary {
            return Ok(());
        }
        say(&format!("The database is kept: outcrop serve --data {}\n", self.path.display()))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.is_temporary {
            // A leftover among the temporary files is harmless.
            remove(&self.path).unwrap_or_default();
        }
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The usual address if nobody has it, else any port.
fn free_or_any(address: &str) -> String {
    let is_free = TcpListener::bind(address).is_ok();
    if is_free { address.to_owned() } else { ANY_PORT.to_owned() }
}

fn say(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("write to standard output")
}
