//! Rows of a range, under the mask of the live ones.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array};
use arrow_schema::{ArrowError, DataType as ArrowType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use outcrop_format::batch::constant_array;
use outcrop_segment::ScanColumn;
use outcrop_types::{ColumnId, Error, Predicate, Result, TableSchema, UnitId};

use super::SegmentView;
use crate::memtable::{Chunk, ColumnBounds, Generation};

/// What a scan asks for: columns and the schema of its batches.
pub(super) struct Projection<'a> {
    schema: &'a TableSchema,
    columns: &'a [ScanColumn],
    arrow: SchemaRef,
    /// The same without NOT NULL: a dead row may be older than that.
    lax: SchemaRef,
}

impl<'a> Projection<'a> {
    /// # Errors
    /// `InternalError` for a column that the table does not have.
    pub(super) fn new(schema: &'a TableSchema, columns: &'a [ScanColumn]) -> Result<Self> {
        let field = |column: &ScanColumn| {
            Ok(match column {
                ScanColumn::Column(id) => {
                    let column = schema.column(*id).ok_or_else(|| no_column(schema, *id))?;
                    column.data_type.to_field(&column.name, column.nullable)
                }
                ScanColumn::Unit => Field::new("__unit", ArrowType::UInt64, false),
                ScanColumn::Row => Field::new("__row", ArrowType::UInt32, false),
                ScanColumn::CommitSeq => Field::new("__seq", ArrowType::UInt64, false),
            })
        };
        let fields = columns.iter().map(field).collect::<Result<Vec<_>>>()?;
        let lax: Vec<Field> = fields.iter().map(|field| field.clone().with_nullable(true)).collect();
        Ok(Self { schema, columns, arrow: Arc::new(Schema::new(fields)), lax: Arc::new(Schema::new(lax)) })
    }

    /// The schema of the batches.
    pub(super) fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }

    /// The live rows of a range of a segment.
    pub(super) fn scan_segment(
        &self,
        segment: SegmentView<'_>,
        rows: &Range<u32>,
        predicate: Option<&Predicate>,
    ) -> Result<RecordBatch> {
        let live = segment.deletes.live_mask(rows.clone());
        let scanned = segment.segment.scan(self.schema, self.columns, rows.clone(), live.as_ref(), predicate)?;
        Ok(scanned.batch)
    }

    /// The live rows of a range of a generation. Chunks that cannot match are left out.
    pub(super) fn scan_generation(
        &self,
        generation: &Generation,
        rows: &Range<u32>,
        predicate: Option<&Predicate>,
    ) -> Result<RecordBatch> {
        let mut parts = Vec::new();
        for chunk in generation.chunks_in(rows.clone()) {
            if predicate.is_some_and(|predicate| !may_match_chunk(chunk, predicate)) {
                continue;
            }
            let part = chunk.rows().start.max(rows.start)..chunk.rows().end.min(rows.end);
            let all = self.rows_of_chunk(generation.unit(), chunk, part.clone())?;
            parts.push(match generation.deletes().live_mask(part) {
                None => all,
                Some(live) => filter_record_batch(&all, &BooleanArray::new(live, None)).map_err(unexpected)?,
            });
        }
        let all = match parts.as_slice() {
            [part] => part.clone(),
            _ => concat_batches(&self.lax, &parts).map_err(unexpected)?,
        };
        self.checked(all)
    }

    /// Rows that shall be seen, as they must be then.
    pub(super) fn checked(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let (_, arrays, count) = rows.into_parts();
        self.batch(arrays, count)
    }

    /// All rows of a range that lies within a chunk, dead ones too, which may have NULLs where the table allows none any more.
    /// Copies nothing that was not widened since.
    pub(super) fn rows_of_chunk(&self, unit: UnitId, chunk: &Chunk, rows: Range<u32>) -> Result<RecordBatch> {
        let within = rows.start - chunk.rows().start..rows.end - chunk.rows().start;
        let length = rows.len();
        let array = |column: &ScanColumn| -> Result<ArrayRef> {
            Ok(match column {
                ScanColumn::Column(id) => {
                    let column = self.schema.column(*id).ok_or_else(|| no_column(self.schema, *id))?;
                    match chunk.column(column, within.clone())? {
                        Some(array) => array,
                        None => constant_array(&column.initial_default, &column.data_type, length)?,
                    }
                }
                ScanColumn::Unit => Arc::new(UInt64Array::from_value(unit.get(), length)),
                ScanColumn::Row => Arc::new(UInt32Array::from_iter_values(rows.clone())),
                ScanColumn::CommitSeq => Arc::new(chunk.seqs(within.clone())),
            })
        };
        let arrays = self.columns.iter().map(array).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(length));
        RecordBatch::try_new_with_options(Arc::clone(&self.lax), arrays, &options).map_err(unexpected)
    }

    /// A batch of these columns.
    pub(super) fn batch(&self, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.arrow), arrays, &options).map_err(unexpected)
    }

    /// The table's schema and the columns, for a segment.
    pub(super) fn parts(&self) -> (&'a TableSchema, &'a [ScanColumn]) {
        (self.schema, self.columns)
    }
}

/// Whether a chunk can hold a row for which the predicate is true.
pub(super) fn may_match_chunk(chunk: &Chunk, predicate: &Predicate) -> bool {
    predicate.may_match(&|column| chunk.bounds(column).map(ColumnBounds::as_bounds))
}

fn no_column(schema: &TableSchema, id: ColumnId) -> Error {
    Error::internal(format!("table {} has no column {id}", schema.name))
}

pub(super) fn unexpected(error: ArrowError) -> Error {
    Error::internal("columns of a scan do not fit together").with_source(error)
}
