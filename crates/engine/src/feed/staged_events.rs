//! The rows of a staged commit, as events: read from its segments, a batch at a time, and paired by key.
//!
//! A staged commit says which rows die and which segments come, not which row replaces which. Victims are taken in runs of
//! a bounded length: their keys go into a map, a scan of the new keys finds the rows that replace them, and what
//! the map has left was deleted. Rows that no run found are new. So memory does not depend on the size of the commit, but
//! for a bit for each row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use outcrop_format::record::{InstalledSegment, StagedCommit, Victims};
use outcrop_segment::ScanColumn;
use outcrop_types::{ColumnId, Error, Result, RowAddress, RowOrdinal, TableSchema};

use super::batches::{BatchSize, FeedEvent};
use super::live_rows::LiveRows;
use super::old_rows::OldRows;
use crate::key_index::{KeyEncoder, KeyHash};
use crate::node::{Node, SEGMENT_DIR};
use crate::stage::{RowSet, read_victims};

/// Updates and deletes, run by run, then inserts.
pub(super) struct StagedEvents {
    table: Arc<TableSchema>,
    columns: Vec<ColumnId>,
    /// The rows that came.
    new: LiveRows,
    /// The key of the table; without one nothing is replaced.
    key: Option<(KeyEncoder, Vec<ColumnId>)>,
    /// Rows that die and are in no run yet.
    victims: RowSet,
    /// What the run has: victims, and the rows in their place.
    updated: Vec<(RowAddress, RowAddress)>,
    deleted: Vec<RowAddress>,
    /// Rows that replace others.
    replacing: RowSet,
    size: BatchSize,
}

impl StagedEvents {
    /// The events of a staged commit; `deleted` are rows that its record deletes besides.
    ///
    /// # Errors
    /// `DataCorrupted` when a file is not the one that the record names; `IoError`.
    pub(super) fn new(
        node: &Node,
        table: &Arc<TableSchema>,
        commit: &StagedCommit,
        deleted: impl Iterator<Item = RowAddress>,
        old_rows: &mut OldRows,
    ) -> Result<Self> {
        let mut victims: RowSet = match &commit.victims {
            Victims::Inline(victims) => victims.iter().copied().collect(),
            Victims::File { name, count, crc32c } => {
                read_victims(&node.env, &node.identity, name, *count, *crc32c)?.into_iter().collect()
            }
        };
        victims.extend(deleted);
        let mut new = LiveRows::new(table);
        for InstalledSegment { unit, rows, deletes, .. } in &commit.segments {
            let segment = old_rows.segment(table.id, *unit)?;
            if segment.rows() != *rows {
                let place = format!("{SEGMENT_DIR}: segment {unit}");
                return Err(Error::corrupt(place, 0, "it is not the one that the log names"));
            }
            new.add(segment, deletes)?;
        }
        let key = table.primary_key().map(|key| (KeyEncoder::new(table, key), key.columns.clone()));
        Ok(Self {
            table: Arc::clone(table),
            columns: table.columns.iter().map(|column| column.id).collect(),
            new,
            key,
            victims,
            updated: Vec::new(),
            deleted: Vec::new(),
            replacing: RowSet::default(),
            size: BatchSize::new(),
        })
    }

    /// The next event; `None` after the last.
    ///
    /// # Errors
    /// Those of [`OldRows::fetch`].
    pub(super) fn next(&mut self, old_rows: &mut OldRows) -> Result<Option<FeedEvent>> {
        let table = Arc::clone(&self.table);
        if self.updated.is_empty() && self.deleted.is_empty() && !self.victims.is_empty() {
            self.begin_run(old_rows)?;
        }
        if !self.deleted.is_empty() {
            let some = self.deleted.split_off(self.deleted.len().saturating_sub(self.size.rows()));
            let old = old_rows.fetch(&table, &self.columns, &some)?;
            self.size.learn(&old);
            return Ok(Some(FeedEvent::Deleted { table, old }));
        }
        if !self.updated.is_empty() {
            let some = self.updated.split_off(self.updated.len().saturating_sub(self.size.rows()));
            let (victims, rows): (Vec<RowAddress>, Vec<RowAddress>) = some.into_iter().unzip();
            let old = old_rows.fetch(&table, &self.columns, &victims)?;
            let new = old_rows.fetch(&table, &self.columns, &rows)?;
            self.size.learn(&old);
            return Ok(Some(FeedEvent::Updated { table, old, new }));
        }
        let new = self.new.next(&self.replacing)?;
        Ok(new.map(|new| FeedEvent::Inserted { table, new }))
    }

    /// Takes the next run of victims, and finds what replaces them.
    fn begin_run(&mut self, old_rows: &mut OldRows) -> Result<()> {
        let mut run = self.victims.take_first(RUN_ROWS);
        let Some((encoder, key)) = &self.key else {
            // Taken from the end.
            run.reverse();
            self.deleted = run;
            return Ok(());
        };
        let mut wanted: HashMap<KeyHash, RowAddress> = HashMap::with_capacity(run.len());
        for some in run.chunks(KEY_ROWS) {
            let keys = old_rows.fetch(&self.table, key, some)?;
            let hashes = encoder.encode_wanted(keys.columns())?;
            wanted.extend(hashes.into_iter().zip(some.iter().copied()));
        }
        let mut scanned: Vec<ScanColumn> = key.iter().map(|column| ScanColumn::Column(*column)).collect();
        scanned.push(ScanColumn::Row);
        for (segment, deletes) in self.new.segments() {
            let mut start = 0;
            while start < segment.rows() && !wanted.is_empty() {
                let range = start..start.saturating_add(KEY_SCAN_ROWS).min(segment.rows());
                start = range.end;
                let live = deletes.live_mask(range.clone());
                let (_, mut keys, _) =
                    segment.scan(&self.table, &scanned, range, live.as_ref(), None)?.batch.into_parts();
                let Some(numbers) = keys.pop() else { continue };
                let hashes = encoder.encode_wanted(&keys)?;
                for (hash, row) in hashes.iter().zip(numbers.as_primitive::<UInt32Type>().values()) {
                    if let Some(victim) = wanted.remove(hash) {
                        let row = RowAddress::new(segment.unit(), RowOrdinal::new(*row));
                        self.replacing.insert(row);
                        self.updated.push((victim, row));
                    }
                }
            }
        }
        self.deleted = wanted.into_values().collect();
        // In order, so that two readers are shown the same.
        self.deleted.sort_unstable_by(|a, b| b.cmp(a));
        self.updated.sort_unstable_by(|a, b| b.cmp(a));
        Ok(())
    }
}

/// Victims of a run: the keys and addresses of so many are in memory at once.
const RUN_ROWS: usize = 1 << 19;
/// Keys of victims that are read at once.
const KEY_ROWS: usize = 8_192;
/// Rows whose keys are scanned at once.
const KEY_SCAN_ROWS: u32 = 65_536;
