//! Rows by address, as they were at a commit of the past.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use outcrop_env::reached;
use outcrop_format::record::{Change, RowChange};
use outcrop_format::{BatchDecoder, CommitRecord};
use outcrop_log::{LogGroup, LogReader, RecordPlace};
use outcrop_segment::{ScanColumn, Segment, read_meta};
use outcrop_types::{ColumnId, Error, Result, RowAddress, RowOrdinal, TableId, TableSchema, UnitId};

use super::earlier_rows::EarlierRows;
use super::generation_rows::{GenerationRows, RowsRecord};
use crate::commit::only_shard;
use crate::node::{LOG_DIR, Node, SEGMENT_DIR};
use crate::snapshot::{ShardState, TableSnapshot};

/// Reads rows of units that are there, of segments that left, and of generations that are only in the log.
pub(super) struct OldRows {
    node: Arc<Node>,
    pub(super) log: LogReader,
    pub(super) generations: GenerationRows,
    earlier: EarlierRows,
    /// Segments that left, opened.
    segments: HashMap<UnitId, Arc<Segment>>,
    /// The group that was read last.
    group: Option<LogGroup>,
}

impl OldRows {
    pub(super) fn new(node: &Arc<Node>, log: LogReader, earlier: EarlierRows) -> Self {
        let (generations, segments) = (GenerationRows::default(), HashMap::new());
        Self { node: Arc::clone(node), log, generations, earlier, segments, group: None }
    }

    /// These columns of these rows, in the given order.
    ///
    /// # Errors
    /// `DataCorrupted`, also when something was taken away that a cursor should keep; `IoError`.
    pub(super) fn fetch(
        &mut self,
        schema: &Arc<TableSchema>,
        columns: &[ColumnId],
        rows: &[RowAddress],
    ) -> Result<RecordBatch> {
        let mut sorted: Vec<(usize, RowAddress)> = rows.iter().copied().enumerate().collect();
        sorted.sort_unstable_by_key(|(position, address)| (*address, *position));
        let mut sources = Vec::new();
        let mut places = vec![(0, 0); rows.len()];
        for of_unit in sorted.chunk_by(|(_, a), (_, b)| a.unit == b.unit) {
            let Some((_, first)) = of_unit.first() else { continue };
            let numbers: Vec<RowOrdinal> = of_unit.iter().map(|(_, address)| address.row).collect();
            for (index, (position, _)) in of_unit.iter().enumerate() {
                if let Some(place) = places.get_mut(*position) {
                    *place = (sources.len(), index);
                }
            }
            sources.push(self.fetch_of_unit(schema, columns, first.unit, &numbers)?);
        }
        let arrow = Arc::new(schema.to_arrow().project(&positions(schema, columns)?).map_err(unexpected)?);
        let array = |column: usize| -> Result<ArrayRef> {
            let parts: Vec<&dyn Array> = sources.iter().map(|source| source.column(column).as_ref()).collect();
            interleave(&parts, &places).map_err(unexpected)
        };
        if sources.is_empty() {
            return Ok(RecordBatch::new_empty(arrow));
        }
        let arrays = (0..columns.len()).map(array).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(arrow, arrays, &options).map_err(unexpected)
    }

    /// A segment of a table, which may have left it.
    ///
    /// # Errors
    /// As [`OldRows::fetch`].
    pub(super) fn segment(&mut self, table: TableId, unit: UnitId) -> Result<Arc<Segment>> {
        let version = self.node.published.load_full();
        if let Some(table) = version.tables.get(&table)
            && let Some(view) = only_shard(table)?.segment(unit)
        {
            return Ok(Arc::clone(view.segment));
        }
        if let Some(segment) = self.segments.get(&unit) {
            return Ok(Arc::clone(segment));
        }
        reached!("feed.old_row_of_a_segment_that_left");
        let meta = read_meta(&self.node.env, SEGMENT_DIR, self.node.identity.log_of(unit), unit)?;
        let segment = Segment::open(&self.node.env, SEGMENT_DIR, Arc::new(meta), &self.node.cache)?;
        if self.segments.len() >= SEGMENTS_OPEN {
            self.segments.clear();
        }
        self.segments.insert(unit, Arc::clone(&segment));
        Ok(segment)
    }

    /// Rows of one unit, sorted; one may repeat.
    fn fetch_of_unit(
        &mut self,
        schema: &Arc<TableSchema>,
        columns: &[ColumnId],
        unit: UnitId,
        rows: &[RowOrdinal],
    ) -> Result<RecordBatch> {
        let scanned: Vec<ScanColumn> = columns.iter().map(|column| ScanColumn::Column(*column)).collect();
        let version = self.node.published.load_full();
        if let Some(table) = version.tables.get(&schema.id) {
            let state = only_shard(table)?;
            // Rows of a memtable may have been read back from the log in a later schema than the one that is asked for.
            let in_memory = state.has_unit(unit) && table.schema.version == schema.version;
            if in_memory || state.segment(unit).is_some() {
                let addresses: Vec<RowAddress> = rows.iter().map(|row| RowAddress::new(unit, *row)).collect();
                let table = TableSnapshot::of_state(Arc::clone(schema), ShardState::clone(&state), version.seq);
                return table.fetch(&addresses, &scanned);
            }
        }
        let table = version.tables.get(&schema.id).map(|table| only_shard(table)).transpose()?;
        let in_memory = table.is_some_and(|state| state.has_unit(unit));
        if in_memory || self.generations.has(unit) || version.feeds.keeps_generation(unit) {
            self.fetch_from_log(schema, columns, unit, rows)
        } else {
            self.segment(schema.id, unit)?.take(schema, &scanned, rows)
        }
    }

    fn fetch_from_log(
        &mut self,
        schema: &TableSchema,
        columns: &[ColumnId],
        unit: UnitId,
        rows: &[RowOrdinal],
    ) -> Result<RecordBatch> {
        reached!("feed.old_row_from_the_log");
        // Rows that were dead already when a column became NOT NULL may be in the same record.
        let mut lax = schema.clone();
        lax.columns.iter_mut().for_each(|column| column.nullable = true);
        let decoder = BatchDecoder::new(&lax);
        let wanted = positions(schema, columns)?;
        let mut parts = Vec::new();
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let known = self.generations.record_of(unit, *first);
            let record =
                known.map_or_else(|| self.earlier.record_of(&self.node, unit, *first), |known| Ok(Some(known)))?;
            let Some(record) = record else {
                return Err(Error::internal(format!("no record of the feed has row {unit}/{first}")));
            };
            let end = record.first_row + record.rows;
            let (here, after) = rest.split_at(rest.partition_point(|row| row.get() < end));
            let change = self.rows_of_record(unit, record)?;
            let stored = decoder
                .decode(&change.rows)
                .map_err(|error| error.in_file(format!("{LOG_DIR}: rows of record {}", record.seq), 0))?;
            let indices = UInt32Array::from_iter_values(here.iter().map(|row| row.get() - record.first_row));
            parts.push(pick(&stored.project(&wanted).map_err(unexpected)?, &indices)?);
            rest = after;
        }
        let arrow = Arc::new(decoder.arrow_schema().project(&wanted).map_err(unexpected)?);
        concat_batches(&arrow, &parts).map_err(unexpected)
    }

    fn rows_of_record(&mut self, unit: UnitId, wanted: RowsRecord) -> Result<RowChange> {
        let group = self.group_at(wanted.place)?;
        let bytes = group.record(wanted.seq).ok_or_else(|| lost(wanted))?;
        let record = CommitRecord::decode(bytes)
            .map_err(|error| error.in_file(format!("{LOG_DIR}: record {}", wanted.seq), 0))?;
        let brings = |change: Change| match change {
            Change::Rows(change) if change.generation == unit && change.first_row.get() == wanted.first_row => {
                Some(change)
            }
            Change::Rows(_)
            | Change::Ddl(_)
            | Change::Install(_)
            | Change::Staged(_)
            | Change::Expire(_)
            | Change::Feed(_) => None,
        };
        record.changes.into_iter().find_map(brings).ok_or_else(|| lost(wanted))
    }

    fn group_at(&mut self, place: RecordPlace) -> Result<&LogGroup> {
        if self.group.as_ref().is_none_or(|group| group.place != place) {
            self.group = None;
        }
        match &mut self.group {
            Some(group) => Ok(group),
            slot @ None => Ok(slot.insert(self.log.group_at(place)?)),
        }
    }
}

fn positions(schema: &TableSchema, columns: &[ColumnId]) -> Result<Vec<usize>> {
    let position = |id: &ColumnId| {
        schema.position(*id).ok_or_else(|| Error::internal(format!("table {} has no column {id}", schema.name)))
    };
    columns.iter().map(position).collect()
}

/// Some rows of a batch, which may have no columns.
pub(super) fn pick(rows: &RecordBatch, wanted: &UInt32Array) -> Result<RecordBatch> {
    let arrays = rows.columns().iter().map(|array| take(array, wanted, None));
    let arrays = arrays.collect::<std::result::Result<_, _>>().map_err(unexpected)?;
    let options = RecordBatchOptions::new().with_row_count(Some(wanted.len()));
    RecordBatch::try_new_with_options(rows.schema(), arrays, &options).map_err(unexpected)
}

fn lost(record: RowsRecord) -> Error {
    Error::corrupt(format!("{LOG_DIR}: record {}", record.seq), 0, "it has other rows than before")
}

pub(super) fn unexpected(error: ArrowError) -> Error {
    Error::internal("rows of a feed do not fit together").with_source(error)
}

/// Segments that left and are kept open: each holds its metadata.
const SEGMENTS_OPEN: usize = 16;
