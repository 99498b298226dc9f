//! The commit feed: every change of the tables, commit by commit, from some commit on.
//!
//! A *cursor* has a name and stands behind a commit. It is part of the [`Version`](crate::snapshot::Version), changed by
//! records of its own ([`outcrop_format::feed::FeedChange`]) and kept by manifests, so it is where it was after a crash. A
//! [`Feed`] reads the log from a cursor's position on, through handles of its own; it takes no lock of writers and sees
//! published commits only.
//!
//! New rows are in the records, or in the segments that a staged commit names. Old rows are read by address: where
//! the unit is still there, from it; else from the file of the segment that left, or from the record that inserted the row,
//! if it was in a memtable; which record that is, is looked for when such a row goes ([`earlier_rows`]). So a cursor keeps, from its position on: log files, back to the first row of each
//! generation that was in memory then; segments that left tables since; victims files; schemas that were replaced. What left
//! is noted in [`Feeds`], by the commit that took it out, and only while a cursor follows the table: without cursors there is no cost.
//! What a cursor keeps is limited by `feed_retain_bytes`; beyond it the cursor is *ended*: it says so and
//! keeps nothing. Writers never wait for one.

mod batches;
mod command;
mod cursors;
mod earlier_rows;
mod follow;
mod generation_rows;
mod limits;
mod live_rows;
mod old_rows;
mod row_events;
mod staged_events;

pub use batches::FeedEvent;
pub(crate) use cursors::Feeds;
pub use follow::{Feed, FeedCommit};
pub use limits::FeedCursor;
pub use outcrop_format::feed::FeedTables;
