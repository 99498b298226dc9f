//! Writing a segment.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt64Array};
use outcrop_env::Env;
use outcrop_format::SegmentMeta;
use outcrop_format::meta::{BLOCK_ROWS, ColumnZones, MetaColumn, Zone};
use outcrop_types::{ColumnId, CommitSeq, Condition, Error, LogId, Result, TableSchema, UnitId};

use crate::columns::Layout;
use crate::group::{GroupWriter, WrittenGroup};
use crate::meta::{data_file_name, data_file_name_of, file_name, write_meta};
use crate::predicate::merge_zones;

/// Most rows of a segment: row numbers fit 24 bits in indexes.
pub const SEGMENT_ROWS_MAX: u32 = 1 << 24;

/// How a segment is laid out.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SegmentOptions {
    /// Rows of a block, the granule of zone maps and of parallel scans. Default 8,192.
    pub block_rows: u32,
    /// Uncompressed bytes of a column that are stored together: the least that a point read reads. Default 256 KiB.
    pub chunk_bytes: u64,
    /// What is spent on making it small. Default thorough.
    pub compression: Compression,
}

/// What is spent on making a segment small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Everything that is found by trying: for segments that stay.
    #[default]
    Thorough,
    /// Nothing that is trained on texts, which costs more than all else together: for segments that are soon merged.
    Quick,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self { block_rows: BLOCK_ROWS, chunk_bytes: 256 * 1024, compression: Compression::default() }
    }
}

impl SegmentOptions {
    fn layout(&self) -> Layout {
        Layout { block_rows: self.block_rows, chunk_bytes: self.chunk_bytes, compression: self.compression }
    }
}

/// Where the commit numbers of rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowSeqs {
    /// In the hidden column, one for each row (F4).
    Stored,
    /// In the metadata: all rows come with one commit.
    OfOneCommit,
}

/// Writes one segment: batches in row order, then [`SegmentWriter::finish`]. It streams: beyond the chunks that are being
/// filled and compressed, and zone maps, nothing stays in memory. A writer that is dropped unfinished removes the file that it is
/// writing.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow_array::{Int64Array, RecordBatch, UInt64Array};
/// # use outcrop_env::Env;
/// # use outcrop_segment::{PageCache, ScanColumn, Segment, SegmentOptions, SegmentWriter};
/// # use outcrop_types::*;
/// # fn main() -> Result<()> {
/// # let env = Env::simulated(1).0;
/// # env.disk.create_dir("segments").map_err(|e| Error::internal("no directory").with_source(e))?;
/// # let column = Column { id: ColumnId::new(1), name: "id".into(), data_type: DataType::Int8, collation: 0,
/// #     nullable: false, initial_default: Value::Null, write_default: None };
/// # let schema = Arc::new(TableSchema { id: TableId::new(1), version: SchemaVersion::new(1),
/// #     name: TableName::new("commons", "t"), columns: vec![column], keys: vec![], options: TableOptions::default(),
/// #     next_column: ColumnId::new(0), comments: Comments::default() });
/// # let log = LogId::from_bytes([7; 16]);
/// let mut writer =
///     SegmentWriter::create(&env, "segments", log, UnitId::FIRST, Arc::clone(&schema), &SegmentOptions::default())?;
/// let ids = Arc::new(Int64Array::from_iter_values(0..20_000));
/// let batch = RecordBatch::try_new(schema.to_arrow(), vec![ids]).unwrap();
/// writer.write(&batch, &UInt64Array::from(vec![42; 20_000]))?;
/// let meta = writer.finish()?;
///
/// let segment = Segment::open(&env, "segments", Arc::new(meta), &PageCache::new(1 << 20))?;
/// let below = Predicate::Compare(ColumnId::new(1), CompareOp::Less, Value::Int(3));
/// let scanned = segment.scan(&schema, &[ScanColumn::Column(ColumnId::new(1))], 0..20_000, None, Some(&below))?;
/// assert_eq!(scanned.batch.num_rows(), 3);
/// # Ok(())
/// # }
/// ```
pub struct SegmentWriter {
    env: Env,
    dir: String,
    log_id: LogId,
    unit: UnitId,
    schema: Arc<TableSchema>,
    options: SegmentOptions,
    /// The file that is being written.
    group: GroupWriter,
    /// Columns of the files that follow.
    groups: VecDeque<Vec<usize>>,
    written: Vec<WrittenGroup>,
    rows: u32,
    row_seqs: RowSeqs,
    /// Least and greatest `CommitSeq` so far.
    seqs: Option<(u64, u64)>,
    sorted_by: Vec<ColumnId>,
}

impl SegmentWriter {
    /// Starts segment `unit` of a table in `dir`, which exists.
    ///
    /// # Errors
    /// `DiskFull` or `IoError` when the file cannot be created.
    pub fn create(
        env: &Env,
        dir: &str,
        log_id: LogId,
        unit: UnitId,
        schema: Arc<TableSchema>,
        options: &SegmentOptions,
    ) -> Result<Self> {
        let groups = VecDeque::from([(0..schema.columns.len()).collect()]);
        Self::create_with(env, dir, (log_id, unit), schema, options, RowSeqs::Stored, groups)
    }

    /// Starts a segment of several data files: all rows pass once for each group of columns, in the same order, so that only
    /// the columns of one group are in memory. A group is a list of positions in the schema; each column is in one group.
    ///
    /// # Errors
    /// As [`SegmentWriter::create`].
    pub fn create_grouped(
        env: &Env,
        dir: &str,
        (log_id, unit): (LogId, UnitId),
        schema: Arc<TableSchema>,
        options: &SegmentOptions,
        groups: Vec<Vec<usize>>,
    ) -> Result<Self> {
        let mut covered: Vec<usize> = groups.iter().flatten().copied().collect();
        covered.sort_unstable();
        if !covered.into_iter().eq(0..schema.columns.len()) {
            return Err(Error::internal(format!("groups that are not the columns of table {}", schema.name)));
        }
        Self::create_with(env, dir, (log_id, unit), schema, options, RowSeqs::Stored, groups.into())
    }

    /// Starts a segment whose rows are all of one commit, which has no number yet (W10). None is stored: metadata with
    /// `CommitSeq::ZERO` comes out of [`SegmentWriter::finish`], and the segment's owner puts the number there.
    ///
    /// # Errors
    /// As [`SegmentWriter::create`].
    pub fn create_staged(
        env: &Env,
        dir: &str,
        log_id: LogId,
        unit: UnitId,
        schema: Arc<TableSchema>,
        options: &SegmentOptions,
    ) -> Result<Self> {
        let groups = VecDeque::from([(0..schema.columns.len()).collect()]);
        Self::create_with(env, dir, (log_id, unit), schema, options, RowSeqs::OfOneCommit, groups)
    }

    fn create_with(
        env: &Env,
        dir: &str,
        (log_id, unit): (LogId, UnitId),
        schema: Arc<TableSchema>,
        options: &SegmentOptions,
        row_seqs: RowSeqs,
        mut groups: VecDeque<Vec<usize>>,
    ) -> Result<Self> {
        let options = SegmentOptions { block_rows: options.block_rows.max(1), ..*options };
        let name = file_name(dir, &data_file_name(log_id, unit))?;
        let first = groups.pop_front().unwrap_or_default();
        let group = GroupWriter::create(env, name, &schema, first, row_seqs, options.layout())?;
        Ok(Self {
            env: env.clone(),
            dir: dir.to_owned(),
            log_id,
            unit,
            schema,
            options,
            group,
            groups,
            written: Vec::new(),
            rows: 0,
            row_seqs,
            seqs: None,
            sorted_by: Vec::new(),
        })
    }

    /// Says that the rows come in the order of these columns.
    pub fn set_order(&mut self, columns: &[ColumnId]) {
        self.sorted_by = columns.to_vec();
    }

    /// The columns of the group that is being written, by their position in the schema.
    pub fn group(&self) -> &[usize] {
        self.group.positions()
    }

    /// Adds rows: a batch of the columns of the first group (all columns of the table, if there are no groups), and the insert
    /// `CommitSeq` of each row.
    ///
    /// # Errors
    /// `DiskFull` or `IoError` when the file cannot be written; `ProgramLimitExceeded` beyond [`SEGMENT_ROWS_MAX`] rows;
    /// `InternalError` for a batch of another shape, or in a staged segment. It cannot be continued after an error.
    pub fn write(&mut self, batch: &RecordBatch, seqs: &UInt64Array) -> Result<()> {
        let misplaced = self.row_seqs != RowSeqs::Stored || !self.written.is_empty();
        if misplaced || batch.num_rows() != seqs.len() || seqs.null_count() != 0 {
            return Err(self.wrong_shape());
        }
        for &seq in seqs.values() {
            let (min, max) = self.seqs.unwrap_or((seq, seq));
            self.seqs = Some((min.min(seq), max.max(seq)));
        }
        self.append(batch, Some(Arc::new(seqs.clone())))
    }

    /// Adds rows to a staged segment.
    ///
    /// # Errors
    /// As [`SegmentWriter::write`]; `InternalError` in a segment that is not staged.
    pub fn write_staged(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.row_seqs != RowSeqs::OfOneCommit {
            return Err(self.wrong_shape());
        }
        self.append(batch, None)
    }

    /// Adds the columns of a later group for rows that the first group has.
    ///
    /// # Errors
    /// As [`SegmentWriter::write`]; `InternalError` in the first group.
    pub fn write_group(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.written.is_empty() {
            return Err(self.wrong_shape());
        }
        self.append(batch, None)
    }

    /// Completes the file of a group and begins that of the next; false after the last one.
    ///
    /// # Errors
    /// `DiskFull`, `IoError`; `InternalError` when the group has not the rows of the first one.
    pub fn next_group(&mut self) -> Result<bool> {
        self.check_rows()?;
        let Some(positions) = self.groups.pop_front() else { return Ok(false) };
        let number = self.written.len() + 1;
        let name = file_name(&self.dir, &data_file_name_of(self.log_id, self.unit, number))?;
        let layout = self.options.layout();
        let next = GroupWriter::create(&self.env, name, &self.schema, positions, RowSeqs::OfOneCommit, layout)?;
        let done = std::mem::replace(&mut self.group, next);
        self.written.push(done.finish(&self.schema)?);
        Ok(true)
    }

    fn append(&mut self, batch: &RecordBatch, seqs: Option<ArrayRef>) -> Result<()> {
        self.check_shape(batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let added = u32::try_from(batch.num_rows()).ok();
        let total = added.and_then(|added| self.group.rows.checked_add(added));
        let (Some(added), Some(total)) = (added, total.filter(|&total| total <= SEGMENT_ROWS_MAX)) else {
            return Err(Error::new(
                Condition::ProgramLimitExceeded,
                format!("a segment has at most {SEGMENT_ROWS_MAX} rows"),
            ));
        };
        self.group.write(batch.columns(), seqs, added)?;
        if self.written.is_empty() {
            self.rows = total;
        }
        Ok(())
    }

    /// Rows added so far.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes of the files so far, and those that wait to be compressed: near the final size or above it.
    pub fn bytes(&self) -> u64 {
        self.written.iter().map(|group| group.file.length).sum::<u64>() + self.group.bytes()
    }

    /// Completes the segment: data files, then the meta file, each written under another name, synced and renamed (S5). After
    /// this the segment is durable; it belongs to the table when an install record names it.
    ///
    /// # Errors
    /// `DiskFull`, `IoError`: the segment does not exist. After a failed sync the caller poisons the node (W9).
    /// `InternalError` when a group is missing or has not the rows of the first one.
    pub fn finish(self) -> Result<SegmentMeta> {
        self.check_rows()?;
        if !self.groups.is_empty() {
            return Err(Error::internal(format!("{} groups of {} were not written", self.groups.len(), self.unit)));
        }
        let Self { env, dir, schema, rows, options, mut written, .. } = self;
        written.push(self.group.finish(&schema)?);
        let rows_of = |block: usize| block_length(block, rows, options.block_rows);
        let mut files = Vec::with_capacity(written.len());
        let mut zones = Vec::with_capacity(schema.columns.len());
        for group in written {
            files.push(group.file);
            zones.extend(group.zones);
        }
        zones.sort_unstable_by_key(|(position, _)| *position);
        let columns = schema.columns.iter().zip(&zones).map(|(column, (_, zones))| {
            let whole = merge_zones(zones, rows_of);
            MetaColumn {
                id: column.id,
                data_type: column.data_type.clone(),
                null_count: whole.null_count,
                min: whole.min,
                max: whole.max,
            }
        });
        let (min_seq, max_seq) = self.seqs.unwrap_or_default();
        let meta = SegmentMeta {
            log_id: self.log_id,
            unit: self.unit,
            table: schema.id,
            rows,
            min_seq: CommitSeq::new(min_seq),
            max_seq: CommitSeq::new(max_seq),
            schema_version: schema.version,
            created_wall_us: env.clock.wall_us(),
            block_rows: options.block_rows,
            columns: columns.collect(),
            files,
            zones: schema.columns.iter().map(|column| column.id).zip(zones).map(zones_of).collect(),
            sorted_by: self.sorted_by,
        };
        let outcome = write_meta(&env, &dir, &meta);
        if outcome.is_err() {
            remove_data_files(&env, &dir, &meta);
        }
        outcome.map(|()| meta)
    }

    /// Gives the segment up. Files of groups that are complete stay until its owner removes them.
    pub fn abort(self) {}

    fn check_shape(&self, batch: &RecordBatch) -> Result<()> {
        let expected = self.group.positions();
        let fits = batch.num_columns() == expected.len()
            && expected.iter().zip(batch.columns()).all(|(position, array)| {
                self.schema.columns.get(*position).is_some_and(|column| {
                    *array.data_type() == column.data_type.to_arrow() && (column.nullable || array.null_count() == 0)
                })
            });
        if fits { Ok(()) } else { Err(self.wrong_shape()) }
    }

    /// Every file of a segment has all its rows.
    fn check_rows(&self) -> Result<()> {
        if self.group.rows == self.rows {
            return Ok(());
        }
        let (found, rows) = (self.group.rows, self.rows);
        Err(Error::internal(format!("a group of columns of {} has {found} of {rows} rows", self.unit)))
    }

    fn wrong_shape(&self) -> Error {
        Error::internal(format!("a batch of another shape than table {}", self.schema.name))
    }
}

/// Data files without meta file mean nothing.
fn remove_data_files(env: &Env, dir: &str, meta: &SegmentMeta) {
    for file in &meta.files {
        if file_name(dir, &file.name).is_ok_and(|name| env.disk.remove(&name).is_err()) {
            tracing::debug!(file = file.name, "data file without meta file stays");
        }
    }
}

fn zones_of((column, (_, zones)): (ColumnId, (usize, Vec<Zone>))) -> ColumnZones {
    ColumnZones { column, zones }
}

/// Rows of block `block`.
pub(crate) fn block_length(block: usize, rows: u32, block_rows: u32) -> u32 {
    let start = u32::try_from(block).unwrap_or(u32::MAX).saturating_mul(block_rows);
    rows.saturating_sub(start).min(block_rows)
}
