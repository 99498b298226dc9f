//! The cursors of a log, and what left its tables while they follow them. Pure.

use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use outcrop_format::feed::{FeedChange, FeedTables, KeptSchema, KeptUnit, ManifestCursor, ManifestFeeds};
use outcrop_types::{CommitSeq, Condition, Error, Result, TableId, TableSchema, UnitId};

use crate::snapshot::{ShardState, TableState};

/// All cursors at one commit. Persistent: versions share it until a cursor or something that it keeps changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feeds {
    cursors: OrdMap<Arc<str>, Cursor>,
    /// Units that left tables that are followed.
    units: OrdMap<UnitId, KeptUnit>,
    /// Schemas that were replaced, by table and by the commit that did it.
    schemas: OrdMap<(TableId, CommitSeq), Arc<TableSchema>>,
}

/// One cursor.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    pub(crate) tables: FeedTables,
    /// The last commit that its consumer has.
    pub(crate) position: CommitSeq,
    /// Why it keeps nothing any more.
    pub(crate) ended: Option<Arc<str>>,
}

impl Cursor {
    /// Whether rows of the table that were there at `position` or came later must stay readable.
    fn follows(&self, table: TableId) -> bool {
        self.ended.is_none() && self.tables.has(table)
    }
}

impl Feeds {
    /// The cursors of a manifest.
    pub(crate) fn of_manifest(manifest: &ManifestFeeds) -> Self {
        let cursor = |found: &ManifestCursor| {
            let ManifestCursor { name, tables, position, ended } = found;
            let ended = ended.as_deref().map(Arc::from);
            (Arc::from(name.as_str()), Cursor { tables: tables.clone(), position: *position, ended })
        };
        let schema = |kept: &KeptSchema| ((kept.schema.id, kept.left_at), Arc::new(kept.schema.clone()));
        Self {
            cursors: manifest.cursors.iter().map(cursor).collect(),
            units: manifest.units.iter().map(|kept| (kept.unit, kept.clone())).collect(),
            schemas: manifest.schemas.iter().map(schema).collect(),
        }
    }

    /// What a manifest says of them.
    pub(crate) fn to_manifest(&self) -> ManifestFeeds {
        let cursor = |(name, cursor): (&Arc<str>, &Cursor)| ManifestCursor {
            name: name.to_string(),
            tables: cursor.tables.clone(),
            position: cursor.position,
            ended: cursor.ended.as_deref().map(str::to_owned),
        };
        let schema = |((_, left_at), schema): (&(TableId, CommitSeq), &Arc<TableSchema>)| KeptSchema {
            left_at: *left_at,
            schema: TableSchema::clone(schema),
        };
        ManifestFeeds {
            cursors: self.cursors.iter().map(cursor).collect(),
            units: self.units.values().cloned().collect(),
            schemas: self.schemas.iter().map(schema).collect(),
        }
    }

    /// Applies a change that has its place in the log as commit `seq`.
    pub(crate) fn apply(&mut self, seq: CommitSeq, change: &FeedChange) {
        match change {
            FeedChange::Create { name, tables } => {
                let cursor = Cursor { tables: tables.clone(), position: seq, ended: None };
                self.cursors.insert(Arc::from(name.as_str()), cursor);
            }
            FeedChange::Advance { name, to } => {
                if let Some(cursor) = self.cursors.get_mut(name.as_str()) {
                    cursor.position = cursor.position.max(*to);
                }
            }
            FeedChange::End { name, reason } => {
                if let Some(cursor) = self.cursors.get_mut(name.as_str()) {
                    cursor.ended = Some(Arc::from(reason.as_str()));
                }
            }
            FeedChange::Drop { name } => {
                self.cursors.remove(name.as_str());
            }
        }
        self.forget_passed();
    }

    /// Retention took segments of a table out with commit `at`, and their rows with them.
    pub(crate) fn note_expired(&mut self, at: CommitSeq, table: TableId, before: &ShardState, units: &[UnitId]) {
        self.note_units(at, table, before, units);
        for unit in units {
            if let (Some(kept), Some(deletes)) = (self.units.get_mut(unit), before.deletes(*unit)) {
                let deletes = if deletes.deleted() == 0 { Vec::new() } else { deletes.encode() };
                kept.expired = Some(Bytes::from(deletes));
            }
        }
    }

    /// Units of a table left with commit `at`.
    pub(crate) fn note_units(&mut self, at: CommitSeq, table: TableId, before: &ShardState, units: &[UnitId]) {
        if !self.is_followed(table) {
            return;
        }
        for unit in units {
            if let Some(view) = before.segment(*unit) {
                let bytes = view.segment.bytes();
                self.units
                    .insert(*unit, KeptUnit { unit: *unit, table, left_at: at, bytes, first_seq: None, expired: None });
            }
        }
        for generation in before.generations().filter(|generation| units.contains(&generation.unit)) {
            let unit = generation.unit;
            if generation.first_seq.is_some() {
                let kept =
                    KeptUnit { unit, table, left_at: at, bytes: 0, first_seq: generation.first_seq, expired: None };
                self.units.insert(unit, kept);
            }
        }
    }

    /// All rows of a table left with commit `at`.
    pub(crate) fn note_emptied(&mut self, at: CommitSeq, table: &TableState) {
        for shard in &table.shards {
            let segments = shard.segments().map(|view| view.segment.unit());
            let units: Vec<UnitId> = segments.chain(shard.generations().map(|generation| generation.unit)).collect();
            self.note_units(at, table.schema.id, shard, &units);
        }
    }

    /// A schema was replaced, or its table dropped, with commit `at`.
    pub(crate) fn note_schema(&mut self, at: CommitSeq, schema: &Arc<TableSchema>) {
        if self.is_followed(schema.id) {
            self.schemas.insert((schema.id, at), Arc::clone(schema));
        }
    }

    /// A cursor by name.
    ///
    /// # Errors
    /// `UndefinedObject`.
    pub(crate) fn cursor(&self, name: &str) -> Result<&Cursor> {
        self.cursors
            .get(name)
            .ok_or_else(|| Error::new(Condition::UndefinedObject, format!("feed cursor \"{name}\" does not exist")))
    }

    /// A cursor that still keeps what its consumer has not seen.
    ///
    /// # Errors
    /// `UndefinedObject`; `ObjectNotInPrerequisiteState` when it was ended, with the reason.
    pub(crate) fn active_cursor(&self, name: &str) -> Result<&Cursor> {
        let cursor = self.cursor(name)?;
        match &cursor.ended {
            None => Ok(cursor),
            Some(reason) => Err(Error::new(
                Condition::ObjectNotInPrerequisiteState,
                format!("feed cursor \"{name}\" was ended behind commit {}", cursor.position),
            )
            .with_detail(format!("Reason: {reason}. Changes after that commit may be gone."))
            .with_hint("Drop it, create it anew, and begin with a snapshot of the tables.")),
        }
    }

    /// All cursors, by name.
    pub(crate) fn cursors(&self) -> impl Iterator<Item = (&Arc<str>, &Cursor)> {
        self.cursors.iter()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.cursors.len()
    }

    /// Whether a cursor follows the table.
    pub(crate) fn is_followed(&self, table: TableId) -> bool {
        self.cursors.values().any(|cursor| cursor.follows(table))
    }

    /// Whether the files of a segment that left must stay.
    pub(crate) fn keeps(&self, unit: UnitId) -> bool {
        self.units.contains_key(&unit)
    }

    /// Whether a unit that left was a generation.
    pub(crate) fn keeps_generation(&self, unit: UnitId) -> bool {
        self.units.get(&unit).is_some_and(|kept| kept.first_seq.is_some())
    }

    /// Rows of a segment that were dead when retention took it out with the others.
    pub(crate) fn dead_when_expired(&self, unit: UnitId) -> Option<&Bytes> {
        self.units.get(&unit)?.expired.as_ref()
    }

    /// Segments that left and must stay.
    pub(crate) fn kept_segments(&self) -> impl Iterator<Item = UnitId> {
        self.units.values().filter(|kept| kept.first_seq.is_none()).map(|kept| kept.unit)
    }

    /// The position of the cursor that is furthest behind; `None` if none keeps anything.
    pub(crate) fn oldest_position(&self) -> Option<CommitSeq> {
        self.cursors.values().filter(|cursor| cursor.ended.is_none()).map(|cursor| cursor.position).min()
    }

    /// The first commit that a cursor needs from the log. `tables` are those of the same version.
    pub(crate) fn log_from(&self, cursor: &Cursor, tables: &OrdMap<TableId, Arc<TableState>>) -> CommitSeq {
        let followed = tables.iter().filter(|(table, _)| cursor.follows(**table));
        let states = followed.flat_map(|(_, table)| &table.shards);
        let in_memory =
            states.flat_map(|shard| shard.generations().filter_map(|generation| generation.first_seq).min());
        let left = self.units.values().filter(|kept| cursor.follows(kept.table) && kept.left_at > cursor.position);
        let next = CommitSeq::new(cursor.position.get().saturating_add(1));
        in_memory.chain(left.filter_map(|kept| kept.first_seq)).fold(next, CommitSeq::min)
    }

    /// As [`Feeds::log_from`], for all cursors that keep anything.
    pub(crate) fn all_log_from(&self, tables: &OrdMap<TableId, Arc<TableState>>) -> Option<CommitSeq> {
        let active = self.cursors.values().filter(|cursor| cursor.ended.is_none());
        active.map(|cursor| self.log_from(cursor, tables)).min()
    }

    /// Bytes of the files of segments that left and that a cursor keeps.
    pub(crate) fn segment_bytes(&self, cursor: &Cursor) -> u64 {
        let kept = self.units.values().filter(|kept| cursor.follows(kept.table) && kept.left_at > cursor.position);
        kept.map(|kept| kept.bytes).sum()
    }

    /// The schemas that tables had at a commit, as far as they were replaced since.
    pub(crate) fn schemas_at(&self, position: CommitSeq) -> impl Iterator<Item = (TableId, &Arc<TableSchema>)> {
        let mut last = None;
        let later = self.schemas.iter().filter(move |((_, left_at), _)| *left_at > position);
        later.filter_map(move |((table, _), schema)| (last.replace(*table) != Some(*table)).then_some((*table, schema)))
    }

    /// Lets go of what every cursor that follows its table has passed.
    fn forget_passed(&mut self) {
        let needed = |cursors: &OrdMap<Arc<str>, Cursor>, table, left_at| {
            cursors.values().any(|cursor| cursor.follows(table) && cursor.position < left_at)
        };
        let cursors = &self.cursors;
        let is_passed = |kept: &&KeptUnit| !needed(cursors, kept.table, kept.left_at);
        let passed: Vec<UnitId> = self.units.values().filter(is_passed).map(|kept| kept.unit).collect();
        let is_passed = |(table, left_at): &&(TableId, CommitSeq)| !needed(cursors, *table, *left_at);
        let passed_schemas: Vec<(TableId, CommitSeq)> = self.schemas.keys().filter(is_passed).copied().collect();
        passed.iter().for_each(|unit| {
            self.units.remove(unit);
        });
        passed_schemas.iter().for_each(|schema| {
            self.schemas.remove(schema);
        });
    }
}
