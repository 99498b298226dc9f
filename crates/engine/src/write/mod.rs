//! Writing: one statement on one table, atomic, committed once.
//!
//! [`TableWrite`] collects the rows of a statement, brings them to their stored form, and hands them to the turn as a
//! *proposal*. The proposal decides against a [`TailView`](tail::TailView), in one file for each rule: `insert`, `upsert`,
//! `change`. The outcome is a [`Decision`](decision::Decision): operations with their victims resolved, which is what the
//! log keeps (W1).

mod api;
mod applied;
mod change;
mod convert;
mod decision;
mod insert;
mod normalise;
mod overwrite;
mod proposals;
mod table_write;
mod tail;
mod upsert;

pub use crate::commit::CommitHandle;
pub use api::{Commit, ConflictRows, ConflictUpdate, LastWord, OnConflict, Recheck, Rechecked, RowOutcome, WriteMode};
pub use applied::AppliedRows;
pub use table_write::{ReadyWrite, TableWrite};

pub(crate) use change::{ChangeItem, Changes, seen_keys};
pub(crate) use convert::{Conversion, OfEarlierVersion, altered};
pub(crate) use decision::{Decision, concat, gather, ops_from, row_count};
pub(crate) use insert::{check_answer, checked_rows, is_true};
pub(crate) use normalise::{batch_bytes, normalise};
pub(crate) use overwrite::Overwriting;
pub(crate) use table_write::Target;
pub(crate) use tail::{TailView, all_columns, key_hashes, unique_violation};
pub(crate) use upsert::UpsertItem;
