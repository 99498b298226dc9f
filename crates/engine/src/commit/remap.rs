//! Where rows went when their unit was flushed or compacted (W7).

use std::sync::Arc;

use outcrop_segment::DeleteVector;
use outcrop_types::{CommitSeq, RowAddress, RowOrdinal, UnitId};

/// From the rows of one unit to the rows of the segment that replaced it.
///
/// An output holds the input's rows that were alive at the pin, in their order. So a row's new number is its rank among
/// them, counted from where this input begins, and the map is the pinned delete vector itself.
#[derive(Clone, Debug)]
pub(crate) struct RowMap {
    /// Dead rows of the input at the pin.
    pinned: DeleteVector,
    output: UnitId,
    /// Row of the output that the first live row became.
    first: u32,
}

impl RowMap {
    pub(crate) fn new(pinned: DeleteVector, output: UnitId, first: u32) -> Self {
        Self { pinned, output, first }
    }

    /// The input's dead rows at the pin.
    pub(crate) fn pinned(&self) -> &DeleteVector {
        &self.pinned
    }

    /// The row's number in the output; `None` if it was dead at the pin.
    pub(crate) fn row(&self, row: RowOrdinal) -> Option<RowOrdinal> {
        if row.get() >= self.pinned.rows() || self.pinned.is_deleted(row) {
            return None;
        }
        Some(RowOrdinal::new(self.first + self.pinned.live_in(0..row.get())))
    }

    fn address(&self, row: RowOrdinal) -> Option<RowAddress> {
        Some(RowAddress::new(self.output, self.row(row)?))
    }
}

/// The row maps of a shard's installs that an open write statement may still need.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remaps {
    /// Oldest install first.
    entries: Vec<Remap>,
}

#[derive(Clone, Debug)]
struct Remap {
    input: UnitId,
    /// The install's commit: versions before it name the input's rows.
    at: CommitSeq,
    map: Arc<RowMap>,
}

impl Remaps {
    /// Keeps the map of an install.
    pub(crate) fn add(&mut self, input: UnitId, at: CommitSeq, map: RowMap) {
        self.entries.push(Remap { input, at, map: Arc::new(map) });
    }

    /// How many maps are kept.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets maps that no version still held can need: `oldest` is the oldest one.
    pub(crate) fn trim(&mut self, oldest: CommitSeq) {
        self.entries.retain(|entry| entry.at > oldest);
    }

    /// Where a row is after all installs so far. `None` if it was dead when its unit was replaced, or its unit is unknown.
    pub(crate) fn translate(&self, address: RowAddress) -> Option<RowAddress> {
        let mut now = None;
        for entry in &self.entries {
            let current = now.unwrap_or(address);
            if entry.input == current.unit {
                now = Some(entry.map.address(current.row)?);
            }
        }
        now
    }
}

#[cfg(test)]
mod tests;
