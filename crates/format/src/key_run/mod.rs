//! Key runs: the entries `key → row` of a group of segments, sorted by hash, immutable (architecture W6, S2).
//!
//! A file of pages of [`PAGE_BYTES`]:
//!
//! | pages | content |
//! |---|---|
//! | 1 | header: an [`crate::envelope`] with [`KeyRunHeader`], then zeros |
//! | as many as entries need | [`entries`]: hashes and rows, ascending; all pages full but the last |
//! | as many as the filter needs | [`filter`]: blocks of a Bloom filter, [`FILTER_BLOCKS_PER_PAGE`] a page |
//! | as many as fences need | upper halves of the first hash of each page of entries, [`FENCES_PER_PAGE`] a page, u64 each |
//!
//! The last four bytes of every page but the first are the CRC32C of the log id, the run's unit (u64), the page's number
//! (u32) and the rest of the page: a page of another place or another file is no valid page here (B4).

pub mod entries;
pub mod filter;
mod header;

use outcrop_types::{LogId, UnitId};

use crate::error::{DecodeError, DecodeProblem};

pub use entries::{EntryPage, EntryPageBuilder, RunEntry};
pub use filter::KeyFilter;
pub use header::{CoveredSegment, KEY_RUN_KIND, KeyRunHeader};

/// Bytes of a page: the unit of reading and of checksums.
pub const PAGE_BYTES: usize = 4_096;
/// Bytes of a page before its checksum.
pub const PAGE_CONTENT_BYTES: usize = PAGE_BYTES - 4;
/// Most segments that one run covers: their number is stored in a byte.
pub const SEGMENTS_MAX: usize = 256;
/// Filter blocks of a page.
pub const FILTER_BLOCKS_PER_PAGE: usize = PAGE_CONTENT_BYTES / filter::BLOCK_BYTES;
/// Fences of a page.
pub const FENCES_PER_PAGE: usize = PAGE_CONTENT_BYTES / 8;

/// A page.
pub type Page = [u8; PAGE_BYTES];

/// What a page's checksum ties it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagePlace {
    /// The log.
    pub log_id: LogId,
    /// The run.
    pub unit: UnitId,
    /// Which page of the file.
    pub number: u32,
}

impl PagePlace {
    /// Writes the checksum at the end of a page.
    pub fn seal(&self, page: &mut Page) {
        if let Some((content, checksum)) = page.split_last_chunk_mut::<4>() {
            *checksum = self.checksum(content).to_le_bytes();
        }
    }

    /// Checks a page as it was read (B4).
    ///
    /// # Errors
    /// `Truncated`, `TrailingBytes` or `Checksum`, at the page's place in the file.
    pub fn check<'a>(&self, bytes: &'a [u8]) -> Result<&'a Page, DecodeError> {
        let base = u64::from(self.number) * PAGE_BYTES as u64;
        let page: &Page = bytes.try_into().map_err(|_length| {
            let what = DecodeProblem::Truncated { needed: PAGE_BYTES as u64, left: bytes.len() as u64 };
            DecodeError::new(base, what)
        })?;
        let Some((content, stored)) = page.split_last_chunk::<4>() else {
            return Err(DecodeError::new(base, DecodeProblem::TrailingBytes(0)));
        };
        let (expected, found) = (u32::from_le_bytes(*stored), self.checksum(content));
        if expected != found {
            let what = DecodeProblem::Checksum { expected: u64::from(expected), found: u64::from(found) };
            return Err(DecodeError::new(base, what));
        }
        Ok(page)
    }

    fn checksum(&self, content: &[u8]) -> u32 {
        let crc = crc32c::crc32c(self.log_id.as_bytes());
        let crc = crc32c::crc32c_append(crc, &self.unit.get().to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &self.number.to_le_bytes());
        crc32c::crc32c_append(crc, content)
    }
}

/// Puts fences on a page.
pub fn put_fences(page: &mut Page, fences: &[u64]) {
    for (slot, fence) in page.chunks_exact_mut(8).zip(fences.iter().take(FENCES_PER_PAGE)) {
        slot.copy_from_slice(&fence.to_le_bytes());
    }
}

/// The first `count` fences of a page.
pub fn fences(page: &Page, count: usize) -> impl Iterator<Item = u64> + '_ {
    page.as_chunks::<8>().0.iter().take(count.min(FENCES_PER_PAGE)).map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
