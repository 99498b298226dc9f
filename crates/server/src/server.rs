//! Listeners, the runtime that they run on, and how they stop.

use std::fmt;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use outcrop_env::Env;
use outcrop_query::Database;
use outcrop_types::{Condition, Error, Result};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::auth::Authentication;
use crate::pgwire::{Limits, Services, serve, turn_away};
use crate::rest::{self, RestLimits, RestServices};
use crate::session::{ACCEPT_PAUSE, REFUSALS_MAX, Registry};
use crate::tls::Tls;

/// What a server listens on, and its limits.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Address of the PostgreSQL protocol. Port 0 takes any free one.
    pub pg_listen: SocketAddr,
    /// Address of the REST interface, if it is served. Port 0 takes any free one.
    pub http_listen: Option<SocketAddr>,
    /// Host names that HTTP requests may name, beside addresses and `localhost`.
    pub http_hosts: Vec<String>,
    /// HTTP connections at once. Default 1,000.
    pub http_connections_max: usize,
    /// Longest that an HTTP client may be silent: before the head of a request is whole, between two pieces of its body,
    /// and while an answer waits for it. Default 30 s.
    pub http_idle_timeout: Duration,
    /// Longest body of an HTTP request. Default 64 MiB.
    pub body_bytes_max: usize,
    /// Memory for all bodies of HTTP requests at once. Default 256 MiB.
    pub body_memory_bytes: u64,
    /// Memory for results of HTTP queries that wait to be fetched. Default 256 MiB.
    pub result_memory_bytes: usize,
    /// Longest from the head of an HTTP request to the end of its body. Default 2 min.
    pub body_timeout: Duration,
    /// Who may connect. [`Authentication::Trust`] works on loopback only.
    pub authentication: Authentication,
    /// Certificate and key, if clients may encrypt.
    pub tls: Option<Tls>,
    /// Sessions at once. Default 1,000.
    pub connections_max: usize,
    /// Longest message from a client. Default 64 MiB.
    pub message_bytes_max: usize,
    /// Time from a client's first byte to the end of its authentication. Default 60 s.
    pub startup_timeout: Duration,
    /// Prepared statements that one session may keep, and portals. Default 10,000.
    pub prepared_max: usize,
    /// Memory for the statements and portals that one session keeps by name, estimated. Default 256 MiB.
    pub session_bytes_max: usize,
    /// How long running statements may go on after [`RunningServer::shutdown`]. Default 30 s.
    pub drain_timeout: Duration,
    /// Threads of the network's runtime. Default 2.
    pub network_threads: usize,
}

impl ServerConfig {
    /// The defaults, on an address.
    pub fn new(pg_listen: SocketAddr) -> Self {
        Self {
            pg_listen,
            http_listen: None,
            http_hosts: Vec::new(),
            http_connections_max: 1_000,
            http_idle_timeout: Duration::from_secs(30),
            body_bytes_max: 64 << 20,
            body_memory_bytes: 256 << 20,
            result_memory_bytes: 256 << 20,
            body_timeout: Duration::from_secs(120),
            authentication: Authentication::Trust,
            tls: None,
            connections_max: 1_000,
            message_bytes_max: 64 << 20,
            startup_timeout: Duration::from_secs(60),
            prepared_max: 10_000,
            session_bytes_max: 256 << 20,
            drain_timeout: Duration::from_secs(30),
            network_threads: 2,
        }
    }
}

/// The way to a [`RunningServer`].
#[derive(Debug)]
pub struct Server;

/// A server that takes connections. Dropping it ends them at once.
pub struct RunningServer {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    pg_addr: SocketAddr,
    http_addr: Option<SocketAddr>,
    registry: Arc<Registry>,
    access: Arc<Access>,
    shutdown: CancellationToken,
    stopped: watch::Receiver<bool>,
}

/// What cancelled statements get to end before their connections are dropped.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

impl Server {
    /// Binds the addresses and serves `database` on a runtime of its own. Returns once clients can connect.
    ///
    /// # Errors
    /// `InvalidAuthorization` for an address beyond loopback without authentication, `IoError` if an address cannot be
    /// bound.
    pub fn start(config: ServerConfig, database: Database, env: Env) -> Result<RunningServer> {
        check_exposure(&config)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.network_threads.max(1))
            .thread_name("outcrop-network")
            .enable_all()
            .build()
            .map_err(|source| Error::new(Condition::IoError, "start the network's threads").with_source(source))?;
        let entered = runtime.enter();
        let (listener, pg_addr) = listen(config.pg_listen, "--pg-listen")?;
        let http = config.http_listen.map(|address| listen(address, "--http-listen")).transpose()?;
        drop(entered);
        let http_addr = http.as_ref().map(|(_, address)| *address);

        let registry = Registry::new(config.connections_max);
        let access = Access::new(config.authentication, config.tls.as_ref());
        let shutdown = CancellationToken::new();
        let connections = TaskTracker::new();
        if let Some((listener, _)) = http {
            let limits = RestLimits {
                body_bytes_max: config.body_bytes_max,
                body_memory_bytes: config.body_memory_bytes,
                result_memory_bytes: config.result_memory_bytes,
                body_timeout: config.body_timeout,
                connections_max: config.http_connections_max,
                idle_timeout: config.http_idle_timeout,
                drain_timeout: config.drain_timeout,
            };
            let (database, access) = (database.clone(), Arc::clone(&access));
            let (registry, shutdown) = (Arc::clone(&registry), shutdown.clone());
            let services = RestServices::new(database, env.clone(), access, limits, registry, shutdown);
            let services = Arc::new(services.with_hosts(config.http_hosts));
            connections.spawn_on(rest::serve(listener, services), runtime.handle());
        }
        let send_timeout = database.engine().snapshot_age_max();
        let services = Arc::new(Services {
            database,
            env,
            access: Arc::clone(&access),
            limits: Limits {
                message_bytes_max: config.message_bytes_max,
                startup_timeout: config.startup_timeout,
                send_timeout,
                prepared_max: config.prepared_max,
                session_bytes_max: config.session_bytes_max,
            },
            registry: Arc::clone(&registry),
            shutdown: shutdown.clone(),
        });
        let sockets = Arc::new(Semaphore::new(config.connections_max.saturating_add(REFUSALS_MAX)));
        let (stop, stopped) = watch::channel(false);
        connections.spawn_on(accept(listener, services, sockets, connections.clone()), runtime.handle());
        let drain = drain(connections, shutdown.clone(), Arc::clone(&registry), config.drain_timeout, stop);
        // The supervisor ends with the runtime that `RunningServer` owns.
        drop(runtime.spawn(drain));
        tracing::info!(%pg_addr, ?http_addr, "listening");
        Ok(RunningServer { runtime: Some(runtime), pg_addr, http_addr, registry, access, shutdown, stopped })
    }
}

impl RunningServer {
    /// Where the PostgreSQL protocol is spoken.
    pub fn pg_addr(&self) -> SocketAddr {
        self.pg_addr
    }

    /// Where REST is spoken, if it is.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http_addr
    }

    /// Sessions now.
    pub fn connections(&self) -> usize {
        self.registry.len()
    }

    /// Lets in whom `authentication` knows, with a new certificate. It counts for connections and HTTP requests that begin
    /// from now on; sessions that are open stay.
    ///
    /// # Errors
    /// `InvalidAuthorization` if it would take all users or the certificate away: everything is as before then.
    pub fn reload(&self, authentication: Authentication, tls: Option<&Tls>) -> Result<()> {
        self.access.replace(authentication, tls)
    }

    /// Stops taking connections and tells idle ones to go (57P01). Running statements may end within the drain timeout;
    /// then they are cancelled. Returns at once; see [`wait`](Self::wait).
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Ready once the server has stopped, after [`shutdown`](Self::shutdown).
    ///
    /// # Cancel safety
    /// It only watches.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        // An error means that the supervisor is gone, and with it the server.
        stopped.wait_for(|stopped| *stopped).await.map(drop).unwrap_or_default();
    }

    /// Blocks the calling thread until the server has stopped, after [`shutdown`](Self::shutdown). Not for async code.
    pub fn wait(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(self.stopped());
            runtime.shutdown_timeout(CANCEL_GRACE);
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer").field("pg_addr", &self.pg_addr).finish_non_exhaustive()
    }
}

/// N5.
fn check_exposure(config: &ServerConfig) -> Result<()> {
    let exposed = [Some(config.pg_listen), config.http_listen].into_iter().flatten().find(|a| !a.ip().is_loopback());
    match (&config.authentication, exposed) {
        (Authentication::Trust, Some(address)) => Err(Error::new(
            Condition::InvalidAuthorization,
            format!("will not listen on {address} without authentication"),
        )
        .with_hint("Add a user with `outcrop user add`, or listen on 127.0.0.1.")),
        (Authentication::Trust, None) | (Authentication::Users(_), _) => Ok(()),
    }
}

/// Binds an address, inside the runtime. `flag` is how a user chooses another one.
fn listen(address: SocketAddr, flag: &str) -> Result<(TcpListener, SocketAddr)> {
    let bound = || {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound().map_err(|source: std::io::Error| {
        Error::new(Condition::IoError, format!("cannot listen on {address}: {source}"))
            .with_hint(format!("Is another server running there? Choose another address with {flag}."))
            .with_source(source)
    })
}

/// Takes connections until the server stops.
async fn accept(listener: TcpListener, services: Arc<Services>, sockets: Arc<Semaphore>, connections: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = services.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&sockets).try_acquire_owned() else {
            tracing::debug!(%peer, "too many connections, one was turned away");
            turn_away(stream);
            continue;
        };
        let services = Arc::clone(&services);
        connections.spawn(async move {
            let served = AssertUnwindSafe(serve(stream, peer, services)).catch_unwind().await;
            if served.is_err() {
                tracing::error!(%peer, "a connection's task panicked");
            }
            drop(place);
        });
    }
}

/// Waits for the word to stop, then for the connections, then less and less patiently.
async fn drain(
    connections: TaskTracker,
    shutdown: CancellationToken,
    registry: Arc<Registry>,
    patience: Duration,
    stop: watch::Sender<bool>,
) {
    shutdown.cancelled().await;
    connections.close();
    if tokio::time::timeout(patience, connections.wait()).await.is_err() {
        tracing::warn!(connections = registry.len(), "cancelling what still runs");
        registry.cancel_all();
        if tokio::time::timeout(CANCEL_GRACE, connections.wait()).await.is_err() {
            tracing::warn!(connections = registry.len(), "dropping connections that do not end");
        }
    }
    stop.send_replace(true);
}
