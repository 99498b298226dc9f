//! TLS to a server, with the words of libpq: `sslmode` and `sslrootcert`.

use std::fs;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

use crate::cli::ServerArguments;

/// How a connection is encrypted, and whom it trusts.
#[derive(Clone)]
pub(crate) struct Tls {
    mode: SslMode,
    config: Arc<ClientConfig>,
}

/// What is asked of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// That somebody we trust signed it.
    Chain,
    /// And that it is for this host.
    Host,
}

impl Tls {
    /// Takes `sslmode` and `sslrootcert` out of an address, else from `PGSSLMODE` and `PGSSLROOTCERT`.
    ///
    /// As in libpq: `disable`, `prefer` (the default), `require`; `verify-ca` and `verify-full` want `sslrootcert`, and
    /// `require` with one verifies too.
    pub(crate) fn of_address(server: &ServerArguments) -> Result<(ServerArguments, Self)> {
        let mut pg = server.pg.clone();
        let mut take = |name: &str, variable: &str| take_word(&mut pg, name).or_else(|| std::env::var(variable).ok());
        let mode = take("sslmode", "PGSSLMODE").unwrap_or_else(|| "prefer".to_owned());
        let root = take("sslrootcert", "PGSSLROOTCERT").filter(|path| !path.is_empty());
        let (mode, asked) = match (mode.as_str(), &root) {
            ("disable", _) => (SslMode::Disable, Asked::Nothing),
            ("prefer", _) => (SslMode::Prefer, Asked::Nothing),
            ("require", None) => (SslMode::Require, Asked::Nothing),
            ("require" | "verify-ca", Some(_)) => (SslMode::Require, Asked::Chain),
            ("verify-full", Some(_)) => (SslMode::Require, Asked::Host),
            ("verify-ca" | "verify-full", None) => bail!("sslmode={mode} needs sslrootcert, a file of certificates"),
            _ => bail!("sslmode is disable, prefer, require, verify-ca or verify-full, not \"{mode}\""),
        };
        let root = root.filter(|_| asked != Asked::Nothing);
        let config = config(asked, root.as_deref().map(Path::new))?;
        Ok((ServerArguments { pg, user: server.user.clone() }, Self { mode, config: Arc::new(config) }))
    }

    pub(crate) fn mode(&self) -> SslMode {
        self.mode
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector { config: Arc::clone(&self.config), host: String::new() }
    }
}

/// Takes `name=value` out of a URL's query or out of `key=value` pairs.
fn take_word(address: &mut String, name: &str) -> Option<String> {
    let (head, words, between) = match address.split_once("://") {
        Some(_) => {
            let (head, query) = address.split_once('?')?;
            (format!("{head}?"), query.to_owned(), '&')
        }
        None => (String::new(), address.clone(), ' '),
    };
    let mut found = None;
    let kept: Vec<&str> = words
        .split(between)
        .filter(|word| match word.split_once('=') {
            Some((key, value)) if key == name => {
                found = Some(value.replace("%2F", "/").replace("%2f", "/"));
                false
            }
            Some(_) | None => true,
        })
        .collect();
    if found.is_some() {
        *address = format!("{head}{}", kept.join(&between.to_string())).trim_end_matches('?').to_owned();
    }
    found
}

fn config(asked: Asked, root: Option<&Path>) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let trusted = match (asked, root) {
        (Asked::Nothing, _) | (_, None) => None,
        (Asked::Chain | Asked::Host, Some(path)) => {
            let (certificates, store) = roots(path).with_context(|| format!("read {}", path.display()))?;
            let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
                .build()
                .with_context(|| format!("use {}", path.display()))?;
            Some(Trusted { certificates, chain, asked })
        }
    };
    let verifier = Arc::new(Verifier { provider: Arc::clone(&provider), trusted });
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("set up TLS")?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn roots(path: &Path) -> Result<(Vec<CertificateDer<'static>>, RootCertStore)> {
    let certificates = rustls_pemfile::certs(&mut fs::read(path)?.as_slice()).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() {
        bail!("it holds no certificate");
    }
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone())?;
    }
    Ok((certificates, store))
}

/// Verifies the server's certificate as it was asked; with nothing to trust it encrypts without asking who is there, as
/// libpq does for `prefer` and `require`.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    trusted: Option<Trusted>,
}

/// Verifies that a certificate is one of a file, or signed by one, and for `verify-full` that it is for the host.
#[derive(Debug)]
struct Trusted {
    certificates: Vec<CertificateDer<'static>>,
    chain: Arc<WebPkiServerVerifier>,
    asked: Asked,
}

impl Trusted {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // As people make them, a certificate that signs itself is one of an authority too, which no chain may end in.
        if self.certificates.contains(&certificate.clone().into_owned()) {
            if self.asked == Asked::Host {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        // The name is looked at last, when the chain is known to be good.
        match self.chain.verify_server_cert(certificate, intermediates, name, stapled, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.asked != Asked::Host => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.trusted {
            Some(trusted) => trusted.verify(certificate, intermediates, name, stapled, now),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Makes TLS streams for `tokio-postgres`.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Arc<ClientConfig>,
    host: String,
}

/// An encrypted stream.
pub(crate) struct Encrypted<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Connector {
    type Stream = Encrypted<S>;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Self> {
        Ok(Self { config: Arc::clone(&self.config), host: host.to_owned() })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Connector {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(self.host).map_err(io::Error::other)?;
            tokio_rustls::TlsConnector::from(self.config).connect(name, stream).await.map(Encrypted)
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        // The server has no SCRAM-SHA-256-PLUS.
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::take_word;

    #[test]
    fn words_of_libpq_are_taken_out_of_addresses() {
        for (address, rest, found) in [
            (
                "postgres://a@h/d?sslmode=require&connect_timeout=1",
                "postgres://a@h/d?connect_timeout=1",
                Some("require"),
            ),
            ("postgres://a@h/d?sslmode=require", "postgres://a@h/d", Some("require")),
            ("postgres://a@h/d", "postgres://a@h/d", None),
            ("host=h sslmode=verify-full user=u", "host=h user=u", Some("verify-full")),
            ("127.0.0.1:5433", "127.0.0.1:5433", None),
        ] {
            let mut given = address.to_owned();
            assert_eq!((take_word(&mut given, "sslmode").as_deref(), given.as_str()), (found, rest));
        }
    }
}
