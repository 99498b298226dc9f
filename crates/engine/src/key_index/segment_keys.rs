//! The keys of all segments.

use hashbrown::HashTable;
use outcrop_segment::SEGMENT_ROWS_MAX;
use outcrop_types::{Error, Result, RowAddress, RowOrdinal, UnitId};

use super::KeyHash;
use super::stripes::{Entry, Stripes};
use crate::snapshot::ShardState;

/// Stripes of the table, as a power of two.
const STRIPE_BITS: u32 = 6;
/// Entries of one key before the first attempt to fold them.
const FOLD_AT: usize = 4;
/// Bits of a packed address that hold the row.
const ROW_BITS: u32 = SEGMENT_ROWS_MAX.ilog2();

/// Every row that was alive when its segment was written, by key. A segment has a key at most once.
///
/// 24 bytes an entry and one byte of hash table, at 44 to 88 % load. The runs on disk of a later issue replace it behind the
/// same interface.
pub(super) struct SegmentKeys {
    entries: Stripes<SegmentEntry, STRIPE_BITS>,
}

#[derive(Clone, Copy, Debug)]
struct SegmentEntry {
    key: KeyHash,
    address: PackedAddress,
}

/// Unit and row of a segment in 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PackedAddress(u64);

impl Entry for SegmentEntry {
    fn key(&self) -> KeyHash {
        self.key
    }
}

impl SegmentKeys {
    pub(super) fn new() -> Self {
        Self { entries: Stripes::new() }
    }

    /// Adds row `rows(i)` of `unit` under key `i`. Entries of the same keys whose rows are alive in none of the `held`
    /// states, of which the newest is last, go when a key has many.
    pub(super) fn insert(
        &self,
        keys: &[KeyHash],
        unit: UnitId,
        rows: impl Fn(u32) -> RowOrdinal,
        held: &[&ShardState],
    ) -> Result<()> {
        let packed = PackedAddress::of_unit(unit)?;
        let mut outcome = Ok(());
        self.entries.write(keys, |table, keys| {
            table.reserve(keys.len(), |entry| entry.key.place());
            for &(position, key) in keys {
                match packed.with_row(rows(position)) {
                    Ok(address) => {
                        fold(table, key, held);
                        let entry = SegmentEntry { key, address };
                        table.insert_unique(key.place(), entry, |entry| entry.key.place());
                    }
                    Err(error) => outcome = Err(error),
                }
            }
        });
        outcome
    }

    /// Calls `visit` with the position of each key and each of its addresses, newest unit first.
    pub(super) fn candidates(&self, keys: &[KeyHash], mut visit: impl FnMut(u32, RowAddress)) {
        let mut addresses: Vec<RowAddress> = Vec::new();
        self.entries.read(keys, |table, keys| {
            for &(position, key) in keys {
                addresses.extend(of_key(table, key).map(|entry| entry.address.unpack()));
                addresses.sort_unstable_by(|a, b| b.cmp(a));
                addresses.drain(..).for_each(|address| visit(position, address));
            }
        });
    }

    /// Removes the entries of units.
    pub(super) fn remove(&self, units: &[UnitId]) {
        self.entries.retain(|entry| !units.contains(&entry.address.unpack().unit));
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entries.bytes()
    }
}

impl PackedAddress {
    /// Row 0 of a unit.
    fn of_unit(unit: UnitId) -> Result<Self> {
        let raw = unit.get();
        if raw > u64::MAX >> ROW_BITS {
            return Err(Error::internal(format!("unit {unit} is beyond what the key index addresses")));
        }
        Ok(Self(raw << ROW_BITS))
    }

    /// A row of the unit of this address, which is row 0.
    fn with_row(self, row: RowOrdinal) -> Result<Self> {
        if row.get() >> ROW_BITS != 0 {
            return Err(Error::internal(format!("row {row} is beyond the {SEGMENT_ROWS_MAX} rows of a segment")));
        }
        Ok(Self(self.0 | u64::from(row.get())))
    }

    fn unpack(self) -> RowAddress {
        let row = u32::try_from(self.0 & ((1 << ROW_BITS) - 1)).unwrap_or_default();
        RowAddress::new(UnitId::new(self.0 >> ROW_BITS), RowOrdinal::new(row))
    }
}

/// Removes the entries of `key` that nobody can see: a row that is dead in the newest state stays dead in later ones, and
/// the older ones that somebody holds are asked too. A unit that the newest state does not have may be on its way, so its
/// entries stay. Only tried when the number of entries is a power of two, so that those which must stay are not judged
/// again with each new one.
fn fold(table: &mut HashTable<SegmentEntry>, key: KeyHash, held: &[&ShardState]) {
    let Some(newest) = held.last() else { return };
    let count = of_key(table, key).count();
    if count < FOLD_AT || !count.is_power_of_two() {
        return;
    }
    let addresses: Vec<PackedAddress> = of_key(table, key).map(|entry| entry.address).collect();
    for address in addresses {
        let row = address.unpack();
        if newest.has_unit(row.unit)
            && !held.iter().any(|state| state.is_live(row))
            && let Ok(found) = table.find_entry(key.place(), |other| other.key == key && other.address == address)
        {
            found.remove();
        }
    }
}

fn of_key(table: &HashTable<SegmentEntry>, key: KeyHash) -> impl Iterator<Item = &SegmentEntry> {
    table.iter_hash(key.place()).filter(move |entry| entry.key == key)
}
