//! One connection, from its first byte to its last.

use std::fmt;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use outcrop_env::Env;
use outcrop_ingest::TextSettings;
use outcrop_query::{Database, Prepared, Session, SessionInfo, TransactionStatus};
use outcrop_types::{Condition, Error, Result};
use outcrop_wire::{Frame, FrameReader, Frontend, Incoming, MINOR_VERSION_MAX, Startup};
use pgwire::messages::Message as _;
use pgwire::messages::response::{ReadyForQuery, TransactionStatus as WireStatus};
use pgwire::messages::startup::{BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey as WireKey};
use tokio::io::{AsyncRead, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::authenticate::authenticate;
use super::fields::{Severity, error_response, log, notice_response};
use super::outbox::Outbox;
use super::portal::Portal;
use super::shelf::Shelf;
use super::startup::{Duplex, Opening, open};
use crate::access::{Access, Admission};
use crate::session::{Registration, Registry, SecretKey};

/// What all connections of a server share.
pub(crate) struct Services {
    pub(crate) database: Database,
    pub(crate) env: Env,
    pub(crate) access: Arc<Access>,
    pub(crate) limits: Limits,
    pub(crate) registry: Arc<Registry>,
    pub(crate) shutdown: CancellationToken,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Limits of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Longest message from a client.
    pub(crate) message_bytes_max: usize,
    /// Time from the first byte to the end of authentication.
    pub(crate) startup_timeout: Duration,
    /// Prepared statements that one connection may keep, and portals.
    pub(crate) prepared_max: usize,
    /// Memory for both.
    pub(crate) session_bytes_max: usize,
}

/// Why a step of the protocol ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The client is told, and the connection goes on.
    Error(Error),
    /// The client is told, and the connection ends.
    Fatal(Error),
    /// Nobody is there to be told.
    Closed,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<std::io::Error> for Stop {
    fn from(_broken: std::io::Error) -> Self {
        Self::Closed
    }
}

pub(super) type Reader = FrameReader<ReadHalf<Box<dyn Duplex>>>;
pub(super) type Writer = WriteHalf<Box<dyn Duplex>>;

/// A started connection.
pub(super) struct Connection {
    pub(super) reader: Reader,
    pub(super) outbox: Outbox<Writer>,
    pub(super) session: Session,
    pub(super) services: Arc<Services>,
    /// By name; `None` for a statement without text.
    pub(super) statements: Shelf<Option<Prepared>>,
    pub(super) portals: Shelf<Portal>,
    /// After an error in the extended protocol: everything up to Sync is skipped.
    is_skipping: bool,
    /// How values are read and written, and the version of the settings that say so.
    text_settings: Option<(u64, TextSettings)>,
    _place: Registration,
}

/// Serves a client until one side ends it.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, services: Arc<Services>) {
    // Latency before throughput: answers are written in large pieces anyway. A failure costs speed only.
    stream.set_nodelay(true).unwrap_or_default();
    let timeout = services.limits.startup_timeout;
    let start = Box::pin(start(stream, peer, Arc::clone(&services)));
    let mut connection = match tokio::time::timeout(timeout, start).await {
        Ok(Some(connection)) => connection,
        Ok(None) => return,
        Err(_elapsed) => {
            tracing::debug!(%peer, "a client did not finish its start in time");
            return;
        }
    };
    tracing::debug!(%peer, "connection opened");
    connection.run().await;
    tracing::debug!(%peer, "connection closed");
}

/// Refuses a client before it is heard: there are too many. Costs no task, so it may fail to arrive.
pub(crate) fn turn_away(stream: TcpStream) {
    let mut refusal = BytesMut::new();
    let error = too_many_clients();
    let (Ok(()), Ok(mut stream)) = (error_response(&error, Severity::Fatal).encode(&mut refusal), stream.into_std())
    else {
        return;
    };
    // The stream does not block. What came already is read, because closing with unread bytes takes the answer back.
    let mut unread = [0; 1 << 10];
    stream.read(&mut unread).map(drop).unwrap_or_default();
    stream.write_all(&refusal).unwrap_or_default();
    stream.shutdown(Shutdown::Write).unwrap_or_default();
}

fn too_many_clients() -> Error {
    Error::new(Condition::TooManyConnections, "sorry, too many clients already")
}

/// Opens a connection; `None` if it ends before it began, and was told so.
async fn start(stream: TcpStream, peer: SocketAddr, services: Arc<Services>) -> Option<Connection> {
    let admission = services.access.current();
    let (stream, startup) = match open(stream, admission.pg_tls.as_ref()).await {
        Ok(Opening::Session(stream, startup)) => (stream, startup),
        Ok(Opening::Cancel(id, key)) => {
            services.registry.cancel(id, &key);
            return None;
        }
        Err(failure) => {
            if let (Some(stream), Stop::Error(error) | Stop::Fatal(error)) = (failure.stream, failure.stop) {
                say_fatal(&mut Outbox::new(stream), &error).await;
            }
            return None;
        }
    };
    let (read, write) = tokio::io::split(stream);
    let mut reader = FrameReader::new(read);
    let mut outbox = Outbox::new(write);
    let prepared_max = services.limits.prepared_max;
    match admit(&mut reader, &mut outbox, &startup, peer, &services, &admission).await {
        Ok((session, place)) => Some(Connection {
            reader,
            outbox,
            session,
            services,
            statements: Shelf::new("prepared statements", prepared_max),
            portals: Shelf::new("portals", prepared_max),
            is_skipping: false,
            text_settings: None,
            _place: place,
        }),
        Err(Stop::Closed) => None,
        Err(Stop::Error(error) | Stop::Fatal(error)) => {
            say_fatal(&mut outbox, &error).await;
            None
        }
    }
}

/// Authenticates, takes a place and makes the session.
async fn admit(
    reader: &mut Reader,
    outbox: &mut Outbox<Writer>,
    startup: &Startup,
    peer: SocketAddr,
    services: &Services,
    admission: &Admission,
) -> Result<(Session, Registration), Stop> {
    if startup.minor_version > MINOR_VERSION_MAX || !startup.unknown_options.is_empty() {
        let version = i32::from(startup.minor_version.min(MINOR_VERSION_MAX)) | 3 << 16;
        outbox.put(&NegotiateProtocolVersion::new(version, startup.unknown_options.clone()))?;
    }
    if services.shutdown.is_cancelled() {
        return Err(Stop::Fatal(Error::new(Condition::CannotConnectNow, "the database system is shutting down")));
    }
    authenticate(&admission.authentication, &startup.user, &services.env, reader, outbox).await?;
    let key = SecretKey::random(&services.env, if startup.minor_version >= 2 { 32 } else { 4 });
    let place = services.registry.register(key).ok_or_else(|| Stop::Fatal(too_many_clients()))?;
    let application_name = startup.settings.iter().find(|(name, _)| name == "application_name");
    let mut session = services.database.session(SessionInfo {
        user: startup.user.clone(),
        database: startup.database.clone(),
        application_name: application_name.map(|(_, value)| value.clone()).unwrap_or_default(),
        process_id: place.id(),
        client_addr: Some(peer.to_string()),
    });
    place.set_cancel(session.cancel_token());
    for (name, value) in &startup.settings {
        session.set_default(name, value).map_err(Stop::Fatal)?;
    }
    outbox.put(&BackendKeyData::new(place.id(), WireKey::Bytes(place.key().as_bytes().to_vec().into())))?;
    Ok((session, place))
}

/// Waits until the time is over; for ever without one.
async fn over(left: Option<Duration>) {
    match left {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

impl Connection {
    /// Serves messages until the end.
    async fn run(&mut self) {
        let end = match self.ready().await {
            Ok(()) => loop {
                if let Err(stop) = Box::pin(self.step()).await {
                    break stop;
                }
            },
            Err(stop) => stop,
        };
        match end {
            Stop::Closed => {}
            Stop::Error(error) | Stop::Fatal(error) => say_fatal(&mut self.outbox, &error).await,
        }
    }

    /// Takes one message. Only what ends the connection comes back as an error.
    async fn step(&mut self) -> Result<(), Stop> {
        let shutdown = self.services.shutdown.clone();
        let body_max = self.services.limits.message_bytes_max;
        let incoming = tokio::select! {
            biased;
            incoming = self.reader.next(body_max) => incoming.map_err(Stop::Fatal)?,
            () = shutdown.cancelled() => return Err(Stop::Fatal(shutting_down())),
            () = over(self.session.snapshot_time_left()) => {
                // Portals of the block read its snapshot too.
                self.portals.clear();
                self.session.give_back_snapshot();
                return Ok(());
            }
        };
        let Incoming::Message(frame) = incoming else { return Err(Stop::Closed) };
        if self.is_skipping && !matches!(frame.kind, b'S' | b'X') {
            return Ok(());
        }
        if !Frontend::is_known(frame.kind) {
            // Nobody can say what else this client gets wrong.
            let error =
                Error::new(Condition::ProtocolViolation, format!("invalid frontend message type {}", frame.kind));
            return Err(Stop::Fatal(error));
        }
        match self.dispatch(&frame).await {
            Ok(()) => Ok(self.outbox.relieve().await?),
            Err(Stop::Error(error)) => {
                self.report(&error)?;
                if Frontend::is_extended(frame.kind) {
                    self.is_skipping = true;
                    // The client may wait for it before it sends Sync.
                    Ok(self.outbox.flush().await?)
                } else {
                    self.ready().await
                }
            }
            Err(stop) => Err(stop),
        }
    }

    async fn dispatch(&mut self, frame: &Frame) -> Result<(), Stop> {
        match Frontend::parse(frame)? {
            Frontend::Query(sql) => {
                self.simple_query(&sql).await?;
                self.ready().await
            }
            Frontend::Parse { name, sql, types } => self.parse(name, &sql, &types).await,
            Frontend::Bind(bind) => self.bind(bind),
            Frontend::Describe(target) => self.describe(&target),
            Frontend::Execute { portal, max_rows } => self.execute(&portal, max_rows).await,
            Frontend::Close(target) => self.close(&target),
            Frontend::Flush => Ok(self.outbox.flush().await?),
            Frontend::Sync => {
                self.is_skipping = false;
                self.drop_portals_outside_blocks();
                self.ready().await
            }
            // What is left of a COPY that failed.
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => Ok(()),
            Frontend::Terminate => Err(Stop::Closed),
        }
    }

    /// Tells the client of an error and fails its block.
    fn report(&mut self, error: &Error) -> Result<(), Stop> {
        self.session.fail_transaction();
        self.put_notices()?;
        log(error);
        Ok(self.outbox.put(&error_response(error, Severity::Error))?)
    }

    /// Says that the next message may come, after what changed: settings, and the newest commit.
    async fn ready(&mut self) -> Result<(), Stop> {
        self.put_notices()?;
        for (name, value) in self.session.take_parameter_changes() {
            self.outbox.put(&ParameterStatus::new(name, value))?;
        }
        self.outbox.put(&ReadyForQuery::new(match self.session.transaction() {
            TransactionStatus::Idle => WireStatus::Idle,
            TransactionStatus::InBlock => WireStatus::Transaction,
            TransactionStatus::Failed => WireStatus::Error,
        }))?;
        Ok(self.outbox.flush().await?)
    }

    /// What the session may keep beyond what it has: named statements and portals.
    pub(super) fn room(&self) -> usize {
        let kept = self.statements.bytes().saturating_add(self.portals.bytes());
        self.services.limits.session_bytes_max.saturating_sub(kept)
    }

    pub(super) fn put_notices(&mut self) -> Result<()> {
        for notice in self.session.take_notices() {
            self.outbox.put(&notice_response(&notice))?;
        }
        Ok(())
    }

    /// How values are read and written in this session, now.
    pub(super) fn text_settings(&mut self) -> TextSettings {
        let version = self.session.settings_version();
        if let Some((known, settings)) = self.text_settings
            && known == version
        {
            return settings;
        }
        let settings = TextSettings::of_session(|name| self.session.setting(name));
        self.text_settings = Some((version, settings));
        settings
    }
}

/// Runs `work` while it watches the client: if that goes away, `work` is dropped.
pub(super) async fn watched<T, R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    work: impl Future<Output = T>,
) -> Result<T, Stop> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = reader.closed() => Err(Stop::Closed),
    }
}

/// The last words of a connection. If they do not arrive, nobody is there.
async fn say_fatal<W: tokio::io::AsyncWrite + Unpin>(outbox: &mut Outbox<W>, error: &Error) {
    log(error);
    if outbox.put(&error_response(error, Severity::Fatal)).is_ok() {
        outbox.close().await.unwrap_or_default();
    }
}

fn shutting_down() -> Error {
    Error::new(Condition::AdminShutdown, "terminating connection due to administrator command")
}
