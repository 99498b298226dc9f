//! `UPDATE` and `DELETE` by address, and what becomes of rows that changed since the statement read them (Q7).

use std::collections::HashSet;

use arrow_array::RecordBatch;
use outcrop_format::record::Op;
use outcrop_types::{Error, Result, RowAddress};

use super::api::{Recheck, RowOutcome};
use super::convert::{Conversion, altered};
use super::decision::{Decision, check_unique, gather, ops_from};
use super::insert::{checked_rows, is_true};
use super::normalise::batch_bytes;
use super::tail::TailView;
use crate::ScanColumn;
use crate::key_index::KeyHash;
use crate::snapshot::TableSnapshot;

/// A row that the statement wants to change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChangeItem {
    /// As the statement saw it.
    pub(crate) seen: RowAddress,
    /// Where it, or the row that replaced it, was found last; `None` when there is nothing to change any more.
    pub(crate) now: Option<RowAddress>,
    /// Its new row: batch and row there. `None` to delete.
    pub(crate) row: Option<(usize, usize)>,
}

/// The rows of an `UPDATE` or `DELETE`, in memory.
pub(crate) struct Changes {
    items: Vec<ChangeItem>,
    seen: HashSet<RowAddress>,
    /// New rows: those of the statement first, then those of rechecks.
    sources: Vec<RecordBatch>,
    recheck: Option<Box<dyn Recheck>>,
    /// What the statement read; keys of rows that are gone are read there.
    snapshot: TableSnapshot,
    /// Whether the columns are others than those of the snapshot and the callback.
    converted: bool,
}

impl Changes {
    pub(crate) fn new(snapshot: TableSnapshot, recheck: Option<Box<dyn Recheck>>) -> Self {
        Self { items: Vec::new(), seen: HashSet::new(), sources: Vec::new(), recheck, snapshot, converted: false }
    }

    /// Brings the new rows to a later version of the schema. Rows seen have, in a column that is new, its initial default: one
    /// that was changed since is not where it was seen.
    pub(crate) fn convert(&mut self, to: &Conversion) -> Result<()> {
        self.sources = self.sources.iter().map(|rows| to.rows(rows)).collect::<Result<_>>()?;
        self.converted |= !to.keeps_shape();
        Ok(())
    }

    /// Adds rows to replace. A victim given before keeps its first row.
    pub(crate) fn update(&mut self, victims: &[RowAddress], rows: RecordBatch) {
        let source = self.sources.len();
        for (row, victim) in victims.iter().enumerate() {
            self.add(*victim, Some((source, row)));
        }
        self.sources.push(rows);
    }

    /// Adds rows to delete.
    pub(crate) fn delete(&mut self, victims: &[RowAddress]) {
        victims.iter().for_each(|victim| self.add(*victim, None));
    }

    fn add(&mut self, victim: RowAddress, row: Option<(usize, usize)>) {
        let first = self.seen.insert(victim);
        self.items.push(ChangeItem { seen: victim, now: first.then_some(victim), row });
    }

    /// Takes it apart, for statements that are staged: items, batches of new rows, callback.
    pub(crate) fn into_parts(self) -> (Vec<ChangeItem>, Vec<RecordBatch>, Option<Box<dyn Recheck>>) {
        (self.items, self.sources, self.recheck)
    }

    /// Rows to change.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Bytes of the new rows.
    pub(crate) fn row_bytes(&self) -> u64 {
        self.sources.iter().map(batch_bytes).sum()
    }

    /// Whether every row is still where it was found last.
    pub(crate) fn is_settled(&self, view: &TailView<'_>) -> bool {
        self.items.iter().all(|item| item.now.is_none_or(|now| view.locate(now).is_some()))
    }

    /// Finds every row in `view`: moved ones by their remap, replaced ones by their key, judged again by the callback.
    /// One round of Q7.
    pub(crate) fn settle(&mut self, view: &TailView<'_>) -> Result<()> {
        let mut gone = Vec::new();
        for (index, item) in self.items.iter_mut().enumerate() {
            let Some(now) = item.now else { continue };
            item.now = view.locate(now);
            if item.now.is_none() {
                gone.push(index);
            }
        }
        if gone.is_empty() || view.keys().is_none() {
            return Ok(());
        }
        for chunk in gone.chunks(RECHECK_ROWS) {
            self.recheck_chunk(view, chunk)?;
        }
        Ok(())
    }

    /// Judges an `UPDATE` or `DELETE`: settles it, then uniqueness at its end.
    pub(crate) fn decide(&mut self, view: &TailView<'_>) -> Result<Decision> {
        self.settle(view)?;
        let mut taken = HashSet::with_capacity(self.items.len());
        let mut list = Vec::with_capacity(self.items.len());
        let mut picks = Vec::new();
        let mut outcomes = Vec::with_capacity(self.items.len());
        for item in &self.items {
            let Some(victim) = item.now.filter(|now| taken.insert(*now)) else {
                outcomes.push(RowOutcome::Skipped);
                continue;
            };
            if let Some(pick) = item.row {
                list.push(Op::Update(victim));
                picks.push(pick);
                outcomes.push(RowOutcome::Updated);
            } else {
                list.push(Op::Delete(victim));
                outcomes.push(RowOutcome::Deleted);
            }
        }
        let rows = gather(view.schema, &self.sources, &picks)?;
        let ops = ops_from(list)?;
        let row_keys: Vec<KeyHash> = view.key_hashes(&rows)?;
        if view.keys().is_some() {
            check_unique(view, &rows, &row_keys, &ops)?;
        }
        Ok(Decision { rows, row_keys, ops, outcomes })
    }

    /// Successors by key of rows that are gone; WHERE and SET evaluated on them again.
    fn recheck_chunk(&mut self, view: &TailView<'_>, gone: &[usize]) -> Result<()> {
        let Some(recheck) = self.recheck.as_mut() else { return Ok(()) };
        if self.converted {
            return Err(altered(view.schema));
        }
        let seen: Vec<RowAddress> =
            gone.iter().filter_map(|index| self.items.get(*index)).map(|item| item.seen).collect();
        let keys = seen_keys(view, &self.snapshot, &seen)?;
        let successors: Vec<(usize, RowAddress)> =
            gone.iter().zip(view.lookup(&keys)?).filter_map(|(index, successor)| Some((*index, successor?))).collect();
        if successors.is_empty() {
            return Ok(());
        }
        let addresses: Vec<RowAddress> = successors.iter().map(|(_, address)| *address).collect();
        let answer = recheck.recheck(&view.fetch(&addresses)?)?;
        let updates = answer.rows.is_some();
        if answer.matches.len() != addresses.len()
            || answer.rows.as_ref().is_some_and(|rows| rows.num_rows() != addresses.len())
        {
            return Err(Error::internal(format!("a recheck of {} rows answered other rows", addresses.len())));
        }
        let source = self.sources.len();
        if let Some(rows) = &answer.rows {
            self.sources.push(checked_rows(view, &answer.matches, rows)?);
        }
        for (row, (index, address)) in successors.iter().enumerate() {
            let Some(item) = self.items.get_mut(*index) else { continue };
            if !is_true(&answer.matches, row) {
                continue;
            }
            if item.row.is_some() != updates {
                return Err(Error::internal("a recheck answered an update with a delete, or the reverse"));
            }
            item.now = Some(*address);
            if updates {
                item.row = Some((source, row));
            }
        }
        Ok(())
    }
}

/// The keys that rows had in the statement's snapshot.
pub(crate) fn seen_keys(view: &TailView<'_>, snapshot: &TableSnapshot, rows: &[RowAddress]) -> Result<Vec<KeyHash>> {
    let (Some(index), Some(key)) = (view.keys(), view.schema.primary_key()) else { return Ok(Vec::new()) };
    let columns: Vec<ScanColumn> = key.columns.iter().map(|id| ScanColumn::Column(*id)).collect();
    index.encoder().encode(snapshot.fetch(rows, &columns)?.columns())
}

/// Rows that one call of [`Recheck::recheck`] judges at most.
const RECHECK_ROWS: usize = 8_192;
