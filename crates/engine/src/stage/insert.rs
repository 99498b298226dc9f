//! A large `INSERT` or `COPY`.

use std::collections::{HashMap, HashSet};

use arrow_array::RecordBatch;
use outcrop_format::record::Op;
use outcrop_types::{CommitSeq, Condition, Error, Result, RowAddress};

use super::StagedRows;
use super::part::{CHUNK_ROWS, Resolved, StagedRowSet};
use super::writer::Stage;
use crate::commit::{Applied, Keep, Outcomes, Proposal};
use crate::key_index::KeyHash;
use crate::write::{
    ConflictUpdate, Decision, OnConflict, RowOutcome, TailView, Target, all_columns, check_answer, checked_rows,
    gather, is_true, key_hashes, ops_from, unique_violation,
};

/// Rows of an `INSERT`, staged.
pub(crate) struct StagedInsert {
    stage: Stage,
    on_conflict: OnConflict,
    /// The staged row of each key; empty for a table without primary key.
    rows: HashMap<KeyHash, RowAddress>,
    /// Rows given without a key.
    plain: u64,
    /// Each row given, for those who ask for rows: its key, and where it is staged; `None` for a row that an earlier one of
    /// the statement rules out.
    given: Vec<(Option<KeyHash>, Option<RowAddress>)>,
    keep: Keep,
    /// Staged rows that something newer of the statement replaced.
    dead: Vec<RowAddress>,
    /// Keys that were there already, and what becomes of them.
    conflicts: HashMap<KeyHash, Conflict>,
    resolved: Resolved,
}

/// A key that a row of the table has already.
#[derive(Clone, Copy, Debug)]
struct Conflict {
    victim: RowAddress,
    /// The row that replaces it: staged, or inside the turn in memory. `None` if it stays.
    new_row: Option<NewRow>,
}

#[derive(Clone, Copy, Debug)]
enum NewRow {
    Staged(RowAddress),
    Memory(usize, usize),
}

impl StagedInsert {
    pub(crate) fn new(stage: Stage, on_conflict: OnConflict, keep: Keep) -> Self {
        Self {
            stage,
            on_conflict,
            rows: HashMap::new(),
            plain: 0,
            given: Vec::new(),
            keep,
            dead: Vec::new(),
            conflicts: HashMap::new(),
            resolved: Resolved::default(),
        }
    }

    /// Judges duplicates within the statement; returns the rows to stage.
    fn distinct(&mut self, target: &Target, rows: &RecordBatch, keys: &[KeyHash]) -> Result<Vec<usize>> {
        let mut fresh = HashSet::with_capacity(keys.len());
        let mut wanted = Vec::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate() {
            if !self.rows.contains_key(key) && fresh.insert(*key) {
                wanted.push(row);
                continue;
            }
            match &self.on_conflict {
                OnConflict::Error => {
                    return Err(unique_violation(target.keys.as_deref(), &target.schema, rows, row));
                }
                OnConflict::Nothing => {}
                OnConflict::Update(_) => {
                    let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
                    return Err(Error::new(Condition::CardinalityViolation, message)
                        .with_hint("Ensure that no two rows proposed for insertion have the same primary key."));
                }
            }
        }
        Ok(wanted)
    }

    /// Fails early: a row that is there in the published version is durable, so the answer may leave at once.
    fn check_published(&self, target: &Target, rows: &RecordBatch, keys: &[KeyHash]) -> Result<()> {
        let (OnConflict::Error, Some(index)) = (&self.on_conflict, &target.keys) else { return Ok(()) };
        let version = target.node.published.load();
        let Some(table) = version.tables.get(&target.schema.id) else { return Ok(()) };
        let state = crate::commit::only_shard(table)?;
        match index.lookup_live(keys, &state)?.iter().position(Option::is_some) {
            Some(row) => Err(unique_violation(Some(index), &target.schema, rows, row)),
            None => Ok(()),
        }
    }

    fn violation(&self, view: &TailView<'_>, key: KeyHash) -> Error {
        let row = self.rows.get(&key).map(std::slice::from_ref).unwrap_or_default();
        let columns = all_columns(view.schema);
        match self.stage.snapshot().and_then(|staged| staged.fetch(row, &columns)) {
            Ok(rows) => view.unique_violation(&rows, 0),
            Err(error) => error,
        }
    }

    /// New rows for conflicts: old rows from the tail, proposed ones from the stage, judged by the callback.
    fn judge(
        &self,
        callback: &mut dyn ConflictUpdate,
        view: &TailView<'_>,
        conflicts: &[(KeyHash, RowAddress)],
    ) -> Result<(RecordBatch, Vec<bool>)> {
        let columns = all_columns(view.schema);
        let victims: Vec<RowAddress> = conflicts.iter().map(|(_, victim)| *victim).collect();
        let staged: Vec<RowAddress> = conflicts.iter().filter_map(|(key, _)| self.rows.get(key)).copied().collect();
        let proposed = self.stage.snapshot()?.fetch(&staged, &columns)?;
        let answer = callback.update(&view.fetch(&victims)?, &proposed)?;
        check_answer(&answer.matches, &answer.rows, conflicts.len())?;
        let rows = checked_rows(view, &answer.matches, &answer.rows)?;
        let matches: Vec<bool> = (0..conflicts.len()).map(|row| is_true(&answer.matches, row)).collect();
        for (((key, _), matches), new_key) in conflicts.iter().zip(&matches).zip(view.key_hashes(&rows)?) {
            if *matches && *key != new_key {
                let message = "ON CONFLICT DO UPDATE cannot change primary keys in a statement of this size";
                return Err(Error::new(Condition::FeatureNotSupported, message)
                    .with_hint("Split the statement into smaller ones."));
            }
        }
        Ok((rows, matches))
    }

    /// Conflicts of `found` keys against `view`; new rows are staged.
    fn update_staged(&mut self, view: &TailView<'_>, found: &[(KeyHash, RowAddress)]) -> Result<()> {
        let OnConflict::Update(mut callback) = std::mem::replace(&mut self.on_conflict, OnConflict::Nothing) else {
            return Ok(());
        };
        let outcome = found.chunks(CHUNK_ROWS).try_for_each(|chunk| -> Result<()> {
            let (rows, matches) = self.judge(callback.as_mut(), view, chunk)?;
            let picks: Vec<(usize, usize)> =
                matches.iter().enumerate().filter(|(_, matches)| **matches).map(|(row, _)| (0, row)).collect();
            let rows = gather(view.schema, &[rows], &picks)?;
            let mut staged = self.stage.append(&rows, &view.key_hashes(&rows)?)?.into_iter();
            for ((key, victim), matches) in chunk.iter().zip(matches) {
                let new_row = if matches { staged.next().map(NewRow::Staged) } else { None };
                self.conflicts.insert(*key, Conflict { victim: *victim, new_row });
            }
            Ok(())
        });
        self.on_conflict = OnConflict::Update(callback);
        outcome?;
        self.stage.finish()
    }

    /// Conflicts that must be judged anew; rows staged for them are of no use.
    fn forget_conflicts(&mut self, forget: impl Fn(&KeyHash) -> bool) {
        let forgotten = self.conflicts.extract_if(|key, _| forget(key));
        self.dead.extend(forgotten.filter_map(|(_, conflict)| match conflict.new_row {
            Some(NewRow::Staged(row)) => Some(row),
            Some(NewRow::Memory(..)) | None => None,
        }));
    }

    /// The keys of the statement that live rows have.
    fn find(&self, view: &TailView<'_>, keys: &[KeyHash]) -> Result<Vec<(KeyHash, RowAddress)>> {
        let mut found = Vec::new();
        for keys in keys.chunks(CHUNK_ROWS) {
            found.extend(keys.iter().zip(view.lookup(keys)?).filter_map(|(key, row)| Some((*key, row?))));
        }
        Ok(found)
    }
}

impl StagedRows for StagedInsert {
    fn insert(&mut self, target: &Target, rows: &RecordBatch) -> Result<()> {
        if target.keys.is_none() {
            let staged = self.stage.append(rows, &[])?;
            self.plain += staged.len() as u64;
            if self.keep == Keep::Rows {
                self.given.extend(staged.into_iter().map(|row| (None, Some(row))));
            }
            return Ok(());
        }
        let keys = key_hashes(target.keys.as_deref(), &target.schema, rows)?;
        let wanted = self.distinct(target, rows, &keys)?;
        self.check_published(target, rows, &keys)?;
        let picks: Vec<(usize, usize)> = wanted.iter().map(|row| (0, *row)).collect();
        let whole = wanted.len() == rows.num_rows();
        let staged_rows =
            if whole { rows.clone() } else { gather(&target.schema, std::slice::from_ref(rows), &picks)? };
        let staged_keys: Vec<KeyHash> = wanted.iter().filter_map(|row| keys.get(*row)).copied().collect();
        let mut staged = wanted.into_iter().zip(self.stage.append(&staged_rows, &staged_keys)?).peekable();
        for (row, key) in keys.into_iter().enumerate() {
            let address = staged.next_if(|(staged_row, _)| *staged_row == row).map(|(_, address)| address);
            if let Some(address) = address {
                self.rows.insert(key, address);
            }
            if self.keep == Keep::Rows {
                self.given.push((Some(key), address));
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _: &Target) -> Result<Box<dyn Proposal>> {
        self.stage.finish()?;
        Ok(self)
    }
}

impl Proposal for StagedInsert {
    fn settle(&mut self, view: &TailView<'_>) -> Result<()> {
        let keys: Vec<KeyHash> = self.rows.keys().copied().collect();
        let found = self.find(view, &keys)?;
        self.forget_conflicts(|_| true);
        match (&self.on_conflict, found.first()) {
            (OnConflict::Error, Some((key, _))) => return Err(self.violation(view, *key)),
            (OnConflict::Error, None) => {}
            (OnConflict::Nothing, _) => {
                let stays = |victim| Conflict { victim, new_row: None };
                self.conflicts.extend(found.into_iter().map(|(key, victim)| (key, stays(victim))));
            }
            (OnConflict::Update(_), _) => self.update_staged(view, &found)?,
        }
        let victims: Vec<RowAddress> = self
            .conflicts
            .values()
            .filter(|conflict| conflict.new_row.is_some())
            .map(|conflict| conflict.victim)
            .collect();
        self.resolved.set(&mut self.stage, view, &victims)
    }

    fn is_settled(&self, view: &TailView<'_>) -> bool {
        self.resolved.is_settled(view)
    }

    fn decide(&mut self, view: &TailView<'_>) -> Result<Applied> {
        let mut stale = self.resolved.stale_keys(view, |key| self.rows.contains_key(key));
        for (key, conflict) in &mut self.conflicts {
            match view.locate(conflict.victim) {
                Some(now) => conflict.victim = now,
                None => {
                    stale.insert(*key);
                }
            }
        }
        let found = self.find(view, &stale.iter().copied().collect::<Vec<_>>())?;
        self.forget_conflicts(|key| stale.contains(key));
        let mut memory = Vec::new();
        match std::mem::replace(&mut self.on_conflict, OnConflict::Nothing) {
            OnConflict::Error => {
                if let Some((key, _)) = found.first() {
                    return Err(self.violation(view, *key));
                }
            }
            OnConflict::Nothing => {
                let stays = |victim| Conflict { victim, new_row: None };
                self.conflicts.extend(found.into_iter().map(|(key, victim)| (key, stays(victim))));
            }
            OnConflict::Update(mut callback) => {
                for chunk in found.chunks(CHUNK_ROWS) {
                    let (rows, matches) = self.judge(callback.as_mut(), view, chunk)?;
                    for (row, ((key, victim), matches)) in chunk.iter().zip(matches).enumerate() {
                        let new_row = matches.then_some(NewRow::Memory(memory.len(), row));
                        self.conflicts.insert(*key, Conflict { victim: *victim, new_row });
                    }
                    memory.push(rows);
                }
            }
        }
        self.apply(view, &memory)
    }

    fn record_bytes(&self) -> u64 {
        self.resolved.record_bytes() + self.conflicts.len() as u64
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

impl StagedInsert {
    /// What the turn applies, now that every conflict is decided.
    fn apply(&mut self, view: &TailView<'_>, memory: &[RecordBatch]) -> Result<Applied> {
        let mut victims = Vec::new();
        let mut list = Vec::new();
        let mut picks = Vec::new();
        for (key, Conflict { victim, new_row }) in &self.conflicts {
            // The proposed row is stored in no case: the one there stays, or another one replaces it.
            self.dead.extend(self.rows.get(key));
            match new_row {
                Some(NewRow::Staged(_)) => victims.push(*victim),
                Some(NewRow::Memory(source, row)) => {
                    list.push(Op::Update(*victim));
                    picks.push((*source, *row));
                }
                None => {}
            }
        }
        let (outcomes, returning) = self.outcomes();
        let Self { stage, rows, conflicts, dead, resolved, .. } = self;
        let alive = || -> Box<dyn Iterator<Item = (KeyHash, RowAddress)>> {
            Box::new(rows.iter().filter_map(|(key, row)| match conflicts.get(key) {
                None => Some((*key, *row)),
                Some(Conflict { new_row: Some(NewRow::Staged(row)), .. }) => Some((*key, *row)),
                Some(_) => None,
            }))
        };
        let (part, extra) = resolved.part(stage, view, &victims, &StagedRowSet { dead, alive: &alive })?;
        list.extend(extra);
        let rows = gather(view.schema, memory, &picks)?;
        let row_keys = view.key_hashes(&rows)?;
        Ok(Applied {
            decision: Decision { rows, row_keys, ops: ops_from(list)?, outcomes: Vec::new() },
            staged: Some(part),
            returning_staged: returning,
            returning_deleted: Vec::new(),
            staged_outcomes: outcomes,
        })
    }

    /// What became of the rows, and the staged ones that are stored, in the order given.
    fn outcomes(&self) -> (Outcomes, Vec<RowAddress>) {
        let mut outcomes = Outcomes::new(self.keep);
        let mut returning = Vec::new();
        if self.keep == Keep::Counts {
            (0..self.plain).for_each(|_| outcomes.add(RowOutcome::Inserted));
            self.rows.keys().for_each(|key| outcomes.add(self.outcome(*key).0));
            return (outcomes, returning);
        }
        for (key, row) in &self.given {
            let (outcome, stored) = match (key, row) {
                (None, row) => (RowOutcome::Inserted, *row),
                (Some(_), None) => (RowOutcome::Skipped, None),
                (Some(key), Some(_)) => self.outcome(*key),
            };
            outcomes.add(outcome);
            returning.extend(stored);
        }
        (outcomes, returning)
    }

    /// What became of the row of a key, and where it is staged.
    fn outcome(&self, key: KeyHash) -> (RowOutcome, Option<RowAddress>) {
        match self.conflicts.get(&key).map(|conflict| conflict.new_row) {
            None => (RowOutcome::Inserted, self.rows.get(&key).copied()),
            Some(Some(NewRow::Staged(row))) => (RowOutcome::Updated, Some(row)),
            Some(Some(NewRow::Memory(..))) => (RowOutcome::Updated, None),
            Some(None) => (RowOutcome::Skipped, None),
        }
    }
}
