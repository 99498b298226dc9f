//! All rows of a table written anew with values for columns that they did not have.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use outcrop_types::{CommitSeq, Error, Result, TableSchema, UnitId};

use super::install::{Input, UNIT_BYTES, deletes_bytes_max};
use super::order::sort_key;
use super::output::{Output, OutputWriter};
use crate::ScanColumn;
use crate::commit::{RowMap, contains_nulls};
use crate::key_index::ShardKeys;
use crate::node::Node;
use crate::snapshot::{ShardState, TableSnapshot};
use crate::write::{key_hashes, normalise};

/// Values of columns that are added with a DEFAULT that is another for each row.
pub trait FillColumns: Send {
    /// For each of the columns as many values as there are rows, in the column's type.
    ///
    /// # Errors
    /// What the evaluation says; the statement is refused then.
    fn fill(&mut self, rows: usize) -> Result<Vec<ArrayRef>>;

    /// Asked when all values are there, before the change has its place in the order of commits: the last moment at which the
    /// statement can be given up.
    ///
    /// # Errors
    /// Why it is.
    fn last_word(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The columns of an `ALTER TABLE` whose values are made row by row.
pub struct Fill {
    /// Their names after it, each of a column that it adds.
    pub columns: Vec<String>,
    /// Their values.
    pub values: Box<dyn FillColumns>,
}

/// Segments with the rows of units and the new columns. Dropped before they are installed, it removes them.
pub(crate) struct FilledUnits {
    node: Arc<Node>,
    /// The schema with the new columns.
    schema: Arc<TableSchema>,
    /// The same for rows as they were.
    lax: Arc<TableSchema>,
    keys: Option<Arc<ShardKeys>>,
    /// Positions of the new columns; none for one that was there before.
    positions: Vec<Option<usize>>,
    values: Box<dyn FillColumns>,
    written: Vec<FilledUnit>,
}

/// One unit, and the segment that takes its place; none if it had no live row.
pub(crate) struct FilledUnit {
    pub(crate) input: Input,
    pub(crate) output: Option<Output>,
}

impl FilledUnits {
    pub(crate) fn new(
        node: &Arc<Node>,
        schema: &Arc<TableSchema>,
        state: &ShardState,
        positions: Vec<Option<usize>>,
        values: Box<dyn FillColumns>,
    ) -> Self {
        Self {
            node: Arc::clone(node),
            lax: Arc::new(schema.with_nulls()),
            keys: state.keys().and_then(|keys| keys.altered(schema)).map(Arc::new),
            schema: Arc::clone(schema),
            positions,
            values,
            written: Vec::new(),
        }
    }

    /// Writes the rows of a unit that are alive in `state`.
    ///
    /// # Errors
    /// Those of the values; `NotNullViolation`; `DiskFull`, `IoError`.
    pub(crate) fn write(&mut self, state: &ShardState, unit: UnitId, seq: CommitSeq) -> Result<()> {
        let deletes = state.deletes(unit).cloned().ok_or_else(|| Error::internal(format!("{unit} is gone")))?;
        let output = self.node.ids.unit();
        let written = if deletes.live() == 0 { Ok(None) } else { self.write_rows(state, unit, output, seq).map(Some) };
        let written = written.inspect_err(|_failed| crate::manifest::remove_segment_files(&self.node, output))?;
        self.written.push(FilledUnit { input: Input { unit, map: RowMap::in_one(deletes, output) }, output: written });
        Ok(())
    }

    /// Whether the rows that a unit has now were all there when it was written.
    pub(crate) fn has(&self, unit: UnitId, rows: u32) -> bool {
        self.written.iter().any(|written| written.input.unit == unit && written.input.map.pinned().rows() == rows)
    }

    /// Gives up what was written of units that are not there any more as they were.
    pub(crate) fn keep_only(&mut self, is_there: impl Fn(UnitId, u32) -> bool) {
        let (kept, gone) = std::mem::take(&mut self.written)
            .into_iter()
            .partition(|written| is_there(written.input.unit, written.input.map.pinned().rows()));
        self.written = kept;
        self.remove(gone);
    }

    /// Whether the statement is still wanted.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) fn last_word(&mut self) -> Result<()> {
        self.values.last_word()
    }

    /// Most bytes of what a record says of them.
    pub(crate) fn record_bytes(&self) -> u64 {
        let of_unit = |unit: &FilledUnit| {
            UNIT_BYTES + unit.output.as_ref().map_or(0, |output| deletes_bytes_max(output.segment.rows()))
        };
        self.written.iter().map(of_unit).sum()
    }

    /// What was written; its files are the caller's from now on.
    pub(crate) fn take(mut self) -> Vec<FilledUnit> {
        std::mem::take(&mut self.written)
    }

    fn write_rows(&mut self, state: &ShardState, unit: UnitId, output: UnitId, seq: CommitSeq) -> Result<Output> {
        let table = TableSnapshot::of_state(Arc::clone(&self.lax), state.clone(), seq);
        let mut columns: Vec<ScanColumn> =
            self.schema.columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
        columns.push(ScanColumn::CommitSeq);
        let arrow = self.schema.to_arrow();
        let mut writer = OutputWriter::create_single(&self.node, output, &self.schema, self.keys.as_ref())?;
        let key = sort_key(&self.schema);
        if state.segment(unit).is_some_and(|view| view.segment.meta().sorted_by.starts_with(&key)) {
            writer.set_order(&key);
        }
        for scanned in table.scan_unit(unit, &columns, STEP_ROWS)? {
            let (_, mut arrays, count) = scanned?.into_parts();
            let seqs = arrays.pop().ok_or_else(|| Error::internal("a scan without commit numbers"))?;
            let values = self.values.fill(count)?;
            for (position, value) in self.positions.iter().zip(values) {
                if let Some(array) = position.and_then(|position| arrays.get_mut(position)) {
                    *array = value;
                }
            }
            for (column, array) in self.schema.columns.iter().zip(&arrays) {
                if !column.nullable && array.logical_null_count() > 0 {
                    return Err(contains_nulls(&self.schema, column.id));
                }
            }
            let rows = RecordBatch::try_new(self.lax.to_arrow(), arrays);
            let rows =
                rows.map_err(|error| Error::internal("filled rows do not fit their schema").with_source(error))?;
            let rows = normalise(&rows, &self.schema, &arrow)?;
            let keys = key_hashes(self.keys.as_deref(), &self.schema, &rows)?;
            writer.write(&rows, seqs.as_primitive::<UInt64Type>(), &keys)?;
        }
        writer.finish(&self.node)
    }

    fn remove(&self, units: Vec<FilledUnit>) {
        let outputs = units.into_iter().filter_map(|written| written.output).map(|output| output.segment.unit());
        outputs.for_each(|unit| crate::manifest::remove_segment_files(&self.node, unit));
    }
}

impl Drop for FilledUnits {
    fn drop(&mut self) {
        let written = std::mem::take(&mut self.written);
        self.remove(written);
    }
}

/// Rows that are written at once.
const STEP_ROWS: u32 = 8_192;
