//! Where the live row of a key is (architecture W6).
//!
//! A key becomes a [`KeyHash`] of 128 bits that stands for it, so no look-up reads a row to compare keys: short keys are in
//! it whole, longer ones as a hash that is keyed by a secret of the table ([`outcrop_format::key`]).
//!
//! Entries `key → address` are in two kinds of places. Rows of memtables are in a table for each generation
//! ([`GenerationKeys`](generation_keys::GenerationKeys)), made again by replay. Rows of segments are in
//! [`KeyRun`](outcrop_segment::KeyRun)s: files that are written with their segment, name it by the same unit, and are part
//! of the [`Version`](crate::snapshot::Version) like it. The [`MergeWorker`] puts one run in the place of several, so that a
//! key that is nowhere costs few filters; a merge is no commit, and nothing but the next manifest names its output.
//!
//! An entry is never overwritten: a look-up finds all candidates and keeps the one that is alive in the state that it asks
//! about, so the same entries answer for every version that somebody holds.
//!
//! Readers and the writer of a generation meet at the locks of stripes, which are held for a few probes; nobody waits there
//! for I/O or a commit (`docs/adr/0005-key-index.md` says why that is enough).

mod encoder;
mod generation_keys;
mod merge_worker;
mod plan;
mod rebuild;
mod shard_keys;
mod stripes;

pub(crate) use encoder::KeyEncoder;
pub(crate) use merge_worker::MergeWorker;
pub(crate) use outcrop_format::KeyHash;
pub(crate) use rebuild::rebuild_runs;
pub(crate) use shard_keys::ShardKeys;

#[cfg(test)]
mod tests;
