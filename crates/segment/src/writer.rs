//! Writing a segment.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt64Array};
use outcrop_env::{Env, FileName};
use outcrop_format::SegmentMeta;
use outcrop_format::meta::{BLOCK_ROWS, ColumnZones, MetaColumn, MetaFile, MetaFileKind};
use outcrop_types::{CommitSeq, Condition, Error, LogId, Result, TableSchema, UnitId};

use crate::columns::{ColumnWriter, Layout};
use crate::failure::io_error;
use crate::meta::{DATA_VERSION, TemporaryFile, data_file_name, file_name, temporary_name, write_meta};
use crate::predicate::{ZoneBuilder, merge_zones};

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
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self { block_rows: BLOCK_ROWS, chunk_bytes: 256 * 1024 }
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
/// filled and compressed nothing stays in memory. A writer that is dropped unfinished removes its file.
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
    name: FileName,
    temporary: TemporaryFile,
    log_id: LogId,
    unit: UnitId,
    schema: Arc<TableSchema>,
    block_rows: u32,
    columns: ColumnWriter,
    zones: ZoneBuilder,
    rows: u32,
    row_seqs: RowSeqs,
    /// Least and greatest `CommitSeq` so far.
    seqs: Option<(u64, u64)>,
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
        Self::create_with(env, dir, log_id, unit, schema, options, RowSeqs::Stored)
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
        Self::create_with(env, dir, log_id, unit, schema, options, RowSeqs::OfOneCommit)
    }

    fn create_with(
        env: &Env,
        dir: &str,
        log_id: LogId,
        unit: UnitId,
        schema: Arc<TableSchema>,
        options: &SegmentOptions,
        row_seqs: RowSeqs,
    ) -> Result<Self> {
        let name = file_name(dir, &data_file_name(log_id, unit))?;
        let path = env.disk.describe(&name);
        let block_rows = options.block_rows.max(1);
        let temporary =
            TemporaryFile::create(env, temporary_name(&name)?).map_err(|error| io_error("create", &path, error))?;
        let layout = Layout { block_rows, chunk_bytes: options.chunk_bytes };
        let columns = ColumnWriter::new(Arc::clone(temporary.file()), path, &schema.columns, row_seqs, layout)?;
        let types = schema.columns.iter().map(|column| column.data_type.clone());
        let zones = ZoneBuilder::new(types, block_rows);
        let (env, dir) = (env.clone(), dir.to_owned());
        Ok(Self {
            env,
            dir,
            name,
            temporary,
            log_id,
            unit,
            schema,
            block_rows,
            columns,
            zones,
            rows: 0,
            row_seqs,
            seqs: None,
        })
    }

    /// Adds rows: a batch of the table's Arrow schema, and the insert `CommitSeq` of each row.
    ///
    /// # Errors
    /// `DiskFull` or `IoError` when the file cannot be written; `ProgramLimitExceeded` beyond [`SEGMENT_ROWS_MAX`] rows;
    /// `InternalError` for a batch of another shape, or in a staged segment. It cannot be continued after an error.
    pub fn write(&mut self, batch: &RecordBatch, seqs: &UInt64Array) -> Result<()> {
        if self.row_seqs != RowSeqs::Stored || batch.num_rows() != seqs.len() || seqs.null_count() != 0 {
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

    fn append(&mut self, batch: &RecordBatch, seqs: Option<ArrayRef>) -> Result<()> {
        self.check_shape(batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let added = u32::try_from(batch.num_rows()).ok();
        let total = added.and_then(|added| self.rows.checked_add(added)).filter(|&total| total <= SEGMENT_ROWS_MAX);
        let (Some(added), Some(total)) = (added, total) else {
            return Err(Error::new(
                Condition::ProgramLimitExceeded,
                format!("a segment has at most {SEGMENT_ROWS_MAX} rows"),
            ));
        };
        self.zones.append(batch.columns(), added);
        self.columns.write(batch.columns(), seqs, batch.num_rows())?;
        self.rows = total;
        Ok(())
    }

    /// Rows added so far.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes of the file so far, and those that wait to be compressed: near the final size or above it.
    pub fn bytes(&self) -> u64 {
        self.columns.bytes()
    }

    /// Completes the segment: data file, then meta file, each written under another name, synced and renamed (S5). After
    /// this the segment is durable; it belongs to the table when an install record names it.
    ///
    /// # Errors
    /// `DiskFull`, `IoError`: the segment does not exist. After a failed sync the caller poisons the node (W9).
    pub fn finish(self) -> Result<SegmentMeta> {
        let path = self.env.disk.describe(&self.name);
        let written = self.columns.finish()?;
        self.temporary.publish(&self.name).map_err(|error| io_error("publish", &path, error))?;
        let zones = self.zones.finish();
        let (rows, block_rows) = (self.rows, self.block_rows);
        let rows_of = |block: usize| block_length(block, rows, block_rows);
        let columns = self.schema.columns.iter().zip(&zones).map(|(column, zones)| {
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
            table: self.schema.id,
            rows,
            min_seq: CommitSeq::new(min_seq),
            max_seq: CommitSeq::new(max_seq),
            schema_version: self.schema.version,
            created_wall_us: self.env.clock.wall_us(),
            block_rows,
            columns: columns.collect(),
            files: vec![MetaFile {
                name: self.name.base().to_owned(),
                kind: MetaFileKind::Data { version: DATA_VERSION },
                length: written.length,
                page_crc32c: written.page_checksums,
                columns: self.schema.columns.iter().map(|column| column.id).collect(),
            }],
            zones: self.schema.columns.iter().map(|column| column.id).zip(zones).map(zones_of).collect(),
        };
        let outcome = write_meta(&self.env, &self.dir, &meta);
        if outcome.is_err() && self.env.disk.remove(&self.name).is_err() {
            tracing::debug!(file = %self.name, "data file without meta file stays");
        }
        outcome.map(|()| meta)
    }

    /// Gives the segment up and removes its file.
    pub fn abort(self) {}

    fn check_shape(&self, batch: &RecordBatch) -> Result<()> {
        let expected = &self.schema.columns;
        let fits = batch.num_columns() == expected.len()
            && expected.iter().zip(batch.columns()).all(|(column, array)| {
                *array.data_type() == column.data_type.to_arrow() && (column.nullable || array.null_count() == 0)
            });
        if fits { Ok(()) } else { Err(self.wrong_shape()) }
    }

    fn wrong_shape(&self) -> Error {
        Error::internal(format!("a batch of another shape than table {}", self.schema.name))
    }
}

fn zones_of((column, zones): (outcrop_types::ColumnId, Vec<outcrop_format::meta::Zone>)) -> ColumnZones {
    ColumnZones { column, zones }
}

/// Rows of block `block`.
pub(crate) fn block_length(block: usize, rows: u32, block_rows: u32) -> u32 {
    let start = u32::try_from(block).unwrap_or(u32::MAX).saturating_mul(block_rows);
    rows.saturating_sub(start).min(block_rows)
}
