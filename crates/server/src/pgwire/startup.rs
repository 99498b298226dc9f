//! How a connection begins: encryption, cancel requests, the startup packet.

use bytes::Bytes;
use outcrop_types::{Condition, Error, Result};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::connection::Stop;
use super::frame::{FrameReader, Incoming};
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

/// The startup packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Startup {
    pub(super) minor_version: u16,
    pub(super) user: String,
    pub(super) database: String,
    /// Settings of the session, in the order given.
    pub(super) settings: Vec<(String, String)>,
    /// Protocol options (`_pq_.…`) that we do not know.
    pub(super) unknown_options: Vec<String>,
}

/// What a message without type byte says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Encrypt(Encryption),
    Cancel(i32, SecretKey),
    Start(Startup),
}

/// Which encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    Tls,
    Gss,
}

/// Newest minor version of protocol 3.
pub(super) const MINOR_VERSION_MAX: u16 = 2;
/// As PostgreSQL: longest message before authentication.
const STARTUP_BYTES_MAX: usize = 10_000;
const CANCEL_CODE: u32 = 80_877_102;
const TLS_CODE: u32 = 80_877_103;
const GSS_CODE: u32 = 80_877_104;
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
            Request::Cancel(id, key) => return Ok(Opening::Cancel(id, key)),
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

impl Request {
    /// Understands a message.
    ///
    /// # Errors
    /// `ProtocolViolation`, `FeatureNotSupported` for other major versions and for replication,
    /// `InvalidAuthorization` without a user.
    pub(super) fn parse(body: &Bytes) -> Result<Self> {
        let (code, rest) = body.split_first_chunk().ok_or_else(invalid_packet)?;
        match u32::from_be_bytes(*code) {
            TLS_CODE if rest.is_empty() => Ok(Self::Encrypt(Encryption::Tls)),
            GSS_CODE if rest.is_empty() => Ok(Self::Encrypt(Encryption::Gss)),
            CANCEL_CODE => {
                let (id, key) = rest.split_first_chunk().ok_or_else(invalid_packet)?;
                Ok(Self::Cancel(i32::from_be_bytes(*id), SecretKey::from_bytes(key)))
            }
            code if code >> 16 == 3 => {
                // The mask leaves 16 bits.
                let minor_version = u16::try_from(code & 0xffff).unwrap_or(u16::MAX);
                Startup::parse(minor_version, rest).map(Self::Start)
            }
            code => Err(Error::new(
                Condition::FeatureNotSupported,
                format!("unsupported frontend protocol {}.{}: server supports 3.0 to 3.2", code >> 16, code & 0xffff),
            )),
        }
    }
}

impl Startup {
    fn parse(minor_version: u16, body: &[u8]) -> Result<Self> {
        let body = body.strip_suffix(&[0]).ok_or_else(invalid_packet)?;
        let mut startup = Self { minor_version, ..Self::default() };
        let mut texts = body.split_inclusive(|byte| *byte == 0).map(|text| {
            let text = text.strip_suffix(&[0]).ok_or_else(invalid_packet)?;
            std::str::from_utf8(text)
                .map_err(|_not_utf8| Error::new(Condition::CharacterNotInRepertoire, "the startup packet is not UTF-8"))
        });
        while let Some(name) = texts.next() {
            let (name, value) = (name?, texts.next().ok_or_else(invalid_packet)??);
            startup.set(name, value)?;
        }
        if startup.user.is_empty() {
            return Err(Error::new(
                Condition::InvalidAuthorization,
                "no PostgreSQL user name specified in startup packet",
            ));
        }
        if startup.database.is_empty() {
            startup.database.clone_from(&startup.user);
        }
        Ok(startup)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "user" => value.clone_into(&mut self.user),
            "database" => value.clone_into(&mut self.database),
            "replication" if !matches!(value, "false" | "off" | "no" | "0") => {
                return Err(Error::new(Condition::FeatureNotSupported, "replication connections are not supported"));
            }
            "replication" => {}
            "options" => self.settings.extend(parse_options(value)?),
            name if name.starts_with("_pq_.") => self.unknown_options.push(name.to_owned()),
            name => self.settings.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }
}

/// `-c name=value` and `--name=value`, as on the command line of PostgreSQL; a backslash keeps a space.
fn parse_options(options: &str) -> Result<Vec<(String, String)>> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let invalid = || {
            Error::new(Condition::InvalidParameterValue, format!("invalid command-line argument for server: {word}"))
                .with_hint("Write settings as -c name=value.")
        };
        let setting = match word.strip_prefix("--") {
            Some(setting) => setting.to_owned(),
            None => match word.strip_prefix("-c").ok_or_else(invalid)? {
                "" => words.next().ok_or_else(invalid)?,
                setting => setting.to_owned(),
            },
        };
        let (name, value) = setting.split_once('=').ok_or_else(invalid)?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn invalid_packet() -> Error {
    Error::new(Condition::ProtocolViolation, "invalid startup packet layout")
}
