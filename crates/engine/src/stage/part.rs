//! What all staged statements do at their end: victims, rows that are dead at birth, the record.

use std::collections::BTreeSet;
use std::sync::Arc;

use outcrop_format::record::{InstalledSegment, Op, StagedCommit, Victims};
use outcrop_types::{CommitSeq, Result, ShardId};

use super::row_set::RowSet;
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
    stored: RowSet,
    record: Option<Victims>,
}

impl Resolved {
    /// Keys were resolved against `view`, and these rows are to die.
    pub(super) fn set(&mut self, stage: &mut Stage, view: &TailView<'_>, victims: RowSet) -> Result<()> {
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

    /// The keys that others wrote since.
    pub(super) fn stale_keys(&self, view: &TailView<'_>) -> Vec<KeyHash> {
        let at = self.at.unwrap_or_default();
        let keys: BTreeSet<KeyHash> = view.journal.into_iter().flat_map(|journal| journal.since(at)).collect();
        keys.into_iter().collect()
    }

    /// Bytes of the record.
    pub(super) fn record_bytes(&self) -> u64 {
        match &self.record {
            Some(Victims::Inline(victims)) => victims.len() as u64 * VICTIM_BYTES,
            Some(Victims::File { .. }) | None => 0,
        }
    }

    /// The part of a commit that names the staged segments. `victims` are alive in the tail. Those that the stored list
    /// does not have come back as operations for the rest of the record.
    pub(super) fn part(
        &mut self,
        stage: &mut Stage,
        view: &TailView<'_>,
        victims: RowSet,
    ) -> Result<(StagedPart, Vec<Op>)> {
        let mut keys = Vec::new();
        if view.journal.is_some_and(Journal::has_others) {
            stage.each_key(usize::MAX, |some, _| {
                keys.extend_from_slice(some);
                Ok(())
            })?;
        }
        let mut extra = Vec::new();
        if self.record.is_none() || !self.units_are_there(view) {
            // A flush moved rows after the last round: the list is written again, inside the turn.
            self.store(stage, victims)?;
        } else {
            extra.extend(victims.iter().filter(|victim| !self.stored.contains(*victim)).map(Op::Delete));
        }
        let mut segments = Vec::with_capacity(stage.segments().len());
        let mut installed = Vec::with_capacity(stage.segments().len());
        for staged in stage.segments() {
            let segment = &staged.segment;
            let deletes = stage.deletes(segment);
            installed.push(InstalledSegment {
                unit: segment.unit(),
                rows: segment.rows(),
                meta_crc: staged.meta_crc,
                deletes: if deletes.deleted() == 0 { Vec::new() } else { deletes.encode() },
            });
            segments.push(NewSegment {
                segment: Arc::clone(segment),
                deletes,
                run: staged.run.as_ref().map(Arc::clone),
            });
        }
        let record = StagedCommit {
            table: view.schema.id,
            shard: ShardId::new(0),
            schema_version: view.schema.version,
            segments: installed,
            victims: self.record.clone().unwrap_or(Victims::Inline(Vec::new())),
        };
        // The record's own list, dead ones included: replay does the same as the tail.
        let victims = std::mem::take(&mut self.stored);
        Ok((StagedPart { segments, victims, record, keys }, extra))
    }

    /// The name of the victims file, if there is one.
    pub(super) fn file(&self) -> Option<&str> {
        match &self.record {
            Some(Victims::File { name, .. }) => Some(name),
            Some(Victims::Inline(_)) | None => None,
        }
    }

    fn store(&mut self, stage: &mut Stage, victims: RowSet) -> Result<()> {
        let record = store_victims(stage.node(), &victims)?;
        if let Victims::File { name, .. } = &record {
            stage.own_victims_file(name);
        }
        self.stored = victims;
        self.record = Some(record);
        Ok(())
    }

    fn units_are_there(&self, view: &TailView<'_>) -> bool {
        self.stored.units().all(|unit| view.state.has_unit(unit))
    }
}

/// Keys that a turn resolves again at most before it would rather be another round.
const STALE_KEYS_MAX: usize = 4_096;

/// Rows of one call of a callback, and keys of one look-up.
pub(super) const CHUNK_ROWS: usize = 8_192;
