//! Who may connect, and the certificate: what can change while the server runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use outcrop_types::{Condition, Error, Result};
use tokio_rustls::TlsAcceptor;

use crate::auth::Authentication;
use crate::tls::Tls;

/// ALPN name of the PostgreSQL protocol.
const PG_ALPN: &[u8] = b"postgresql";
/// ALPN name of HTTP.
const HTTP_ALPN: &[u8] = b"http/1.1";

/// What connections find when they begin. Both listeners share it; those that have begun keep what they found.
#[derive(Debug)]
pub(crate) struct Access {
    current: ArcSwap<Admission>,
}

/// One state of it.
pub(crate) struct Admission {
    pub(crate) authentication: Authentication,
    /// For the PostgreSQL protocol.
    pub(crate) pg_tls: Option<TlsAcceptor>,
    /// For HTTP.
    pub(crate) http_tls: Option<TlsAcceptor>,
}

impl Access {
    pub(crate) fn new(authentication: Authentication, tls: Option<&Tls>) -> Arc<Self> {
        Arc::new(Self { current: ArcSwap::from_pointee(Admission::new(authentication, tls)) })
    }

    /// What counts now.
    pub(crate) fn current(&self) -> Arc<Admission> {
        self.current.load_full()
    }

    /// Replaces it, for connections that begin from now on. What protects the server is never taken away: a file that was
    /// emptied by mistake must not open it.
    ///
    /// # Errors
    /// `InvalidAuthorization`: there were users or a certificate, and now there are none. Nothing has changed then.
    pub(crate) fn replace(&self, authentication: Authentication, tls: Option<&Tls>) -> Result<()> {
        let before = self.current();
        let refuse = |what: &str| {
            Err(Error::new(Condition::InvalidAuthorization, format!("{what} cannot be removed while the server runs"))
                .with_hint("Start it again if this is meant."))
        };
        match (&before.authentication, &authentication) {
            (Authentication::Users(_), Authentication::Trust) => return refuse("the last user"),
            (Authentication::Trust, _) | (Authentication::Users(_), Authentication::Users(_)) => {}
        }
        if before.pg_tls.is_some() && tls.is_none() {
            return refuse("the certificate");
        }
        self.current.store(Arc::new(Admission::new(authentication, tls)));
        Ok(())
    }
}

impl Admission {
    fn new(authentication: Authentication, tls: Option<&Tls>) -> Self {
        let (pg_tls, http_tls) = (tls.map(|tls| tls.acceptor(PG_ALPN)), tls.map(|tls| tls.acceptor(HTTP_ALPN)));
        Self { authentication, pg_tls, http_tls }
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").field("authentication", &self.authentication).finish_non_exhaustive()
    }
}
