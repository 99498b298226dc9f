//! What every staged statement can do.

use arrow_array::RecordBatch;
use outcrop_types::{Error, Result, RowAddress};

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
