//! Statements whose rows are in memory.

use arrow_array::RecordBatch;
use outcrop_types::Result;

use super::api::OnConflict;
use super::change::Changes;
use super::convert::Conversion;
use super::insert::decide_insert;
use super::normalise::batch_bytes;
use super::tail::TailView;
use super::upsert::{UpsertItem, decide_upsert};
use crate::commit::{Applied, Proposal, VICTIM_BYTES};
use crate::key_index::KeyHash;

/// `INSERT` and `COPY`.
pub(crate) struct InsertProposal {
    pub(crate) rows: RecordBatch,
    pub(crate) keys: Vec<KeyHash>,
    pub(crate) on_conflict: OnConflict,
}

/// REST documents.
pub(crate) struct UpsertProposal {
    pub(crate) rows: RecordBatch,
    pub(crate) items: Vec<UpsertItem>,
}

impl Proposal for InsertProposal {
    fn convert(&mut self, to: &Conversion) -> Result<()> {
        self.rows = to.rows(&self.rows)?;
        self.on_conflict.convert(to);
        Ok(())
    }

    fn settles(&self) -> bool {
        false
    }

    fn settle(&mut self, _: &TailView<'_>) -> Result<()> {
        Ok(())
    }

    fn is_settled(&self, _: &TailView<'_>) -> bool {
        true
    }

    fn decide(&mut self, view: &TailView<'_>) -> Result<Applied> {
        decide_insert(view, &self.rows, &self.keys, &mut self.on_conflict).map(Applied::inline)
    }

    fn record_bytes(&self) -> u64 {
        batch_bytes(&self.rows) + self.keys.len() as u64 * VICTIM_BYTES
    }

    fn adds_rows(&self) -> bool {
        self.rows.num_rows() > 0
    }
}

impl Proposal for UpsertProposal {
    fn convert(&mut self, to: &Conversion) -> Result<()> {
        self.rows = to.rows(&self.rows)?;
        Ok(())
    }

    fn settles(&self) -> bool {
        false
    }

    fn settle(&mut self, _: &TailView<'_>) -> Result<()> {
        Ok(())
    }

    fn is_settled(&self, _: &TailView<'_>) -> bool {
        true
    }

    fn decide(&mut self, view: &TailView<'_>) -> Result<Applied> {
        decide_upsert(view, &self.rows, &self.items).map(Applied::inline)
    }

    fn record_bytes(&self) -> u64 {
        batch_bytes(&self.rows) + self.items.len() as u64 * VICTIM_BYTES
    }

    fn adds_rows(&self) -> bool {
        self.rows.num_rows() > 0
    }
}

impl Proposal for Changes {
    fn convert(&mut self, to: &Conversion) -> Result<()> {
        Self::convert(self, to)
    }

    fn settle(&mut self, view: &TailView<'_>) -> Result<()> {
        Self::settle(self, view)
    }

    fn is_settled(&self, view: &TailView<'_>) -> bool {
        Self::is_settled(self, view)
    }

    fn decide(&mut self, view: &TailView<'_>) -> Result<Applied> {
        Self::decide(self, view).map(Applied::inline)
    }

    fn record_bytes(&self) -> u64 {
        self.row_bytes() + self.len() as u64 * VICTIM_BYTES
    }

    fn adds_rows(&self) -> bool {
        self.row_bytes() > 0
    }
}
