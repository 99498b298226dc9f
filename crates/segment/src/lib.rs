//! Immutable segments: the columns of a table's settled rows, their metadata, and which of them are dead.
//!
//! # What it is not
//! It does not decide when to flush or merge, which segments a table has, or which rows are dead: `outcrop-engine` does.
//! It answers no query; it narrows rows by predicate where that is free, and its caller evaluates the predicate again.
//! It reads and writes key runs, but does not know which of them answer for a table. It keeps no search index yet.
//!
//! # Flow
//! ```text
//! RecordBatch + CommitSeqs ─▶ SegmentWriter ─┬▶ columns: Vortex pipeline ─▶ pages with CRC32C ─▶ <log>-<unit>.vortex
//!                                            └▶ predicate: zone maps ─────▶ SegmentMeta ──────▶ <log>-<unit>.meta
//!
//! rows, DeleteVector::live_mask, Predicate ─▶ Segment::scan ─▶ zone maps ─▶ filter on compressed data
//!                                                       ─▶ columns under the mask ─▶ RecordBatch
//!                                             every byte ◀─ PagedFile ◀─ PageCache ◀─ env::Disk
//!
//! KeyHashes ─▶ KeyRunBuilder ─▶ <log>-<unit>.keys ─▶ KeyRun::lookup ─▶ rows; KeyRunMerge makes one run of several
//! ```
//!
//! # Invariants
//! - G1. A row keeps its number for ever: it is the index at which it was written, in every file of the segment.
//! - G2. No byte of a data file is believed before the checksum of its page was verified (architecture S3).
//! - G3. A scan never loses a row for which the predicate is true, and never invents one.
//! - G4. The data file is a standard Vortex file in a frozen edition: what we add is in the meta file.
//! - G5. A file has its final name only after its bytes are durable; the meta file comes last (S5).
//! - G6. A delete vector never forgets: rows die and stay dead. Clones share chunks until one of them changes.
//! - G7. Damage on disk is an error with file and offset, never a panic and never other rows.
//!
//! # Start reading at
//! [`segment`], then [`writer`], then [`deletes`].

#![forbid(unsafe_code)]

mod columns;
pub mod deletes;
mod failure;
mod files;
mod group;
pub mod keys;
mod meta;
mod pages;
mod predicate;
pub mod segment;
mod verify;
pub mod writer;

pub use deletes::DeleteVector;
pub use keys::{KeyRun, KeyRunBuilder, KeyRunCandidate, KeyRunMerge, KeyRunPlace};
pub use meta::{
    LiveFiles, data_file_name, data_file_name_of, key_run_file_name, meta_checksum, meta_file_name, orphans, read_meta,
};
pub use pages::{PageCache, PageCacheStats};
pub use segment::{ScanBatch, ScanColumn, Segment};
pub use writer::{Compression, SEGMENT_ROWS_MAX, SegmentOptions, SegmentWriter};

#[cfg(test)]
mod tests;
