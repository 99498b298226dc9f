//! In which order the rows of a job are written: that of the table's sort key.
//!
//! The sort key of each live row is read once and kept as the first bytes of an encoding whose order is that of the values.
//! How many bytes depends on how many rows share the memory: keys that agree in them keep the order of their rows, which
//! only makes zone maps a little wider. Everything else of the rows is read later, place by place.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, SortOptions};
use outcrop_types::{ColumnId, DataType, Error, Result, RowAddress, RowOrdinal, TableSchema, UnitId};

/// Collects sort keys, input by input.
pub(crate) struct OrderBuilder {
    converter: RowConverter,
    /// Bytes of a key that are compared.
    width: usize,
    units: Vec<UnitId>,
    /// Where each input begins among all rows.
    starts: Vec<u32>,
    /// The row number of each row in its input.
    rows: Vec<u32>,
    /// The first bytes of each key, and its row among all.
    heads: Vec<(u64, u32)>,
    /// The other bytes of each key.
    tails: Vec<u8>,
}

/// All live rows of some units, sorted. A *place* is the number of a row in this order.
#[derive(Debug)]
pub(crate) struct SortedRows {
    units: Vec<UnitId>,
    starts: Vec<u32>,
    rows: Vec<u32>,
    /// For each place, the row among all.
    order: Vec<u32>,
    is_merge: bool,
}

impl OrderBuilder {
    /// For about `rows` rows, in `memory` bytes; `None` when the table has no sort key, or they do not fit.
    ///
    /// # Errors
    /// `InternalError` for a sort key that has no order.
    pub(crate) fn new(schema: &TableSchema, rows: u64, memory: u64) -> Result<Option<Self>> {
        let types: Vec<&DataType> = schema
            .options
            .sort_key
            .iter()
            .filter_map(|id| schema.column(*id))
            .map(|column| &column.data_type)
            .collect();
        if types.is_empty() || rows > sortable_rows(memory) {
            return Ok(None);
        }
        let room = memory.checked_div(rows).unwrap_or(memory).saturating_sub(ROW_BYTES);
        let room = usize::try_from(room).unwrap_or(usize::MAX).clamp(KEY_BYTES_MIN, KEY_BYTES_MAX);
        let width = types.iter().try_fold(0, |sum, data_type| Some(sum + encoded_bytes(data_type)?));
        let options = SortOptions { descending: false, nulls_first: false };
        let fields = types.iter().map(|data_type| SortField::new_with_options(data_type.to_arrow(), options));
        Ok(Some(Self {
            converter: RowConverter::new(fields.collect()).map_err(unsortable)?,
            width: width.map_or(room, |width| room.min(width)).max(HEAD_BYTES),
            units: Vec::new(),
            starts: Vec::new(),
            rows: Vec::new(),
            heads: Vec::new(),
            tails: Vec::new(),
        }))
    }

    /// The rows that follow are of this input.
    pub(crate) fn begin(&mut self, unit: UnitId) {
        if self.units.last() != Some(&unit) {
            self.units.push(unit);
            self.starts.push(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
        }
    }

    /// Adds rows of the present input in their order: the columns of the sort key, then the row numbers.
    ///
    /// # Errors
    /// `InternalError` for other columns, or for more rows than can be counted.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some((numbers, key)) = batch.columns().split_last() else {
            return Err(Error::internal("a scan without row numbers"));
        };
        let first = u32::try_from(self.rows.len()).ok().filter(|first| first.checked_add(numbers_of(batch)).is_some());
        let Some(first) = first else { return Err(Error::internal("more rows than a job can sort")) };
        let encoded = self.converter.convert_columns(key).map_err(unsortable)?;
        for (row, key) in (first..).zip(encoded.iter()) {
            let mut head = [0; HEAD_BYTES];
            let bytes = key.data();
            let bytes = bytes.get(..self.width).unwrap_or(bytes);
            let (start, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES));
            head.iter_mut().zip(start).for_each(|(to, from)| *to = *from);
            self.heads.push((u64::from_be_bytes(head), row));
            self.tails.extend_from_slice(rest);
            let tails = (self.heads.len()) * (self.width - HEAD_BYTES);
            self.tails.resize(tails, 0);
        }
        self.rows.extend(numbers.as_primitive::<UInt32Type>().values());
        Ok(())
    }

    /// Sorts.
    pub(crate) fn finish(self) -> SortedRows {
        let Self { width, units, starts, rows, mut heads, tails, .. } = self;
        let tail_bytes = width - HEAD_BYTES;
        let tail = |row: u32| {
            let start = index(row) * tail_bytes;
            tails.get(start..start + tail_bytes).unwrap_or_default()
        };
        heads.sort_unstable_by(|(head_a, a), (head_b, b)| {
            head_a.cmp(head_b).then_with(|| tail(*a).cmp(tail(*b))).then(a.cmp(b))
        });
        let order: Vec<u32> = heads.into_iter().map(|(_, row)| row).collect();
        let mut sorted = SortedRows { units, starts, rows, order, is_merge: true };
        sorted.is_merge = sorted.finds_inputs_in_order();
        sorted
    }
}

impl SortedRows {
    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.order.len()).unwrap_or(u32::MAX)
    }

    /// Whether the rows of each input were in order already, so that each is read from its beginning to its end.
    pub(crate) fn is_merge(&self) -> bool {
        self.is_merge
    }

    /// Where the rows at some places are.
    pub(crate) fn addresses(&self, places: Range<u32>) -> Vec<RowAddress> {
        let places = self.order.get(index(places.start)..index(places.end)).unwrap_or_default();
        places.iter().filter_map(|row| self.address(*row)).collect()
    }

    /// The place of each row, input by input.
    pub(crate) fn places(&self) -> Arc<[u32]> {
        let mut places = vec![0; self.order.len()];
        for (place, row) in (0_u32..).zip(&self.order) {
            if let Some(slot) = places.get_mut(index(*row)) {
                *slot = place;
            }
        }
        places.into()
    }

    fn address(&self, row: u32) -> Option<RowAddress> {
        let input = self.input_of(row)?;
        Some(RowAddress::new(*self.units.get(input)?, RowOrdinal::new(*self.rows.get(index(row))?)))
    }

    fn input_of(&self, row: u32) -> Option<usize> {
        self.starts.partition_point(|start| *start <= row).checked_sub(1)
    }

    fn finds_inputs_in_order(&self) -> bool {
        let mut last = vec![None; self.units.len()];
        self.order.iter().all(|row| {
            let Some(last) = self.input_of(*row).and_then(|input| last.get_mut(input)) else { return false };
            last.replace(*row).is_none_or(|before: u32| before < *row)
        })
    }
}

/// Most rows that can be sorted in so much memory.
pub(crate) fn sortable_rows(memory: u64) -> u64 {
    memory / (ROW_BYTES + KEY_BYTES_MIN as u64)
}

/// Whether rows can be sorted by a column of this type.
pub(crate) fn is_sortable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Text | DataType::Varchar { .. } | DataType::Bytea => true,
        DataType::Bool
        | DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Numeric { .. }
        | DataType::Date
        | DataType::Time
        | DataType::Timestamp
        | DataType::TimestampTz
        | DataType::Uuid
        | DataType::Jsonb
        | DataType::Array(_) => encoded_bytes(data_type).is_some_and(|bytes| bytes <= KEY_BYTES_MIN),
    }
}

/// The columns that decide the order of a table's rows.
pub(crate) fn sort_key(schema: &TableSchema) -> Vec<ColumnId> {
    schema.options.sort_key.iter().copied().filter(|id| schema.column(*id).is_some()).collect()
}

/// Bytes of every encoded value of a type: a byte that tells NULL, and the value. `None` when they differ, or have no order.
fn encoded_bytes(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Bool => Some(2),
        DataType::Int2 => Some(3),
        DataType::Int4 | DataType::Float4 | DataType::Date => Some(5),
        DataType::Int8 | DataType::Float8 | DataType::Time | DataType::Timestamp | DataType::TimestampTz => Some(9),
        DataType::Numeric { precision, .. } if *precision <= 38 => Some(17),
        DataType::Numeric { .. } => Some(33),
        DataType::Uuid => Some(17),
        DataType::Text | DataType::Varchar { .. } | DataType::Bytea | DataType::Jsonb | DataType::Array(_) => None,
    }
}

fn numbers_of(batch: &RecordBatch) -> u32 {
    u32::try_from(batch.num_rows()).unwrap_or(u32::MAX)
}

fn index(row: u32) -> usize {
    usize::try_from(row).unwrap_or(usize::MAX)
}

fn unsortable(error: ArrowError) -> Error {
    Error::internal("a sort key without order").with_source(error)
}

/// Bytes that are compared as one number.
const HEAD_BYTES: usize = 8;
/// Fewest bytes of a key that are compared: a uuid and a time, or two times and some text.
const KEY_BYTES_MIN: usize = 28;
/// Most bytes of a key that are compared.
const KEY_BYTES_MAX: usize = 256;
/// Memory of a row beside its key: its number, its head, its place and its row there.
const ROW_BYTES: u64 = 4 + 16 + 4 + 4;

#[cfg(test)]
mod tests;
