//! Invisible segments.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use hashbrown::HashTable;
use outcrop_env::marks::reached;
use outcrop_segment::{DeleteVector, Segment};
use outcrop_types::{CommitSeq, Condition, Error, Result, RowAddress, RowOrdinal, TableSchema, UnitId};

use super::row_set::RowSet;
use crate::ScanColumn;
use crate::key_index::{KeyHash, ShardKeys};
use crate::manifest::{remove_segment_files, remove_staged_file};
use crate::node::Node;
use crate::rewrite::{Output, OutputWriter};
use crate::snapshot::{NewSegment, ShardState, TableSnapshot};
use crate::write::{Conversion, Target};

/// The staged segments of one statement. Dropped before the statement is committed, it removes them.
pub(crate) struct Stage {
    node: Arc<Node>,
    schema: Arc<TableSchema>,
    keys: Option<Arc<ShardKeys>>,
    current: Option<Current>,
    finished: Vec<Output>,
    /// Staged rows that nobody shall see.
    dead: RowSet,
    victims_file: Option<String>,
    committed: bool,
}

/// The segment that is being written.
struct Current {
    writer: OutputWriter,
    /// Its rows by key: what its key run will answer once it is written.
    rows: HashTable<u32>,
}

impl Current {
    fn unit(&self) -> UnitId {
        self.writer.unit()
    }

    /// The row with a key.
    fn find(&self, key: KeyHash) -> Option<RowAddress> {
        let keys = self.writer.keys()?;
        let row = self.rows.iter_hash(key.high()).find(|row| keys.has(**row, key))?;
        Some(RowAddress::new(self.unit(), RowOrdinal::new(*row)))
    }

    fn write(&mut self, rows: &RecordBatch, keys: &[KeyHash]) -> Result<()> {
        let first = self.writer.rows();
        // The commit has no number yet; the segment's metadata gets it when it has.
        self.writer.write_staged(rows, keys)?;
        if let Some(known) = self.writer.keys() {
            self.rows.reserve(keys.len(), |row| known.high(*row));
            for (row, key) in (first..).zip(keys) {
                self.rows.insert_unique(key.high(), row, |row| known.high(*row));
            }
        }
        Ok(())
    }
}

impl Stage {
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            node: Arc::clone(&target.node),
            schema: Arc::clone(&target.schema),
            keys: target.keys.as_ref().map(Arc::clone),
            current: None,
            finished: Vec::new(),
            dead: RowSet::default(),
            victims_file: None,
            committed: false,
        }
    }

    /// Writes rows, whose keys go to the run of their segment. Returns where they are, in their order.
    ///
    /// # Errors
    /// `DiskFull`: the statement fails. Another failed write poisons the node (W9).
    pub(crate) fn append(&mut self, rows: &RecordBatch, keys: &[KeyHash]) -> Result<Vec<RowAddress>> {
        let mut addresses = Vec::with_capacity(rows.num_rows());
        let mut start = 0;
        while start < rows.num_rows() {
            let room = self.open_writer()?;
            let length = room.min(rows.num_rows() - start);
            let part = rows.slice(start, length);
            let part_keys = keys.get(start..start + length).unwrap_or_default();
            let outcome = self.write(&part, part_keys, &mut addresses);
            outcome.inspect_err(|error| self.failed(error))?;
            start += length;
        }
        Ok(addresses)
    }

    /// Calls `visit` with the position of each key and each staged row that has it and is not dead. Their keys are in the
    /// runs of their segments, so a statement keeps none but those of the segment that is being written.
    pub(crate) fn each_alive(&self, keys: &[KeyHash], mut visit: impl FnMut(usize, RowAddress)) -> Result<()> {
        if let Some(current) = &self.current {
            let found = keys.iter().enumerate().filter_map(|(position, key)| Some((position, current.find(*key)?)));
            found.filter(|(_, row)| self.is_alive(*row)).for_each(|(position, row)| visit(position, row));
        }
        let mut sorted: Vec<(KeyHash, u32)> = keys.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        for run in self.finished.iter().filter_map(|staged| staged.run.as_ref()) {
            run.lookup(&sorted, |candidate| {
                if self.is_alive(candidate.address) {
                    visit(usize::try_from(candidate.position).unwrap_or(usize::MAX), candidate.address);
                }
            })?;
        }
        Ok(())
    }

    /// A staged row of each key that is not dead.
    pub(crate) fn find(&self, keys: &[KeyHash]) -> Result<Vec<Option<RowAddress>>> {
        let mut found = vec![None; keys.len()];
        self.each_alive(keys, |position, address| {
            if let Some(slot) = found.get_mut(position) {
                *slot = Some(address);
            }
        })?;
        Ok(found)
    }

    /// Staged rows, dead ones too, in the given order.
    pub(crate) fn fetch(&self, rows: &[RowAddress], columns: &[ScanColumn]) -> Result<RecordBatch> {
        self.table(|segment| DeleteVector::new(segment.rows()))?.fetch(rows, columns)
    }

    /// The keys of staged rows, dead ones too, in the given order.
    pub(crate) fn keys_of(&self, rows: &[RowAddress]) -> Result<Vec<KeyHash>> {
        let (Some(index), Some(key)) = (&self.keys, self.schema.primary_key()) else { return Ok(Vec::new()) };
        let columns: Vec<ScanColumn> = key.columns.iter().map(|id| ScanColumn::Column(*id)).collect();
        index.encode(self.fetch(rows, &columns)?.columns())
    }

    /// Calls `visit` with the keys of the staged rows that are not dead, and where they are, some at a time. Reads the key
    /// columns of the first `segments` segments.
    pub(crate) fn each_key(
        &self,
        segments: usize,
        mut visit: impl FnMut(&[KeyHash], &[RowAddress]) -> Result<()>,
    ) -> Result<()> {
        let (Some(index), Some(key)) = (&self.keys, self.schema.primary_key()) else { return Ok(()) };
        let mut columns: Vec<ScanColumn> = key.columns.iter().map(|id| ScanColumn::Column(*id)).collect();
        columns.push(ScanColumn::Row);
        let staged = self.table(|segment| self.deletes(segment))?;
        for segment in self.finished.iter().take(segments).map(|staged| &staged.segment) {
            for batch in staged.scan_unit(segment.unit(), &columns, KEY_ROWS)? {
                let (_, mut arrays, _) = batch?.into_parts();
                let rows = arrays.pop().ok_or_else(|| Error::internal("a scan without row numbers"))?;
                let rows = rows.as_primitive::<UInt32Type>().values();
                let addresses: Vec<RowAddress> =
                    rows.iter().map(|row| RowAddress::new(segment.unit(), RowOrdinal::new(*row))).collect();
                visit(&index.encode(&arrays)?, &addresses)?;
            }
        }
        Ok(())
    }

    /// A staged row that nobody shall see.
    pub(crate) fn kill(&mut self, row: RowAddress) {
        self.dead.insert(row);
    }

    /// A staged row that was killed is wanted again.
    pub(crate) fn revive(&mut self, row: RowAddress) {
        self.dead.remove(row);
    }

    /// Kills all rows but those of the first `segments` segments, of which none is dead any more.
    pub(crate) fn keep_only(&mut self, segments: usize) {
        self.dead = RowSet::default();
        for segment in self.finished.iter().skip(segments).map(|staged| &staged.segment) {
            self.dead.extend((0..segment.rows()).map(|row| RowAddress::new(segment.unit(), RowOrdinal::new(row))));
        }
    }

    /// Whether a staged row is to be seen.
    pub(crate) fn is_alive(&self, row: RowAddress) -> bool {
        !self.dead.contains(row)
    }

    /// Rows of the first `segments` segments that are to be seen.
    pub(crate) fn alive_rows(&self, segments: usize) -> u64 {
        let alive = |segment: &Segment| u64::from(segment.rows()) - self.dead.of_unit(segment.unit()).count() as u64;
        self.finished.iter().take(segments).map(|staged| alive(&staged.segment)).sum()
    }

    /// The dead rows of a staged segment.
    pub(crate) fn deletes(&self, segment: &Segment) -> DeleteVector {
        let mut deletes = DeleteVector::new(segment.rows());
        deletes.delete(&self.dead.of_unit(segment.unit()).collect::<Vec<_>>());
        deletes
    }

    /// Completes the segment that is being written, so that all rows can be read.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let Some(Current { writer, .. }) = self.current.take() else { return Ok(()) };
        let unit = writer.unit();
        let finished = writer.finish(&self.node);
        let output = finished.inspect_err(|error| {
            self.failed(error);
            remove_segment_files(&self.node, unit);
        })?;
        self.finished.push(output);
        reached("stage", "segment-written");
        Ok(())
    }

    /// The finished segments are read through a later version of the schema from now on, and nothing of an earlier one may be
    /// appended.
    ///
    /// # Errors
    /// `SerializationFailure` if their rows do not obey it.
    pub(crate) fn convert(&mut self, to: &Conversion) -> Result<()> {
        self.finished.iter().try_for_each(|staged| to.check_segment(staged.segment.meta()))?;
        self.schema = Arc::clone(to.schema());
        self.keys = self.keys.as_ref().and_then(|keys| keys.altered(to.schema())).map(Arc::new);
        Ok(())
    }

    /// The segments, once [`Stage::finish`] was called.
    pub(crate) fn segments(&self) -> &[Output] {
        &self.finished
    }

    /// A victims file belongs to the statement until it is committed.
    pub(crate) fn own_victims_file(&mut self, name: &str) {
        if let Some(before) = self.victims_file.replace(name.to_owned()) {
            remove_staged_file(&self.node, &before);
        }
    }

    /// The record has its place as commit `seq`: the files belong to the log now.
    pub(crate) fn commit(&mut self, seq: CommitSeq, victims_file: Option<&str>) {
        self.committed = true;
        if let Some(name) = victims_file {
            self.node.victims_files.lock().push((seq, name.to_owned()));
        }
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The staged rows as a table of their own.
    fn table(&self, deletes: impl Fn(&Segment) -> DeleteVector) -> Result<TableSnapshot> {
        let mut state = ShardState::new(&self.schema, self.node.log_id, &self.node.live, UnitId::new(0));
        let all = self.finished.iter().map(|staged| NewSegment {
            segment: Arc::clone(&staged.segment),
            deletes: deletes(&staged.segment),
            run: staged.run.as_ref().map(Arc::clone),
        });
        state.install(&[], all.collect())?;
        Ok(TableSnapshot::of_state(Arc::clone(&self.schema), state, self.node.published_seq()))
    }

    /// A writer with room, and how many rows it takes.
    fn open_writer(&mut self) -> Result<usize> {
        let rows_max = self.node.options.flush_rows_max;
        if self.current.as_ref().is_some_and(|current| current.writer.rows() >= rows_max) {
            self.finish()?;
        }
        if self.current.is_none() {
            let unit = self.node.ids.unit();
            let writer = OutputWriter::create_staged(&self.node, unit, &self.schema, self.keys.as_ref());
            let writer = writer.inspect_err(|error| self.failed(error))?;
            self.current = Some(Current { writer, rows: HashTable::new() });
        }
        let used = self.current.as_ref().map_or(0, |current| current.writer.rows());
        Ok(usize::try_from(rows_max.saturating_sub(used)).unwrap_or(usize::MAX))
    }

    fn write(&mut self, rows: &RecordBatch, keys: &[KeyHash], addresses: &mut Vec<RowAddress>) -> Result<()> {
        let Some(current) = &mut self.current else { return Err(Error::internal("a stage without writer")) };
        let first = current.writer.rows();
        current.write(rows, keys)?;
        let unit = current.unit();
        addresses.extend((first..current.writer.rows()).map(|row| RowAddress::new(unit, RowOrdinal::new(row))));
        Ok(())
    }

    fn failed(&self, error: &Error) {
        if error.condition() == Condition::IoError {
            self.node.poison(error.message());
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        self.current = None;
        let units: Vec<UnitId> = self.finished.drain(..).map(|staged| staged.segment.unit()).collect();
        units.iter().for_each(|unit| remove_segment_files(&self.node, *unit));
        if let Some(name) = self.victims_file.take() {
            remove_staged_file(&self.node, &name);
        }
    }
}

/// Rows whose keys are read back at once.
const KEY_ROWS: u32 = 65_536;
