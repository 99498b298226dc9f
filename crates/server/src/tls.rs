//! TLS from certificate and key in PEM.

use std::sync::Arc;

use outcrop_types::{Condition, Error, Result};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate chain and its key, ready for listeners.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<rustls::ServerConfig>,
}

impl Tls {
    /// Reads the text of a certificate file (the chain, leaf first) and of a key file, both PEM.
    ///
    /// # Errors
    /// `InvalidParameterValue` if one holds no certificate or key, or they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self> {
        let chain: Vec<CertificateDer<'static>> = rustls_pemfile::certs(&mut &*certificates)
            .collect::<Result<_, _>>()
            .map_err(|source| invalid("the TLS certificate file cannot be read").with_source(source))?;
        if chain.is_empty() {
            return Err(invalid("the TLS certificate file holds no certificate"));
        }
        let key: PrivateKeyDer<'static> = rustls_pemfile::private_key(&mut &*key)
            .map_err(|source| invalid("the TLS key file cannot be read").with_source(source))?
            .ok_or_else(|| invalid("the TLS key file holds no private key"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|source| invalid("TLS cannot be set up").with_source(source))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|source| invalid("the TLS certificate and key do not fit").with_source(source))?;
        Ok(Self { config: Arc::new(config) })
    }

    /// For listeners that speak `protocol` after the handshake (ALPN).
    pub(crate) fn acceptor(&self, protocol: &[u8]) -> tokio_rustls::TlsAcceptor {
        let mut config = rustls::ServerConfig::clone(&self.config);
        config.alpn_protocols = vec![protocol.to_vec()];
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }
}

fn invalid(message: &str) -> Error {
    Error::new(Condition::InvalidParameterValue, message)
}
