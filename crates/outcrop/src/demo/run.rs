//! The course of the demo.

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use outcrop_env::{Clock, Env};
use outcrop_server::Authentication;
use outcrop_server::config::{Config, LogSection, Period};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::freshness::Observer;
use super::place::Place;
use super::processes::{ProcessKey, ProcessReader, Processes, difference};
use super::queries::{QUERIES, Reader};
use super::screen::{View, print};
use super::state::{Addresses, State, Turn};
use super::summary::summary;
use super::table::Tables;
use crate::cli::{DemoArguments, ServerArguments};
use crate::client::{Connection, Notices, connect};
use crate::logging;
use crate::node::Node;
use crate::report::BadConfiguration;

/// Runs until its time is over or a signal comes, then tells what it saw.
pub(crate) fn run(arguments: &DemoArguments) -> Result<ExitCode> {
    logging::start(&LogSection { level: "warn".to_owned(), ..LogSection::default() })?;
    let runtime = Builder::new_current_thread().enable_all().build().context("start the demo's own runtime")?;
    // From here on a signal ends the demo in good order, even if it comes while the server starts.
    let signals = runtime.block_on(async { Signals::new() })?;
    let place = Place::new(arguments.data.as_deref())?;
    print(&[format!("Outcrop demo: {}", place.introduction())])?;
    let node = start(arguments, &place)?;
    let watched = runtime.block_on(watch(arguments, &node, &place, signals));
    // The sessions end with their runtime; the server need not wait for them.
    drop(runtime);
    let engine = node.engine().status();
    // The server stops and the directory is left in order whatever came before.
    let stopped = node.stop();
    let mut lines = summary(&watched?, &engine);
    stopped?;
    lines.push(place.leave()?);
    print(&lines)?;
    Ok(ExitCode::SUCCESS)
}

/// A server on the demo's directory.
fn start(arguments: &DemoArguments, place: &Place) -> Result<Node> {
    let defaults = Config::default();
    let config = Config {
        data: place.path().to_owned(),
        pg_listen: arguments.pg_listen.clone().unwrap_or_else(|| this_or_any_port(&defaults.pg_listen)),
        http_listen: arguments.http_listen.clone().unwrap_or_else(|| this_or_any_port(&defaults.http_listen)),
        drain_timeout: Period(DRAIN_TIMEOUT),
        ..defaults
    };
    let checked = config.check().map_err(BadConfiguration)?;
    if let Authentication::Users(_) = checked.server.authentication {
        bail!("{} has users, and the demo has no password; use another directory", place.path().display());
    }
    Node::start(checked)
}

/// The address if nobody listens there, else a free port beside it.
fn this_or_any_port(address: &str) -> String {
    match TcpListener::bind(address) {
        Ok(_free) => address.to_owned(),
        Err(_taken) => ANY_PORT.to_owned(),
    }
}

/// Keeps the tables current and shows them.
async fn watch(arguments: &DemoArguments, node: &Node, place: &Place, mut signals: Signals) -> Result<State> {
    let addresses = Addresses { postgres: node.server().pg_addr(), http: node.server().http_addr() };
    let env = Env::real(place.path()).context("read the clock")?;
    let ends_after = arguments.seconds.map(Duration::from_secs);
    let state = State::new(addresses, place.introduction(), ends_after);
    let mut demo = Box::pin(Demo::new(state, Arc::clone(&env.clock))).await?;
    let mut lines = vec![format!("connect with: {}", addresses.psql())];
    lines.extend(addresses.curl().map(|curl| format!("or: {curl}")));
    print(&lines)?;
    let mut view = View::open()?;
    let mut seconds = tokio::time::interval(PERIOD);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !demo.state.is_over(demo.elapsed()) {
        tokio::select! {
            biased;
            () = signals.come() => break,
            () = demo.time_is_over() => break,
            _ = seconds.tick() => {}
        }
        tokio::select! {
            biased;
            () = signals.come() => break,
            turned = Box::pin(demo.turn()) => turned?,
        }
        view.show(&demo.state)?;
    }
    // A turn that a signal cut short may have written, and not counted.
    demo.state.rows = demo.reader.count().await?;
    demo.state.elapsed = demo.elapsed();
    Ok(demo.state)
}

/// The sessions and what they saw.
struct Demo {
    clock: Arc<dyn Clock>,
    began: Duration,
    processes: ProcessReader,
    writer: Connection,
    tables: Tables,
    observer: Observer,
    reader: Reader,
    state: State,
    before: Option<Look>,
}

/// The turn before.
struct Look {
    at: Duration,
    seen_at: SystemTime,
    processes: Processes,
}

impl Demo {
    async fn new(state: State, clock: Arc<dyn Clock>) -> Result<Self> {
        let server = ServerArguments { pg: state.addresses.postgres.to_string(), user: Some(USER.to_owned()) };
        let writer = connect(&server, "outcrop demo: changes", Notices::Shown).await?;
        let tables = Tables::open(&writer.client).await?;
        let observer =
            Observer::new(connect(&server, "outcrop demo: freshness", Notices::Shown).await?, Arc::clone(&clock))
                .await?;
        let reader = Reader::new(connect(&server, "outcrop demo: queries", Notices::Shown).await?, Arc::clone(&clock));
        let (processes, began) = (ProcessReader::new()?, clock.monotonic());
        Ok(Self { clock, began, processes, writer, tables, observer, reader, state, before: None })
    }

    /// Looks at the processes, writes what is new, and asks the queries.
    ///
    /// # Cancel safety
    /// A change that was sent may be in the tables and not in the figures.
    async fn turn(&mut self) -> Result<()> {
        let at = self.clock.monotonic();
        let seen_at = self.wall_time();
        let processes = self.processes.read()?;
        let mut turn = Turn { interval: PERIOD, ..Turn::default() };
        turn.changes.upserted = self.upsert(&processes, seen_at).await?;
        match self.before.take() {
            Some(before) => {
                let difference = difference(&before.processes, &processes);
                turn.interval = at.saturating_sub(before.at);
                (turn.started, turn.ended) = (difference.started, difference.ended);
                if difference.ended > 0 {
                    turn.changes.deleted = self.delete_ended(seen_at).await?;
                }
                let sent = self.clock.monotonic();
                let (appended, fresh) = tokio::try_join!(
                    self.acknowledged(sent, self.tables.append(&self.writer.client, &difference.samples, seen_at)),
                    self.observer.see_samples(seen_at, sent),
                )?;
                turn.changes.appended = self.count(&appended, fresh);
            }
            // Some may be left of an earlier demo in this directory.
            None => turn.changes.deleted = self.delete_ended(seen_at).await?,
        }
        self.before = Some(Look { at, seen_at, processes });
        self.state.add(turn);
        for (query, answer) in QUERIES.into_iter().zip(&mut self.state.answers) {
            self.reader.ask(query, answer).await?;
        }
        self.state.rows = self.reader.count().await?;
        self.state.elapsed = self.elapsed();
        Ok(())
    }

    async fn upsert(&mut self, processes: &Processes, seen_at: SystemTime) -> Result<u64> {
        let Some(&key): Option<&ProcessKey> = processes.keys().next() else { return Ok(0) };
        let sent = self.clock.monotonic();
        let (upserted, fresh) = tokio::try_join!(
            self.acknowledged(sent, self.tables.upsert(&self.writer.client, processes, seen_at)),
            self.observer.see_process(key, seen_at, sent),
        )?;
        Ok(self.count(&upserted, fresh))
    }

    async fn delete_ended(&mut self, seen_at: SystemTime) -> Result<u64> {
        let sent = self.clock.monotonic();
        let deleted = self.tables.delete_ended(&self.writer.client, seen_at);
        let Acknowledged { rows, latency } = self.acknowledged(sent, deleted).await?;
        self.state.acknowledged.record(latency);
        Ok(rows)
    }

    /// The rows of a change with the time to its acknowledgement.
    async fn acknowledged(&self, sent: Duration, change: impl Future<Output = Result<u64>>) -> Result<Acknowledged> {
        let rows = change.await?;
        Ok(Acknowledged { rows, latency: self.clock.monotonic().saturating_sub(sent) })
    }

    fn count(&mut self, change: &Acknowledged, fresh: Duration) -> u64 {
        self.state.acknowledged.record(change.latency);
        self.state.freshness.record(fresh);
        change.rows
    }

    /// Ready at the end of the demo, if it has one.
    async fn time_is_over(&self) {
        match self.state.ends_after {
            Some(end) => tokio::time::sleep(end.saturating_sub(self.elapsed())).await,
            None => std::future::pending().await,
        }
    }

    fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.began)
    }

    /// The time of this turn: later than that of the turn before, even if the clock was set back, because the rows that
    /// are older than a turn are deleted.
    fn wall_time(&self) -> SystemTime {
        let us = u64::try_from(self.clock.wall_us()).unwrap_or_default();
        let now = UNIX_EPOCH + Duration::from_micros(us);
        match &self.before {
            Some(before) => now.max(before.seen_at + Duration::from_micros(1)),
            None => now,
        }
    }
}

/// A change that is durable.
struct Acknowledged {
    rows: u64,
    latency: Duration,
}

/// SIGINT and SIGTERM, which end the demo.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("watch for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("watch for SIGTERM")?,
        })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

const PERIOD: Duration = Duration::from_secs(1);
/// Nobody waits long for the end of a demo.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
const ANY_PORT: &str = "127.0.0.1:0";
const USER: &str = "demo";
