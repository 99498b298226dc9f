//! A page of entries.
//!
//! | offset | content |
//! |---|---|
//! | 0 | upper halves of the hashes, u64 each; lower halves, u64 each, if both are stored; rows, u32 each: room for a full page of each, the rest zero |
//! | 4,090 | number of entries, u16 |
//!
//! A row is the number of its segment in the run's header in the upper 8 bits, and the row's number below.

use super::{PAGE_BYTES, PAGE_CONTENT_BYTES, Page};
use crate::error::{DecodeError, DecodeProblem};
use crate::key::{KeyHash, KeyWidth};

/// Bytes before the count.
const ENTRIES_BYTES: usize = PAGE_CONTENT_BYTES - 2;
/// Bits of a stored row that hold the row's number.
pub const ROW_BITS: u32 = 24;

/// An entry. Ordered by key, of one key the newest segment and the last row first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunEntry {
    /// The key.
    pub key: KeyHash,
    /// Number of the segment in the run's header.
    pub segment: u8,
    /// Row of the segment, below 2^24.
    pub row: u32,
}

impl RunEntry {
    fn packed(&self) -> u32 {
        u32::from(self.segment) << ROW_BITS | self.row & ((1 << ROW_BITS) - 1)
    }
}

impl PartialOrd for RunEntry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RunEntry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key).then_with(|| other.packed().cmp(&self.packed()))
    }
}

/// Where the parts of a page are.
#[derive(Clone, Copy, Debug)]
struct Layout {
    capacity: usize,
    /// Offset of the lower halves; `None` if they are not stored.
    lows: Option<usize>,
    rows: usize,
}

impl Layout {
    const fn of(width: KeyWidth) -> Self {
        let capacity = capacity(width);
        match width {
            KeyWidth::Half => Self { capacity, lows: None, rows: capacity * 8 },
            KeyWidth::Whole => Self { capacity, lows: Some(capacity * 8), rows: capacity * 16 },
        }
    }
}

/// Entries of a full page.
pub const fn capacity(width: KeyWidth) -> usize {
    match width {
        KeyWidth::Half => ENTRIES_BYTES / 12,
        KeyWidth::Whole => ENTRIES_BYTES / 20,
    }
}

/// Fills a page.
#[derive(Clone, Debug)]
pub struct EntryPageBuilder {
    layout: Layout,
    page: Box<Page>,
    count: usize,
}

impl EntryPageBuilder {
    /// An empty page.
    pub fn new(width: KeyWidth) -> Self {
        Self { layout: Layout::of(width), page: Box::new([0; PAGE_BYTES]), count: 0 }
    }

    /// Whether no entry fits any more.
    pub fn is_full(&self) -> bool {
        self.count == self.layout.capacity
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds an entry, unless the page is full. Entries come in ascending order.
    pub fn push(&mut self, entry: &RunEntry) {
        if self.is_full() {
            return;
        }
        self.put(self.count * 8, &entry.key.high().to_le_bytes());
        if let Some(lows) = self.layout.lows {
            self.put(lows + self.count * 8, &entry.key.low().to_le_bytes());
        }
        self.put(self.layout.rows + self.count * 4, &entry.packed().to_le_bytes());
        self.count += 1;
    }

    /// The page, but for its checksum; the builder is empty again.
    pub fn take(&mut self) -> Box<Page> {
        let count = u16::try_from(self.count).unwrap_or(u16::MAX);
        self.put(ENTRIES_BYTES, &count.to_le_bytes());
        self.count = 0;
        std::mem::replace(&mut self.page, Box::new([0; PAGE_BYTES]))
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        if let Some(slot) = self.page.get_mut(offset..offset + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    }
}

/// A page of entries whose checksum was verified.
#[derive(Clone, Copy, Debug)]
pub struct EntryPage<'a> {
    highs: &'a [[u8; 8]],
    lows: Option<&'a [[u8; 8]]>,
    rows: &'a [[u8; 4]],
}

impl<'a> EntryPage<'a> {
    /// Reads a page.
    ///
    /// # Errors
    /// `Limit` for a count that no page has, counted from the page's beginning.
    pub fn decode(width: KeyWidth, page: &'a Page) -> Result<Self, DecodeError> {
        let layout = Layout::of(width);
        let count = page.get(ENTRIES_BYTES..).and_then(|rest| rest.first_chunk::<2>());
        let count = usize::from(count.map_or(0, |bytes| u16::from_le_bytes(*bytes)));
        let limit = |max: usize| {
            let what = DecodeProblem::Limit { what: "entries of a page", found: count as u64, max: max as u64 };
            DecodeError::new(ENTRIES_BYTES as u64, what)
        };
        if count == 0 || count > layout.capacity {
            return Err(limit(layout.capacity));
        }
        let part = |offset: usize, bytes: usize| page.get(offset..offset + bytes).ok_or_else(|| limit(0));
        Ok(Self {
            highs: part(0, count * 8)?.as_chunks().0,
            lows: layout.lows.map(|offset| Ok(part(offset, count * 8)?.as_chunks().0)).transpose()?,
            rows: part(layout.rows, count * 4)?.as_chunks().0,
        })
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.highs.len()
    }

    /// Whether it has no entry; [`EntryPage::decode`] never gives such a page.
    pub fn is_empty(&self) -> bool {
        self.highs.is_empty()
    }

    /// An entry.
    pub fn entry(&self, index: usize) -> Option<RunEntry> {
        let packed = u32::from_le_bytes(*self.rows.get(index)?);
        let segment = u8::try_from(packed >> ROW_BITS).ok()?;
        Some(RunEntry { key: self.key(index)?, segment, row: packed & ((1 << ROW_BITS) - 1) })
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = RunEntry> + '_ {
        (0..self.len()).filter_map(|index| self.entry(index))
    }

    /// The entries of a key.
    pub fn find(&self, key: KeyHash) -> impl Iterator<Item = RunEntry> + '_ {
        let first = self.highs.partition_point(|high| u64::from_le_bytes(*high) < key.high());
        (first..self.len())
            .map_while(move |index| self.entry(index).filter(|entry| entry.key.high() == key.high()))
            .filter(move |entry| entry.key == key)
    }

    fn key(&self, index: usize) -> Option<KeyHash> {
        let high = u64::from_le_bytes(*self.highs.get(index)?);
        match self.lows {
            None => Some(KeyHash::of_high(high)),
            Some(lows) => Some(KeyHash::new(high, u64::from_le_bytes(*lows.get(index)?))),
        }
    }
}
