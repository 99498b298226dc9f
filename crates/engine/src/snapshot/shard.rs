//! The units of one shard at one commit.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use imbl::OrdMap;
use outcrop_segment::{DeleteVector, KeyRun, Segment};
use outcrop_types::{CommitSeq, Error, LogId, Result, RowAddress, RowOrdinal, TableSchema, UnitId};

use super::LiveVersions;
use crate::key_index::ShardKeys;
use crate::memtable::Generation;
use crate::stage::RowSet;

/// The generations and segments of a shard with their delete vectors. Persistent: a clone costs a few reference counts and
/// shares everything with its origin until one of them is changed.
///
/// Rows enter through [`ShardState::append`] and keep their address until [`ShardState::install`] replaces their unit. A
/// dead row never comes back to life.
#[derive(Clone)]
pub(crate) struct ShardState {
    open: Generation,
    sealed: OrdMap<UnitId, Arc<Generation>>,
    segments: OrdMap<UnitId, SegmentUnit>,
    live_rows: u64,
    keys: Option<Arc<ShardKeys>>,
    /// The key runs over its segments, newest first: each segment is in exactly one.
    runs: Arc<Vec<Arc<KeyRun>>>,
}

/// A segment that enters a shard: its rows, which of them are dead, and the run that has its keys. Only a table without key
/// index goes without a run, and recovery until it knows all runs.
#[derive(Clone, Debug)]
pub(crate) struct NewSegment {
    /// The segment.
    pub(crate) segment: Arc<Segment>,
    /// Its dead rows at this place of the log (W1).
    pub(crate) deletes: DeleteVector,
    /// Its own key run.
    pub(crate) run: Option<Arc<KeyRun>>,
}

#[derive(Clone)]
struct SegmentUnit {
    segment: Arc<Segment>,
    deletes: DeleteVector,
}

/// A generation of a shard, as [`ShardState::generations`] shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GenerationView {
    /// Its id.
    pub(crate) unit: UnitId,
    /// Rows, dead and alive.
    pub(crate) rows: u32,
    /// Memory of its rows.
    pub(crate) bytes: u64,
    /// Commit of its first row; `None` while it is empty.
    pub(crate) first_seq: Option<CommitSeq>,
}

/// A segment of a shard, as [`ShardState::segments`] shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentView<'a> {
    /// The segment.
    pub(crate) segment: &'a Arc<Segment>,
    /// Its dead rows.
    pub(crate) deletes: &'a DeleteVector,
}

impl ShardState {
    /// An empty shard whose rows enter generation `open`. A table with a primary key, unless it is `append_only`, gets a
    /// key index of its own, shared by all clones of this state.
    pub(crate) fn new(schema: &TableSchema, log: LogId, live: &Arc<LiveVersions>, open: UnitId) -> Self {
        Self {
            open: Generation::new(open, schema),
            sealed: OrdMap::new(),
            segments: OrdMap::new(),
            live_rows: 0,
            keys: ShardKeys::new(schema, log, live).map(Arc::new),
            runs: Arc::default(),
        }
    }

    /// Adds the rows of one commit to the open generation, in log order, and returns the number of the first one.
    ///
    /// # Errors
    /// `InternalError` when the columns are not the table's, or the generation has 2^32 rows: it should have been sealed.
    pub(crate) fn append(&mut self, batch: RecordBatch, seq: CommitSeq) -> Result<RowOrdinal> {
        let added = batch.num_rows();
        let first = self.open.append(batch, seq)?;
        self.live_rows += u64::try_from(added).unwrap_or(u64::MAX);
        Ok(first)
    }

    /// Marks rows dead and returns how many of them were alive. Any order; repeated addresses count once.
    ///
    /// # Errors
    /// `InternalError` when an address is not of this shard; the state is then unusable.
    pub(crate) fn delete(&mut self, victims: &[RowAddress]) -> Result<u64> {
        let mut newly = 0;
        if victims.is_sorted() {
            for group in victims.chunk_by(|a, b| a.unit == b.unit) {
                newly += self.delete_in_unit(group)?;
            }
        } else {
            let mut sorted = victims.to_vec();
            sorted.sort_unstable();
            for group in sorted.chunk_by(|a, b| a.unit == b.unit) {
                newly += self.delete_in_unit(group)?;
            }
        }
        self.live_rows -= newly;
        Ok(newly)
    }

    /// As [`ShardState::delete`], for any number of rows.
    ///
    /// # Errors
    /// As [`ShardState::delete`].
    pub(crate) fn delete_all(&mut self, victims: &RowSet) -> Result<u64> {
        let mut newly = 0;
        let mut rows = victims.iter().peekable();
        while rows.peek().is_some() {
            let some: Vec<RowAddress> = rows.by_ref().take(DELETE_ROWS).collect();
            newly += self.delete(&some)?;
        }
        Ok(newly)
    }

    /// Seals the open generation and opens `new_open`. An empty generation leaves no trace.
    pub(crate) fn seal(&mut self, new_open: UnitId) {
        let next = self.open.successor(new_open);
        let sealed = std::mem::replace(&mut self.open, next);
        if sealed.rows() > 0 {
            self.sealed.insert(sealed.unit(), Arc::new(sealed));
        }
    }

    /// The rows of the table have these columns from now on; what is there is read through the new schema. Rows of other
    /// columns enter a generation of their own, `new_open`. Returns whether it was needed.
    pub(crate) fn alter(&mut self, schema: &TableSchema, new_open: UnitId) -> bool {
        self.keys = self.keys.as_ref().and_then(|keys| keys.altered(schema)).map(Arc::new);
        if self.open.fits(schema) {
            return false;
        }
        self.seal(new_open);
        self.open = Generation::new(new_open, schema);
        true
    }

    /// Replaces units by segments: flush, compaction, and with no inputs a staged commit. Each output comes with its dead
    /// rows at this place of the log (W1).
    ///
    /// # Errors
    /// `InternalError` when an input is not a sealed generation or segment of this shard, an output is there already, or a
    /// delete vector is of another length than its segment.
    pub(crate) fn install(&mut self, inputs: &[UnitId], outputs: Vec<NewSegment>) -> Result<()> {
        for unit in inputs {
            let live = match (self.sealed.remove(unit), self.segments.remove(unit)) {
                (Some(generation), _) => generation.deletes().live(),
                (None, Some(segment)) => segment.deletes.live(),
                (None, None) => return Err(Error::internal(format!("install replaces {unit}, which is not there"))),
            };
            self.live_rows -= u64::from(live);
        }
        self.drop_useless_runs(inputs);
        for NewSegment { segment, deletes, run } in outputs {
            let unit = segment.unit();
            if segment.rows() != deletes.rows() {
                let (rows, covered) = (segment.rows(), deletes.rows());
                return Err(Error::internal(format!("delete vector of {unit} covers {covered} of {rows} rows")));
            }
            if self.has_unit(unit) {
                return Err(Error::internal(format!("install brings {unit}, which is there already")));
            }
            self.live_rows += u64::from(deletes.live());
            self.segments.insert(unit, SegmentUnit { segment, deletes });
            run.into_iter().for_each(|run| self.add_run(run));
        }
        Ok(())
    }

    /// Adds a key run over segments of this shard.
    pub(crate) fn add_run(&mut self, run: Arc<KeyRun>) {
        let mut runs = Vec::clone(&self.runs);
        runs.push(run);
        runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.segments().last().map(|segment| segment.unit)));
        self.runs = Arc::new(runs);
    }

    /// Puts one run in the place of others; false, and nothing changes, if one of them is not there.
    pub(crate) fn replace_runs(&mut self, inputs: &[UnitId], output: Arc<KeyRun>) -> bool {
        let kept: Vec<Arc<KeyRun>> =
            self.runs.iter().filter(|run| !inputs.contains(&run.unit())).map(Arc::clone).collect();
        if kept.len() + inputs.len() != self.runs.len() {
            return false;
        }
        self.runs = Arc::new(kept);
        self.add_run(output);
        true
    }

    /// The generation that rows enter.
    pub(crate) fn open_unit(&self) -> UnitId {
        self.open.unit()
    }

    /// Rows of the open generation, dead and alive.
    pub(crate) fn open_rows(&self) -> u32 {
        self.open.rows()
    }

    /// Memory held by the rows of all generations.
    pub(crate) fn memtable_bytes(&self) -> u64 {
        self.open.bytes() + self.sealed.values().map(|generation| generation.bytes()).sum::<u64>()
    }

    /// Rows alive.
    pub(crate) fn live_rows(&self) -> u64 {
        self.live_rows
    }

    /// Whether the row is there and alive.
    pub(crate) fn is_live(&self, address: RowAddress) -> bool {
        self.deletes(address.unit)
            .is_some_and(|deletes| address.row.get() < deletes.rows() && !deletes.is_deleted(address.row))
    }

    /// Whether the unit is of this shard at this commit.
    pub(crate) fn has_unit(&self, unit: UnitId) -> bool {
        self.deletes(unit).is_some()
    }

    /// The dead rows of a unit.
    pub(crate) fn deletes(&self, unit: UnitId) -> Option<&DeleteVector> {
        match self.generation(unit) {
            Some(generation) => Some(generation.deletes()),
            None => self.segments.get(&unit).map(|segment| &segment.deletes),
        }
    }

    /// All generations, oldest first; the open one is last.
    pub(crate) fn generations(&self) -> impl Iterator<Item = GenerationView> {
        self.all_generations().map(|generation| GenerationView {
            unit: generation.unit(),
            rows: generation.rows(),
            bytes: generation.bytes(),
            first_seq: generation.first_seq(),
        })
    }

    /// All segments, in the order of their ids.
    pub(crate) fn segments(&self) -> impl Iterator<Item = SegmentView<'_>> {
        self.segments.values().map(|unit| SegmentView { segment: &unit.segment, deletes: &unit.deletes })
    }

    /// The segment with this id.
    pub(crate) fn segment(&self, unit: UnitId) -> Option<SegmentView<'_>> {
        let unit = self.segments.get(&unit)?;
        Some(SegmentView { segment: &unit.segment, deletes: &unit.deletes })
    }

    /// The key index; `None` without primary key and for `append_only` tables.
    pub(crate) fn keys(&self) -> Option<&Arc<ShardKeys>> {
        self.keys.as_ref()
    }

    /// The key runs, newest first.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Arc<KeyRun>> {
        self.runs.iter()
    }

    /// The segments that no key run covers, although the table has a key index: none in a version of a running node.
    pub(crate) fn uncovered(&self) -> impl Iterator<Item = &Arc<Segment>> {
        let segments = self.segments.values().map(|unit| &unit.segment);
        let covered = |segment: &Segment| self.runs.iter().any(|run| run.covers(segment.unit()));
        segments.filter(move |segment| self.keys.is_some() && !covered(segment))
    }

    /// The generation with this id.
    pub(super) fn generation(&self, unit: UnitId) -> Option<&Generation> {
        if unit == self.open.unit() { Some(&self.open) } else { self.sealed.get(&unit).map(|sealed| &**sealed) }
    }

    /// All generations, oldest first; the open one is last.
    pub(super) fn all_generations(&self) -> impl Iterator<Item = &Generation> {
        self.sealed.values().map(|sealed| &**sealed).chain(std::iter::once(&self.open))
    }

    /// Forgets runs none of whose segments is left.
    fn drop_useless_runs(&mut self, gone: &[UnitId]) {
        if !self.runs.iter().any(|run| gone.iter().any(|unit| run.covers(*unit))) {
            return;
        }
        let is_useful =
            |run: &&Arc<KeyRun>| run.segments().iter().any(|segment| self.segments.contains_key(&segment.unit));
        self.runs = Arc::new(self.runs.iter().filter(is_useful).map(Arc::clone).collect());
    }

    /// Marks rows of one unit dead; `victims` is not empty.
    fn delete_in_unit(&mut self, victims: &[RowAddress]) -> Result<u64> {
        let Some(last) = victims.iter().max_by_key(|address| address.row) else { return Ok(0) };
        if self.deletes(last.unit).is_none_or(|deletes| last.row.get() >= deletes.rows()) {
            return Err(Error::internal(format!("delete of row {last}, which is not there")));
        }
        let rows: Vec<RowOrdinal> = victims.iter().map(|address| address.row).collect();
        let newly = if last.unit == self.open.unit() {
            self.open.delete(&rows)
        } else if let Some(sealed) = self.sealed.get_mut(&last.unit) {
            Arc::make_mut(sealed).delete(&rows)
        } else if let Some(segment) = self.segments.get_mut(&last.unit) {
            segment.deletes.delete(&rows)
        } else {
            0
        };
        Ok(u64::from(newly))
    }
}

impl fmt::Debug for ShardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardState")
            .field("open", &self.open.unit())
            .field("sealed", &self.sealed.keys().collect::<Vec<_>>())
            .field("segments", &self.segments.keys().collect::<Vec<_>>())
            .field("live_rows", &self.live_rows)
            .finish_non_exhaustive()
    }
}

/// Rows that are deleted at once.
const DELETE_ROWS: usize = 65_536;
