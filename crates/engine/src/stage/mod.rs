//! Large statements: rows go to invisible segments as they arrive, and become visible by one small record (W10).
//!
//! A [`Stage`] writes the segments. The statements on top of it resolve their keys in three steps: against the published
//! version as rows arrive (only to fail early), against the tail off the turn once all rows are there, and inside the turn
//! only against keys that were written since, which the shard's journal has. A file that no record names is removed with
//! the statement, or by the next start.

mod changes;
mod insert;
mod part;
mod upsert;
mod victims;
mod writer;

use arrow_array::RecordBatch;
use outcrop_types::{Error, Result, RowAddress};

pub(crate) use changes::StagedChanges;
pub(crate) use insert::StagedInsert;
pub(crate) use upsert::StagedUpsert;
pub(crate) use victims::read_victims;
pub(crate) use writer::Stage;

use crate::commit::Proposal;
use crate::key_index::KeyHash;
use crate::write::Target;

/// A statement whose rows are being staged. Methods that its kind does not have are bugs of the caller.
pub(crate) trait StagedRows: Send {
    /// Adds rows in stored form.
    fn insert(&mut self, _target: &Target, _rows: &RecordBatch) -> Result<()> {
        Err(Error::internal("insert in a statement that changes rows by address"))
    }

    /// Deletes by key.
    fn delete_keys(&mut self, _keys: &[KeyHash]) -> Result<()> {
        Err(Error::internal("delete by key in another statement than an upsert"))
    }

    /// Replaces rows by rows in stored form.
    fn update(&mut self, _target: &Target, _victims: &[RowAddress], _rows: &RecordBatch) -> Result<()> {
        Err(Error::internal("update in an insert"))
    }

    /// Deletes rows.
    fn delete(&mut self, _victims: &[RowAddress]) -> Result<()> {
        Err(Error::internal("delete in an insert"))
    }

    /// All rows are there: makes the segments durable.
    fn finish(self: Box<Self>, target: &Target) -> Result<Box<dyn Proposal>>;
}
