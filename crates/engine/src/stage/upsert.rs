//! A large set of documents: replace by key, delete by key, the last one wins.

use std::collections::{HashMap, HashSet};

use arrow_array::RecordBatch;
use outcrop_format::record::{Op, Ops};
use outcrop_types::{CommitSeq, Result, RowAddress};

use super::StagedRows;
use super::part::{CHUNK_ROWS, Resolved};
use super::row_set::RowSet;
use super::writer::Stage;
use crate::commit::{Applied, Keep, Outcomes, Proposal};
use crate::key_index::KeyHash;
use crate::write::{
    Conversion, Decision, RowOutcome, TailView, Target, UpsertItem, concat, gather, key_hashes, ops_from,
};

/// Documents, staged. What it remembers of each is limited by the size of the request that brought them all.
pub(crate) struct StagedUpsert {
    stage: Stage,
    keep: Keep,
    /// What each key is in the end.
    fates: HashMap<KeyHash, Fate>,
    /// Every document given: its key, and whether it is stored or deletes.
    given: Vec<(KeyHash, bool)>,
    /// Staged rows of a table without primary key.
    plain: Vec<RowAddress>,
    resolved: Resolved,
}

#[derive(Clone, Copy, Debug)]
struct Fate {
    /// The staged row; `None` to delete.
    row: Option<RowAddress>,
    /// The row there before.
    victim: Option<RowAddress>,
}

impl StagedUpsert {
    /// Takes over what was in memory: `items` in order, with the rows that they name in `batches`.
    pub(crate) fn new(
        target: &Target,
        stage: Stage,
        keep: Keep,
        batches: &[RecordBatch],
        items: &[UpsertItem],
    ) -> Result<Self> {
        let mut staged = Self {
            stage,
            keep,
            fates: HashMap::new(),
            given: Vec::new(),
            plain: Vec::new(),
            resolved: Resolved::default(),
        };
        let rows = concat(&target.schema, batches)?;
        if target.keys.is_none() {
            staged.insert(target, &rows)?;
            return Ok(staged);
        }
        for run in items.chunk_by(|a, b| a.row.is_some() == b.row.is_some()) {
            let keys: Vec<KeyHash> = run.iter().map(|item| item.key).collect();
            let picks: Vec<(usize, usize)> =
                run.iter().filter_map(|item| Some((0, usize::try_from(item.row?).ok()?))).collect();
            if picks.is_empty() {
                staged.delete_keys(&keys)?;
            } else {
                staged.add(&gather(&target.schema, std::slice::from_ref(&rows), &picks)?, &keys)?;
            }
        }
        Ok(staged)
    }

    fn add(&mut self, rows: &RecordBatch, keys: &[KeyHash]) -> Result<()> {
        let staged = self.stage.append(rows, keys)?;
        keys.iter().zip(staged).for_each(|(key, row)| self.put(*key, Some(row)));
        Ok(())
    }

    /// The newest document of a key.
    fn put(&mut self, key: KeyHash, row: Option<RowAddress>) {
        let before = self.fates.insert(key, Fate { row, victim: None });
        if let Some(replaced) = before.and_then(|fate| fate.row) {
            self.stage.kill(replaced);
        }
        self.given.push((key, row.is_some()));
    }

    fn find(&mut self, view: &TailView<'_>, keys: &[KeyHash]) -> Result<()> {
        for keys in keys.chunks(CHUNK_ROWS) {
            for (key, victim) in keys.iter().zip(view.lookup(keys)?) {
                if let Some(fate) = self.fates.get_mut(key) {
                    fate.victim = victim;
                }
            }
        }
        Ok(())
    }

    fn outcomes(&self) -> Outcomes {
        let mut outcomes = Outcomes::new(self.keep);
        let mut exists: HashMap<KeyHash, bool> = HashMap::with_capacity(self.fates.len());
        for (key, stored) in &self.given {
            let before = self.fates.get(key).is_some_and(|fate| fate.victim.is_some());
            let exists = exists.entry(*key).or_insert(before);
            outcomes.add(match (*stored, *exists) {
                (true, false) => RowOutcome::Inserted,
                (true, true) => RowOutcome::Updated,
                (false, true) => RowOutcome::Deleted,
                (false, false) => RowOutcome::Skipped,
            });
            *exists = *stored;
        }
        self.plain.iter().for_each(|_| outcomes.add(RowOutcome::Inserted));
        outcomes
    }
}

impl StagedRows for StagedUpsert {
    fn insert(&mut self, target: &Target, rows: &RecordBatch) -> Result<()> {
        if target.keys.is_none() {
            self.plain.extend(self.stage.append(rows, &[])?);
            return Ok(());
        }
        let keys = key_hashes(target.keys.as_deref(), &target.schema, rows)?;
        self.add(rows, &keys)
    }

    fn delete_keys(&mut self, keys: &[KeyHash]) -> Result<()> {
        keys.iter().for_each(|key| self.put(*key, None));
        Ok(())
    }

    fn finish(mut self: Box<Self>, _: &Target) -> Result<Box<dyn Proposal>> {
        self.stage.finish()?;
        Ok(self)
    }
}

impl Proposal for StagedUpsert {
    fn convert(&mut self, to: &Conversion) -> Result<()> {
        self.stage.convert(to)
    }

    fn settle(&mut self, view: &TailView<'_>) -> Result<()> {
        let keys: Vec<KeyHash> = self.fates.keys().copied().collect();
        self.find(view, &keys)?;
        let victims: RowSet = self.fates.values().filter_map(|fate| fate.victim).collect();
        self.resolved.set(&mut self.stage, view, victims)
    }

    fn is_settled(&self, view: &TailView<'_>) -> bool {
        self.resolved.is_settled(view)
    }

    fn decide(&mut self, view: &TailView<'_>) -> Result<Applied> {
        let mut stale: HashSet<KeyHash> = self.resolved.stale_keys(view).into_iter().collect();
        for (key, fate) in &mut self.fates {
            let Some(victim) = fate.victim else { continue };
            fate.victim = view.locate(victim);
            if fate.victim.is_none() {
                stale.insert(*key);
            }
        }
        self.find(view, &stale.into_iter().collect::<Vec<_>>())?;

        let victims: RowSet = self.fates.values().filter_map(|fate| fate.victim).collect();
        let (mut returning, mut deleted) = (Vec::new(), Vec::new());
        if self.keep == Keep::Rows {
            returning.extend(self.fates.values().filter_map(|fate| fate.row));
            returning.extend(&self.plain);
            returning.sort_unstable();
            deleted.extend(self.fates.values().filter(|fate| fate.row.is_none()).filter_map(|fate| fate.victim));
        }
        let outcomes = self.outcomes();
        let (part, extra) = self.resolved.part(&mut self.stage, view, victims)?;
        Ok(Applied {
            decision: only_ops(view, extra)?,
            staged: Some(part),
            returning_staged: returning,
            returning_deleted: deleted,
            staged_outcomes: outcomes,
        })
    }

    fn record_bytes(&self) -> u64 {
        self.resolved.record_bytes()
    }

    fn adds_rows(&self) -> bool {
        true
    }

    fn needs_memory(&self) -> bool {
        false
    }

    fn resolves_off_turn(&self) -> bool {
        true
    }

    fn sequenced(&mut self, seq: CommitSeq) {
        self.stage.commit(seq, self.resolved.file());
    }
}

/// Operations without new rows.
pub(super) fn only_ops(view: &TailView<'_>, list: Vec<Op>) -> Result<Decision> {
    let rows = RecordBatch::new_empty(view.schema.to_arrow());
    let ops = if list.is_empty() { Ops::AllInserts { count: 0 } } else { ops_from(list)? };
    Ok(Decision { rows, row_keys: Vec::new(), ops, outcomes: Vec::new() })
}
