//! What can go wrong with a page.

use std::io;
use std::sync::Arc;

use outcrop_types::Error;

use crate::failure::condition_of;

/// A page that cannot be had. Cloneable, because it travels through Vortex's shared futures.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum PageError {
    /// The manifest names a file that is not there.
    #[error("the file is missing")]
    Missing { path: Arc<str> },
    /// The file has another length than its meta file says.
    #[error("the file has {found} bytes, its meta file says {expected}")]
    Length { path: Arc<str>, found: u64, expected: u64 },
    /// The file ends within the page.
    #[error("the file ends within the page at {offset}")]
    Truncated { path: Arc<str>, offset: u64 },
    /// A page whose bytes are not those that were written.
    #[error("the page has checksum {found:#010x}, its meta file says {expected:#010x}")]
    Checksum { path: Arc<str>, offset: u64, found: u32, expected: u32 },
    /// Something asked for bytes that the file does not have.
    #[error("{length} bytes at {offset} are outside the file")]
    Outside { path: Arc<str>, offset: u64, length: u64 },
    /// The operating system refused.
    #[error("read {length} bytes at {offset} of {path}")]
    Read { path: Arc<str>, offset: u64, length: u64, source: Arc<io::Error> },
}

impl From<PageError> for Error {
    fn from(error: PageError) -> Self {
        match &error {
            PageError::Missing { path } | PageError::Length { path, .. } => Self::corrupt(path, 0, &error),
            PageError::Truncated { path, offset }
            | PageError::Checksum { path, offset, .. }
            | PageError::Outside { path, offset, .. } => Self::corrupt(path, *offset, &error),
            PageError::Read { path, offset, length, source } => {
                Self::new(condition_of(source), format!("cannot read {length} bytes at {offset} of {path}: {source}"))
                    .with_source(Arc::clone(source))
            }
        }
    }
}
