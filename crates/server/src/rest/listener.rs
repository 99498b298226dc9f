//! Connections of HTTP, plain or TLS: how many there are, and how long each may be silent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, io};

use axum::Router;
use axum::http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::failure::{Failure, FailureType};
use super::service::RestLimits;
use crate::access::Access;
use crate::session::{ACCEPT_PAUSE, REFUSALS_MAX};

/// Takes connections, up to a limit; those beyond are told so and closed.
pub(super) struct HttpListener {
    tcp: TcpListener,
    access: Arc<Access>,
    router: Router,
    idle_timeout: Duration,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

/// Longest that a handshake may take, and a refusal.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest head of a request, and what waits for the socket of an answer.
const BUFFER_BYTES_MAX: usize = 64 << 10;

impl HttpListener {
    /// `connections_max` at once, each silent for at most `idle_timeout`: before the head of a request is whole, and
    /// while an answer waits to be taken.
    pub(super) fn new(tcp: TcpListener, access: Arc<Access>, router: Router, limits: RestLimits) -> Self {
        Self {
            tcp,
            access,
            router,
            idle_timeout: limits.idle_timeout,
            places: Arc::new(Semaphore::new(limits.connections_max)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        }
    }

    /// Serves until `shutdown`. Requests in progress are then left to `connections`.
    ///
    /// # Cancel safety
    /// Dropping it closes the listener; connections go on.
    pub(super) async fn serve(self, connections: &TaskTracker, shutdown: &CancellationToken) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                accepted = self.tcp.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Without it small answers wait for the client's acknowledgement; a failure costs only that.
            stream.set_nodelay(true).unwrap_or_default();
            let tls = self.access.current().http_tls.clone();
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                let router = self.router.clone();
                connections.spawn(converse(stream, tls, router, self.idle_timeout, shutdown.clone(), place));
            } else if let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() {
                connections.spawn(refuse(stream, tls, place));
            } else {
                tracing::debug!("too many HTTP connections, one was dropped unheard");
            }
        }
    }
}

/// Serves one connection to its end.
async fn converse(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    idle_timeout: Duration,
    shutdown: CancellationToken,
    place: OwnedSemaphorePermit,
) {
    let opened = tokio::select! {
        () = shutdown.cancelled() => None,
        opened = open(stream, tls) => opened,
    };
    if let Some(stream) = opened {
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(idle_timeout)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(Impatient::new(stream, idle_timeout)), TowerToHyperService::new(router));
        let mut served = std::pin::pin!(served);
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = shutdown.cancelled() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP connection ended early");
        }
    }
    drop(place);
}

/// Says that there are too many connections. What the client sends is read and forgotten, so that it gets to read the
/// answer: closing a socket with unread bytes throws away what was written.
async fn refuse(stream: TcpStream, tls: Option<TlsAcceptor>, place: OwnedSemaphorePermit) {
    let talk = async {
        let mut stream = open(stream, tls).await?;
        stream.write_all(refusal().as_bytes()).await.ok()?;
        stream.shutdown().await.ok()?;
        let mut unread = [0; 1 << 10];
        while stream.read(&mut unread).await.is_ok_and(|read| read > 0) {}
        Some(())
    };
    // A client that does not even take this is dropped.
    tokio::time::timeout(HANDSHAKE_TIMEOUT, talk).await.map(drop).unwrap_or_default();
    drop(place);
}

/// The whole answer to a connection beyond the limit.
fn refusal() -> String {
    let failure =
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, FailureType::ServiceUnavailable, "too many HTTP connections")
            .with_hint("Send the request again later, and close connections that are not used.");
    let body = serde_json::Value::Object(failure.to_json(None)).to_string();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Plain, or encrypted after a handshake; `None` if that failed.
async fn open(stream: TcpStream, tls: Option<TlsAcceptor>) -> Option<Box<dyn Duplex>> {
    let Some(tls) = tls else { return Some(Box::new(stream)) };
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await;
    Some(Box::new(handshake.ok()?.ok()?))
}

/// Any byte stream: plain or TLS.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A stream whose writes fail when the other side takes nothing for too long. A client that does not read its answer
/// would else keep its place, and the snapshot that the answer is made from, for ever.
struct Impatient {
    stream: Box<dyn Duplex>,
    patience: Duration,
    /// Runs while a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn new(stream: Box<dyn Duplex>, patience: Duration) -> Self {
        Self { stream, patience, deadline: None }
    }

    fn limited<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut dyn Duplex>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = write(Pin::new(&mut *self.stream), cx) {
            self.deadline = None;
            return Poll::Ready(done);
        }
        let patience = self.patience;
        let deadline =
            self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl fmt::Debug for Impatient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Impatient").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl AsyncRead for Impatient {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().limited(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().limited(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().limited(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}
