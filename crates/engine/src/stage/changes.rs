//! A large `UPDATE` or `DELETE`.

use std::collections::{BTreeMap, HashMap};

use arrow_array::RecordBatch;
use outcrop_format::record::Op;
use outcrop_types::{CommitSeq, Error, Result, RowAddress};

use super::StagedRows;
use super::part::{CHUNK_ROWS, Resolved};
use super::row_set::{PackedRow, RowSet};
use super::writer::Stage;
use crate::commit::{Applied, Keep, Outcomes, Proposal, VICTIM_BYTES};
use crate::key_index::KeyHash;
use crate::snapshot::TableSnapshot;
use crate::write::{
    ChangeItem, Changes, Conversion, Decision, Recheck, RowOutcome, TailView, Target, all_columns, altered,
    checked_rows, gather, is_true, key_hashes, ops_from, seen_keys,
};

/// Rows to change, with their new rows staged: 16 bytes of addresses for each, and more only for those that other
/// statements changed since the snapshot.
pub(crate) struct StagedChanges {
    stage: Stage,
    items: Vec<Item>,
    /// Rows given so far.
    seen: RowSet,
    /// What became of items whose row is not the one that was seen any more.
    fates: BTreeMap<usize, Fate>,
    /// Whether a new row may have another key than the row that it replaces.
    moves_keys: bool,
    recheck: Option<Box<dyn Recheck>>,
    /// What the statement read.
    snapshot: TableSnapshot,
    /// Whether the columns are others than those of the snapshot and the callback.
    converted: bool,
    keep: Keep,
    /// New rows of rechecks inside the turn.
    memory: Vec<RecordBatch>,
    resolved: Resolved,
}

/// A row to change.
#[derive(Clone, Copy, Debug)]
struct Item {
    /// As the statement saw it; `None` for one that was given before.
    seen: Option<PackedRow>,
    /// The staged row that replaces it; `None` to delete.
    new_row: Option<PackedRow>,
}

/// An item that was judged anew.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// There is nothing to change any more.
    Gone,
    /// The row that replaced the one seen, and what replaces that.
    Successor(RowAddress, New),
}

/// What replaces a row.
#[derive(Clone, Copy, Debug)]
enum New {
    Nothing,
    Staged(RowAddress),
    /// Batch and row there.
    Memory(usize, usize),
}

/// A recheck's answer for some items: which match, and their new rows.
type Rejudged = Vec<(usize, RowAddress, Option<usize>)>;

impl StagedChanges {
    /// Takes over what was in memory.
    pub(crate) fn new(target: &Target, stage: Stage, changes: Changes, keep: Keep) -> Result<Self> {
        let (items, sources, recheck) = changes.into_parts();
        let mut staged = Self {
            stage,
            items: Vec::with_capacity(items.len()),
            seen: RowSet::default(),
            fates: BTreeMap::new(),
            moves_keys: false,
            recheck,
            snapshot: target.table.clone(),
            converted: false,
            keep,
            memory: Vec::new(),
            resolved: Resolved::default(),
        };
        let source = |item: &ChangeItem| item.row.map(|(source, _)| source);
        for run in items.chunk_by(|a, b| source(a) == source(b)) {
            let victims: Vec<RowAddress> = run.iter().map(|item| item.seen).collect();
            match run.first().and_then(source).and_then(|source| sources.get(source)) {
                Some(rows) => staged.update(target, &victims, rows)?,
                None => staged.delete(&victims)?,
            }
        }
        Ok(staged)
    }

    /// Room for more items: a quarter more at a time, because half of many would lie idle.
    fn make_room(&mut self, more: usize) {
        if self.items.capacity() - self.items.len() < more {
            self.items.reserve_exact(more.max(self.items.len() / 4));
        }
    }

    /// Where an item's row was found last, and what replaces it.
    fn current(&self, index: usize) -> Option<(RowAddress, New)> {
        match self.fates.get(&index) {
            Some(Fate::Gone) => None,
            Some(Fate::Successor(row, new)) => Some((*row, *new)),
            None => {
                let item = self.items.get(index)?;
                Some((item.seen?.get(), item.new_row.map_or(New::Nothing, |row| New::Staged(row.get()))))
            }
        }
    }

    /// Finds every row in `view`; returns the items whose row is gone, with their staged rows killed.
    fn locate(&mut self, view: &TailView<'_>) -> Vec<usize> {
        let is_gone = |index: &usize| self.current(*index).is_some_and(|(row, _)| view.locate(row).is_none());
        let gone: Vec<usize> = (0..self.items.len()).filter(is_gone).collect();
        gone.iter().for_each(|index| self.give_up(*index));
        gone
    }

    fn give_up(&mut self, index: usize) {
        if let Some((_, New::Staged(row))) = self.current(index) {
            self.stage.kill(row);
        }
        self.fates.insert(index, Fate::Gone);
    }

    /// Successors by key of rows that are gone, judged again by the callback.
    fn rejudge(&mut self, view: &TailView<'_>, gone: &[usize]) -> Result<(Rejudged, Option<RecordBatch>)> {
        let (Some(recheck), true) = (self.recheck.as_mut(), view.keys().is_some()) else {
            return Ok((Vec::new(), None));
        };
        if self.converted && !gone.is_empty() {
            return Err(altered(view.schema));
        }
        let seen: Vec<RowAddress> =
            gone.iter().filter_map(|index| self.items.get(*index)?.seen).map(PackedRow::get).collect();
        let keys = seen_keys(view, &self.snapshot, &seen)?;
        let found: Vec<(usize, RowAddress)> =
            gone.iter().zip(view.lookup(&keys)?).filter_map(|(index, row)| Some((*index, row?))).collect();
        if found.is_empty() {
            return Ok((Vec::new(), None));
        }
        let addresses: Vec<RowAddress> = found.iter().map(|(_, address)| *address).collect();
        let answer = recheck.recheck(&view.fetch(&addresses)?)?;
        if answer.matches.len() != found.len()
            || answer.rows.as_ref().is_some_and(|rows| rows.num_rows() != found.len())
        {
            return Err(Error::internal(format!("a recheck of {} rows answered other rows", found.len())));
        }
        let rows = answer.rows.map(|rows| checked_rows(view, &answer.matches, &rows)).transpose()?;
        let judged = found
            .into_iter()
            .enumerate()
            .filter(|(row, _)| is_true(&answer.matches, *row))
            .map(|(row, (index, address))| (index, address, rows.is_some().then_some(row)))
            .collect();
        Ok((judged, rows))
    }

    /// Off the turn: new rows of rechecks are staged too.
    fn rejudge_staged(&mut self, view: &TailView<'_>, gone: &[usize]) -> Result<()> {
        for chunk in gone.chunks(CHUNK_ROWS) {
            let (judged, rows) = self.rejudge(view, chunk)?;
            let picks: Vec<(usize, usize)> = judged.iter().filter_map(|(_, _, row)| Some((0, (*row)?))).collect();
            let rows = gather(view.schema, rows.as_slice(), &picks)?;
            let mut staged = self.stage.append(&rows, &view.key_hashes(&rows)?)?.into_iter();
            self.moves_keys |= !picks.is_empty();
            for (index, address, row) in judged {
                let new = row.and_then(|_| staged.next()).map_or(New::Nothing, New::Staged);
                self.fates.insert(index, Fate::Successor(address, new));
            }
        }
        self.stage.finish()
    }

    /// The rows that die. Two items never take one row: the second one gives up.
    fn victims(&mut self, view: &TailView<'_>) -> RowSet {
        let mut victims = RowSet::default();
        for index in 0..self.items.len() {
            let now = self.current(index).and_then(|(row, _)| view.locate(row));
            if now.is_some_and(|now| !victims.insert(now)) {
                self.give_up(index);
            }
        }
        victims
    }

    /// Uniqueness of all new keys: among themselves, and against rows of `view` that stay.
    fn check_all_unique(&self, view: &TailView<'_>, victims: &RowSet) -> Result<()> {
        self.stage.each_key(usize::MAX, |keys, rows| {
            let mut taken = view.lookup(keys)?.iter().position(|row| row.is_some_and(|row| !victims.contains(row)));
            self.stage.each_alive(keys, |position, other| {
                if rows.get(position) != Some(&other) {
                    taken = Some(position);
                }
            })?;
            match taken.and_then(|position| rows.get(position)) {
                Some(row) => Err(self.violation(view, *row)),
                None => Ok(()),
            }
        })
    }

    /// The same inside the turn, where only some keys can have met others since: those that other statements wrote, and
    /// those of rows that were made inside the turn.
    fn check_late_unique(&self, view: &TailView<'_>, victims: &RowSet, memory: &[(usize, usize)]) -> Result<()> {
        if view.keys().is_none() {
            return Ok(());
        }
        let of_batches = self.memory.iter().map(|rows| view.key_hashes(rows)).collect::<Result<Vec<_>>>()?;
        let mut made: HashMap<KeyHash, (usize, usize)> = HashMap::with_capacity(memory.len());
        for place @ (batch, row) in memory {
            let Some(key) = of_batches.get(*batch).and_then(|keys| keys.get(*row)) else { continue };
            if made.insert(*key, *place).is_some() {
                return Err(self.memory_violation(view, *place));
            }
        }
        let mut keys = self.resolved.stale_keys(view);
        keys.extend(made.keys());
        for keys in keys.chunks(CHUNK_ROWS) {
            for ((key, staged), there) in keys.iter().zip(self.stage.find(keys)?).zip(view.lookup(keys)?) {
                let stays = there.is_some_and(|row| !victims.contains(row));
                match (staged, made.get(key)) {
                    (Some(_), Some(place)) => return Err(self.memory_violation(view, *place)),
                    (None, Some(place)) if stays => return Err(self.memory_violation(view, *place)),
                    (Some(row), None) if stays => return Err(self.violation(view, row)),
                    (Some(_) | None, _) => {}
                }
            }
        }
        Ok(())
    }

    fn violation(&self, view: &TailView<'_>, row: RowAddress) -> Error {
        match self.stage.fetch(&[row], &all_columns(view.schema)) {
            Ok(rows) => view.unique_violation(&rows, 0),
            Err(error) => error,
        }
    }

    fn memory_violation(&self, view: &TailView<'_>, (batch, row): (usize, usize)) -> Error {
        match self.memory.get(batch) {
            Some(rows) => view.unique_violation(rows, row),
            None => Error::internal("a row of a recheck is lost"),
        }
    }
}

impl StagedRows for StagedChanges {
    fn update(&mut self, target: &Target, victims: &[RowAddress], rows: &RecordBatch) -> Result<()> {
        let first: Vec<bool> = victims.iter().map(|victim| self.seen.insert(*victim)).collect();
        let picks: Vec<(usize, usize)> =
            first.iter().enumerate().filter(|(_, first)| **first).map(|(row, _)| (0, row)).collect();
        let whole = picks.len() == rows.num_rows();
        let rows = if whole { rows.clone() } else { gather(&target.schema, std::slice::from_ref(rows), &picks)? };
        let keys = key_hashes(target.keys.as_deref(), &target.schema, &rows)?;
        if !self.moves_keys && target.keys.is_some() {
            let kept = victims.iter().zip(&first).filter(|(_, first)| **first).map(|(victim, _)| Some(*victim));
            self.moves_keys = !kept.eq(self.snapshot.lookup_hashes(&keys)?);
        }
        let mut staged = self.stage.append(&rows, &keys)?.into_iter();
        self.make_room(victims.len());
        for (victim, first) in victims.iter().zip(first) {
            let (seen, new_row) = if first { (Some(*victim), staged.next()) } else { (None, None) };
            let (seen, new_row) = (seen.map(PackedRow::new).transpose()?, new_row.map(PackedRow::new).transpose()?);
            self.items.push(Item { seen, new_row });
        }
        Ok(())
    }

    fn delete(&mut self, victims: &[RowAddress]) -> Result<()> {
        self.make_room(victims.len());
        for victim in victims {
            let seen = self.seen.insert(*victim).then(|| PackedRow::new(*victim)).transpose()?;
            self.items.push(Item { seen, new_row: None });
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _: &Target) -> Result<Box<dyn Proposal>> {
        self.stage.finish()?;
        self.seen = RowSet::default();
        Ok(self)
    }
}

impl Proposal for StagedChanges {
    fn convert(&mut self, to: &Conversion) -> Result<()> {
        self.converted |= !to.keeps_shape();
        self.stage.convert(to)
    }

    fn settle(&mut self, view: &TailView<'_>) -> Result<()> {
        let gone = self.locate(view);
        self.rejudge_staged(view, &gone)?;
        let victims = self.victims(view);
        if self.moves_keys && view.keys().is_some() {
            self.check_all_unique(view, &victims)?;
        }
        self.resolved.set(&mut self.stage, view, victims)
    }

    fn is_settled(&self, view: &TailView<'_>) -> bool {
        self.resolved.is_settled(view)
            && (0..self.items.len()).all(|index| self.current(index).is_none_or(|(row, _)| view.locate(row).is_some()))
    }

    fn decide(&mut self, view: &TailView<'_>) -> Result<Applied> {
        let gone = self.locate(view);
        for chunk in gone.chunks(CHUNK_ROWS) {
            let (judged, rows) = self.rejudge(view, chunk)?;
            let batch = self.memory.len();
            self.memory.extend(rows);
            for (index, address, row) in judged {
                let new = row.map_or(New::Nothing, |row| New::Memory(batch, row));
                self.fates.insert(index, Fate::Successor(address, new));
            }
        }
        let victims = self.victims(view);
        let mut split = Split::new(self.keep);
        for index in 0..self.items.len() {
            let now = self.current(index).and_then(|(row, new)| Some((view.locate(row)?, new)));
            split.add(now);
        }
        self.check_late_unique(view, &victims, &split.picks)?;
        let mut stored = victims;
        split.list.iter().for_each(|op| {
            if let Op::Update(victim) = op {
                stored.remove(*victim);
            }
        });
        let (part, extra) = self.resolved.part(&mut self.stage, view, stored)?;
        let mut list = split.list;
        list.extend(extra);
        let rows = gather(view.schema, &self.memory, &split.picks)?;
        let row_keys = view.key_hashes(&rows)?;
        Ok(Applied {
            decision: Decision { rows, row_keys, ops: ops_from(list)?, outcomes: Vec::new() },
            staged: Some(part),
            returning_staged: split.staged,
            returning_deleted: split.deleted,
            staged_outcomes: split.outcomes,
        })
    }

    fn record_bytes(&self) -> u64 {
        self.resolved.record_bytes() + VICTIM_BYTES
    }

    fn adds_rows(&self) -> bool {
        self.items.iter().any(|item| item.new_row.is_some())
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

/// The items by where their parts of the record are, and what is returned of them.
struct Split {
    keep: Keep,
    staged: Vec<RowAddress>,
    deleted: Vec<RowAddress>,
    list: Vec<Op>,
    /// Rows of the list: batch and row there.
    picks: Vec<(usize, usize)>,
    outcomes: Outcomes,
}

impl Split {
    fn new(keep: Keep) -> Self {
        let outcomes = Outcomes::new(keep);
        Self { keep, staged: Vec::new(), deleted: Vec::new(), list: Vec::new(), picks: Vec::new(), outcomes }
    }

    fn add(&mut self, item: Option<(RowAddress, New)>) {
        let returns = self.keep == Keep::Rows;
        self.outcomes.add(match item {
            None => RowOutcome::Skipped,
            Some((now, New::Nothing)) => {
                self.deleted.extend(returns.then_some(now));
                RowOutcome::Deleted
            }
            Some((_, New::Staged(row))) => {
                self.staged.extend(returns.then_some(row));
                RowOutcome::Updated
            }
            Some((now, New::Memory(batch, row))) => {
                self.list.push(Op::Update(now));
                self.picks.push((batch, row));
                RowOutcome::Updated
            }
        });
    }
}
