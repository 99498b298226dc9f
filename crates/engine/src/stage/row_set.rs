//! Rows of a large statement, in few bytes each.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use outcrop_segment::SEGMENT_ROWS_MAX;
use outcrop_types::{Error, Result, RowAddress, RowOrdinal, UnitId};
use roaring::RoaringBitmap;

/// A set of rows: a bit for each row of the units that it touches, and less where it is sparse or dense.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowSet {
    units: BTreeMap<UnitId, RoaringBitmap>,
}

impl RowSet {
    /// Adds a row. False if it was there.
    pub(crate) fn insert(&mut self, address: RowAddress) -> bool {
        self.units.entry(address.unit).or_default().insert(address.row.get())
    }

    /// Takes a row out. False if it was not there.
    pub(crate) fn remove(&mut self, address: RowAddress) -> bool {
        self.units.get_mut(&address.unit).is_some_and(|rows| rows.remove(address.row.get()))
    }

    /// Takes the first rows out, at most so many.
    pub(crate) fn take_first(&mut self, count: usize) -> Vec<RowAddress> {
        let taken: Vec<RowAddress> = self.iter().take(count).collect();
        if let Some(last) = taken.last() {
            self.units = self.units.split_off(&last.unit);
            if let Some(rows) = self.units.get_mut(&last.unit) {
                rows.remove_range(..=last.row.get());
            }
        }
        taken
    }

    /// Whether the row is in it.
    pub(crate) fn contains(&self, address: RowAddress) -> bool {
        self.units.get(&address.unit).is_some_and(|rows| rows.contains(address.row.get()))
    }

    /// How many rows.
    pub(crate) fn len(&self) -> u64 {
        self.units.values().map(RoaringBitmap::len).sum()
    }

    /// Whether it has none.
    pub(crate) fn is_empty(&self) -> bool {
        self.units.values().all(RoaringBitmap::is_empty)
    }

    /// The units that it has rows of.
    pub(crate) fn units(&self) -> impl Iterator<Item = UnitId> + '_ {
        self.units.iter().filter(|(_, rows)| !rows.is_empty()).map(|(unit, _)| *unit)
    }

    /// The rows of a unit, ascending.
    pub(crate) fn of_unit(&self, unit: UnitId) -> impl Iterator<Item = RowOrdinal> + '_ {
        self.units.get(&unit).into_iter().flatten().map(RowOrdinal::new)
    }

    /// All rows, by address.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RowAddress> + '_ {
        let rows = self.units.iter().flat_map(|(unit, rows)| rows.iter().map(move |row| (*unit, row)));
        rows.map(|(unit, row)| RowAddress::new(unit, RowOrdinal::new(row)))
    }
}

impl Extend<RowAddress> for RowSet {
    fn extend<T: IntoIterator<Item = RowAddress>>(&mut self, rows: T) {
        rows.into_iter().for_each(|row| {
            self.insert(row);
        });
    }
}

impl FromIterator<RowAddress> for RowSet {
    fn from_iter<T: IntoIterator<Item = RowAddress>>(rows: T) -> Self {
        let mut set = Self::default();
        set.extend(rows);
        set
    }
}

/// A row address in eight bytes, also where there may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PackedRow(NonZeroU64);

impl PackedRow {
    /// # Errors
    /// `InternalError` for a row beyond [`SEGMENT_ROWS_MAX`]: neither a segment nor a generation has one.
    pub(super) fn new(address: RowAddress) -> Result<Self> {
        let fits = address.row.get() < SEGMENT_ROWS_MAX && address.unit.get() <= u64::MAX >> ROW_BITS;
        let packed = fits.then(|| address.unit.get() << ROW_BITS | u64::from(address.row.get()));
        let packed = packed.and_then(NonZeroU64::new);
        packed.map(Self).ok_or_else(|| Error::internal(format!("row {address} is beyond what a statement addresses")))
    }

    pub(super) fn get(self) -> RowAddress {
        let row = u32::try_from(self.0.get() & ((1 << ROW_BITS) - 1)).unwrap_or_default();
        RowAddress::new(UnitId::new(self.0.get() >> ROW_BITS), RowOrdinal::new(row))
    }
}

const ROW_BITS: u32 = SEGMENT_ROWS_MAX.ilog2();

#[cfg(test)]
mod tests;
