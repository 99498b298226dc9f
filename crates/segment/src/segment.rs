//! Reading a segment.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{ArrowError, DataType as ArrowType, Field, Schema};
use arrow_select::take::take;
use outcrop_env::Env;
use outcrop_format::SegmentMeta;
use outcrop_format::batch::{constant_array, widen_array};

use outcrop_types::{Bounds, Column, ColumnId, DataType, Error, Predicate, Result, RowOrdinal, TableSchema, UnitId};

use crate::columns::{SEQ_NAME, Selection, Wanted, conjuncts, single_column};
use crate::files::{DataFiles, Place, StoredColumn};
use crate::pages::PageCache;
use crate::verify;
use crate::writer::block_length;

/// Rows of a take that are further apart than this are read separately.
const TAKE_GAP_ROWS: u32 = 16_384;

/// A column of a scan: one of the table, or what the segment knows about the row itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScanColumn {
    /// A column of the table.
    Column(ColumnId),
    /// The unit that holds the row: `__unit`, `UInt64`.
    Unit,
    /// The row's number in its unit: `__row`, `UInt32`.
    Row,
    /// The commit that inserted the row: `__seq`, `UInt64`.
    CommitSeq,
}

/// What a scan of a row range found.
#[derive(Clone)]
pub struct ScanBatch {
    /// The rows, in order. Without columns it still has their number.
    pub batch: RecordBatch,
    start: u32,
    selection: Selection,
}

/// An immutable segment: its columns, readable by row range, by row and by predicate.
///
/// Opening reads nothing. The data file is opened, and its footer decoded, when rows are first asked for; its owner keeps
/// the file in place as long as the segment is in use. Every byte comes from a page whose checksum was verified (S3).
/// Reading needs no lock between threads, and a failed read leaves nothing behind: the next one starts again.
pub struct Segment {
    env: Env,
    dir: String,
    meta: Arc<SegmentMeta>,
    files: DataFiles,
}

impl Segment {
    /// A segment of `dir`, described by its meta file.
    ///
    /// # Errors
    /// `DataCorrupted` or `UnsupportedVersion` when the metadata names files that this build cannot read.
    pub fn open(env: &Env, dir: &str, meta: Arc<SegmentMeta>, cache: &Arc<PageCache>) -> Result<Arc<Self>> {
        let files = DataFiles::new(env, dir, &meta, cache)?;
        Ok(Arc::new(Self { env: env.clone(), dir: dir.to_owned(), meta, files }))
    }

    /// Its identity in the log.
    pub fn unit(&self) -> UnitId {
        self.meta.unit
    }

    /// Rows, dead and alive.
    pub fn rows(&self) -> u32 {
        self.meta.rows
    }

    /// Its metadata.
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.meta.files.iter().map(|file| file.length).sum()
    }

    /// The row ranges of its blocks, ascending: the granules of pruning.
    pub fn blocks(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        let block_rows = self.meta.block_rows.max(1);
        (0..self.meta.blocks()).map(move |block| {
            let start = block * block_rows;
            start..start.saturating_add(block_rows).min(self.meta.rows)
        })
    }

    /// The parts of `range` that may hold a row for which `predicate` is true: whole blocks, cut to `range`, neighbours
    /// joined. Reads nothing.
    pub fn prune(&self, predicate: &Predicate, range: Range<u32>) -> Vec<Range<u32>> {
        let mut kept: Vec<Range<u32>> = Vec::new();
        let range = range.start..range.end.min(self.meta.rows);
        if range.is_empty() {
            return kept;
        }
        let block_rows = self.meta.block_rows.max(1);
        for block in range.start / block_rows..=(range.end - 1) / block_rows {
            if !predicate.may_match(&|column| self.known_zone(column, block)) {
                continue;
            }
            let start = (block * block_rows).max(range.start);
            let end = block.saturating_add(1).saturating_mul(block_rows).min(range.end);
            match kept.last_mut() {
                Some(last) if last.end == start => last.end = end,
                Some(_) | None => kept.push(start..end),
            }
        }
        kept
    }

    /// What is known of a column in the blocks that `range` touches; `None` for a column that is younger than the segment.
    pub fn zones(&self, column: ColumnId, range: Range<u32>) -> Option<impl Iterator<Item = Bounds<'_>>> {
        self.files.column(column)?;
        let block_rows = self.meta.block_rows.max(1);
        let blocks = range.start / block_rows..range.end.min(self.meta.rows).div_ceil(block_rows);
        let unknown = |block| Bounds {
            min: None,
            max: None,
            null_count: 0,
            rows: block_length(index(block), self.meta.rows, self.meta.block_rows),
        };
        Some(blocks.map(move |block| self.known_zone(column, block).unwrap_or_else(|| unknown(block))))
    }

    /// The rows of `range` that are set in `live` (all when `None`; its length is that of the range), in order, with the
    /// asked columns in the types of `schema`. A column that is younger than the segment has its initial default, one that was
    /// widened since is widened.
    ///
    /// `predicate` may take away rows for which it is not true, and never others: blocks by zone map, then rows where it
    /// can be evaluated exactly on compressed data. The caller evaluates it again.
    ///
    /// # Errors
    /// `DataCorrupted` with file and offset; `IoError`; `InternalError` for a range, mask or column that does not fit.
    pub fn scan(
        &self,
        schema: &TableSchema,
        columns: &[ScanColumn],
        range: Range<u32>,
        live: Option<&BooleanBuffer>,
        predicate: Option<&Predicate>,
    ) -> Result<ScanBatch> {
        let length = index(range.end.saturating_sub(range.start));
        if range.start > range.end || range.end > self.meta.rows || live.is_some_and(|live| live.len() != length) {
            return Err(Error::internal(format!("rows {range:?} of a segment of {} rows", self.meta.rows)));
        }
        let mut selection = live.map_or_else(|| Selection::all(length), Selection::from_mask);
        if let Some(predicate) = predicate {
            selection = self.select(schema, predicate, &range, &selection)?;
        }
        let batch = self.project(schema, columns, &range, &selection)?;
        Ok(ScanBatch { batch, start: range.start, selection })
    }

    /// These rows, in this order; any order, and rows may repeat.
    ///
    /// # Errors
    /// As [`Segment::scan`].
    pub fn take(&self, schema: &TableSchema, columns: &[ScanColumn], rows: &[RowOrdinal]) -> Result<RecordBatch> {
        let mut sorted: Vec<u32> = rows.iter().map(|row| row.get()).collect();
        let in_order = sorted.is_sorted_by(|a, b| a < b);
        if !in_order {
            sorted.sort_unstable();
            sorted.dedup();
        }
        if let Some(&last) = sorted.last().filter(|&&last| last >= self.meta.rows) {
            return Err(Error::internal(format!("row {last} of a segment of {} rows", self.meta.rows)));
        }
        let mut parts = Vec::new();
        for cluster in sorted.chunk_by(|a, b| b - a <= TAKE_GAP_ROWS) {
            let (Some(&first), Some(&last)) = (cluster.first(), cluster.last()) else { continue };
            let range = first..last + 1;
            let offsets = cluster.iter().map(|row| index(row - first));
            let selection = Selection::from_indices(index(last + 1 - first), offsets);
            parts.push(self.project(schema, columns, &range, &selection)?);
        }
        let found = match parts.as_slice() {
            [part] => part.clone(),
            [] => self.project(schema, columns, &(0..0), &Selection::all(0))?,
            [first, ..] => arrow_select::concat::concat_batches(&first.schema(), &parts).map_err(unexpected)?,
        };
        if in_order {
            return Ok(found);
        }
        let order = rows.iter().map(|row| sorted.binary_search(&row.get()).ok().and_then(|at| u32::try_from(at).ok()));
        let order = UInt32Array::from_iter(order);
        let arrays = found.columns().iter().map(|array| take(array, &order, None));
        record_batch(found.schema(), arrays.collect::<Result<_, _>>().map_err(unexpected)?, rows.len())
    }

    /// Reads every page of every file from the disk and checks it, decodes every column, and compares with the metadata:
    /// row counts, NULLs, zone maps, commit numbers, and the meta file itself. For `outcrop check`.
    ///
    /// # Errors
    /// `DataCorrupted` for the first thing that is wrong; `IoError`.
    pub fn verify(&self) -> Result<()> {
        verify::verify(&self.env, &self.dir, &self.meta)
    }

    /// The rows of `selection` for which `predicate` may be true.
    fn select(
        &self,
        schema: &TableSchema,
        predicate: &Predicate,
        range: &Range<u32>,
        selection: &Selection,
    ) -> Result<Selection> {
        let kept = self.prune(predicate, range.clone());
        let kept = kept.into_iter().map(|kept| index(kept.start - range.start)..index(kept.end - range.start));
        let mut selection = selection.within(kept);
        for part in conjuncts(predicate) {
            if selection.is_empty() {
                break;
            }
            let column = single_column(part).filter(|id| schema.column(*id).is_some());
            let Some(StoredColumn { place, data_type }) = column.and_then(|id| self.files.column(id)) else {
                continue;
            };
            let wanted = Wanted { position: place.position, data_type: Some(data_type) };
            let rows = u64::from(range.start)..u64::from(range.end);
            selection = self.files.read(place.file, |reader| reader.filter(wanted, part, &rows, &selection))?;
        }
        Ok(selection)
    }

    /// The selected rows of `range`.
    fn project(
        &self,
        schema: &TableSchema,
        columns: &[ScanColumn],
        range: &Range<u32>,
        selection: &Selection,
    ) -> Result<RecordBatch> {
        let count = selection.count();
        let mut fields = Vec::with_capacity(columns.len());
        let mut arrays: Vec<Option<ArrayRef>> = Vec::with_capacity(columns.len());
        let mut stored = Vec::new();
        for (slot, column) in columns.iter().enumerate() {
            let (field, array) = match column {
                ScanColumn::Column(id) => {
                    let column = schema
                        .column(*id)
                        .ok_or_else(|| Error::internal(format!("table {} has no column {id}", schema.name)))?;
                    let array = self.young_or_stored(column, count, slot, &mut stored)?;
                    (column.data_type.to_field(&column.name, column.nullable), array)
                }
                ScanColumn::CommitSeq if self.meta.min_seq == self.meta.max_seq => {
                    // All rows came with one commit. A staged segment stores none: it was written before that commit had
                    // its number, which its owner put in the metadata since (W10).
                    let seqs = UInt64Array::from_value(self.meta.min_seq.get(), count);
                    (Field::new(SEQ_NAME, ArrowType::UInt64, false), Some(Arc::new(seqs) as ArrayRef))
                }
                ScanColumn::CommitSeq => {
                    let place = self.files.seq_place().ok_or_else(|| self.no_seq())?;
                    stored.push(Stored { slot, place, column: None });
                    (Field::new(SEQ_NAME, ArrowType::UInt64, false), None)
                }
                ScanColumn::Unit => {
                    let units = UInt64Array::from_value(self.unit().get(), count);
                    (Field::new("__unit", ArrowType::UInt64, false), Some(Arc::new(units) as ArrayRef))
                }
                ScanColumn::Row => {
                    let rows = UInt32Array::from_iter_values(selected(range.start, selection));
                    (Field::new("__row", ArrowType::UInt32, false), Some(Arc::new(rows) as ArrayRef))
                }
            };
            fields.push(field);
            arrays.push(array);
        }
        self.read_stored(&stored, range, selection, &mut arrays)?;
        let arrays: Option<Vec<ArrayRef>> = arrays.into_iter().collect();
        let arrays = arrays.ok_or_else(|| Error::internal("a column of a scan was not read"))?;
        record_batch(Arc::new(Schema::new(fields)), arrays, count)
    }

    /// Notes a column of the table for reading, or makes its default when the segment is older than the column.
    fn young_or_stored<'a>(
        &'a self,
        column: &'a Column,
        count: usize,
        slot: usize,
        stored: &mut Vec<Stored<'a>>,
    ) -> Result<Option<ArrayRef>> {
        match self.files.column(column.id) {
            Some(StoredColumn { place, data_type }) => {
                stored.push(Stored { slot, place: *place, column: Some((data_type, &column.data_type)) });
                Ok(None)
            }
            None => Ok(Some(constant_array(&column.initial_default, &column.data_type, count)?)),
        }
    }

    /// Reads columns into their slots, file by file.
    fn read_stored(
        &self,
        stored: &[Stored<'_>],
        range: &Range<u32>,
        selection: &Selection,
        arrays: &mut [Option<ArrayRef>],
    ) -> Result<()> {
        let rows = u64::from(range.start)..u64::from(range.end);
        for file in 0..self.files.count() {
            let of_file: Vec<_> = stored.iter().filter(|stored| stored.place.file == file).collect();
            if of_file.is_empty() {
                continue;
            }
            let wanted: Vec<_> = of_file
                .iter()
                .map(|stored| Wanted {
                    position: stored.place.position,
                    data_type: stored.column.map(|(written, _)| written),
                })
                .collect();
            let read = self.files.read(file, |reader| reader.project(&wanted, &rows, selection))?;
            for (stored, array) in of_file.into_iter().zip(read) {
                let array = match stored.column {
                    Some((written, now)) => widen_array(&array, written, now)?,
                    None => array,
                };
                if let Some(place) = arrays.get_mut(stored.slot) {
                    *place = Some(array);
                }
            }
        }
        Ok(())
    }

    fn known_zone(&self, column: ColumnId, block: u32) -> Option<Bounds<'_>> {
        let block = usize::try_from(block).ok()?;
        let zone = self.meta.zones_of(column)?.get(block)?;
        Some(Bounds {
            min: zone.min.as_ref(),
            max: zone.max.as_ref(),
            null_count: zone.null_count,
            rows: block_length(block, self.meta.rows, self.meta.block_rows),
        })
    }

    fn no_seq(&self) -> Error {
        Error::internal(format!("segment {} has no data file", self.meta.unit))
    }
}

/// A column to read.
struct Stored<'a> {
    /// Its place in the result.
    slot: usize,
    place: Place,
    /// The type that it was written in, and the one that is wanted; `None` for the hidden column.
    column: Option<(&'a DataType, &'a DataType)>,
}

impl ScanBatch {
    /// The numbers of the rows in the segment, ascending.
    pub fn rows(&self) -> impl Iterator<Item = RowOrdinal> {
        selected(self.start, &self.selection).into_iter().map(RowOrdinal::new)
    }
}

impl fmt::Debug for ScanBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanBatch").field("start", &self.start).field("batch", &self.batch).finish()
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Segment({}, {} rows)", self.meta.unit, self.meta.rows)
    }
}

/// The numbers of the selected rows of a range that begins at `start`.
fn selected(start: u32, selection: &Selection) -> Vec<u32> {
    let offsets = selection.to_mask();
    offsets.set_indices_u32().map(|offset| start + offset).collect()
}

fn record_batch(schema: Arc<Schema>, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, arrays, &options).map_err(unexpected)
}

fn unexpected(error: ArrowError) -> Error {
    Error::internal("columns of a segment do not fit together").with_source(error)
}

fn index(rows: u32) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}
