//! Commit records: what the log holds, one per `CommitSeq` (architecture W1, F3).
//!
//! A record is a version byte and sections. Every section of version 1 must be understood: a reader that skipped a
//! change would not hold the database.
//!
//! | section | payload |
//! |---|---|
//! | 1 head | seq, epoch, wall clock µs (signed), transaction |
//! | 2 token | the client's token, once if there is one |
//! | 3 offset, one each | source name, position |
//! | 16 rows | [`rows`] |
//! | 17 DDL · 18 install · 19 staged commit · 24 expire | [`changes`] |
//! | 23 feed cursor | [`crate::feed`] |
//!
//! Changes keep their order.

pub mod changes;
pub mod commit;
pub mod rows;

pub use changes::{Change, DdlChange, Expire, Install, InstalledSegment, StagedCommit, Victims};
pub use commit::{CommitRecord, SourceOffset};
pub use rows::{Op, Ops, RowChange};

#[cfg(test)]
mod tests;
