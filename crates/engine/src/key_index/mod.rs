//! Where the live row of a key is (architecture W6).
//!
//! A key becomes a [`KeyHash`] of 128 bits that stands for it exactly, so no look-up reads a row to compare keys.
//! [`ShardKeys`] holds entries `key → address` for one shard. The writer adds entries and never overwrites one; a look-up
//! finds all candidates and keeps the one that is alive in the state that it asks about, so the same index answers for
//! every version that somebody holds. There are two parts: a table for each generation, dropped as a whole when the
//! generation is flushed and no version needs it, and one table for all segments.
//!
//! Readers and the writer meet at the locks of stripes, which are held for a few probes; nobody waits for I/O or a commit.

mod encoder;
mod generation_keys;
mod hash;
mod segment_keys;
mod shard_keys;
mod stripes;

pub(crate) use encoder::KeyEncoder;
pub(crate) use hash::KeyHash;
pub(crate) use shard_keys::ShardKeys;

#[cfg(test)]
mod tests;
