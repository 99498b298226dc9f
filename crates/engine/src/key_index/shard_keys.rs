//! The key index of one shard.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arrow_array::ArrayRef;
use outcrop_types::{CommitSeq, LogId, Result, RowAddress, RowOrdinal, TableId, TableSchema, UnitId};
use parking_lot::Mutex;

use super::generation_keys::GenerationKeys;
use super::segment_keys::SegmentKeys;
use super::{KeyEncoder, KeyHash};
use crate::snapshot::{LiveVersions, ShardState};

/// Entries `key → address` of the primary key, for every row that some held version or the tail may ask for.
///
/// One writer at a time (the turn, or the flush of this shard for its output) adds; any number of readers look up
/// meanwhile. Entries must be there before a version that has their rows is published; an entry whose unit or row a state
/// does not have is no answer for that state, so it may be there earlier.
pub(crate) struct ShardKeys {
    encoder: KeyEncoder,
    table: TableId,
    live: Arc<LiveVersions>,
    /// Oldest first.
    generations: ArcSwap<Vec<Arc<GenerationKeys>>>,
    segments: SegmentKeys,
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
        Some(Self {
            encoder: KeyEncoder::new(schema, schema.primary_key()?, log),
            table: schema.id,
            live: Arc::clone(live),
            generations: ArcSwap::default(),
            segments: SegmentKeys::new(),
            retired: Mutex::new(Vec::new()),
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

    /// Adds rows of a segment: `rows[i]` under key `i`. Called before the segment is installed.
    ///
    /// # Errors
    /// `InternalError` when the segment has more than 2^24 rows.
    pub(crate) fn insert_segment(&self, keys: &[KeyHash], unit: UnitId, rows: &[RowOrdinal]) -> Result<()> {
        self.collect();
        let held = self.live.held();
        let held: Vec<&ShardState> = held.iter().filter_map(|version| self.state_in(version)).collect();
        self.segments.insert(keys, unit, |i| at(rows, i), &held)
    }

    /// Says that no version from commit `at` on has these units: the inputs of an install, or the output of one that was
    /// given up (`at` is then the published commit). Their entries go when nobody reads an older version any more.
    pub(crate) fn retire(&self, units: &[UnitId], at: CommitSeq) {
        self.retired.lock().extend(units.iter().map(|unit| Retired { unit: *unit, at }));
        self.collect();
    }

    /// Removes the entries of retired units that nobody can see any more. Cheap when there are none.
    pub(crate) fn collect(&self) {
        let mut retired = self.retired.lock();
        if retired.is_empty() {
            return;
        }
        let generations = self.generations.load();
        let born = |unit| generations.iter().find(|keys| keys.unit() == unit).map(|keys| keys.born());
        let is_gone =
            |retired: &mut Retired| !self.live.sees_between(born(retired.unit).unwrap_or(CommitSeq::ZERO), retired.at);
        let gone: Vec<UnitId> = retired.extract_if(.., is_gone).map(|retired| retired.unit).collect();
        let segments: Vec<UnitId> = gone.iter().copied().filter(|unit| born(*unit).is_none()).collect();
        if segments.len() < gone.len() {
            let kept = generations.iter().filter(|keys| !gone.contains(&keys.unit()));
            self.generations.store(Arc::new(kept.map(Arc::clone).collect()));
        }
        if !segments.is_empty() {
            self.segments.remove(&segments);
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
    pub(crate) fn lookup_live(&self, keys: &[KeyHash], state: &ShardState) -> Vec<Option<RowAddress>> {
        let mut search = Search::new(keys);
        for generation in self.generations.load().iter().rev() {
            if search.is_done() {
                return search.found;
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
        if !search.is_done() {
            search.step(|keys, found| {
                self.segments.candidates(keys, |position, address| {
                    if state.is_live(address) {
                        found(position, address);
                    }
                });
            });
        }
        search.found
    }

    /// Calls `visit` with the position of each key and each row of a segment that the index has for it, alive or not, also
    /// of segments that no version has yet: a statement looks for the rows that it staged itself.
    pub(crate) fn each_candidate(&self, keys: &[KeyHash], visit: &mut dyn FnMut(u32, RowAddress)) {
        self.segments.candidates(keys, visit);
    }

    /// Every address that the index has for a key, newest first, alive or not.
    #[cfg(test)]
    pub(crate) fn candidates(&self, key: KeyHash, out: &mut Vec<RowAddress>) {
        for generation in self.generations.load().iter().rev() {
            generation.candidates(&[key], |_, row| out.push(RowAddress::new(generation.unit(), row)));
        }
        self.segments.candidates(&[key], |_, address| out.push(address));
    }

    /// Entries, for metrics and tests.
    pub(crate) fn len(&self) -> usize {
        self.generations.load().iter().map(|keys| keys.len()).sum::<usize>() + self.segments.len()
    }

    /// Memory held.
    pub(crate) fn bytes(&self) -> u64 {
        self.generations.load().iter().map(|keys| keys.bytes()).sum::<u64>() + self.segments.bytes()
    }

    /// The table of a generation, made when its first row comes, which is with commit `born` or later.
    fn generation(&self, unit: UnitId, born: CommitSeq) -> Arc<GenerationKeys> {
        let of_unit = |generations: &[Arc<GenerationKeys>]| {
            generations.iter().rev().find(|keys| keys.unit() == unit).map(Arc::clone)
        };
        if let Some(keys) = of_unit(&self.generations.load()) {
            return keys;
        }
        self.collect();
        let replacing = self.retired.lock();
        let mut generations = Vec::clone(&self.generations.load());
        if let Some(keys) = of_unit(&generations) {
            return keys;
        }
        let keys = Arc::new(GenerationKeys::new(unit, born));
        generations.push(Arc::clone(&keys));
        generations.sort_unstable_by_key(|keys| keys.unit());
        self.generations.store(Arc::new(generations));
        drop(replacing);
        keys
    }

    /// This shard in a version. A table that was truncated since has another index there.
    fn state_in<'a>(&self, version: &'a crate::snapshot::Version) -> Option<&'a ShardState> {
        let mut shards = version.tables.get(&self.table)?.shards.iter().map(|shard| &**shard);
        shards.find(|shard| shard.keys().is_some_and(|keys| std::ptr::eq(&**keys, self)))
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
}

/// The item at a position that came from a list of the same length.
fn at<T: Copy + Default>(items: &[T], position: u32) -> T {
    usize::try_from(position).ok().and_then(|position| items.get(position)).copied().unwrap_or_default()
}
