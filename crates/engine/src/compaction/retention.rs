//! Retention: rows that are older than their table keeps them are deleted, by commits like any other.
//!
//! From time to time the worker goes through the tables that have a retention. Segments all of whose rows are too old, by
//! their metadata alone, leave with one record ([`expire`]); of the others, and of memtables, the rows that are too old are
//! found by a scan that zone maps narrow, and are deleted by address. So counts are exact, snapshots stay as they are, the log
//! names what died, and no reader knows any rule. Time is the wall clock; a leap of it is not believed for a while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, TimestampMicrosecondType, UInt32Type};
use arrow_array::{Array, RecordBatch};
use outcrop_types::{Column, CommitSeq, CompareOp, Predicate, Result, RowAddress, RowOrdinal, TableId, UnitId, Value};

use crate::ScanColumn;
use crate::commit::{Caller, CommitHandle, Keep, commit_statement, only_shard};
use crate::node::Node;
use crate::rewrite::{Installed, expire, is_harmless};
use crate::snapshot::{Morsel, SegmentView, Snapshot, TableSnapshot};
use crate::write::{Changes, Target};

/// What the worker knows of retention between two steps.
pub(super) struct Retention {
    /// When tables are looked at next.
    due: Duration,
    clock: WallClock,
    /// Tables that are still to be looked at, and the time for all of them.
    left: VecDeque<TableId>,
    now_us: i64,
    scan: Option<Scan>,
}

/// Looks for rows of a table that are too old.
struct Scan {
    snapshot: Snapshot,
    table: TableSnapshot,
    limit: Limit,
    predicate: Predicate,
    left: VecDeque<Morsel>,
    found: Vec<RowAddress>,
}

/// Rows up to this time are too old.
#[derive(Clone, Debug)]
struct Limit {
    column: Column,
    value: Value,
}

impl Retention {
    pub(super) fn new(node: &Node) -> Self {
        let now = node.env.clock.monotonic();
        Self {
            due: now + node.options.retention_interval,
            clock: WallClock::new(now, node.env.clock.wall_us()),
            left: VecDeque::new(),
            now_us: 0,
            scan: None,
        }
    }

    /// How long until there is something to do.
    pub(super) fn due_in(&self, node: &Node) -> Duration {
        self.due.saturating_sub(node.env.clock.monotonic())
    }

    /// Whether a pass through the tables is not at its end.
    pub(super) fn is_at_work(&self) -> bool {
        self.scan.is_some() || !self.left.is_empty()
    }

    /// Does one piece of the work; returns the commit that it led to.
    ///
    /// # Errors
    /// `DiskFull`, `InsufficientResources`: a later pass does it. Anything else: poison (W9).
    pub(super) fn step(&mut self, node: &Arc<Node>) -> Result<Option<CommitSeq>> {
        if let Some(scan) = &mut self.scan {
            let (seq, over) = scan.step(node)?;
            if over {
                self.scan = None;
            }
            return Ok(seq);
        }
        if let Some(table) = self.left.pop_front() {
            return self.begin_table(node, table);
        }
        let now = node.env.clock.monotonic();
        if now < self.due {
            return Ok(None);
        }
        self.due = now + node.options.retention_interval;
        let wall_us = node.env.clock.wall_us();
        if self.clock.is_believed(now, wall_us) {
            self.now_us = wall_us;
            let version = node.published.load();
            let with_retention = version.tables.iter().filter(|(_, table)| table.schema.options.retention.is_some());
            self.left = with_retention.map(|(table, _)| *table).collect();
        }
        Ok(None)
    }

    /// Takes out the segments that are too old as a whole, and begins to look for rows in what is left.
    fn begin_table(&mut self, node: &Arc<Node>, table: TableId) -> Result<Option<CommitSeq>> {
        let snapshot = node.snapshot();
        let (Some(view), Some(found)) = (snapshot.table(table), snapshot.version().tables.get(&table)) else {
            return Ok(None);
        };
        let Some(limit) = Limit::of(&view, self.now_us) else { return Ok(None) };
        let state = only_shard(found)?;
        let expired = state.segments().filter(|segment| segment.deletes.live() > 0 && limit.covers(segment));
        let (units, rows): (Vec<UnitId>, Vec<u64>) =
            expired.map(|segment| (segment.segment.unit(), u64::from(segment.deletes.live()))).unzip();
        if units.is_empty() {
            self.scan = Some(Scan::new(snapshot, view, limit));
            return Ok(None);
        }
        // With the next step the others are looked at, without these.
        self.left.push_front(table);
        let Some(Installed { seq, handle }) = expire(node, table, &units)? else { return Ok(None) };
        tracing::info!(table = %view.schema().name, segments = units.len(), "segments expired");
        node.note_install(seq);
        when_durable(node, handle, rows.into_iter().sum());
        Ok(Some(seq))
    }
}

impl Scan {
    fn new(snapshot: Snapshot, table: TableSnapshot, limit: Limit) -> Self {
        let predicate = Predicate::Compare(limit.column.id, CompareOp::LessOrEqual, limit.value.clone());
        let left = table.morsels(SCAN_ROWS).into();
        Self { snapshot, table, limit, predicate, left, found: Vec::new() }
    }

    /// Reads a piece, or deletes what was found; says whether it is at its end.
    fn step(&mut self, node: &Arc<Node>) -> Result<(Option<CommitSeq>, bool)> {
        while self.found.len() < VICTIMS_MAX {
            let Some(morsel) = self.left.pop_front() else { break };
            if !self.table.may_match(&morsel, &self.predicate) {
                continue;
            }
            let columns = [ScanColumn::Column(self.limit.column.id), ScanColumn::Row];
            match self.table.scan(&morsel, &columns, Some(&self.predicate)) {
                Ok(rows) => self.found.extend(self.limit.expired(&rows, morsel.unit)),
                Err(error) if is_harmless(&error) => return Err(error),
                // Reads of these rows say why; the others go on.
                Err(error) => tracing::error!(%error, "rows cannot be looked at for retention"),
            }
            return Ok((None, false));
        }
        let over = self.left.is_empty();
        if self.found.is_empty() {
            return Ok((None, over));
        }
        let found = std::mem::take(&mut self.found);
        Ok((self.delete(node, &found)?, over))
    }

    /// Deletes rows. One that was changed or deleted since it was found is another row, or none.
    fn delete(&self, node: &Arc<Node>, rows: &[RowAddress]) -> Result<Option<CommitSeq>> {
        let Ok(target) = Target::new(node, &self.snapshot, self.table.schema().id) else { return Ok(None) };
        let mut changes = Changes::new(self.table.clone(), None);
        changes.delete(rows);
        let caller = Caller { keep: Keep::Counts, last_word: None };
        let handle = commit_statement(node, &target.shard, &target.schema, &mut changes, caller);
        let seq = node.tail.lock().version().seq;
        tracing::debug!(table = %target.schema.name, rows = rows.len(), "rows expired");
        when_durable(node, handle, 0);
        Ok(Some(seq))
    }
}

impl Limit {
    /// The limit of a table at this time; `None` without retention.
    fn of(table: &TableSnapshot, now_us: i64) -> Option<Self> {
        let retention = table.schema().options.retention?;
        let column = table.schema().column(retention.column)?.clone();
        let value = retention.limit(&column.data_type, now_us)?;
        Some(Self { column, value })
    }

    /// Whether all rows of a segment are too old, dead ones included.
    fn covers(&self, segment: &SegmentView<'_>) -> bool {
        let is_old = |value: &Value| value.compare(&self.value).is_some_and(std::cmp::Ordering::is_le);
        match segment.segment.meta().column(self.column.id) {
            Some(known) => known.null_count == 0 && known.max.as_ref().is_some_and(is_old),
            // Its rows are older than the column.
            None => is_old(&self.column.initial_default),
        }
    }

    /// The rows of a scan that are too old: it may bring others.
    fn expired(&self, rows: &RecordBatch, unit: UnitId) -> Vec<RowAddress> {
        let [times, numbers] = rows.columns() else { return Vec::new() };
        let numbers = numbers.as_primitive::<UInt32Type>();
        let is_old: Box<dyn Fn(usize) -> bool> = match &self.value {
            Value::Timestamp(limit) | Value::TimestampTz(limit) => {
                let times = times.as_primitive::<TimestampMicrosecondType>();
                Box::new(move |row| times.values().get(row).is_some_and(|time| time <= limit))
            }
            Value::Date(limit) => {
                let days = times.as_primitive::<Date32Type>();
                Box::new(move |row| days.values().get(row).is_some_and(|day| day <= limit))
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Decimal(..)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Time(_)
            | Value::Uuid(_)
            | Value::Array(_) => return Vec::new(),
        };
        let old = numbers.values().iter().enumerate().filter(|(row, _)| times.is_valid(*row) && is_old(*row));
        old.map(|(_, number)| RowAddress::new(unit, RowOrdinal::new(*number))).collect()
    }
}

/// Counts the rows of a commit when it is durable, beside those that it counts itself, and lets the worker go on.
fn when_durable(node: &Arc<Node>, handle: CommitHandle, rows: u64) {
    let node = Arc::clone(node);
    handle.on_done(move |outcome| {
        match outcome {
            Ok(commit) => {
                node.counters.expired_rows.fetch_add(rows + commit.deleted, Ordering::Relaxed);
            }
            // What was not deleted now is by a later pass.
            Err(error) => tracing::warn!(%error, "rows could not be expired"),
        }
        node.compaction_signal.notify();
        node.progress.notify();
    });
}

/// The wall clock, watched: rows that a clock set to next year would let go are not to come back.
#[derive(Clone, Copy, Debug)]
struct WallClock {
    /// When it was looked at last, on both clocks.
    seen: Duration,
    seen_us: i64,
    /// Until then a leap is not believed.
    doubted_until: Option<Duration>,
}

impl WallClock {
    fn new(now: Duration, wall_us: i64) -> Self {
        Self { seen: now, seen_us: wall_us, doubted_until: None }
    }

    /// Whether the wall clock goes as the other one does, or did so for long enough since it leapt.
    fn is_believed(&mut self, now: Duration, wall_us: i64) -> bool {
        let passed_us = i64::try_from(now.saturating_sub(self.seen).as_micros()).unwrap_or(i64::MAX);
        let leap_us = wall_us.saturating_sub(self.seen_us).saturating_sub(passed_us);
        (self.seen, self.seen_us) = (now, wall_us);
        if leap_us > LEAP_US_MAX {
            tracing::warn!(seconds = leap_us / 1_000_000, "the wall clock leapt ahead; retention waits");
            self.doubted_until = Some(now + DOUBT);
        } else if leap_us < -LEAP_US_MAX {
            // It was set back: what comes now is what it was before.
            self.doubted_until = None;
        }
        self.doubted_until = self.doubted_until.filter(|until| now < *until);
        self.doubted_until.is_none()
    }
}

/// Rows that are looked at in one step.
const SCAN_ROWS: u32 = 65_536;
/// Rows that one commit deletes, about.
const VICTIMS_MAX: usize = 32_768;
/// The clock may be corrected by so much at once.
const LEAP_US_MAX: i64 = 3_600 * 1_000_000;
/// For so long a larger leap is not believed.
const DOUBT: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
