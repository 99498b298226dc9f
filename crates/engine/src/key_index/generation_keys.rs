//! The keys of one generation.

use hashbrown::HashTable;
use outcrop_format::KeyHash;
use outcrop_types::{CommitSeq, RowOrdinal, UnitId};

use super::stripes::Stripes;
use crate::snapshot::LiveVersions;

/// Stripes of a generation's table, as a power of two.
const STRIPE_BITS: u32 = 4;
/// Entries of one key before the first attempt to fold them.
const FOLD_AT: usize = 4;

/// Every row that entered one generation, by key.
///
/// A key that is written again and again has an entry for each row, of which only the last one matters to new readers.
/// Inserting folds them: an entry goes when no version that is held or still to come saw its row alive. Its row was alive
/// from its commit until, at the latest, the commit of the key's next row, which is what
/// [`LiveVersions::sees_between`] is asked.
pub(super) struct GenerationKeys {
    unit: UnitId,
    born: CommitSeq,
    entries: Stripes<GenerationEntry, STRIPE_BITS>,
}

#[derive(Clone, Copy, Debug)]
struct GenerationEntry {
    key: KeyHash,
    /// Commit of the row.
    seq: CommitSeq,
    row: RowOrdinal,
}

impl GenerationKeys {
    /// An empty table for a generation that no version before `born` has.
    pub(super) fn new(unit: UnitId, born: CommitSeq) -> Self {
        Self { unit, born, entries: Stripes::new() }
    }

    /// Adds row `rows(i)`, of commit `seqs(i)`, under key `i`.
    pub(super) fn insert(
        &self,
        keys: &[KeyHash],
        rows: impl Fn(u32) -> RowOrdinal,
        seqs: impl Fn(u32) -> CommitSeq,
        live: &LiveVersions,
    ) {
        self.entries.write(keys, |table, keys| {
            table.reserve(keys.len(), |entry| entry.key.low());
            for &(position, key) in keys {
                fold(table, key, live);
                let entry = GenerationEntry { key, seq: seqs(position), row: rows(position) };
                table.insert_unique(key.low(), entry, |entry| entry.key.low());
            }
        });
    }

    /// Calls `visit` with the position of each key and each of its rows, newest row of a key first.
    pub(super) fn candidates(&self, keys: &[KeyHash], mut visit: impl FnMut(u32, RowOrdinal)) {
        let mut rows: Vec<RowOrdinal> = Vec::new();
        self.entries.read(keys, |table, keys| {
            for &(position, key) in keys {
                rows.extend(of_key(table, key).map(|entry| entry.row));
                rows.sort_unstable_by(|a, b| b.cmp(a));
                rows.drain(..).for_each(|row| visit(position, row));
            }
        });
    }

    pub(super) fn unit(&self) -> UnitId {
        self.unit
    }

    pub(super) fn born(&self) -> CommitSeq {
        self.born
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entries.bytes()
    }
}

/// Removes the entries of `key` that nobody can see. Only tried when their number is a power of two, so that entries which
/// must stay are not judged again with each new one.
fn fold(table: &mut HashTable<GenerationEntry>, key: KeyHash, live: &LiveVersions) {
    let count = of_key(table, key).count();
    if count < FOLD_AT || !count.is_power_of_two() {
        return;
    }
    let mut entries: Vec<GenerationEntry> = of_key(table, key).copied().collect();
    entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.seq));
    let mut seq = None;
    let mut until = None;
    for entry in entries {
        if seq != Some(entry.seq) {
            until = seq;
            seq = Some(entry.seq);
        }
        if until.is_some_and(|until| !live.sees_between(entry.seq, until))
            && let Ok(found) = table.find_entry(key.low(), |other| other.key == key && other.row == entry.row)
        {
            found.remove();
        }
    }
}

fn of_key(table: &HashTable<GenerationEntry>, key: KeyHash) -> impl Iterator<Item = &GenerationEntry> {
    table.iter_hash(key.low()).filter(move |entry| entry.key == key)
}
