//! How a connection begins: encryption, cancel requests, the startup packet.

use outcrop_types::{Condition, Error, Result};
use outcrop_wire::{Encryption, FrameReader, Incoming, Request, STARTUP_BYTES_MAX, Startup};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::connection::Stop;
use crate::session::SecretKey;

/// Any byte stream: plain or TLS.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What a client that began wants.
pub(super) enum Opening {
    /// A session.
    Session(Box<dyn Duplex>, Startup),
    /// To cancel what another connection runs.
    Cancel(i32, SecretKey),
}

/// First byte of a TLS handshake: the client skips the request for encryption.
const TLS_HANDSHAKE: u8 = 0x16;

/// Opens a connection, up to and without authentication.
pub(super) async fn open(stream: tokio::net::TcpStream, tls: Option<&TlsAcceptor>) -> Result<Opening, Failure> {
    let mut first = [0];
    if let Some(tls) = tls
        && stream.peek(&mut first).await.is_ok_and(|read| read == 1)
        && first == [TLS_HANDSHAKE]
    {
        let stream = tls.accept(stream).await.map_err(|_broken| Failure::closed())?;
        return negotiate(Box::new(stream), None).await;
    }
    negotiate(Box::new(stream), tls).await
}

/// A failed opening, with the stream to say so on.
pub(super) struct Failure {
    pub(super) stream: Option<Box<dyn Duplex>>,
    pub(super) stop: Stop,
}

impl Failure {
    fn closed() -> Self {
        Self { stream: None, stop: Stop::Closed }
    }
}

/// Answers requests for encryption until the client says what it wants. Each kind may be asked for once.
async fn negotiate(stream: Box<dyn Duplex>, tls: Option<&TlsAcceptor>) -> Result<Opening, Failure> {
    let mut reader = FrameReader::new(stream);
    let mut asked = Vec::new();
    loop {
        let request = match reader.next_untyped(STARTUP_BYTES_MAX).await.and_then(|incoming| match incoming {
            Incoming::Message(body) => Request::parse(&body).map(Some),
            Incoming::Closed => Ok(None),
        }) {
            Ok(Some(request)) => request,
            Ok(None) => return Err(Failure::closed()),
            Err(error) => return Err(Failure { stream: Some(reader.into_inner()), stop: Stop::Fatal(error) }),
        };
        let encryption = match request {
            Request::Start(startup) => return Ok(Opening::Session(reader.into_inner(), startup)),
            Request::Cancel(id, key) => return Ok(Opening::Cancel(id, SecretKey::from_bytes(&key))),
            Request::Encrypt(encryption) => encryption,
        };
        // Bytes behind the request came in the clear and must not be taken for encrypted ones (CVE-2021-23222).
        if asked.contains(&encryption) || !reader.is_drained() {
            let error = Error::new(Condition::ProtocolViolation, "received unencrypted data after SSL request");
            return Err(Failure { stream: Some(reader.into_inner()), stop: Stop::Fatal(error) });
        }
        asked.push(encryption);
        match (encryption, tls) {
            (Encryption::Tls, Some(tls)) => {
                reader.stream_mut().write_all(b"S").await.map_err(|_broken| Failure::closed())?;
                let stream = tls.accept(reader.into_inner()).await.map_err(|_broken| Failure::closed())?;
                reader = FrameReader::new(Box::new(stream));
            }
            (Encryption::Tls | Encryption::Gss, _) => {
                reader.stream_mut().write_all(b"N").await.map_err(|_broken| Failure::closed())?;
            }
        }
    }
}
