//! From a decision to an answer: turns, the order of commits, group sync, publication, poison.
//!
//! A *turn* is a closure under the lock of one shard: it looks at the tail, decides, and puts a record in the pending
//! group under the lock of the [`Tail`], which gives out `CommitSeq`s. The log worker takes a group, writes and syncs it,
//! publishes the version of its last commit, and completes the tickets in order; meanwhile the next group fills. Locks
//! are taken in this order: turns by `TableId`, then the tail, then what belongs to the key index or to live versions.

mod ddl;
mod fill;
mod log_worker;
mod pressure;
mod record_size;
mod remap;
mod seen_rows;
mod shard;
mod tail;
mod ticket;
mod turn;

pub(crate) use log_worker::{LogRequests, LogWorker};
pub(crate) use pressure::Pressure;
pub(crate) use record_size::VICTIM_BYTES;
pub(crate) use remap::{Remaps, RowMap};
pub(crate) use seen_rows::contains_nulls;
pub(crate) use shard::{Journal, Shard};
pub(crate) use tail::{Answer, Sequenced, Tail};
pub use ticket::CommitHandle;
pub(crate) use ticket::Ticket;
pub(crate) use turn::{
    Applied, Caller, Keep, Outcomes, Proposal, StagedPart, commit_at_once, commit_statement, one_shard, only_shard,
    with_shard,
};
