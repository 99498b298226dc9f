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
mod page;

pub use entries::{EntryPage, EntryPageBuilder, RunEntry};
pub use filter::KeyFilter;
pub use header::{CoveredSegment, KEY_RUN_KIND, KeyRunHeader};
pub use page::{
    FENCES_PER_PAGE, FILTER_BLOCKS_PER_PAGE, PAGE_BYTES, PAGE_CONTENT_BYTES, Page, PagePlace, SEGMENTS_MAX, fences,
    put_fences,
};

#[cfg(test)]
mod tests;
