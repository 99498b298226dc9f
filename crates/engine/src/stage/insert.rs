//! A large `INSERT` or `COPY`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use outcrop_format::record::Op;
use outcrop_types::{CommitSeq, Condition, Error, Result, RowAddress};

use super::StagedRows;
use super::part::{CHUNK_ROWS, Resolved};
use super::row_set::{PackedRow, RowSet};
use super::writer::Stage;
use crate::commit::{Applied, Keep, Outcomes, Proposal};
use crate::key_index::KeyHash;
use crate::write::{
    ConflictUpdate, Conversion, Decision, OfEarlierVersion, OnConflict, Overwriting, RowOutcome, TailView, Target,
    all_columns, check_answer, checked_rows, gather, is_true, key_hashes, ops_from, unique_violation,
};

/// Rows to insert, staged.
///
/// Proposed rows come first; rows that `DO UPDATE` makes of conflicts are in segments of their own behind them. A proposed
/// row that is not stored, because of a conflict, is dead in its segment. So a row takes a bit of memory, a conflict that
/// is updated 24 bytes, and a row of a statement that returns its rows 8.
pub(crate) struct StagedInsert {
    stage: Stage,
    rule: Rule,
    keep: Keep,
    /// Each row given, for those who ask for rows: where it is staged; `None` for one that an earlier row of the
    /// statement rules out.
    given: Vec<Option<PackedRow>>,
    /// Segments with proposed rows, once they are all there.
    proposed: usize,
    /// Conflicts whose row is replaced, by proposed row.
    conflicts: Vec<Conflict>,
    resolved: Resolved,
}

/// A proposed row whose key another row has, which is replaced.
#[derive(Clone, Copy, Debug)]
struct Conflict {
    proposed: PackedRow,
    victim: PackedRow,
    /// `None` until it is judged.
    new_row: Option<PackedRow>,
}

/// A conflict that was judged inside the turn: its new row is in memory.
#[derive(Clone, Copy, Debug)]
struct LateConflict {
    victim: RowAddress,
    /// Batch and row there.
    new_row: (usize, usize),
}

/// What a conflict does to a staged row. It is staged before its conflict is known, so that taking columns over from the row
/// there is a callback like any other.
enum Rule {
    Error,
    Nothing,
    Update(Box<dyn ConflictUpdate>),
}

impl StagedInsert {
    pub(crate) fn new(target: &Target, stage: Stage, on_conflict: OnConflict, keep: Keep) -> Self {
        let rule = match on_conflict {
            OnConflict::Error => Rule::Error,
            OnConflict::Nothing => Rule::Nothing,
            OnConflict::Update(callback) => Rule::Update(callback),
            OnConflict::Overwrite(columns) => Rule::Update(Box::new(Overwriting::new(&target.schema, &columns))),
        };
        Self { stage, rule, keep, given: Vec::new(), proposed: 0, conflicts: Vec::new(), resolved: Resolved::default() }
    }

    /// Judges duplicates within the statement; returns the rows to stage.
    fn distinct(&mut self, target: &Target, rows: &RecordBatch, keys: &[KeyHash]) -> Result<Vec<usize>> {
        let mut fresh = HashSet::with_capacity(keys.len());
        let mut wanted = Vec::with_capacity(keys.len());
        for (row, (key, staged)) in keys.iter().zip(self.stage.find(keys)?).enumerate() {
            if staged.is_none() && fresh.insert(*key) {
                wanted.push(row);
                continue;
            }
            match &self.rule {
                Rule::Error => {
                    return Err(unique_violation(target.keys.as_deref(), &target.schema, rows, row));
                }
                Rule::Nothing => {}
                Rule::Update(_) => {
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
        let (Rule::Error, Some(index)) = (&self.rule, &target.keys) else { return Ok(()) };
        let version = target.node.published.load();
        let Some(table) = version.tables.get(&target.schema.id) else { return Ok(()) };
        let state = crate::commit::only_shard(table)?;
        match index.lookup_live(keys, &state)?.iter().position(Option::is_some) {
            Some(row) => Err(unique_violation(Some(index), &target.schema, rows, row)),
            None => Ok(()),
        }
    }

    /// 23505 for a proposed row.
    fn violation(&self, view: &TailView<'_>, proposed: RowAddress) -> Error {
        match self.stage.fetch(&[proposed], &all_columns(view.schema)) {
            Ok(rows) => view.unique_violation(&rows, 0),
            Err(error) => error,
        }
    }

    /// The proposed rows whose keys live rows of `view` have, with those rows; ascending.
    fn find_conflicts(&self, view: &TailView<'_>) -> Result<Vec<Conflict>> {
        let mut found = Vec::new();
        self.stage.each_key(self.proposed, |keys, rows| {
            for (proposed, victim) in rows.iter().zip(view.lookup(keys)?) {
                if let Some(victim) = victim {
                    if matches!(self.rule, Rule::Error) {
                        return Err(self.violation(view, *proposed));
                    }
                    let (proposed, victim) = (PackedRow::new(*proposed)?, PackedRow::new(victim)?);
                    found.push(Conflict { proposed, victim, new_row: None });
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// New rows for conflicts, given as proposed rows and victims: old rows from the tail, proposed ones from the stage,
    /// judged by the callback.
    fn judge(
        &self,
        callback: &mut dyn ConflictUpdate,
        view: &TailView<'_>,
        conflicts: &[(RowAddress, RowAddress)],
    ) -> Result<(RecordBatch, Vec<bool>)> {
        let (proposed, victims): (Vec<RowAddress>, Vec<RowAddress>) = conflicts.iter().copied().unzip();
        let proposed = self.stage.fetch(&proposed, &all_columns(view.schema))?;
        let answer = callback.update(&view.fetch(&victims)?, &proposed)?;
        check_answer(&answer.matches, &answer.rows, conflicts.len())?;
        let rows = checked_rows(view, &answer.matches, &answer.rows)?;
        let matches: Vec<bool> = (0..conflicts.len()).map(|row| is_true(&answer.matches, row)).collect();
        let keys = view.key_hashes(&proposed)?;
        for ((key, matches), new_key) in keys.iter().zip(&matches).zip(view.key_hashes(&rows)?) {
            if *matches && *key != new_key {
                let message = "ON CONFLICT DO UPDATE cannot change primary keys in a statement of this size";
                return Err(Error::new(Condition::FeatureNotSupported, message)
                    .with_hint("Split the statement into smaller ones."));
            }
        }
        Ok((rows, matches))
    }

    /// Judges conflicts off the turn; new rows are staged. Only those that are updated stay in the list.
    fn update_staged(&mut self, view: &TailView<'_>, conflicts: &mut Vec<Conflict>) -> Result<()> {
        let Rule::Update(mut callback) = std::mem::replace(&mut self.rule, Rule::Nothing) else {
            return Ok(());
        };
        let outcome = conflicts.chunks_mut(CHUNK_ROWS).try_for_each(|chunk| -> Result<()> {
            let rows: Vec<(RowAddress, RowAddress)> =
                chunk.iter().map(|conflict| (conflict.proposed.get(), conflict.victim.get())).collect();
            let (rows, matches) = self.judge(callback.as_mut(), view, &rows)?;
            let picks: Vec<(usize, usize)> =
                matches.iter().enumerate().filter(|(_, matches)| **matches).map(|(row, _)| (0, row)).collect();
            let rows = gather(view.schema, &[rows], &picks)?;
            let mut staged = self.stage.append(&rows, &view.key_hashes(&rows)?)?.into_iter();
            for (conflict, matches) in chunk.iter_mut().zip(matches) {
                if matches {
                    conflict.new_row = staged.next().map(PackedRow::new).transpose()?;
                }
            }
            Ok(())
        });
        self.rule = Rule::Update(callback);
        outcome?;
        conflicts.retain(|conflict| conflict.new_row.is_some());
        self.stage.finish()
    }

    /// Inside the turn: the proposed rows that must be judged anew, because another row with their key came, or the one
    /// they were to replace is gone. They stand as if nobody had their keys.
    fn reopen(&mut self, view: &TailView<'_>) -> Result<Vec<RowAddress>> {
        let proposed: HashSet<_> =
            self.stage.segments().iter().take(self.proposed).map(|staged| staged.segment.unit()).collect();
        let stale = self.stage.find(&self.resolved.stale_keys(view))?.into_iter().flatten();
        let mut again: Vec<RowAddress> = stale.filter(|row| proposed.contains(&row.unit)).collect();
        let stage = &mut self.stage;
        self.conflicts.retain_mut(|conflict| {
            let now = view.locate(conflict.victim.get()).and_then(|now| PackedRow::new(now).ok());
            if let Some(now) = now {
                conflict.victim = now;
                return true;
            }
            if let Some(new_row) = conflict.new_row {
                stage.kill(new_row.get());
            }
            stage.revive(conflict.proposed.get());
            again.push(conflict.proposed.get());
            false
        });
        Ok(again)
    }

    /// Conflicts of `again`, inside the turn.
    fn judge_late(&mut self, view: &TailView<'_>, again: &[RowAddress]) -> Result<Late> {
        let mut late = Late::default();
        for chunk in again.chunks(CHUNK_ROWS) {
            let keys = self.stage.keys_of(chunk)?;
            let found: Vec<(RowAddress, RowAddress)> = chunk
                .iter()
                .zip(view.lookup(&keys)?)
                .filter_map(|(proposed, victim)| Some((*proposed, victim?)))
                .collect();
            let Some((first, _)) = found.first() else { continue };
            let mut callback = match std::mem::replace(&mut self.rule, Rule::Nothing) {
                Rule::Error => return Err(self.violation(view, *first)),
                Rule::Nothing => {
                    found.iter().for_each(|(proposed, _)| self.stage.kill(*proposed));
                    continue;
                }
                Rule::Update(callback) => callback,
            };
            let judged = self.judge(callback.as_mut(), view, &found);
            self.rule = Rule::Update(callback);
            let (rows, matches) = judged?;
            for (row, ((proposed, victim), matches)) in found.iter().zip(matches).enumerate() {
                self.stage.kill(*proposed);
                if matches {
                    let new_row = (late.rows.len(), row);
                    late.conflicts.insert(*proposed, LateConflict { victim: *victim, new_row });
                }
            }
            late.rows.push(rows);
        }
        Ok(late)
    }

    /// What became of the rows, and the staged ones that are stored, in the order given.
    fn outcomes(&self, late: &Late) -> Result<(Outcomes, Vec<RowAddress>)> {
        let mut outcomes = Outcomes::new(self.keep);
        let mut returning = Vec::new();
        if self.keep == Keep::Counts {
            outcomes.add_many(RowOutcome::Inserted, self.stage.alive_rows(self.proposed));
            outcomes.add_many(RowOutcome::Updated, (self.conflicts.len() + late.conflicts.len()) as u64);
            return Ok((outcomes, returning));
        }
        for given in &self.given {
            let Some(row) = given else {
                outcomes.add(RowOutcome::Skipped);
                continue;
            };
            let conflict = self.conflicts.binary_search_by_key(row, |conflict| conflict.proposed).ok();
            let replaced_by = conflict.and_then(|place| self.conflicts.get(place)?.new_row);
            let (outcome, stored) = match (replaced_by, row.get()) {
                (Some(new_row), _) => (RowOutcome::Updated, Some(new_row.get())),
                (None, row) if late.conflicts.contains_key(&row) => (RowOutcome::Updated, None),
                (None, row) if self.stage.is_alive(row) => (RowOutcome::Inserted, Some(row)),
                (None, _) => (RowOutcome::Skipped, None),
            };
            outcomes.add(outcome);
            returning.extend(stored);
        }
        Ok((outcomes, returning))
    }
}

/// Conflicts that were judged inside the turn.
#[derive(Default)]
struct Late {
    /// By proposed row.
    conflicts: BTreeMap<RowAddress, LateConflict>,
    /// The callback's answers.
    rows: Vec<RecordBatch>,
}

impl StagedRows for StagedInsert {
    fn insert(&mut self, target: &Target, rows: &RecordBatch) -> Result<()> {
        let keys = key_hashes(target.keys.as_deref(), &target.schema, rows)?;
        let wanted = if target.keys.is_some() {
            let wanted = self.distinct(target, rows, &keys)?;
            self.check_published(target, rows, &keys)?;
            wanted
        } else {
            (0..rows.num_rows()).collect()
        };
        let staged = if wanted.len() == rows.num_rows() {
            self.stage.append(rows, &keys)?
        } else {
            let picks: Vec<(usize, usize)> = wanted.iter().map(|row| (0, *row)).collect();
            let keys: Vec<KeyHash> = wanted.iter().filter_map(|row| keys.get(*row)).copied().collect();
            self.stage.append(&gather(&target.schema, std::slice::from_ref(rows), &picks)?, &keys)?
        };
        if self.keep == Keep::Rows {
            let mut staged = wanted.into_iter().zip(staged).peekable();
            for row in 0..rows.num_rows() {
                let address = staged.next_if(|(staged_row, _)| *staged_row == row).map(|(_, address)| address);
                self.given.push(address.map(PackedRow::new).transpose()?);
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _: &Target) -> Result<Box<dyn Proposal>> {
        self.stage.finish()?;
        self.proposed = self.stage.segments().len();
        Ok(self)
    }
}

impl Proposal for StagedInsert {
    fn convert(&mut self, to: &Conversion) -> Result<()> {
        self.stage.convert(to)?;
        if matches!(self.rule, Rule::Update(_)) {
            self.rule = Rule::Update(Box::new(OfEarlierVersion(Arc::clone(to.schema()))));
        }
        Ok(())
    }

    fn settle(&mut self, view: &TailView<'_>) -> Result<()> {
        // A second round begins anew: what the first one made is dead.
        self.stage.keep_only(self.proposed);
        let mut conflicts = self.find_conflicts(view)?;
        conflicts.iter().for_each(|conflict| self.stage.kill(conflict.proposed.get()));
        match &self.rule {
            // The rows there stay.
            Rule::Error | Rule::Nothing => conflicts.clear(),
            Rule::Update(_) => self.update_staged(view, &mut conflicts)?,
        }
        self.conflicts = conflicts;
        let victims: RowSet = self.conflicts.iter().map(|conflict| conflict.victim.get()).collect();
        self.resolved.set(&mut self.stage, view, victims)
    }

    fn is_settled(&self, view: &TailView<'_>) -> bool {
        self.resolved.is_settled(view)
    }

    fn decide(&mut self, view: &TailView<'_>) -> Result<Applied> {
        let again = self.reopen(view)?;
        let late = self.judge_late(view, &again)?;
        let victims: RowSet = self.conflicts.iter().map(|conflict| conflict.victim.get()).collect();
        let (outcomes, returning) = self.outcomes(&late)?;
        let (part, extra) = self.resolved.part(&mut self.stage, view, victims)?;
        let mut list: Vec<Op> = late.conflicts.values().map(|conflict| Op::Update(conflict.victim)).collect();
        let picks: Vec<(usize, usize)> = late.conflicts.values().map(|conflict| conflict.new_row).collect();
        list.extend(extra);
        let rows = gather(view.schema, &late.rows, &picks)?;
        let row_keys = view.key_hashes(&rows)?;
        Ok(Applied {
            decision: Decision { rows, row_keys, ops: ops_from(list)?, outcomes: Vec::new() },
            staged: Some(part),
            returning_staged: returning,
            returning_deleted: Vec::new(),
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
