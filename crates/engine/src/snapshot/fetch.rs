//! Rows by address, in the order that was asked for.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_select::interleave::interleave;
use outcrop_types::{Error, Result, RowAddress, RowOrdinal};

use super::ShardState;
use super::scan::{Projection, unexpected};

/// Collects rows from several units into one batch.
pub(super) struct Fetch<'a> {
    projection: &'a Projection<'a>,
    /// Batches that hold the rows.
    sources: Vec<RecordBatch>,
    /// For each row asked for, its source and its place there.
    places: Vec<(usize, usize)>,
}

impl<'a> Fetch<'a> {
    pub(super) fn new(projection: &'a Projection<'a>, rows: usize) -> Self {
        Self { projection, sources: Vec::new(), places: vec![(0, 0); rows] }
    }

    /// Reads rows of one unit: `rows` are places in the result and addresses, sorted by address.
    ///
    /// # Errors
    /// `InternalError` when the shard does not have a row; errors of [`outcrop_segment::Segment::take`].
    pub(super) fn read_unit(&mut self, shard: &ShardState, rows: &[(usize, RowAddress)]) -> Result<()> {
        let Some(&(_, last)) = rows.last() else { return Ok(()) };
        if shard.deletes(last.unit).is_none_or(|deletes| last.row.get() >= deletes.rows()) {
            return Err(Error::internal(format!("fetch of row {last}, which is not there")));
        }
        match (shard.generation(last.unit), shard.segment(last.unit)) {
            (Some(generation), _) => {
                let mut rest = rows;
                while let Some(&(_, first)) = rest.first() {
                    let Some(chunk) = generation.chunks_in(first.row.get()..first.row.get() + 1).next() else {
                        return Err(Error::internal(format!("no chunk has row {first}")));
                    };
                    let (here, after) =
                        rest.split_at(rest.partition_point(|(_, row)| row.row.get() < chunk.rows().end));
                    let end = here.last().map_or(first, |(_, row)| *row).row.get() + 1;
                    let source = self.projection.rows_of_chunk(last.unit, chunk, first.row.get()..end)?;
                    self.add(source, here, |row| row.row.get() - first.row.get());
                    rest = after;
                }
            }
            (None, Some(segment)) => {
                let mut distinct: Vec<RowOrdinal> = rows.iter().map(|(_, row)| row.row).collect();
                distinct.dedup();
                let (schema, columns) = self.projection.parts();
                let source = segment.segment.take(schema, columns, &distinct)?;
                let place = |row: RowAddress| distinct.partition_point(|other| *other < row.row);
                self.add(source, rows, |row| u32::try_from(place(row)).unwrap_or(u32::MAX));
            }
            (None, None) => return Err(Error::internal(format!("fetch from {}, which is not there", last.unit))),
        }
        Ok(())
    }

    /// The rows in their order.
    pub(super) fn finish(self) -> Result<RecordBatch> {
        let Self { projection, sources, places } = self;
        if let [source] = sources.as_slice()
            && source.num_rows() == places.len()
            && places.iter().enumerate().all(|(row, place)| *place == (0, row))
        {
            return projection.checked(source.clone());
        }
        if places.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(projection.arrow())));
        }
        let column = |column: usize| -> Result<ArrayRef> {
            let parts: Vec<&dyn Array> = sources.iter().map(|source| source.column(column).as_ref()).collect();
            interleave(&parts, &places).map_err(unexpected)
        };
        let arrays = (0..projection.arrow().fields().len()).map(column).collect::<Result<Vec<_>>>()?;
        projection.batch(arrays, places.len())
    }

    fn add(&mut self, source: RecordBatch, rows: &[(usize, RowAddress)], place: impl Fn(RowAddress) -> u32) {
        let number = self.sources.len();
        self.sources.push(source);
        for &(position, address) in rows {
            if let (Some(slot), Ok(row)) = (self.places.get_mut(position), usize::try_from(place(address))) {
                *slot = (number, row);
            }
        }
    }
}
