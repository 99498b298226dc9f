//! Writing a segment together with the key run of its rows.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{ArrayRef, RecordBatch, UInt64Array};
use outcrop_segment::{Compression, KeyRun, KeyRunBuilder, Segment, SegmentOptions, SegmentWriter};
use outcrop_types::{ColumnId, Error, Result, TableSchema, UnitId};

use crate::ScanColumn;
use crate::key_index::{KeyHash, ShardKeys};
use crate::node::{Node, SEGMENT_DIR};

/// A segment that is being written by a flush, a compaction or a staged statement. Dropped unfinished it leaves nothing.
pub(crate) struct OutputWriter {
    unit: UnitId,
    writer: SegmentWriter,
    schema: Arc<TableSchema>,
    in_first_group: bool,
    keys: Option<(Arc<ShardKeys>, KeyRunBuilder)>,
}

/// A durable segment with its key run, which no record names yet.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) segment: Arc<Segment>,
    /// Checksum of the meta file, by which a record names it.
    pub(crate) meta_crc: u32,
    /// The run of its rows; `None` for a table without key index.
    pub(crate) run: Option<Arc<KeyRun>>,
}

impl OutputWriter {
    /// Starts segment `unit` of a table. One that is wide gets several data files, which are written one after the other, so that
    /// only some columns are in memory.
    ///
    /// # Errors
    /// `DiskFull`, `IoError`.
    pub(crate) fn create(
        node: &Node,
        unit: UnitId,
        schema: &Arc<TableSchema>,
        keys: Option<&Arc<ShardKeys>>,
    ) -> Result<Self> {
        let (options, groups) = (SegmentOptions::default(), column_groups(schema));
        let place = (node.log_id, unit);
        let writer =
            SegmentWriter::create_grouped(&node.env, SEGMENT_DIR, place, Arc::clone(schema), &options, groups)?;
        Ok(Self::new(unit, writer, schema, keys))
    }

    /// Starts segment `unit` of a table, whose rows come once with all their columns: [`OutputWriter::write`].
    ///
    /// # Errors
    /// `DiskFull`, `IoError`.
    pub(crate) fn create_single(
        node: &Node,
        unit: UnitId,
        schema: &Arc<TableSchema>,
        keys: Option<&Arc<ShardKeys>>,
    ) -> Result<Self> {
        let (options, table) = (one_pass(schema), Arc::clone(schema));
        let writer = SegmentWriter::create(&node.env, SEGMENT_DIR, node.log_id, unit, table, &options)?;
        Ok(Self::new(unit, writer, schema, keys))
    }

    /// Starts a segment whose rows are all of one commit, which has no number yet (W10).
    ///
    /// # Errors
    /// `DiskFull`, `IoError`.
    pub(crate) fn create_staged(
        node: &Node,
        unit: UnitId,
        schema: &Arc<TableSchema>,
        keys: Option<&Arc<ShardKeys>>,
    ) -> Result<Self> {
        let mut options = one_pass(schema);
        options.compression = Compression::Quick;
        let table = Arc::clone(schema);
        let writer = SegmentWriter::create_staged(&node.env, SEGMENT_DIR, node.log_id, unit, table, &options)?;
        Ok(Self::new(unit, writer, schema, keys))
    }

    fn new(unit: UnitId, writer: SegmentWriter, schema: &Arc<TableSchema>, keys: Option<&Arc<ShardKeys>>) -> Self {
        let keys = keys.map(|keys| (Arc::clone(keys), KeyRunBuilder::new(unit, keys.encoder().width())));
        Self { unit, writer, schema: Arc::clone(schema), keys, in_first_group: true }
    }

    /// Says that the rows come in the order of these columns.
    pub(crate) fn set_order(&mut self, columns: &[ColumnId]) {
        self.writer.set_order(columns);
    }

    /// What batches of the group that is being written hold: its columns, and in the first group the commits of the rows.
    pub(crate) fn columns(&self) -> Vec<ScanColumn> {
        let columns = self.writer.group().iter().filter_map(|position| self.schema.columns.get(*position));
        let mut columns: Vec<ScanColumn> = columns.map(|column| ScanColumn::Column(column.id)).collect();
        if self.in_first_group {
            columns.push(ScanColumn::CommitSeq);
        }
        columns
    }

    /// Adds rows, as [`OutputWriter::columns`] says.
    ///
    /// # Errors
    /// Those of [`SegmentWriter::write`].
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if !self.in_first_group {
            return self.writer.write_group(batch);
        }
        let group: Vec<usize> = (0..self.writer.group().len()).collect();
        let rows =
            batch.project(&group).map_err(|error| Error::internal("a batch without its columns").with_source(error))?;
        let seqs = batch.columns().last().ok_or_else(|| Error::internal("a batch without commit numbers"))?;
        let keys = self.group_keys(&rows)?;
        self.add_keys(&rows, &keys)?;
        self.writer.write(&rows, seqs.as_primitive::<UInt64Type>())
    }

    /// Goes on with the next group of columns; false after the last one. Keys are in the first one.
    ///
    /// # Errors
    /// Those of [`SegmentWriter::next_group`].
    pub(crate) fn next_group(&mut self) -> Result<bool> {
        let more = self.writer.next_group()?;
        self.in_first_group &= !more;
        Ok(more)
    }

    /// The hashes of the keys of rows of the first group.
    fn group_keys(&self, rows: &RecordBatch) -> Result<Vec<KeyHash>> {
        let Some((keys, _)) = &self.keys else { return Ok(Vec::new()) };
        let Some(key) = self.schema.primary_key() else { return Ok(Vec::new()) };
        let column = |id: &ColumnId| {
            let position = self.schema.position(*id)?;
            let place = self.writer.group().iter().position(|found| *found == position)?;
            rows.columns().get(place).map(Arc::clone)
        };
        let columns: Option<Vec<ArrayRef>> = key.columns.iter().map(column).collect();
        keys.encode(&columns.ok_or_else(|| Error::internal("the first group lacks a key column"))?)
    }

    /// The keys of its rows, for a table with a key index.
    pub(crate) fn keys(&self) -> Option<&KeyRunBuilder> {
        self.keys.as_ref().map(|(_, builder)| builder)
    }

    /// Its unit.
    pub(crate) fn unit(&self) -> UnitId {
        self.unit
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u32 {
        self.writer.rows()
    }

    /// Adds whole rows with the commits that inserted them and their keys, none for a table without key index.
    ///
    /// # Errors
    /// Those of [`SegmentWriter::write`]; `InternalError` when there is not a key for each row.
    pub(crate) fn write(&mut self, rows: &RecordBatch, seqs: &UInt64Array, keys: &[KeyHash]) -> Result<()> {
        self.add_keys(rows, keys)?;
        self.writer.write(rows, seqs)
    }

    /// Adds whole rows and their keys, none for a table without key index, to a segment of one commit.
    ///
    /// # Errors
    /// Those of [`SegmentWriter::write_staged`]; `InternalError` when there is not a key for each row.
    pub(crate) fn write_staged(&mut self, rows: &RecordBatch, keys: &[KeyHash]) -> Result<()> {
        self.add_keys(rows, keys)?;
        self.writer.write_staged(rows)
    }

    fn add_keys(&mut self, rows: &RecordBatch, keys: &[KeyHash]) -> Result<()> {
        let Some((_, builder)) = &mut self.keys else { return Ok(()) };
        if keys.len() != rows.num_rows() {
            return Err(Error::internal(format!("{} keys for {} rows", keys.len(), rows.num_rows())));
        }
        builder.add(keys);
        Ok(())
    }

    /// Completes both files. The meta file is last: a segment that can be opened has its run.
    ///
    /// # Errors
    /// `DiskFull`, `IoError`; what there is of the files is the caller's to remove.
    pub(crate) fn finish(self, node: &Node) -> Result<Output> {
        let unit = self.unit;
        let run = match self.keys {
            Some((keys, builder)) => {
                builder.finish(&node.env, &keys.run_place(unit))?;
                let run = KeyRun::open(&node.env, SEGMENT_DIR, (node.log_id, unit), &node.cache)?;
                Some(run.ok_or_else(|| Error::internal(format!("key run {unit} is gone")))?)
            }
            None => None,
        };
        let meta = self.writer.finish()?;
        let meta_crc = outcrop_segment::meta_checksum(&meta);
        let segment = Segment::open(&node.env, SEGMENT_DIR, Arc::new(meta), &node.cache)?;
        Ok(Output { segment, meta_crc, run })
    }
}

/// How a segment is laid out whose columns are all open at once.
fn one_pass(schema: &TableSchema) -> SegmentOptions {
    let mut options = SegmentOptions::default();
    let columns = schema.columns.len().max(1) as u64;
    options.chunk_bytes = options.chunk_bytes.min((OPEN_BYTES_MAX / columns).max(CHUNK_BYTES_MIN));
    options
}

/// The columns of a table, by position, in groups that are written one after the other. Those of the key are in the first.
fn column_groups(schema: &TableSchema) -> Vec<Vec<usize>> {
    let key: Vec<usize> =
        schema.primary_key().into_iter().flat_map(|key| &key.columns).filter_map(|id| schema.position(*id)).collect();
    if schema.columns.len() <= GROUP_COLUMNS {
        return vec![(0..schema.columns.len()).collect()];
    }
    let others = (0..schema.columns.len()).filter(|position| !key.contains(position));
    let all: Vec<usize> = key.iter().copied().chain(others).collect();
    all.chunks(GROUP_COLUMNS.max(key.len())).map(<[usize]>::to_vec).collect()
}

/// Most columns of a data file: each of them holds up to a few chunks in memory while it is written.
const GROUP_COLUMNS: usize = 64;
/// Uncompressed bytes of the open chunks of a segment whose columns are written all at once, and of one of them.
const OPEN_BYTES_MAX: u64 = 32 << 20;
const CHUNK_BYTES_MIN: u64 = 8 << 10;
