//! A large `UPDATE` or `DELETE`.

use std::collections::{HashMap, HashSet};

use arrow_array::RecordBatch;
use outcrop_format::record::Op;
use outcrop_types::{CommitSeq, Error, Result, RowAddress};

use super::StagedRows;
use super::part::{CHUNK_ROWS, Resolved, StagedRowSet};
use super::writer::Stage;
use crate::commit::{Applied, Keep, Outcomes, Proposal, VICTIM_BYTES};
use crate::key_index::KeyHash;
use crate::snapshot::TableSnapshot;
use crate::write::{
    ChangeItem, Changes, Decision, Recheck, RowOutcome, TailView, Target, all_columns, checked_rows, gather, is_true,
    key_hashes, ops_from, seen_keys,
};

/// Rows to change, with their new rows staged.
pub(crate) struct StagedChanges {
    stage: Stage,
    items: Vec<Item>,
    seen: HashSet<RowAddress>,
    recheck: Option<Box<dyn Recheck>>,
    /// What the statement read.
    snapshot: TableSnapshot,
    keep: Keep,
    /// Staged rows of items that are gone, or were judged anew.
    dead: Vec<RowAddress>,
    /// New rows of rechecks inside the turn.
    memory: Vec<RecordBatch>,
    resolved: Resolved,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    seen: RowAddress,
    now: Option<RowAddress>,
    row: New,
}

impl Item {
    /// The staged row that replaces it.
    fn staged(&self) -> Option<RowAddress> {
        match self.row {
            New::Staged(row, _) => Some(row),
            New::Nothing | New::Memory(..) => None,
        }
    }
}

/// What replaces a row.
#[derive(Clone, Copy, Debug)]
enum New {
    Nothing,
    Staged(RowAddress, Option<KeyHash>),
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
            seen: HashSet::new(),
            recheck,
            snapshot: target.table.clone(),
            keep,
            dead: Vec::new(),
            memory: Vec::new(),
            resolved: Resolved::default(),
        };
        let mut new_rows = Vec::with_capacity(sources.len());
        for rows in &sources {
            new_rows.push(staged.stage_rows(target, rows)?);
        }
        for ChangeItem { seen, now, row } in items {
            let row = row.and_then(|(source, row)| new_rows.get(source)?.get(row)).copied().unwrap_or(New::Nothing);
            staged.seen.insert(seen);
            staged.items.push(Item { seen, now, row });
        }
        Ok(staged)
    }

    fn stage_rows(&mut self, target: &Target, rows: &RecordBatch) -> Result<Vec<New>> {
        let keys = key_hashes(target.keys.as_deref(), &target.schema, rows)?;
        let staged = self.stage.append(rows, &keys)?;
        Ok(staged.into_iter().enumerate().map(|(row, address)| New::Staged(address, keys.get(row).copied())).collect())
    }

    fn add(&mut self, victim: RowAddress, row: New) {
        let first = self.seen.insert(victim);
        self.items.push(Item { seen: victim, now: first.then_some(victim), row });
    }

    /// Finds every row in `view`; returns those that are gone.
    fn locate(&mut self, view: &TailView<'_>) -> Vec<usize> {
        let mut gone = Vec::new();
        for (index, item) in self.items.iter_mut().enumerate() {
            let Some(now) = item.now else { continue };
            item.now = view.locate(now);
            if item.now.is_none() {
                gone.push(index);
            }
        }
        gone
    }

    /// Successors by key of rows that are gone, judged again by the callback.
    fn rejudge(&mut self, view: &TailView<'_>, gone: &[usize]) -> Result<(Rejudged, Option<RecordBatch>)> {
        let (Some(recheck), true) = (self.recheck.as_mut(), view.keys().is_some()) else {
            return Ok((Vec::new(), None));
        };
        let seen: Vec<RowAddress> =
            gone.iter().filter_map(|index| self.items.get(*index)).map(|item| item.seen).collect();
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
            let keys = view.key_hashes(&rows)?;
            let mut staged = self.stage.append(&rows, &keys)?.into_iter().zip(keys);
            for (index, address, row) in judged {
                let new = if row.is_some() { staged.next() } else { None };
                self.set(index, address, new.map_or(New::Nothing, |(row, key)| New::Staged(row, Some(key))));
            }
        }
        self.stage.finish()
    }

    fn set(&mut self, index: usize, now: RowAddress, row: New) {
        if let Some(item) = self.items.get_mut(index) {
            self.dead.extend(item.staged());
            item.now = Some(now);
            item.row = row;
        }
    }

    /// Two items never take one row.
    fn distinct(&mut self) {
        let mut taken = HashSet::with_capacity(self.items.len());
        for item in &mut self.items {
            item.now = item.now.filter(|now| taken.insert(*now));
        }
    }

    fn victims(&self) -> Vec<RowAddress> {
        self.items.iter().filter_map(|item| item.now).collect()
    }

    /// Uniqueness of the new keys: among themselves, and against rows of `view` that stay. `only` limits the second part.
    fn check_unique(&self, view: &TailView<'_>, only: Option<&HashSet<KeyHash>>) -> Result<()> {
        if view.keys().is_none() {
            return Ok(());
        }
        let memory = self.memory.iter().map(|rows| view.key_hashes(rows)).collect::<Result<Vec<_>>>()?;
        let mut owners: HashMap<KeyHash, usize> = HashMap::with_capacity(self.items.len());
        for (index, item) in self.items.iter().enumerate().filter(|(_, item)| item.now.is_some()) {
            let key = match item.row {
                New::Nothing => continue,
                New::Staged(_, key) => key,
                New::Memory(source, row) => memory.get(source).and_then(|keys| keys.get(row)).copied(),
            };
            if key.is_some_and(|key| owners.insert(key, index).is_some()) {
                return Err(self.violation(view, index));
            }
        }
        let victims: HashSet<RowAddress> = self.victims().into_iter().collect();
        let wanted = |key: &&KeyHash| only.is_none_or(|only| only.contains(*key));
        let keys: Vec<KeyHash> = owners.keys().filter(wanted).copied().collect();
        for keys in keys.chunks(CHUNK_ROWS) {
            let taken =
                keys.iter().zip(view.lookup(keys)?).find(|(_, row)| row.is_some_and(|row| !victims.contains(&row)));
            if let Some(index) = taken.and_then(|(key, _)| owners.get(key)) {
                return Err(self.violation(view, *index));
            }
        }
        Ok(())
    }

    fn violation(&self, view: &TailView<'_>, index: usize) -> Error {
        let columns = all_columns(view.schema);
        match self.items.get(index).map(|item| item.row) {
            Some(New::Staged(row, _)) => {
                match self.stage.snapshot().and_then(|staged| staged.fetch(&[row], &columns)) {
                    Ok(rows) => view.unique_violation(&rows, 0),
                    Err(error) => error,
                }
            }
            Some(New::Memory(source, row)) => match self.memory.get(source) {
                Some(rows) => view.unique_violation(rows, row),
                None => Error::internal("a row of a recheck is lost"),
            },
            Some(New::Nothing) | None => Error::internal("a deleted row violates a key"),
        }
    }
}

impl StagedRows for StagedChanges {
    fn update(&mut self, target: &Target, victims: &[RowAddress], rows: &RecordBatch) -> Result<()> {
        let new_rows = self.stage_rows(target, rows)?;
        victims.iter().zip(new_rows).for_each(|(victim, row)| self.add(*victim, row));
        Ok(())
    }

    fn delete(&mut self, victims: &[RowAddress]) -> Result<()> {
        victims.iter().for_each(|victim| self.add(*victim, New::Nothing));
        Ok(())
    }

    fn finish(mut self: Box<Self>, _: &Target) -> Result<Box<dyn Proposal>> {
        self.stage.finish()?;
        Ok(self)
    }
}

impl Proposal for StagedChanges {
    fn settle(&mut self, view: &TailView<'_>) -> Result<()> {
        let gone = self.locate(view);
        self.rejudge_staged(view, &gone)?;
        self.distinct();
        self.check_unique(view, None)?;
        let victims = self.victims();
        self.resolved.set(&mut self.stage, view, &victims)
    }

    fn is_settled(&self, view: &TailView<'_>) -> bool {
        self.resolved.is_settled(view)
            && self.items.iter().all(|item| item.now.is_none_or(|now| view.locate(now).is_some()))
    }

    fn decide(&mut self, view: &TailView<'_>) -> Result<Applied> {
        let gone = self.locate(view);
        for chunk in gone.chunks(CHUNK_ROWS) {
            let (judged, rows) = self.rejudge(view, chunk)?;
            let source = self.memory.len();
            self.memory.extend(rows);
            for (index, address, row) in judged {
                self.set(index, address, row.map_or(New::Nothing, |row| New::Memory(source, row)));
            }
        }
        self.distinct();
        let rejudged = !self.memory.is_empty() || !gone.is_empty();
        let stale = self.resolved.stale_keys(view, |_| true);
        self.check_unique(view, if rejudged { None } else { Some(&stale) })?;

        let mut applied = Split::new(self.keep);
        self.items.iter().for_each(|item| applied.add(item));
        self.dead.extend(self.items.iter().filter(|item| item.now.is_none()).filter_map(Item::staged));
        let Self { stage, items, dead, resolved, .. } = self;
        let alive = || -> Box<dyn Iterator<Item = (KeyHash, RowAddress)>> {
            Box::new(items.iter().filter(|item| item.now.is_some()).filter_map(|item| match item.row {
                New::Staged(row, key) => Some((key?, row)),
                New::Nothing | New::Memory(..) => None,
            }))
        };
        let (part, extra) = resolved.part(stage, view, &applied.victims, &StagedRowSet { dead, alive: &alive })?;
        let mut list = applied.list;
        list.extend(extra);
        let rows = gather(view.schema, &self.memory, &applied.picks)?;
        let row_keys = view.key_hashes(&rows)?;
        Ok(Applied {
            decision: Decision { rows, row_keys, ops: ops_from(list)?, outcomes: Vec::new() },
            staged: Some(part),
            returning_staged: applied.staged,
            returning_deleted: applied.deleted,
            staged_outcomes: applied.outcomes,
        })
    }

    fn record_bytes(&self) -> u64 {
        self.resolved.record_bytes() + VICTIM_BYTES
    }

    fn adds_rows(&self) -> bool {
        self.items.iter().any(|item| !matches!(item.row, New::Nothing))
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
    victims: Vec<RowAddress>,
    staged: Vec<RowAddress>,
    deleted: Vec<RowAddress>,
    list: Vec<Op>,
    picks: Vec<(usize, usize)>,
    outcomes: Outcomes,
}

impl Split {
    fn new(keep: Keep) -> Self {
        Self {
            keep,
            victims: Vec::new(),
            staged: Vec::new(),
            deleted: Vec::new(),
            list: Vec::new(),
            picks: Vec::new(),
            outcomes: Outcomes::new(keep),
        }
    }

    fn add(&mut self, item: &Item) {
        let Some(now) = item.now else {
            self.outcomes.add(RowOutcome::Skipped);
            return;
        };
        let returns = self.keep == Keep::Rows;
        self.outcomes.add(match item.row {
            New::Nothing => {
                self.victims.push(now);
                self.deleted.extend(returns.then_some(now));
                RowOutcome::Deleted
            }
            New::Staged(row, _) => {
                self.victims.push(now);
                self.staged.extend(returns.then_some(row));
                RowOutcome::Updated
            }
            New::Memory(source, row) => {
                self.list.push(Op::Update(now));
                self.picks.push((source, row));
                RowOutcome::Updated
            }
        });
    }
}
