//! The rows that one memtable generation holds.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use imbl::Vector;
use outcrop_segment::DeleteVector;
use outcrop_types::{CommitSeq, Result, RowOrdinal, TableSchema, UnitId};

use super::Chunk;
use super::chunk::ChunkColumn;
use super::coalesce::coalesce;

/// A unit of rows in memory. Persistent: clones share their chunks, and a clone that is changed leaves the others alone.
#[derive(Clone)]
pub(crate) struct Generation {
    unit: UnitId,
    columns: Arc<[ChunkColumn]>,
    chunks: Vector<Arc<Chunk>>,
    bytes: u64,
    first_seq: Option<CommitSeq>,
    deletes: DeleteVector,
}

impl Generation {
    /// An empty generation of a table.
    pub(crate) fn new(unit: UnitId, schema: &TableSchema) -> Self {
        let column =
            |column: &outcrop_types::Column| ChunkColumn { id: column.id, data_type: column.data_type.clone() };
        Self::with_columns(unit, schema.columns.iter().map(column).collect())
    }

    /// Whether the rows of a table of this schema can enter.
    pub(crate) fn fits(&self, schema: &TableSchema) -> bool {
        let same = |(held, column): (&ChunkColumn, &outcrop_types::Column)| {
            (held.id, &held.data_type) == (column.id, &column.data_type)
        };
        self.columns.len() == schema.columns.len() && self.columns.iter().zip(&schema.columns).all(same)
    }

    /// An empty generation with the same columns.
    pub(crate) fn successor(&self, unit: UnitId) -> Self {
        Self::with_columns(unit, Arc::clone(&self.columns))
    }

    fn with_columns(unit: UnitId, columns: Arc<[ChunkColumn]>) -> Self {
        let (chunks, deletes) = (Vector::new(), DeleteVector::new(0));
        Self { unit, columns, chunks, bytes: 0, first_seq: None, deletes }
    }

    /// Adds rows of one commit and returns the number of the first one.
    ///
    /// # Errors
    /// `InternalError` when the batch has other columns or there is no number left.
    pub(crate) fn append(&mut self, batch: RecordBatch, seq: CommitSeq) -> Result<RowOrdinal> {
        let first = self.rows();
        if batch.num_rows() == 0 {
            return Ok(RowOrdinal::new(first));
        }
        let chunk = Chunk::of_commit(batch, &self.columns, first, seq)?;
        self.deletes.grow(chunk.rows().end);
        self.bytes += chunk.bytes();
        self.chunks.push_back(Arc::new(chunk));
        coalesce(&mut self.chunks, &mut self.bytes)?;
        self.first_seq = self.first_seq.or(Some(seq));
        Ok(RowOrdinal::new(first))
    }

    /// Marks rows dead and returns how many of them were alive.
    pub(crate) fn delete(&mut self, rows: &[RowOrdinal]) -> u32 {
        self.deletes.delete(rows)
    }

    /// Its id.
    pub(crate) fn unit(&self) -> UnitId {
        self.unit
    }

    /// Rows, dead and alive.
    pub(crate) fn rows(&self) -> u32 {
        self.deletes.rows()
    }

    /// Memory that the rows hold.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Commit of the first row.
    pub(crate) fn first_seq(&self) -> Option<CommitSeq> {
        self.first_seq
    }

    /// Its dead rows.
    pub(crate) fn deletes(&self) -> &DeleteVector {
        &self.deletes
    }

    /// All its chunks, in row order.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.chunks.iter()
    }

    /// The chunks that hold rows of a range, in row order.
    pub(crate) fn chunks_in(&self, rows: Range<u32>) -> impl Iterator<Item = &Arc<Chunk>> {
        let first = match self.chunks.binary_search_by_key(&rows.start, |chunk| chunk.rows().start) {
            Ok(exact) => exact,
            Err(after) => after.saturating_sub(1),
        };
        let from_first = (first..self.chunks.len()).filter_map(|chunk| self.chunks.get(chunk));
        from_first.take_while(move |chunk| !rows.is_empty() && chunk.rows().start < rows.end)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("unit", &self.unit)
            .field("chunks", &self.chunks.len())
            .field("deletes", &self.deletes)
            .finish_non_exhaustive()
    }
}
