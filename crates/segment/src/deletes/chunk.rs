//! One chunk of a delete vector.

use std::sync::Arc;

/// Rows of a chunk.
pub(super) const CHUNK_ROWS: u32 = 16_384;
/// Most dead rows that a chunk keeps as a list.
const SPARSE_MAX: usize = 64;
/// Words of a bitmap.
const WORDS: usize = 256;

/// The dead rows among up to [`CHUNK_ROWS`] rows. Canonical: each set of rows has exactly one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// Every row is alive.
    Clean,
    /// Every row is dead.
    All,
    /// At most [`SPARSE_MAX`] dead rows, sorted.
    Sparse(Arc<[u16]>),
    /// A bit per row; set means dead.
    Dense(Arc<[u64; WORDS]>),
}

impl Chunk {
    /// Marks `rows` (sorted, distinct, below `len`) dead and returns how many of them were alive. `len` is the number of
    /// rows of this chunk.
    pub(super) fn delete(&mut self, rows: &[u16], len: u32) -> u32 {
        let before = self.deleted(len);
        let after = match self {
            Self::All => return 0,
            Self::Clean => Self::from_sorted(rows.to_vec(), len),
            Self::Sparse(dead) => Self::from_sorted(merge(dead, rows), len),
            Self::Dense(words) => {
                if rows.iter().all(|&row| bit(words, row)) {
                    return 0;
                }
                let words = Arc::make_mut(words);
                rows.iter().for_each(|&row| set_bit(words, row));
                if count(words) == len {
                    *self = Self::All;
                }
                return self.deleted(len) - before;
            }
        };
        let newly = after.deleted(len) - before;
        if newly > 0 {
            *self = after;
        }
        newly
    }

    /// The canonical chunk with exactly these dead rows (sorted, distinct, below `len`).
    pub(super) fn from_sorted(rows: Vec<u16>, len: u32) -> Self {
        if rows.is_empty() {
            return Self::Clean;
        }
        if u32::try_from(rows.len()).is_ok_and(|count| count == len) {
            return Self::All;
        }
        if rows.len() <= SPARSE_MAX {
            return Self::Sparse(rows.into());
        }
        let mut words = [0; WORDS];
        rows.iter().for_each(|&row| set_bit(&mut words, row));
        Self::Dense(Arc::new(words))
    }

    /// This chunk after its unit grew, so that it now has `new_len` rows; the added ones are alive.
    pub(super) fn grown(&self, old_len: u32, new_len: u32) -> Self {
        match self {
            Self::All if old_len < new_len => Self::from_sorted(ordinals(old_len).collect(), new_len),
            Self::All | Self::Clean | Self::Sparse(_) | Self::Dense(_) => self.clone(),
        }
    }

    /// How many of the `len` rows are dead.
    pub(super) fn deleted(&self, len: u32) -> u32 {
        match self {
            Self::Clean => 0,
            Self::All => len,
            Self::Sparse(rows) => rows.iter().map(|_| 1).sum(),
            Self::Dense(words) => count(words),
        }
    }

    /// Whether the row is dead.
    pub(super) fn is_deleted(&self, row: u16) -> bool {
        match self {
            Self::Clean => false,
            Self::All => true,
            Self::Sparse(rows) => rows.binary_search(&row).is_ok(),
            Self::Dense(words) => bit(words, row),
        }
    }

    /// The dead rows among `len`, ascending.
    pub(super) fn positions(&self, len: u32) -> Vec<u16> {
        match self {
            Self::Clean => Vec::new(),
            Self::All => ordinals(len).collect(),
            Self::Sparse(rows) => rows.to_vec(),
            Self::Dense(words) => ones(words).collect(),
        }
    }

    /// The rows dead here and alive in `older`, ascending. `older` may have fewer rows.
    pub(super) fn positions_not_in(&self, older: &Self, len: u32, older_len: u32) -> Vec<u16> {
        if self.is_same(older) && len == older_len {
            return Vec::new();
        }
        match (self, older) {
            (_, Self::Clean) => self.positions(len),
            (Self::Dense(new), Self::Dense(old)) => {
                let mut words = **new;
                words.iter_mut().zip(old.iter()).for_each(|(new, old)| *new &= !old);
                ones(&words).collect()
            }
            (_, Self::All) => self.positions(len).into_iter().filter(|&row| u32::from(row) >= older_len).collect(),
            (_, Self::Sparse(_) | Self::Dense(_)) => {
                self.positions(len).into_iter().filter(|&row| !older.is_deleted(row)).collect()
            }
        }
    }

    /// Whether both are the same without looking at rows: the same allocation, or the same form without one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Clean, Self::Clean) | (Self::All, Self::All) => true,
            (Self::Sparse(a), Self::Sparse(b)) => Arc::ptr_eq(a, b),
            (Self::Dense(a), Self::Dense(b)) => Arc::ptr_eq(a, b),
            (Self::Clean | Self::All | Self::Sparse(_) | Self::Dense(_), _) => false,
        }
    }

    /// The bitmap of a dense chunk as bytes, lowest row first, with 1 for a live row.
    pub(super) fn live_bytes(words: &[u64; WORDS]) -> Vec<u8> {
        words.iter().flat_map(|word| (!word).to_le_bytes()).collect()
    }

    /// How many rows of `start..end` are dead.
    pub(super) fn deleted_in(&self, start: u32, end: u32) -> u32 {
        match self {
            Self::Clean => 0,
            Self::All => end.saturating_sub(start),
            Self::Sparse(rows) => rows.iter().map(|&row| u32::from((start..end).contains(&u32::from(row)))).sum(),
            Self::Dense(words) => {
                let first = start / 64;
                let word = |number: u32| usize::try_from(number).unwrap_or(WORDS).min(WORDS);
                let inside = words.get(word(first)..word(end.div_ceil(64))).unwrap_or_default();
                let bases = (first * 64..).step_by(64);
                inside.iter().zip(bases).map(|(word, base)| (word & range_bits(base, start, end)).count_ones()).sum()
            }
        }
    }
}

/// The bits of the word of rows `base..base + 64` that lie in `start..end`.
fn range_bits(base: u32, start: u32, end: u32) -> u64 {
    let below = |row: u32| match row.saturating_sub(base) {
        bits @ 0..64 => (1_u64 << bits) - 1,
        _ => u64::MAX,
    };
    below(end) & !below(start)
}

/// The rows of a chunk as it stores them; `len` is at most [`CHUNK_ROWS`].
fn ordinals(len: u32) -> impl Iterator<Item = u16> {
    (0..u16::MAX).take_while(move |&row| u32::from(row) < len)
}

/// Union of two sorted lists.
fn merge(a: &[u16], b: &[u16]) -> Vec<u16> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all.dedup();
    all
}

fn bit(words: &[u64; WORDS], row: u16) -> bool {
    words.get(usize::from(row / 64)).is_some_and(|word| word >> (row % 64) & 1 == 1)
}

fn set_bit(words: &mut [u64; WORDS], row: u16) {
    if let Some(word) = words.get_mut(usize::from(row / 64)) {
        *word |= 1 << (row % 64);
    }
}

fn count(words: &[u64; WORDS]) -> u32 {
    words.iter().map(|word| word.count_ones()).sum()
}

fn ones(words: &[u64; WORDS]) -> impl Iterator<Item = u16> {
    words.iter().zip((0_u16..).step_by(64)).flat_map(|(&word, base)| {
        let mut rest = word;
        std::iter::from_fn(move || {
            let row = u16::try_from(rest.trailing_zeros()).ok().filter(|&row| row < 64)?;
            rest &= rest - 1;
            Some(base + row)
        })
    })
}
