//! Large statements: rows go to invisible segments as they arrive, and become visible by one small record (W10).
//!
//! A [`Stage`] writes the segments. The statements on top of it resolve their keys in three steps: against the published
//! version as rows arrive (only to fail early), against the tail off the turn once all rows are there, and inside the turn
//! only against keys that were written since, which the shard's journal has. A file that no record names is removed with
//! the statement, or by the next start.

mod changes;
mod insert;
mod part;
mod row_set;
mod rows;
mod upsert;
mod victims;
mod writer;

pub(crate) use changes::StagedChanges;
pub(crate) use insert::StagedInsert;
pub(crate) use row_set::RowSet;
pub(crate) use rows::StagedRows;
pub(crate) use upsert::StagedUpsert;
pub(crate) use victims::read_victims;
pub(crate) use writer::Stage;
