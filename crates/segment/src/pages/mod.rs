//! Files read in checked pages (architecture S3).
//!
//! A [`PagedFile`] gives out bytes of a data file only from 64 KiB pages whose CRC32C agrees with the segment's meta
//! file; a [`SealedFile`] is a key run, whose pages of 4 KiB carry their checksums themselves. The pages of both live in a
//! [`PageCache`] that all segments share and that never holds more than it was given, neither of
//! memory nor of open files.

mod cache;
mod error;
mod file;
mod handles;
mod sealed;

pub use cache::{PageCache, PageCacheStats};
pub(crate) use error::PageError;
pub(crate) use file::PagedFile;
pub(crate) use sealed::SealedFile;

/// Bytes of a page; the last one of a file may be shorter.
pub(crate) const PAGE_BYTES: u64 = outcrop_format::meta::PAGE_BYTES as u64;

#[cfg(test)]
mod tests;
