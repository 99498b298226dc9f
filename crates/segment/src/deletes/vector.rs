//! The delete vector of one unit.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use outcrop_format::deletes::{decode_deletes, encode_deletes};
use outcrop_types::RowOrdinal;

use super::chunk::{CHUNK_ROWS, Chunk};

/// The dead rows of a unit (W5). Cloning is one reference count; deleting copies the chunk list and the touched chunks.
///
/// ```
/// # use outcrop_segment::DeleteVector;
/// # use outcrop_types::RowOrdinal;
/// let before = DeleteVector::new(100_000);
/// let mut after = before.clone();
/// assert_eq!(after.delete(&[RowOrdinal::new(7), RowOrdinal::new(70_000), RowOrdinal::new(7)]), 2);
/// assert_eq!(after.difference(&before).collect::<Vec<_>>(), [RowOrdinal::new(7), RowOrdinal::new(70_000)]);
/// assert_eq!((before.live(), after.live()), (100_000, 99_998));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DeleteVector {
    rows: u32,
    deleted: u32,
    chunks: Arc<Vec<Chunk>>,
}

impl DeleteVector {
    /// A vector over `rows` rows, all alive.
    pub fn new(rows: u32) -> Self {
        Self { rows, deleted: 0, chunks: Arc::new(vec![Chunk::Clean; chunk_count(rows)]) }
    }

    /// Decodes [`DeleteVector::encode`] for a unit of `rows` rows.
    ///
    /// # Errors
    /// The bytes are not a delete-vector blob, its checksum is wrong, or it names a row that the unit does not have.
    pub fn decode(bytes: &[u8], rows: u32) -> Result<Self, outcrop_format::DecodeError> {
        let mut vector = Self::new(rows);
        vector.delete_encoded(bytes)?;
        Ok(vector)
    }

    /// Marks rows dead and returns how many of them were alive. Any order; repeated rows count once.
    ///
    /// # Panics
    /// If a row is not below [`DeleteVector::rows`]: the caller mixed up units.
    pub fn delete(&mut self, rows: &[RowOrdinal]) -> u32 {
        let sorted = rows.is_sorted();
        let mut rows: Vec<u32> = rows.iter().map(|row| row.get()).collect();
        if !sorted {
            rows.sort_unstable();
        }
        rows.dedup();
        let last = rows.last().copied();
        assert!(last.is_none_or(|row| row < self.rows), "row {last:?} of a unit of {} rows", self.rows);

        let touched: Vec<(u32, Vec<u16>)> = rows
            .chunk_by(|a, b| a / CHUNK_ROWS == b / CHUNK_ROWS)
            .filter_map(|group| {
                let index = group.first()? / CHUNK_ROWS;
                let inner = group.iter().filter_map(|row| u16::try_from(row % CHUNK_ROWS).ok()).collect();
                Some((index, inner))
            })
            .collect();
        if touched.iter().all(|(index, inner)| {
            self.chunk(*index).is_some_and(|chunk| inner.iter().all(|&row| chunk.is_deleted(row)))
        }) {
            return 0;
        }
        let total = self.rows;
        let chunks = Arc::make_mut(&mut self.chunks);
        let mut newly = 0;
        for (index, inner) in touched {
            if let Some(chunk) = usize::try_from(index).ok().and_then(|index| chunks.get_mut(index)) {
                newly += chunk.delete(&inner, chunk_rows(index, total));
            }
        }
        self.deleted += newly;
        newly
    }

    /// Lets the vector cover `rows` rows; the added ones are alive. For generations, which grow with each commit.
    ///
    /// # Panics
    /// If `rows` is less than [`DeleteVector::rows`]: units never shrink.
    pub fn grow(&mut self, rows: u32) {
        assert!(rows >= self.rows, "a unit of {} rows cannot shrink to {rows}", self.rows);
        if rows == self.rows {
            return;
        }
        let last = self.rows / CHUNK_ROWS;
        let (old_len, new_len) = (chunk_rows(last, self.rows), chunk_rows(last, rows));
        let must_change =
            chunk_count(rows) != self.chunks.len() || matches!(self.chunk(last), Some(Chunk::All) if old_len < new_len);
        if must_change {
            let chunks = Arc::make_mut(&mut self.chunks);
            if let Some(chunk) = usize::try_from(last).ok().and_then(|last| chunks.get_mut(last)) {
                *chunk = chunk.grown(old_len, new_len);
            }
            chunks.resize(chunk_count(rows), Chunk::Clean);
        }
        self.rows = rows;
    }

    /// Rows of the unit, dead and alive.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Dead rows.
    pub fn deleted(&self) -> u32 {
        self.deleted
    }

    /// Live rows.
    pub fn live(&self) -> u32 {
        self.rows - self.deleted
    }

    /// Whether the row is dead. A row that the unit does not have is not.
    pub fn is_deleted(&self, row: RowOrdinal) -> bool {
        let inner = u16::try_from(row.get() % CHUNK_ROWS).unwrap_or_default();
        row.get() < self.rows && self.chunk(row.get() / CHUNK_ROWS).is_some_and(|chunk| chunk.is_deleted(inner))
    }

    /// The dead rows, ascending.
    pub fn iter_deleted(&self) -> impl Iterator<Item = RowOrdinal> + '_ {
        (0_u32..).zip(self.chunks.iter()).flat_map(move |(index, chunk)| {
            let base = index * CHUNK_ROWS;
            let positions = chunk.positions(chunk_rows(index, self.rows));
            positions.into_iter().map(move |row| RowOrdinal::new(base + u32::from(row)))
        })
    }

    /// The rows dead now and alive in `older`, ascending. `older` is an earlier vector of the same unit, of which
    /// chunks that are still the same allocation are skipped; it may have fewer rows.
    pub fn difference<'a>(&'a self, older: &'a Self) -> impl Iterator<Item = RowOrdinal> + 'a {
        let same = self.ptr_eq(older);
        (0_u32..).zip(self.chunks.iter()).filter(move |_| !same).flat_map(move |(index, chunk)| {
            let base = index * CHUNK_ROWS;
            let positions = match older.chunk(index) {
                Some(old) => chunk.positions_not_in(old, chunk_rows(index, self.rows), chunk_rows(index, older.rows)),
                None => chunk.positions(chunk_rows(index, self.rows)),
            };
            positions.into_iter().map(move |row| RowOrdinal::new(base + u32::from(row)))
        })
    }

    /// The live rows of `range` as a mask of the range's length, or `None` when all of them are alive. Rows that the
    /// unit does not have count as dead.
    pub fn live_mask(&self, range: Range<u32>) -> Option<BooleanBuffer> {
        let inside = range.end <= self.rows || range.is_empty();
        if inside && (self.deleted == 0 || self.deleted_in(&range) == 0) {
            return None;
        }
        let mut mask = BooleanBufferBuilder::new(index(range.end.saturating_sub(range.start)));
        let mut start = range.start;
        while start < range.end.min(self.rows) {
            let chunk_index = start / CHUNK_ROWS;
            let base = chunk_index * CHUNK_ROWS;
            let end = range.end.min(base + chunk_rows(chunk_index, self.rows));
            append_live(&mut mask, self.chunk(chunk_index), start - base..end - base);
            start = end;
        }
        mask.append_n(index(range.end.saturating_sub(start)), false);
        Some(mask.finish())
    }

    /// How many rows of `range` are alive.
    pub fn live_in(&self, range: Range<u32>) -> u32 {
        let end = range.end.min(self.rows);
        end.saturating_sub(range.start) - self.deleted_in(&range)
    }

    /// The blob that manifests and install records hold: Iceberg's `deletion-vector-v1`.
    pub fn encode(&self) -> Vec<u8> {
        encode_deletes(self.iter_deleted().map(RowOrdinal::get))
    }

    /// [`DeleteVector::difference`] as such a blob; empty if there is none.
    pub fn encode_difference(&self, older: &Self) -> Vec<u8> {
        let mut rows = self.difference(older).map(RowOrdinal::get).peekable();
        if rows.peek().is_none() { Vec::new() } else { encode_deletes(rows) }
    }

    /// Marks the rows of such a blob dead.
    ///
    /// # Errors
    /// As [`DeleteVector::decode`]; nothing is marked then.
    pub fn delete_encoded(&mut self, bytes: &[u8]) -> Result<(), outcrop_format::DecodeError> {
        let dead = decode_deletes(bytes, self.rows)?;
        let dead: Vec<RowOrdinal> =
            dead.iter().filter_map(|row| u32::try_from(row).ok()).map(RowOrdinal::new).collect();
        self.delete(&dead);
        Ok(())
    }

    /// Whether both are one allocation, and so hold the same rows.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunks, &other.chunks) && self.rows == other.rows
    }

    fn chunk(&self, index: u32) -> Option<&Chunk> {
        self.chunks.get(usize::try_from(index).ok()?)
    }

    fn deleted_in(&self, range: &Range<u32>) -> u32 {
        let end = range.end.min(self.rows);
        if range.start >= end {
            return 0;
        }
        (range.start / CHUNK_ROWS..=(end - 1) / CHUNK_ROWS)
            .filter_map(|index| {
                let base = index * CHUNK_ROWS;
                let inner_start = range.start.saturating_sub(base);
                let inner_end = (end - base).min(CHUNK_ROWS);
                Some(self.chunk(index)?.deleted_in(inner_start, inner_end))
            })
            .sum()
    }
}

impl fmt::Debug for DeleteVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeleteVector({} of {} rows dead)", self.deleted, self.rows)
    }
}

/// Appends the live bits of rows `rows` of one chunk.
fn append_live(mask: &mut BooleanBufferBuilder, chunk: Option<&Chunk>, rows: Range<u32>) {
    let (start, len) = (rows.start, index(rows.end - rows.start));
    match chunk {
        None | Some(Chunk::All) => mask.append_n(len, false),
        Some(Chunk::Clean) => mask.append_n(len, true),
        Some(Chunk::Sparse(dead)) => {
            let offset = mask.len();
            mask.append_n(len, true);
            dead.iter()
                .map(|&row| u32::from(row))
                .filter(|row| rows.contains(row))
                .for_each(|row| mask.set_bit(offset + index(row - start), false));
        }
        Some(Chunk::Dense(words)) => {
            mask.append_packed_range(index(rows.start)..index(rows.end), &Chunk::live_bytes(words));
        }
    }
}

/// How many chunks `rows` rows take.
fn chunk_count(rows: u32) -> usize {
    index(rows.div_ceil(CHUNK_ROWS))
}

/// How many rows chunk `index` of a unit of `rows` rows has.
fn chunk_rows(index: u32, rows: u32) -> u32 {
    rows.saturating_sub(index.saturating_mul(CHUNK_ROWS)).min(CHUNK_ROWS)
}

/// A row number or count as an index; `usize` has at least 32 bits on every machine that Outcrop runs on.
fn index(rows: u32) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}
