//! What all staged statements do at their end: victims, rows that are dead at birth, the record.

use std::collections::{HashMap, HashSet};

use outcrop_format::record::{InstalledSegment, Op, StagedCommit, Victims};
use outcrop_segment::DeleteVector;
use outcrop_types::{CommitSeq, Result, RowAddress, RowOrdinal, ShardId, UnitId};

use super::victims::store_victims;
use super::writer::Stage;
use crate::commit::{Journal, StagedPart, VICTIM_BYTES};
use crate::key_index::KeyHash;
use crate::snapshot::NewSegment;
use crate::write::TailView;

/// Victims that were resolved off the turn, as they will be in the record.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// The tail that they were resolved against; `None` before the first round.
    at: Option<CommitSeq>,
    stored: HashSet<RowAddress>,
    record: Option<Victims>,
}

impl Resolved {
    /// Keys were resolved against `view`, and these rows are to die.
    pub(super) fn set(&mut self, stage: &mut Stage, view: &TailView<'_>, victims: &[RowAddress]) -> Result<()> {
        self.store(stage, victims)?;
        self.at = Some(view.seq);
        Ok(())
    }

    /// Whether the turn has little left to do: some keys, and no victim moved.
    pub(super) fn is_settled(&self, view: &TailView<'_>) -> bool {
        let Some(at) = self.at else { return false };
        let few =
            view.journal.is_none_or(|journal| journal.since(at).take(STALE_KEYS_MAX + 1).count() <= STALE_KEYS_MAX);
        few && self.units_are_there(view)
    }

    /// The keys that others wrote since, of those that `is_ours` knows.
    pub(super) fn stale_keys(&self, view: &TailView<'_>, is_ours: impl Fn(&KeyHash) -> bool) -> HashSet<KeyHash> {
        let at = self.at.unwrap_or_default();
        view.journal.into_iter().flat_map(|journal| journal.since(at)).filter(|key| is_ours(key)).collect()
    }

    /// Bytes of the record.
    pub(super) fn record_bytes(&self) -> u64 {
        match &self.record {
            Some(Victims::Inline(victims)) => victims.len() as u64 * VICTIM_BYTES,
            Some(Victims::File { .. }) | None => 0,
        }
    }

    /// The part of a commit that names the staged segments. `victims` are alive in the tail; `rows` are dead and live rows
    /// of the stage. Victims that the stored list does not have come back as operations for the rest of the record.
    pub(super) fn part(
        &mut self,
        stage: &mut Stage,
        view: &TailView<'_>,
        victims: &[RowAddress],
        rows: &StagedRowSet<'_>,
    ) -> Result<(StagedPart, Vec<Op>)> {
        let StagedRowSet { dead, alive } = *rows;
        let others = view.journal.is_some_and(Journal::has_others);
        let keys = if others { alive().map(|(key, _)| key).collect() } else { Vec::new() };
        if self.record.is_none() || !self.units_are_there(view) {
            // A flush moved rows after the last round: the list is written again, inside the turn.
            self.store(stage, victims)?;
        }
        let extra = victims.iter().filter(|victim| !self.stored.contains(victim)).map(|victim| Op::Delete(*victim));
        let extra: Vec<Op> = extra.collect();
        let mut dead_of: HashMap<UnitId, Vec<RowOrdinal>> = HashMap::new();
        for address in dead {
            dead_of.entry(address.unit).or_default().push(address.row);
        }
        let mut segments = Vec::with_capacity(stage.segments().len());
        let mut installed = Vec::with_capacity(stage.segments().len());
        for staged in stage.segments() {
            let segment = &staged.segment;
            let mut deletes = DeleteVector::new(segment.rows());
            deletes.delete(dead_of.get(&segment.unit()).map_or(&[], Vec::as_slice));
            installed.push(InstalledSegment {
                unit: segment.unit(),
                rows: segment.rows(),
                meta_crc: staged.meta_crc,
                deletes: if deletes.deleted() == 0 { Vec::new() } else { deletes.encode() },
            });
            segments.push(NewSegment {
                segment: std::sync::Arc::clone(segment),
                deletes,
                run: staged.run.as_ref().map(std::sync::Arc::clone),
            });
        }
        // The record's own list, dead ones included: replay does the same as the tail.
        let stored: Vec<RowAddress> = self.stored.iter().copied().collect();
        let record = StagedCommit {
            table: view.schema.id,
            shard: ShardId::new(0),
            schema_version: view.schema.version,
            segments: installed,
            victims: self.record.clone().unwrap_or(Victims::Inline(Vec::new())),
        };
        Ok((StagedPart { segments, victims: stored, record, keys }, extra))
    }

    /// The name of the victims file, if there is one.
    pub(super) fn file(&self) -> Option<&str> {
        match &self.record {
            Some(Victims::File { name, .. }) => Some(name),
            Some(Victims::Inline(_)) | None => None,
        }
    }

    fn store(&mut self, stage: &mut Stage, victims: &[RowAddress]) -> Result<()> {
        let record = store_victims(stage.node(), victims)?;
        if let Victims::File { name, .. } = &record {
            stage.own_victims_file(name);
        }
        self.stored = victims.iter().copied().collect();
        self.record = Some(record);
        Ok(())
    }

    fn units_are_there(&self, view: &TailView<'_>) -> bool {
        let units: HashSet<UnitId> = self.stored.iter().map(|victim| victim.unit).collect();
        units.into_iter().all(|unit| view.state.has_unit(unit))
    }
}

/// The staged rows of a statement, once all is decided.
pub(super) struct StagedRowSet<'a> {
    /// Rows that nobody shall see.
    pub(super) dead: &'a [RowAddress],
    /// The others, with their keys; none for a table without primary key.
    pub(super) alive: &'a dyn Fn() -> Box<dyn Iterator<Item = (KeyHash, RowAddress)> + 'a>,
}

/// Keys that a turn resolves again at most before it would rather be another round.
const STALE_KEYS_MAX: usize = 4_096;

/// Rows of one call of a callback, and keys of one look-up.
pub(super) const CHUNK_ROWS: usize = 8_192;
