//! A batch of consecutive rows of a generation.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow_buffer::ScalarBuffer;
use outcrop_format::batch::widen_array;
use outcrop_types::{Column, ColumnId, CommitSeq, DataType, Error, Result};

use super::bounds::ColumnBounds;
use super::coalesce;

/// Memory that a batch may keep alive beyond what its rows need, before the rows are copied out of it.
const WASTE_BYTES_MAX: usize = 64 << 10;

/// Immutable rows `first_row ..` of a generation, with their commits.
#[derive(Debug)]
pub(crate) struct Chunk {
    first_row: u32,
    rows: u32,
    bytes: u64,
    columns: Arc<[ChunkColumn]>,
    arrays: Vec<ArrayRef>,
    seqs: Seqs,
    /// Computed when first asked for, by column.
    bounds: Box<[OnceLock<ColumnBounds>]>,
}

/// A column that the chunks of a generation hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChunkColumn {
    pub(super) id: ColumnId,
    pub(super) data_type: DataType,
}

/// Insert commits of the rows of a chunk.
#[derive(Clone, Debug)]
enum Seqs {
    /// One commit brought all rows.
    One(CommitSeq),
    /// The commit of each row.
    Each(ScalarBuffer<u64>),
}

impl Chunk {
    /// The rows that one commit brought. Rows of a batch that keeps much more memory than they need, such as a slice of a
    /// larger one, are copied.
    ///
    /// # Errors
    /// `InternalError` when the batch has other columns.
    pub(super) fn of_commit(
        batch: RecordBatch,
        columns: &Arc<[ChunkColumn]>,
        first_row: u32,
        seq: CommitSeq,
    ) -> Result<Self> {
        let (_, arrays, rows) = batch.into_parts();
        let right = arrays.len() == columns.len()
            && arrays
                .iter()
                .zip(columns.iter())
                .all(|(array, column)| *array.data_type() == column.data_type.to_arrow());
        if !right {
            return Err(Error::internal("rows with other columns than their table"));
        }
        let arrays = arrays
            .into_iter()
            .map(
                |array| {
                    if coalesce::wasted_bytes(&array) > WASTE_BYTES_MAX { coalesce::copy(&array) } else { Ok(array) }
                },
            )
            .collect::<Result<_>>()?;
        Self::new(first_row, rows, Arc::clone(columns), arrays, Seqs::One(seq))
    }

    /// One chunk with the rows of consecutive ones, in memory of its own.
    pub(super) fn merged(chunks: &[Arc<Self>]) -> Result<Self> {
        let Some(first) = chunks.first() else { return Err(Error::internal("no chunks to merge")) };
        let arrays = (0..first.columns.len())
            .map(|column| {
                let parts: Option<Vec<&ArrayRef>> = chunks.iter().map(|chunk| chunk.arrays.get(column)).collect();
                coalesce::concat(&parts.unwrap_or_default())
            })
            .collect::<Result<_>>()?;
        let rows = chunks.iter().map(|chunk| index(chunk.rows)).sum();
        let seqs = match &first.seqs {
            Seqs::One(seq) if chunks.iter().all(|chunk| matches!(&chunk.seqs, Seqs::One(other) if other == seq)) => {
                Seqs::One(*seq)
            }
            Seqs::One(_) | Seqs::Each(_) => {
                let mut all = Vec::with_capacity(rows);
                chunks.iter().for_each(|chunk| all.extend(chunk.seqs(0..chunk.rows).values()));
                Seqs::Each(all.into())
            }
        };
        Self::new(first.first_row, rows, Arc::clone(&first.columns), arrays, seqs)
    }

    fn new(
        first_row: u32,
        rows: usize,
        columns: Arc<[ChunkColumn]>,
        arrays: Vec<ArrayRef>,
        seqs: Seqs,
    ) -> Result<Self> {
        let last = u32::try_from(rows).ok().and_then(|rows| Some((rows, first_row.checked_add(rows)?)));
        let Some((rows, _)) = last else { return Err(Error::internal("a generation of more than 2^32 rows")) };
        let seq_bytes = match &seqs {
            Seqs::One(_) => 0,
            Seqs::Each(seqs) => seqs.inner().capacity(),
        };
        let bytes =
            seq_bytes + size_of::<Self>() + arrays.iter().map(|array| array.get_array_memory_size()).sum::<usize>();
        let bounds = columns.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { first_row, rows, bytes: u64::try_from(bytes).unwrap_or(u64::MAX), columns, arrays, seqs, bounds })
    }

    /// Its rows, as numbers of the generation.
    pub(crate) fn rows(&self) -> Range<u32> {
        self.first_row..self.first_row + self.rows
    }

    /// How many rows it has.
    pub(crate) fn len(&self) -> u32 {
        self.rows
    }

    /// Memory that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Some of its rows of a column, counted from its first one, in the type that the column has now; `None` when the column is
    /// younger than the generation.
    ///
    /// # Errors
    /// `InternalError` when the column was not widened since but changed otherwise.
    pub(crate) fn column(&self, column: &Column, rows: Range<u32>) -> Result<Option<ArrayRef>> {
        let Some(position) = self.position(column.id) else { return Ok(None) };
        let (Some(array), Some(stored)) = (self.arrays.get(position), self.columns.get(position)) else {
            return Ok(None);
        };
        let array = array.slice(index(rows.start), rows.len());
        Ok(Some(widen_array(&array, &stored.data_type, &column.data_type)?))
    }

    /// Commits of some of its rows, counted from its first one.
    pub(crate) fn seqs(&self, rows: Range<u32>) -> UInt64Array {
        match &self.seqs {
            Seqs::One(seq) => UInt64Array::from_value(seq.get(), rows.len()),
            Seqs::Each(seqs) => UInt64Array::new(seqs.slice(index(rows.start), rows.len()), None),
        }
    }

    /// Bounds of a column, in the type that it had; `None` when the column is younger than the generation.
    pub(crate) fn bounds(&self, id: ColumnId) -> Option<&ColumnBounds> {
        let position = self.position(id)?;
        let (array, column) = (self.arrays.get(position)?, self.columns.get(position)?);
        Some(self.bounds.get(position)?.get_or_init(|| ColumnBounds::of(array, &column.data_type)))
    }

    fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|column| column.id == id)
    }
}

fn index(rows: u32) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}
