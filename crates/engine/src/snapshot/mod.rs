//! Reading: one pointer gives a consistent view of every table.
//!
//! A [`Version`] is what the log looks like after one commit: a persistent map of tables, each with its schema and its
//! shards. A [`ShardState`] holds the units of a shard, generations and segments, with their delete vectors; the writer
//! clones it, changes the clone and puts it in the next version, and everything untouched stays shared. Readers hold a
//! [`Snapshot`] (one `Arc` of a version) and scan it with [`TableSnapshot`], morsel by morsel, without a lock.
//! [`LiveVersions`] knows which versions somebody still holds, states of the tail too, so that key-index entries and files that only old readers
//! need go away when the last of those readers does.

mod fetch;
mod live;
mod morsel;
mod scan;
mod shard;
mod statistics;
mod table;
mod version;

pub use morsel::Morsel;
pub use statistics::ColumnStatistics;
pub use table::TableSnapshot;
pub use version::{Snapshot, snapshot_too_old};

pub(crate) use live::LiveVersions;
pub(crate) use shard::{NewSegment, SegmentView, ShardState};
pub(crate) use version::{ReadLimit, TableState, Version};

#[cfg(test)]
mod tests;
