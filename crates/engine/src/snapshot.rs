//! Reading: one pointer gives a consistent view of every table.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use outcrop_types::{ColumnId, CommitSeq, Predicate, Result, RowAddress, TableId, TableSchema, UnitId, Value};

use crate::{Catalog, ScanColumn};

/// All tables and the catalog at one `CommitSeq` (W2). Cheap to clone; holding it keeps retired files.
#[derive(Clone, Debug)]
pub struct Snapshot {}

impl Snapshot {
    /// The newest commit in it.
    pub fn commit_seq(&self) -> CommitSeq {
        todo!()
    }

    /// Schemas and tables.
    pub fn catalog(&self) -> &Catalog {
        todo!()
    }

    /// The rows of a table.
    pub fn table(&self, id: TableId) -> Option<TableSnapshot> {
        let _ = id;
        todo!()
    }
}

/// A piece of a table that one thread scans at once: rows of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Morsel {
    /// Generation or segment.
    pub unit: UnitId,
    /// Rows of it, dead ones included.
    pub rows: Range<u32>,
    /// Rows alive in it, exactly.
    pub live: u32,
}

/// What is known of a column without reading it. Bounds may be wider than the truth: rows die, bounds do not shrink.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnStatistics {
    /// No live value is smaller.
    pub min: Option<Value>,
    /// No live value is greater.
    pub max: Option<Value>,
    /// NULLs, dead rows included.
    pub null_count: Option<u64>,
}

/// The rows of one table in a [`Snapshot`]. Cheap to clone. All reads are synchronous and may do I/O.
#[derive(Clone, Debug)]
pub struct TableSnapshot {}

impl TableSnapshot {
    /// The schema that batches have.
    pub fn schema(&self) -> &Arc<TableSchema> {
        todo!()
    }

    /// The commit at which this view was taken.
    pub fn commit_seq(&self) -> CommitSeq {
        todo!()
    }

    /// Rows alive: exact.
    pub fn live_rows(&self) -> u64 {
        todo!()
    }

    /// Approximate bytes of a live row, for the planner.
    pub fn row_bytes(&self) -> u64 {
        todo!()
    }

    /// Bounds and NULL counts of a column; `None` where a unit does not know.
    pub fn column_statistics(&self, column: ColumnId) -> Option<ColumnStatistics> {
        let _ = column;
        todo!()
    }

    /// Cuts the table in pieces of about `rows` rows; pieces without live rows are left out.
    pub fn morsels(&self, rows: u32) -> Vec<Morsel> {
        let _ = rows;
        todo!()
    }

    /// Whether a piece can hold a row for which `predicate` is true (zone maps; cheap, never reads data pages).
    pub fn may_match(&self, morsel: &Morsel, predicate: &Predicate) -> bool {
        let _ = (morsel, predicate);
        todo!()
    }

    /// The live rows of a piece, columns in the asked order (a batch without columns keeps its row count).
    /// `predicate` may drop rows for which it is not true; those that stay must be checked again.
    pub fn scan(&self, morsel: &Morsel, columns: &[ScanColumn], predicate: Option<&Predicate>) -> Result<RecordBatch> {
        let _ = (morsel, columns, predicate);
        todo!()
    }

    /// Where the live rows with these primary keys are. `keys` holds the key columns in key order, of the columns'
    /// own types; one answer for each row. Tables without primary key: `Internal`.
    pub fn lookup(&self, keys: &RecordBatch) -> Result<Vec<Option<RowAddress>>> {
        let _ = keys;
        todo!()
    }

    /// Rows by address, in the given order; all must be addresses of this snapshot.
    pub fn fetch(&self, rows: &[RowAddress], columns: &[ScanColumn]) -> Result<RecordBatch> {
        let _ = (rows, columns);
        todo!()
    }
}
