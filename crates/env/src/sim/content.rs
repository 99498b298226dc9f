//! Bytes of a file that copies of a disk share until one changes them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

#[derive(Clone, Debug, Default)]
pub(super) struct Content(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bytes: Vec<u8>,
    /// Computed once for all copies.
    hash: OnceLock<u64>,
}

impl Content {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.0.bytes.len()
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        self.0.bytes.clone()
    }

    /// The bytes to change, of this copy only.
    pub(super) fn edit(&mut self) -> &mut Vec<u8> {
        let shared = Arc::make_mut(&mut self.0);
        shared.hash = OnceLock::new();
        &mut shared.bytes
    }

    pub(super) fn hash(&self) -> u64 {
        *self.0.hash.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            self.0.bytes.hash(&mut hasher);
            hasher.finish()
        })
    }
}

impl Clone for Shared {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), hash: OnceLock::new() }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Shared { bytes, hash: OnceLock::new() }))
    }
}
