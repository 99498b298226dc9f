//! One table at one commit.

use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_select::filter::filter;
use outcrop_types::{
    ColumnId, CommitSeq, Error, Predicate, Result, RowAddress, RowOrdinal, TableId, TableSchema, UnitId,
};

use super::fetch::Fetch;
use super::scan::{Projection, may_match_chunk, unexpected};
use super::statistics::{StatisticsBuilder, row_bytes};
use super::version::ReadLimit;
use super::{ColumnStatistics, Morsel, ShardState, TableState, Version, morsel};
use crate::ScanColumn;
use crate::key_index::KeyHash;

/// Rows that [`TableSnapshot::index_generation`] reads at a time.
const INDEX_ROWS: u32 = 65_536;

/// The rows of one table in a [`super::Snapshot`]. Cheap to clone. All reads are synchronous and may do I/O.
#[derive(Clone)]
pub struct TableSnapshot {
    table: Arc<TableState>,
    seq: CommitSeq,
    /// Keeps the version among the live ones; for the tail somebody else does that.
    _version: Option<Arc<Version>>,
    limit: Option<ReadLimit>,
}

impl TableSnapshot {
    /// A table of a version; `None` if the version does not have it.
    pub(crate) fn new(version: &Arc<Version>, table: TableId) -> Option<Self> {
        let table = Arc::clone(version.tables.get(&table)?);
        Some(Self { table, seq: version.seq, _version: Some(Arc::clone(version)), limit: None })
    }

    /// The same, to be read within a limit.
    pub(super) fn within(self, limit: Option<ReadLimit>) -> Self {
        Self { limit, ..self }
    }

    /// A table of one shard in the tail: a turn reads it through the same code. Only valid within the turn, or while
    /// [`super::LiveVersions::hold`] keeps that tail, because nothing else tells others that it is read.
    pub(crate) fn of_state(schema: Arc<TableSchema>, shard: ShardState, seq: CommitSeq) -> Self {
        Self { table: Arc::new(TableState { schema, shards: vec![Arc::new(shard)] }), seq, _version: None, limit: None }
    }

    /// The shards of the table.
    pub(crate) fn shards(&self) -> impl Iterator<Item = &Arc<ShardState>> {
        self.table.shards.iter()
    }

    /// Enters the live rows of a generation into the key index of its shard. For recovery, which has replayed them into memory;
    /// segments have their keys in runs.
    ///
    /// # Errors
    /// Those of [`TableSnapshot::scan`].
    pub(crate) fn index_generation(&self, unit: UnitId) -> Result<()> {
        let shard = self.shard_of(unit)?;
        let (Some(keys), Some(index)) = (shard.keys(), self.table.schema.primary_key()) else { return Ok(()) };
        let mut columns: Vec<ScanColumn> = index.columns.iter().map(|id| ScanColumn::Column(*id)).collect();
        let key_columns = columns.len();
        columns.extend([ScanColumn::Row, ScanColumn::CommitSeq]);
        for batch in self.scan_unit(unit, &columns, INDEX_ROWS)? {
            let (_, mut arrays, _) = batch?.into_parts();
            let hidden = arrays.split_off(key_columns);
            let [rows, seqs] = hidden.as_slice() else { return Err(Error::internal("a scan without row numbers")) };
            let hashes = keys.encode(&arrays)?;
            let rows: Vec<RowOrdinal> =
                rows.as_primitive::<UInt32Type>().values().iter().map(|row| RowOrdinal::new(*row)).collect();
            let seqs = seqs.as_primitive::<UInt64Type>().values().iter();
            keys.insert_rows(&hashes, unit, &rows, &seqs.map(|seq| CommitSeq::new(*seq)).collect::<Vec<_>>());
        }
        Ok(())
    }

    /// The live rows of one unit, about `rows` at a time: what a flush writes, what an index is built from.
    ///
    /// # Errors
    /// `InternalError` when the table does not have the unit; those of [`TableSnapshot::scan`] for each batch.
    pub(crate) fn scan_unit<'a>(
        &'a self,
        unit: UnitId,
        columns: &'a [ScanColumn],
        rows: u32,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + 'a> {
        let morsels = morsel::cut_unit(self.shard_of(unit)?, unit, rows);
        Ok(morsels.into_iter().map(move |morsel| self.scan(&morsel, columns, None)))
    }

    /// The schema that batches have.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.table.schema
    }

    /// The commit at which this view was taken.
    pub fn commit_seq(&self) -> CommitSeq {
        self.seq
    }

    /// Rows alive: exact.
    pub fn live_rows(&self) -> u64 {
        self.table.shards.iter().map(|shard| shard.live_rows()).sum()
    }

    /// Approximate bytes of a live row, for the planner.
    pub fn row_bytes(&self) -> u64 {
        row_bytes(&self.table)
    }

    /// Bounds and NULL counts of a column; `None` where a unit does not know.
    pub fn column_statistics(&self, column: ColumnId) -> Option<ColumnStatistics> {
        let column = self.table.schema.column(column)?;
        let mut statistics = StatisticsBuilder::new(column);
        self.table.shards.iter().for_each(|shard| statistics.add_shard(shard));
        Some(statistics.finish())
    }

    /// As [`TableSnapshot::column_statistics`], for the rows of one piece.
    pub fn statistics_of(&self, morsel: &Morsel, column: ColumnId) -> Option<ColumnStatistics> {
        let shard = self.shard_of(morsel.unit).ok()?;
        let mut statistics = StatisticsBuilder::new(self.table.schema.column(column)?);
        match (shard.generation(morsel.unit), shard.segment(morsel.unit)) {
            (Some(generation), _) => statistics.add_chunks(generation.chunks_in(morsel.rows.clone())),
            (None, Some(segment)) => statistics.add_zones(segment.segment, morsel.rows.clone()),
            (None, None) => return None,
        }
        Some(statistics.finish())
    }

    /// Cuts the table in pieces of about `rows` rows; pieces without live rows are left out.
    pub fn morsels(&self, rows: u32) -> Vec<Morsel> {
        self.table.shards.iter().flat_map(|shard| morsel::cut_shard(shard, rows)).collect()
    }

    /// The pieces of one unit, of about `rows` rows each; those without live rows are left out.
    pub(crate) fn morsels_of(&self, unit: UnitId, rows: u32) -> Vec<Morsel> {
        self.shard_of(unit).map_or_else(|_| Vec::new(), |shard| morsel::cut_unit(shard, unit, rows))
    }

    /// Whether a unit is a segment.
    pub(crate) fn is_stored(&self, unit: UnitId) -> bool {
        self.shard_of(unit).is_ok_and(|shard| shard.segment(unit).is_some())
    }

    /// Cuts a piece in smaller ones of about `rows` rows, for readers whose rows turn out to be large.
    pub fn cut(&self, morsel: &Morsel, rows: u32) -> Vec<Morsel> {
        self.shard_of(morsel.unit).map_or_else(|_| Vec::new(), |shard| morsel::cut_morsel(shard, morsel, rows))
    }

    /// Whether a piece can hold a row for which `predicate` is true (zone maps; cheap, never reads data pages).
    pub fn may_match(&self, morsel: &Morsel, predicate: &Predicate) -> bool {
        let Ok(shard) = self.shard_of(morsel.unit) else { return false };
        match (shard.generation(morsel.unit), shard.segment(morsel.unit)) {
            (Some(generation), _) => {
                generation.chunks_in(morsel.rows.clone()).any(|chunk| may_match_chunk(chunk, predicate))
            }
            (None, Some(segment)) => !segment.segment.prune(predicate, morsel.rows.clone()).is_empty(),
            (None, None) => false,
        }
    }

    /// The live rows of a piece, columns in the asked order (a batch without columns keeps its row count).
    /// `predicate` may drop rows for which it is not true; those that stay must be checked again.
    ///
    /// # Errors
    /// `SnapshotTooOld`; `DataCorrupted` with file and offset, `IoError`; `InternalError` for a piece or column that the table does
    /// not have.
    pub fn scan(&self, morsel: &Morsel, columns: &[ScanColumn], predicate: Option<&Predicate>) -> Result<RecordBatch> {
        self.check_age()?;
        let shard = self.shard_of(morsel.unit)?;
        let projection = Projection::new(&self.table.schema, columns)?;
        match (shard.generation(morsel.unit), shard.segment(morsel.unit)) {
            (Some(generation), _) => projection.scan_generation(generation, &morsel.rows, predicate),
            (None, Some(segment)) => projection.scan_segment(segment, &morsel.rows, predicate),
            (None, None) => Err(no_unit(morsel.unit)),
        }
    }

    /// Where the live rows with these primary keys are. `keys` holds the key columns in key order, of the columns'
    /// own types; one answer for each row, `None` also for a key with a NULL.
    ///
    /// # Errors
    /// `InternalError` for a table without key index, and for columns that are not the key's.
    pub fn lookup(&self, keys: &RecordBatch) -> Result<Vec<Option<RowAddress>>> {
        self.check_age()?;
        let nulls = keys.columns().iter().filter_map(|array| array.logical_nulls());
        let nulls = nulls.reduce(|a, b| arrow_buffer::NullBuffer::union(Some(&a), Some(&b)).unwrap_or(a));
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => self.lookup_valid(keys.columns()),
            Some(nulls) => {
                let valid = BooleanArray::new(nulls.inner().clone(), None);
                let keys = keys.columns().iter().map(|array| filter(array, &valid));
                let found = self.lookup_valid(&keys.collect::<Result<Vec<_>, _>>().map_err(unexpected)?)?;
                let mut found = found.into_iter();
                Ok(nulls.iter().map(|is_valid| if is_valid { found.next().flatten() } else { None }).collect())
            }
        }
    }

    /// Rows by address, in the given order; all must be addresses of this snapshot. A row may repeat.
    ///
    /// # Errors
    /// As [`TableSnapshot::scan`]; `InternalError` for an address that the table does not have.
    pub fn fetch(&self, rows: &[RowAddress], columns: &[ScanColumn]) -> Result<RecordBatch> {
        self.check_age()?;
        let projection = Projection::new(&self.table.schema, columns)?;
        let mut fetch = Fetch::new(&projection, rows.len());
        let mut sorted: Vec<(usize, RowAddress)> = rows.iter().copied().enumerate().collect();
        sorted.sort_unstable_by_key(|(position, address)| (*address, *position));
        for of_unit in sorted.chunk_by(|(_, a), (_, b)| a.unit == b.unit) {
            if let Some((_, first)) = of_unit.first() {
                fetch.read_unit(self.shard_of(first.unit)?, of_unit)?;
            }
        }
        fetch.finish()
    }

    /// As [`TableSnapshot::lookup`], by the hashes of keys; nothing is found in a table without key index.
    pub(crate) fn lookup_hashes(&self, keys: &[KeyHash]) -> Result<Vec<Option<RowAddress>>> {
        let mut found: Vec<Option<RowAddress>> = vec![None; keys.len()];
        for shard in &self.table.shards {
            let Some(index) = shard.keys() else { continue };
            let of_shard = index.lookup_live(keys, shard)?;
            found.iter_mut().zip(of_shard).for_each(|(found, here)| *found = found.or(here));
        }
        Ok(found)
    }

    fn lookup_valid(&self, keys: &[ArrayRef]) -> Result<Vec<Option<RowAddress>>> {
        let mut found: Vec<Option<RowAddress>> = vec![None; keys.first().map_or(0, Array::len)];
        for shard in &self.table.shards {
            let index = shard.keys().ok_or_else(|| {
                Error::internal(format!("look-up by key in table {}, which has no key index", self.table.schema.name))
            })?;
            let of_shard = index.lookup_live(&index.encoder().encode_wanted(keys)?, shard)?;
            found.iter_mut().zip(of_shard).for_each(|(found, here)| *found = found.or(here));
        }
        Ok(found)
    }

    fn check_age(&self) -> Result<()> {
        self.limit.as_ref().map_or(Ok(()), ReadLimit::check)
    }

    fn shard_of(&self, unit: UnitId) -> Result<&ShardState> {
        let shard = self.table.shards.iter().find(|shard| shard.has_unit(unit));
        shard.map(|shard| &**shard).ok_or_else(|| no_unit(unit))
    }
}

impl fmt::Debug for TableSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSnapshot")
            .field("table", &self.table.schema.name)
            .field("commit_seq", &self.seq)
            .finish_non_exhaustive()
    }
}

fn no_unit(unit: UnitId) -> Error {
    Error::internal(format!("{unit} is not a unit of this snapshot"))
}
