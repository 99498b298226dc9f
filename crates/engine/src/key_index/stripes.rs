//! Hash tables behind striped locks.

use hashbrown::HashTable;
use outcrop_format::KeyHash;
use parking_lot::RwLock;

/// A multi-map from keys to entries: `2^BITS` hash tables, each behind a lock that is held for a few probes only.
pub(super) struct Stripes<E, const BITS: u32> {
    tables: Vec<RwLock<HashTable<E>>>,
}

impl<E, const BITS: u32> Stripes<E, BITS> {
    pub(super) fn new() -> Self {
        Self { tables: (0..1_u32 << BITS).map(|_| RwLock::new(HashTable::new())).collect() }
    }

    /// Calls `visit` with the table of each stripe that some key belongs to, and its keys with their positions, ascending.
    /// The table is locked for writing meanwhile.
    pub(super) fn write(&self, keys: &[KeyHash], mut visit: impl FnMut(&mut HashTable<E>, &[(u32, KeyHash)])) {
        self.group(keys, |table, keys| visit(&mut table.write(), keys));
    }

    /// As [`Stripes::write`], locked for reading.
    pub(super) fn read(&self, keys: &[KeyHash], mut visit: impl FnMut(&HashTable<E>, &[(u32, KeyHash)])) {
        self.group(keys, |table, keys| visit(&table.read(), keys));
    }

    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(|table| table.read().len()).sum()
    }

    /// Memory held.
    pub(super) fn bytes(&self) -> u64 {
        let bytes: usize = self.tables.iter().map(|table| table.read().allocation_size()).sum();
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Sorts the keys by stripe, a limited number at a time, so that no lock is held long; a single key goes straight to
    /// its stripe.
    fn group(&self, keys: &[KeyHash], mut visit: impl FnMut(&RwLock<HashTable<E>>, &[(u32, KeyHash)])) {
        if let &[key] = keys {
            if let Some(table) = self.tables.get(key.stripe(BITS)) {
                visit(table, &[(0, key)]);
            }
            return;
        }
        let mut groups: Vec<Vec<(u32, KeyHash)>> = self.tables.iter().map(|_| Vec::new()).collect();
        let mut positions = 0..;
        for batch in keys.chunks(BATCH_KEYS) {
            for (&key, position) in batch.iter().zip(&mut positions) {
                if let Some(group) = groups.get_mut(key.stripe(BITS)) {
                    group.push((position, key));
                }
            }
            for (table, keys) in self.tables.iter().zip(&mut groups) {
                if !keys.is_empty() {
                    visit(table, keys);
                    keys.clear();
                }
            }
        }
    }
}

/// Keys that are sorted by stripe at once.
const BATCH_KEYS: usize = 4_096;
