//! Where rows went when their unit was flushed or compacted (W7).

use std::sync::Arc;

use outcrop_env::reached;
use outcrop_segment::DeleteVector;
use outcrop_types::{CommitSeq, RowAddress, RowOrdinal, UnitId};

/// From the rows of one unit to the rows of the segments that replaced it.
///
/// The rows of all inputs that were alive at the pin have *places*: they are counted through the outputs, from the first row
/// of the first one. In an output without sort key they have the order of their inputs, so a row's place is its rank among
/// the live ones, counted from where this input begins, and the map is the pinned delete vector itself. Otherwise the
/// place of each rank is kept.
#[derive(Clone, Debug)]
pub(crate) struct RowMap {
    /// Dead rows of the input at the pin.
    pinned: DeleteVector,
    /// The outputs, each with the place of its first row.
    outputs: Arc<[(UnitId, u32)]>,
    places: Places,
}

#[derive(Clone, Debug)]
enum Places {
    /// The place of the first live row; the others follow.
    InOrder(u32),
    /// The places of the live rows of all inputs, and the first one of this input.
    Sorted(Arc<[u32]>, usize),
}

impl RowMap {
    /// For an input whose live rows stay in order, from place `first` on.
    pub(crate) fn in_order(pinned: DeleteVector, outputs: Arc<[(UnitId, u32)]>, first: u32) -> Self {
        Self { pinned, outputs, places: Places::InOrder(first) }
    }

    /// For the only input of one output, in whose order its live rows stay.
    pub(crate) fn in_one(pinned: DeleteVector, output: UnitId) -> Self {
        Self::in_order(pinned, Arc::from([(output, 0)]), 0)
    }

    /// For an input whose live rows went to `places`, from the one at `first` on.
    pub(crate) fn sorted(
        pinned: DeleteVector,
        outputs: Arc<[(UnitId, u32)]>,
        places: Arc<[u32]>,
        first: usize,
    ) -> Self {
        Self { pinned, outputs, places: Places::Sorted(places, first) }
    }

    /// The input's dead rows at the pin.
    pub(crate) fn pinned(&self) -> &DeleteVector {
        &self.pinned
    }

    /// Where a row went; `None` if it was dead at the pin.
    pub(crate) fn address(&self, row: RowOrdinal) -> Option<RowAddress> {
        self.addresses(std::iter::once(row)).next()
    }

    /// Where rows went, given in ascending order; those that were dead at the pin are left out. Installs ask this in their turn
    /// for everything that died since the pin, so each rank is counted on from the one before.
    pub(crate) fn addresses(&self, rows: impl Iterator<Item = RowOrdinal>) -> impl Iterator<Item = RowAddress> {
        let (mut counted, mut rank) = (0, 0);
        rows.filter_map(move |row| {
            if row.get() >= self.pinned.rows() || self.pinned.is_deleted(row) {
                return None;
            }
            rank += self.pinned.live_in(counted..row.get());
            counted = row.get();
            self.address_of_rank(rank)
        })
    }

    fn address_of_rank(&self, rank: u32) -> Option<RowAddress> {
        let place = match &self.places {
            Places::InOrder(first) => first + rank,
            Places::Sorted(places, first) => *places.get(first + usize::try_from(rank).ok()?)?,
        };
        let output = self.outputs.partition_point(|(_, start)| *start <= place).checked_sub(1)?;
        let (unit, start) = self.outputs.get(output)?;
        Some(RowAddress::new(*unit, RowOrdinal::new(place - start)))
    }

    /// Memory of the places.
    fn bytes(&self) -> u64 {
        match &self.places {
            Places::InOrder(_) => 0,
            Places::Sorted(..) => u64::from(self.pinned.live()) * 4,
        }
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

    /// Memory that they take beside what versions hold too.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.map.bytes()).sum()
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
                reached!("write.row_had_moved");
                now = Some(entry.map.address(current.row)?);
            }
        }
        now
    }
}

#[cfg(test)]
mod tests;
