//! The key index of one shard.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arrow_array::ArrayRef;
use outcrop_segment::KeyRunPlace;
use outcrop_types::{CommitSeq, IndexId, LogId, Result, RowAddress, RowOrdinal, TableId, TableSchema, UnitId};
use parking_lot::Mutex;

use super::generation_keys::GenerationKeys;
use super::{KeyEncoder, KeyHash};
use crate::node::SEGMENT_DIR;
use crate::snapshot::{LiveVersions, ShardState};

/// The keys of a shard's memtables, and how to find those of its segments in the runs that a state has.
///
/// One writer at a time (the turn) adds; any number of readers look up meanwhile. Entries must be there before a version that
/// has their rows is published; an entry whose row a state does not have is no answer for that state, so it may be there
/// earlier.
pub(crate) struct ShardKeys {
    encoder: KeyEncoder,
    log_id: LogId,
    table: TableId,
    index: IndexId,
    live: Arc<LiveVersions>,
    entries: Arc<Entries>,
}

/// What is shared with the indexes of other versions of the schema.
#[derive(Default)]
struct Entries {
    /// Oldest first.
    generations: ArcSwap<Vec<Arc<GenerationKeys>>>,
    /// Also the lock under which `generations` is replaced.
    retired: Mutex<Vec<Retired>>,
}

/// A unit that no version from `at` on has.
#[derive(Clone, Copy)]
struct Retired {
    unit: UnitId,
    at: CommitSeq,
}

impl ShardKeys {
    /// An empty index of the table's primary key; `None` if the table has none or is `append_only`.
    pub(crate) fn new(schema: &TableSchema, log: LogId, live: &Arc<LiveVersions>) -> Option<Self> {
        if schema.options.append_only {
            return None;
        }
        let index = schema.primary_key()?;
        Some(Self {
            encoder: KeyEncoder::new(schema, index),
            log_id: log,
            table: schema.id,
            index: index.id,
            live: Arc::clone(live),
            entries: Arc::default(),
        })
    }

    /// The same entries for the table as it is after `ALTER TABLE`, which never changes what the key of a row is; `None` if the
    /// table has no primary key.
    pub(crate) fn altered(&self, schema: &TableSchema) -> Option<Self> {
        let index = schema.primary_key()?;
        Some(Self {
            encoder: KeyEncoder::new(schema, index),
            log_id: self.log_id,
            table: self.table,
            index: index.id,
            live: Arc::clone(&self.live),
            entries: Arc::clone(&self.entries),
        })
    }

    /// Adds the rows of a generation that one commit brought: row `first_row + i` under key `i`.
    pub(crate) fn insert(&self, keys: &[KeyHash], unit: UnitId, first_row: RowOrdinal, seq: CommitSeq) {
        let row = |position| RowOrdinal::new(first_row.get().saturating_add(position));
        self.generation(unit, seq).insert(keys, row, |_| seq, &self.live);
    }

    /// Adds rows of a generation from several commits: `rows[i]` of commit `seqs[i]` under key `i`. For recovery.
    pub(crate) fn insert_rows(&self, keys: &[KeyHash], unit: UnitId, rows: &[RowOrdinal], seqs: &[CommitSeq]) {
        self.generation(unit, CommitSeq::ZERO).insert(keys, |i| at(rows, i), |i| at(seqs, i), &self.live);
    }

    /// Says that no version from commit `at` on has these units, the inputs of an install. The entries of generations go when
    /// nobody reads an older version any more; segments have theirs in runs.
    pub(crate) fn retire(&self, units: &[UnitId], at: CommitSeq) {
        self.entries.retired.lock().extend(units.iter().map(|unit| Retired { unit: *unit, at }));
        self.collect();
    }

    /// Removes the entries of retired units that nobody can see any more. Cheap when there are none.
    pub(crate) fn collect(&self) {
        let mut retired = self.entries.retired.lock();
        if retired.is_empty() {
            return;
        }
        let generations = self.entries.generations.load();
        let born = |unit| generations.iter().find(|keys| keys.unit() == unit).map(|keys| keys.born());
        let is_gone =
            |retired: &mut Retired| !self.live.sees_between(born(retired.unit).unwrap_or(CommitSeq::ZERO), retired.at);
        let gone: Vec<UnitId> = retired.extract_if(.., is_gone).map(|retired| retired.unit).collect();
        if generations.iter().any(|keys| gone.contains(&keys.unit())) {
            let kept = generations.iter().filter(|keys| !gone.contains(&keys.unit()));
            self.entries.generations.store(Arc::new(kept.map(Arc::clone).collect()));
        }
    }

    /// What a key run of this index says of itself.
    pub(crate) fn run_place(&self, unit: UnitId) -> KeyRunPlace {
        KeyRunPlace {
            dir: SEGMENT_DIR.to_owned(),
            log_id: self.log_id,
            unit,
            table: self.table,
            index: self.index,
            width: self.encoder.width(),
        }
    }

    /// How keys become hashes.
    pub(crate) fn encoder(&self) -> &KeyEncoder {
        &self.encoder
    }

    /// Hashes of keys, given as arrays of the key columns in key order.
    ///
    /// # Errors
    /// As [`KeyEncoder::encode`].
    pub(crate) fn encode(&self, key_columns: &[ArrayRef]) -> Result<Vec<KeyHash>> {
        self.encoder.encode(key_columns)
    }

    /// Where the live row of each key is in `state`.
    ///
    /// # Errors
    /// `DataCorrupted` with file and offset, `IoError`, when a page of a run cannot be read.
    pub(crate) fn lookup_live(&self, keys: &[KeyHash], state: &ShardState) -> Result<Vec<Option<RowAddress>>> {
        let mut search = Search::new(keys);
        for generation in self.entries.generations.load().iter().rev() {
            if search.is_done() {
                return Ok(search.found);
            }
            let unit = generation.unit();
            if let Some(deletes) = state.deletes(unit) {
                let is_live = |row: RowOrdinal| row.get() < deletes.rows() && !deletes.is_deleted(row);
                search.step(|keys, found| {
                    generation.candidates(keys, |position, row| {
                        if is_live(row) {
                            found(position, RowAddress::new(unit, row));
                        }
                    });
                });
            }
        }
        search.in_runs(state)
    }

    /// Every address that the memtables have for a key, newest first, alive or not.
    #[cfg(test)]
    pub(crate) fn candidates(&self, key: KeyHash, out: &mut Vec<RowAddress>) {
        for generation in self.entries.generations.load().iter().rev() {
            generation.candidates(&[key], |_, row| out.push(RowAddress::new(generation.unit(), row)));
        }
    }

    /// Entries of memtables, for metrics and tests.
    pub(crate) fn len(&self) -> usize {
        self.entries.generations.load().iter().map(|keys| keys.len()).sum()
    }

    /// Memory held; that of runs apart.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.generations.load().iter().map(|keys| keys.bytes()).sum()
    }

    /// The table of a generation, made when its first row comes, which is with commit `born` or later.
    fn generation(&self, unit: UnitId, born: CommitSeq) -> Arc<GenerationKeys> {
        let of_unit = |generations: &[Arc<GenerationKeys>]| {
            generations.iter().rev().find(|keys| keys.unit() == unit).map(Arc::clone)
        };
        if let Some(keys) = of_unit(&self.entries.generations.load()) {
            return keys;
        }
        self.collect();
        let replacing = self.entries.retired.lock();
        let mut generations = Vec::clone(&self.entries.generations.load());
        if let Some(keys) = of_unit(&generations) {
            return keys;
        }
        let keys = Arc::new(GenerationKeys::new(unit, born));
        generations.push(Arc::clone(&keys));
        generations.sort_unstable_by_key(|keys| keys.unit());
        self.entries.generations.store(Arc::new(generations));
        drop(replacing);
        keys
    }
}

impl fmt::Debug for ShardKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardKeys").field("table", &self.table).field("entries", &self.len()).finish_non_exhaustive()
    }
}

/// A batch of look-ups: what was found, and which keys are still asked for.
struct Search {
    found: Vec<Option<RowAddress>>,
    /// Keys without an answer, and their positions.
    keys: Vec<KeyHash>,
    positions: Vec<u32>,
}

impl Search {
    fn new(keys: &[KeyHash]) -> Self {
        Self { found: vec![None; keys.len()], keys: keys.to_vec(), positions: (0..).take(keys.len()).collect() }
    }

    fn is_done(&self) -> bool {
        self.keys.is_empty()
    }

    /// Asks `source` for the open keys; it calls back with what it finds. At most one row of a key is alive (E3).
    fn step(&mut self, source: impl FnOnce(&[KeyHash], &mut dyn FnMut(u32, RowAddress))) {
        let (found, positions) = (&mut self.found, &self.positions);
        let mut any = false;
        source(&self.keys, &mut |position, address| {
            let slot = usize::try_from(at(positions, position)).ok().and_then(|position| found.get_mut(position));
            if let Some(slot @ None) = slot {
                *slot = Some(address);
                any = true;
            }
        });
        if any {
            let open =
                |position: &u32| usize::try_from(*position).is_ok_and(|i| found.get(i).is_some_and(Option::is_none));
            let keys = self.keys.iter().zip(&self.positions).filter(|(_, position)| open(position));
            let (keys, positions) = keys.map(|(key, position)| (*key, *position)).unzip();
            (self.keys, self.positions) = (keys, positions);
        }
    }

    /// Asks the runs of a state for the open keys, in the order of their hashes: pages and blocks of filters come in order.
    fn in_runs(mut self, state: &ShardState) -> Result<Vec<Option<RowAddress>>> {
        let mut open: Vec<(KeyHash, u32)> = self.keys.iter().copied().zip(self.positions.iter().copied()).collect();
        open.sort_unstable();
        for run in state.runs() {
            if open.is_empty() {
                break;
            }
            let found = &mut self.found;
            let mut any = false;
            run.lookup(&open, |candidate| {
                let slot = usize::try_from(candidate.position).ok().and_then(|position| found.get_mut(position));
                if let Some(slot @ None) = slot
                    && state.is_live(candidate.address)
                {
                    *slot = Some(candidate.address);
                    any = true;
                }
            })?;
            if any {
                let is_open = |position: u32| {
                    usize::try_from(position).is_ok_and(|at| self.found.get(at).is_some_and(Option::is_none))
                };
                open.retain(|(_, position)| is_open(*position));
            }
        }
        Ok(self.found)
    }
}

/// The item at a position that came from a list of the same length.
fn at<T: Copy + Default>(items: &[T], position: u32) -> T {
    usize::try_from(position).ok().and_then(|position| items.get(position)).copied().unwrap_or_default()
}
