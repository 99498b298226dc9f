//! A feed: reads the log behind a cursor, commit by commit.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imbl::OrdMap;
use outcrop_format::CommitRecord;
use outcrop_format::feed::FeedTables;
use outcrop_format::record::{Change, DdlChange, Install, Op, Ops, StagedCommit, Victims};
use outcrop_log::{LogExtent, LogReader, RecordPlace};
use outcrop_types::{CommitSeq, Condition, Error, Result, RowAddress, TableId, TableSchema, UnitId};

use super::batches::FeedEvent;
use super::earlier_rows::EarlierRows;
use super::live_rows::LiveRows;
use super::old_rows::OldRows;
use super::row_events::{OwnDeletes, RowEvents};
use super::staged_events::StagedEvents;
use crate::node::{LOG_DIR, Node};
use crate::snapshot::Version;
use crate::stage::RowSet;

/// The commits behind a cursor, in order. It sees published commits only, and may be used on any thread.
///
/// Reading advances nothing: [`crate::Engine::advance_feed_cursor`] does, once the consumer has stored what it read.
/// Several feeds may read behind one cursor.
pub struct Feed {
    node: Arc<Node>,
    cursor: String,
    tables: FeedTables,
    /// The last commit that was shown whole, or had nothing to show.
    position: CommitSeq,
    /// Schemas of the tables at `position`.
    schemas: Schemas,
    /// Files and what was read ahead; `None` before the first read, and after one that failed.
    reading: Option<Reading>,
}

type Schemas = OrdMap<TableId, Arc<TableSchema>>;

struct Reading {
    old_rows: OldRows,
    /// The last commit that was taken out of the log.
    scanned: CommitSeq,
    /// Records that were read and not passed, oldest first.
    ahead: VecDeque<(CommitSeq, Bytes, RecordPlace)>,
}

/// One commit of a feed. It counts as shown when its last event was taken; dropped before, it comes again.
pub struct FeedCommit<'a> {
    feed: &'a mut Feed,
    record: CommitRecord,
    place: RecordPlace,
    sources: VecDeque<Source>,
    /// Schemas after it.
    schemas: Schemas,
    done: bool,
}

/// Where events come from.
enum Source {
    Event(FeedEvent),
    Rows(RowEvents),
    /// Files are opened when it is its turn.
    Staged(Arc<TableSchema>, StagedCommit, Vec<RowAddress>),
    StagedRows(Box<StagedEvents>),
    /// Segments that retention took out.
    Expired(Arc<TableSchema>, Vec<UnitId>),
    ExpiredRows(Arc<TableSchema>, LiveRows),
}

impl Feed {
    /// A feed of the commits after `after`, or after the cursor's position.
    ///
    /// # Errors
    /// Those of [`crate::Engine::feed`].
    pub(crate) fn open(node: &Arc<Node>, name: &str, after: Option<CommitSeq>) -> Result<Self> {
        let version = node.published.load_full();
        let cursor = version.feeds.active_cursor(name)?;
        let position = after.unwrap_or(cursor.position);
        if position < cursor.position {
            return Err(gone(name, position, cursor.position));
        }
        if position > version.seq {
            let message = format!("commit {position} is not visible yet");
            return Err(Error::new(Condition::InvalidParameterValue, message)
                .with_detail(format!("The newest visible commit is {}.", version.seq)));
        }
        let tables = cursor.tables.clone();
        let schemas = schemas_at(&version, position, &tables);
        Ok(Self { node: Arc::clone(node), cursor: name.to_owned(), tables, position, schemas, reading: None })
    }

    /// The name of its cursor.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The last commit that was shown whole or had nothing to show: what the cursor may be advanced to when all of it is
    /// stored.
    pub fn position(&self) -> CommitSeq {
        self.position
    }

    /// The next commit that changes one of the tables. Waits up to `timeout` for it; `None` when the time is over. Blocks the
    /// calling thread. Commits of other tables are passed over, and [`Feed::position`] moves.
    ///
    /// # Errors
    /// `ObjectNotInPrerequisiteState` when the cursor was ended or advanced past this feed; `UndefinedObject` when it
    /// was dropped; `AdminShutdown` when the engine closes and everything was read; `DataCorrupted`, `IoError`, after which a
    /// later call tries again.
    pub fn next_commit(&mut self, timeout: Duration) -> Result<Option<FeedCommit<'_>>> {
        let clock = Arc::clone(&self.node.env.clock);
        let until = clock.monotonic().saturating_add(timeout);
        loop {
            self.check_cursor()?;
            let left = until.saturating_sub(clock.monotonic());
            let Some((record, place)) = self.next_record(left).map_err(|error| self.failed(error))? else {
                return Ok(None);
            };
            let mut schemas = self.schemas.clone();
            let sources = self.sources(&record, &mut schemas).map_err(|error| self.failed(error))?;
            if !sources.is_empty() {
                return Ok(Some(FeedCommit { feed: self, record, place, sources, schemas, done: false }));
            }
            self.pass(&record, place, schemas);
        }
    }

    /// The record after `position`, which stays the next one until it is passed.
    fn next_record(&mut self, timeout: Duration) -> Result<Option<(CommitRecord, RecordPlace)>> {
        if self.reading.is_none() {
            self.reading = Some(self.begin_reading()?);
        }
        let Some(reading) = &mut self.reading else { return Ok(None) };
        while reading.ahead.is_empty() {
            let (node, scanned, name) = (&self.node, reading.scanned, &self.cursor);
            let is_closed = || node.tail.lock().check_open().is_err();
            let has_more = || node.published_seq() > scanned;
            let lost = || node.published.load().feeds.active_cursor(name).is_err();
            node.env.tasks.wait_until(&node.progress, Some(timeout), &mut || has_more() || is_closed() || lost());
            if !has_more() {
                node.published.load().feeds.active_cursor(name)?;
                // A poisoned node has nothing more to show, and says nothing here: reads go on.
                let closing = node.tail.lock().poisoned().is_none() && is_closed();
                return if closing { node.tail.lock().check_open().map(|()| None) } else { Ok(None) };
            }
            reading.read_group(self.position, &node.log_extents.load())?;
        }
        let Some((seq, bytes, place)) = reading.ahead.front() else { return Ok(None) };
        decode(*seq, bytes).map(|record| Some((record, *place)))
    }

    /// Opens the log behind `position`. What came before is read when a row of it is asked for.
    fn begin_reading(&self) -> Result<Reading> {
        let version = self.node.published.load_full();
        let cursor = version.feeds.active_cursor(&self.cursor)?;
        let lost = || gone(&self.cursor, self.position, cursor.position);
        let from = self.position.next().ok_or_else(lost)?;
        let extents = self.node.log_extents.load_full();
        let log = LogReader::open(&self.node.env, LOG_DIR, self.node.log_id, &extents, from).ok_or_else(lost)?;
        let earlier = EarlierRows::new(&self.cursor, self.position, self.tables.clone());
        let old_rows = OldRows::new(&self.node, log, earlier);
        Ok(Reading { old_rows, scanned: self.position, ahead: VecDeque::new() })
    }

    /// What a record shows of the tables.
    fn sources(&self, record: &CommitRecord, schemas: &mut Schemas) -> Result<VecDeque<Source>> {
        let mut sources = VecDeque::new();
        let staged: Vec<TableId> = record.changes.iter().filter_map(staged_table).collect();
        for change in &record.changes {
            match change {
                Change::Rows(change) if self.tables.has(change.table) => {
                    let table = schema_of(schemas, change.table)?;
                    let is_staged = staged.contains(&change.table);
                    let deletes = if is_staged { OwnDeletes::Elsewhere } else { OwnDeletes::Shown };
                    sources.push_back(Source::Rows(RowEvents::new(record.seq, table, change, deletes)?));
                }
                Change::Staged(change) if self.tables.has(change.table) => {
                    let table = Arc::clone(schema_of(schemas, change.table)?);
                    let deleted = record.changes.iter().flat_map(|other| deleted_rows(other, change.table)).collect();
                    sources.push_back(Source::Staged(table, change.clone(), deleted));
                }
                Change::Ddl(change) => {
                    sources.extend(self.ddl_event(change, schemas).map(Source::Event));
                }
                Change::Install(change) if self.tables.has(change.table) && alters(record, change.table) => {
                    // New columns got values of their own: every row is written anew.
                    let table = Arc::clone(schema_of(schemas, change.table)?);
                    sources.push_back(Source::Event(FeedEvent::Truncated(Arc::clone(&table))));
                    sources.push_back(Source::Staged(Arc::clone(&table), as_staged(&table, change), Vec::new()));
                }
                Change::Expire(change) if self.tables.has(change.table) => {
                    let table = Arc::clone(schema_of(schemas, change.table)?);
                    sources.push_back(Source::Expired(table, change.units.clone()));
                }
                Change::Rows(_) | Change::Staged(_) | Change::Install(_) | Change::Expire(_) | Change::Feed(_) => {}
            }
        }
        Ok(sources)
    }

    fn ddl_event(&self, change: &DdlChange, schemas: &mut Schemas) -> Option<FeedEvent> {
        match change {
            DdlChange::CreateSchema { name } => {
                (self.tables == FeedTables::All).then(|| FeedEvent::SchemaCreated(name.clone()))
            }
            DdlChange::DropSchema { name } => {
                (self.tables == FeedTables::All).then(|| FeedEvent::SchemaDropped(name.clone()))
            }
            DdlChange::PutTable(schema) if self.tables.has(schema.id) => {
                let schema = Arc::new(schema.clone());
                schemas.insert(schema.id, Arc::clone(&schema));
                Some(FeedEvent::Table(schema))
            }
            DdlChange::DropTable { table } => schemas.remove(table).map(FeedEvent::TableDropped),
            DdlChange::Truncate { table } => schemas.get(table).map(|schema| FeedEvent::Truncated(Arc::clone(schema))),
            DdlChange::PutTable(_) => None,
        }
    }

    /// A record was shown, or had nothing to show.
    fn pass(&mut self, record: &CommitRecord, place: RecordPlace, schemas: Schemas) {
        if let Some(reading) = &mut self.reading {
            reading.ahead.pop_front();
            reading.old_rows.generations.pass(record, place, |table| self.tables.has(table));
        }
        self.position = record.seq;
        self.schemas = schemas;
    }

    /// What went wrong, said by the cursor if it is why. The next read begins anew.
    fn failed(&mut self, error: Error) -> Error {
        self.reading = None;
        self.check_cursor().err().unwrap_or(error)
    }

    /// Refuses when nothing keeps any more what this feed reads.
    fn check_cursor(&self) -> Result<()> {
        let version = self.node.published.load_full();
        let cursor = version.feeds.active_cursor(&self.cursor)?;
        if cursor.position > self.position {
            return Err(gone(&self.cursor, self.position, cursor.position));
        }
        Ok(())
    }
}

impl Reading {
    /// Takes the next group out of the log, which is visible and so in `extents`; records up to `after` are dropped. The file that
    /// was read before may be gone: the cursor keeps what comes, not what was passed.
    fn read_group(&mut self, after: CommitSeq, extents: &[LogExtent]) -> Result<()> {
        self.old_rows.log.skip_passed_files(extents);
        let group = self.old_rows.log.next_group()?;
        let place = group.place;
        for (seq, bytes) in group.records.into_iter().filter(|(seq, _)| *seq > after) {
            self.scanned = self.scanned.max(seq);
            self.ahead.push_back((seq, bytes, place));
        }
        Ok(())
    }
}

impl FeedCommit<'_> {
    /// Its place in the order of commits.
    pub fn seq(&self) -> CommitSeq {
        self.record.seq
    }

    /// Its wall clock, in µs since 1970: never going back, and no measure of order.
    pub fn wall_us(&self) -> i64 {
        self.record.wall_us
    }

    /// The next part of it; `None` after the last, and the commit is shown then.
    ///
    /// # Errors
    /// As [`Feed::next_commit`]. The commit comes again with the next call of that.
    pub fn next_event(&mut self) -> Result<Option<FeedEvent>> {
        match self.try_next_event() {
            Ok(event) => Ok(event),
            Err(error) => Err(self.feed.failed(error)),
        }
    }

    fn try_next_event(&mut self) -> Result<Option<FeedEvent>> {
        if self.done {
            return Ok(None);
        }
        let Some(reading) = &mut self.feed.reading else {
            return Err(Error::internal("a commit of a feed goes on after it failed"));
        };
        while let Some(source) = self.sources.pop_front() {
            let mut source = match source {
                Source::Event(event) => return Ok(Some(event)),
                Source::Staged(table, change, deleted) => {
                    let (node, deleted) = (&self.feed.node, deleted.into_iter());
                    let events = StagedEvents::new(node, &table, &change, deleted, &mut reading.old_rows)?;
                    Source::StagedRows(Box::new(events))
                }
                Source::Expired(table, units) => {
                    let rows = expired_rows(&self.feed.node, &table, &units, &mut reading.old_rows)?;
                    Source::ExpiredRows(table, rows)
                }
                source @ (Source::Rows(_) | Source::StagedRows(_) | Source::ExpiredRows(..)) => source,
            };
            let event = match &mut source {
                Source::Rows(rows) => rows.next(&mut reading.old_rows)?,
                Source::StagedRows(rows) => rows.next(&mut reading.old_rows)?,
                Source::ExpiredRows(table, rows) => {
                    let old = rows.next(&RowSet::default())?;
                    old.map(|old| FeedEvent::Deleted { table: Arc::clone(table), old })
                }
                Source::Event(_) | Source::Staged(..) | Source::Expired(..) => None,
            };
            if event.is_some() {
                self.sources.push_front(source);
                return Ok(event);
            }
        }
        self.done = true;
        self.feed.pass(&self.record, self.place, self.schemas.clone());
        Ok(None)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("cursor", &self.cursor).field("position", &self.position).finish_non_exhaustive()
    }
}

impl fmt::Debug for FeedCommit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedCommit").field("seq", &self.record.seq).finish_non_exhaustive()
    }
}

pub(super) fn decode(seq: CommitSeq, bytes: &[u8]) -> Result<CommitRecord> {
    CommitRecord::decode(bytes).map_err(|error| error.in_file(format!("{LOG_DIR}: record {seq}"), 0))
}

/// The rows that went with segments which retention took out.
fn expired_rows(node: &Node, table: &Arc<TableSchema>, units: &[UnitId], old_rows: &mut OldRows) -> Result<LiveRows> {
    let feeds = Arc::clone(&node.published.load().feeds);
    let mut rows = LiveRows::new(table);
    for unit in units {
        let dead = feeds.dead_when_expired(*unit);
        let dead = dead.ok_or_else(|| Error::internal(format!("nothing is known of expired segment {unit}")))?;
        rows.add(old_rows.segment(table.id, *unit)?, dead)?;
    }
    Ok(rows)
}

/// Whether a record alters a table: an install in it does more than a flush or a compaction.
fn alters(record: &CommitRecord, table: TableId) -> bool {
    let puts = |change: &Change| matches!(change, Change::Ddl(DdlChange::PutTable(schema)) if schema.id == table);
    record.changes.iter().any(puts)
}

/// The rows of an install's outputs, as a commit that brings them.
fn as_staged(table: &TableSchema, install: &Install) -> StagedCommit {
    StagedCommit {
        table: install.table,
        shard: install.shard,
        schema_version: table.version,
        segments: install.outputs.clone(),
        victims: Victims::Inline(Vec::new()),
    }
}

fn staged_table(change: &Change) -> Option<TableId> {
    match change {
        Change::Staged(change) => Some(change.table),
        Change::Rows(_) | Change::Ddl(_) | Change::Install(_) | Change::Expire(_) | Change::Feed(_) => None,
    }
}

/// Rows of a table that a change deletes and does not replace.
fn deleted_rows(change: &Change, table: TableId) -> Vec<RowAddress> {
    match change {
        Change::Rows(change) if change.table == table => match &change.ops {
            Ops::AllInserts { .. } => Vec::new(),
            Ops::List(ops) => ops.iter().filter_map(deleted_row).collect(),
        },
        Change::Rows(_)
        | Change::Staged(_)
        | Change::Ddl(_)
        | Change::Install(_)
        | Change::Expire(_)
        | Change::Feed(_) => Vec::new(),
    }
}

fn deleted_row(op: &Op) -> Option<RowAddress> {
    match op {
        Op::Delete(victim) => Some(*victim),
        Op::Insert | Op::Update(_) => None,
    }
}

/// The schemas of the tables of a feed after a commit.
fn schemas_at(version: &Version, position: CommitSeq, tables: &FeedTables) -> Schemas {
    let mut schemas: Schemas = version.catalog.tables().map(|schema| (schema.id, Arc::clone(schema))).collect();
    for (table, schema) in version.feeds.schemas_at(position) {
        schemas.insert(table, Arc::clone(schema));
    }
    schemas.into_iter().filter(|(table, _)| tables.has(*table)).collect()
}

fn schema_of(schemas: &Schemas, table: TableId) -> Result<&Arc<TableSchema>> {
    schemas.get(&table).ok_or_else(|| Error::internal(format!("a feed does not know table {table}")))
}

/// What a consumer needs is not there any more.
pub(super) fn gone(name: &str, wanted: CommitSeq, kept: CommitSeq) -> Error {
    let message = format!("feed cursor \"{name}\" does not keep the changes after commit {wanted}");
    Error::new(Condition::ObjectNotInPrerequisiteState, message)
        .with_detail(format!("It keeps those after commit {kept}."))
        .with_hint("Begin with a snapshot of the tables, and read the changes that come after it.")
}
