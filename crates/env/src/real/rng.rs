//! The operating system's randomness: ids and hash keys must not be guessable.

use std::io;

use rand::rngs::OsRng;
use rand::{RngCore, TryRngCore};

use crate::rng::Rng;

/// Random bits from the operating system.
#[derive(Debug)]
pub(crate) struct RealRng;

impl RealRng {
    /// Fails where the operating system has no randomness, so that no later call can.
    pub(crate) fn open() -> io::Result<Self> {
        OsRng.try_next_u64().map_err(io::Error::other)?;
        Ok(Self)
    }
}

impl Rng for RealRng {
    fn next_u64(&self) -> u64 {
        OsRng.unwrap_err().next_u64()
    }

    fn fill(&self, bytes: &mut [u8]) {
        OsRng.unwrap_err().fill_bytes(bytes);
    }
}
