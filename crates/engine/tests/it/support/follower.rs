//! A consumer of a feed: keeps the rows of one table by nothing but events.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use outcrop_engine::{Engine, Feed, FeedEvent, FeedTables};
use outcrop_testkit::{Row, assert_same_rows, rows_of};
use outcrop_types::{Column, CommitSeq, Result, TableId, TableSchema};

/// Rows of a table, made of events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mirror {
    pub(crate) position: CommitSeq,
    pub(crate) rows: Vec<Row>,
    /// Of the table, if it may be altered.
    pub(crate) schema: Option<Arc<TableSchema>>,
}

impl Mirror {
    /// The rows under a new schema, as its columns say.
    fn alter(&mut self, schema: &Arc<TableSchema>) {
        let Some(before) = self.schema.replace(Arc::clone(schema)) else { return };
        for row in &mut self.rows {
            let value = |column: &Column| match before.position(column.id) {
                Some(position) => row[position].widened(&column.data_type).unwrap(),
                None => column.initial_default.clone(),
            };
            *row = schema.columns.iter().map(value).collect();
        }
    }

    fn remove(&mut self, old: &RecordBatch) {
        for gone in rows_of(old) {
            let place = self.rows.iter().position(|row| same(row, &gone));
            let place = place.unwrap_or_else(|| panic!("{gone:?} goes and was not there: {:?}", self.rows));
            self.rows.swap_remove(place);
        }
    }

    fn add(&mut self, new: &RecordBatch) {
        self.rows.extend(rows_of(new));
    }

    /// All events of a commit: what goes, then what comes.
    pub(crate) fn apply(&mut self, table: TableId, events: &[FeedEvent]) {
        for event in events {
            match event {
                FeedEvent::Deleted { table: of, old } | FeedEvent::Updated { table: of, old, .. } => {
                    assert_eq!(of.id, table);
                    self.remove(old);
                }
                FeedEvent::Truncated(of) | FeedEvent::TableDropped(of) => {
                    assert_eq!(of.id, table);
                    self.rows.clear();
                }
                FeedEvent::Table(schema) if schema.id == table => self.alter(schema),
                _ => {}
            }
        }
        for event in events {
            if let FeedEvent::Inserted { new, .. } | FeedEvent::Updated { new, .. } = event {
                self.add(new);
            }
        }
    }
}

/// NaN is NaN here.
fn same(a: &Row, b: &Row) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

/// A consumer that stores what it has at times, and forgets the rest when it restarts.
pub(crate) struct Follower {
    table: TableId,
    feed: Option<Feed>,
    pub(crate) now: Mirror,
    stored: Mirror,
    /// What it was storing when the machine failed.
    storing: Option<Mirror>,
}

pub(crate) const CURSOR: &str = "follower";

impl Follower {
    /// Begins with a table that was just created.
    pub(crate) fn new(engine: &Engine, table: TableId) -> Self {
        let commit = engine.create_feed_cursor(CURSOR, FeedTables::Some([table].into())).wait().unwrap();
        let schema = engine.snapshot().catalog().table_by_id(table).map(Arc::clone);
        let begin = Mirror { position: commit.seq, rows: Vec::new(), schema };
        Self { table, feed: None, now: begin.clone(), stored: begin, storing: None }
    }

    /// Reads everything that is visible; `check` gets the rows at each commit.
    pub(crate) fn follow(&mut self, engine: &Engine, check: impl Fn(CommitSeq, &[Row])) -> Result<()> {
        let feed = match &mut self.feed {
            Some(feed) => feed,
            slot @ None => slot.insert(engine.feed(CURSOR, Some(self.now.position))?),
        };
        while let Some(mut commit) = feed.next_commit(Duration::ZERO)? {
            let seq = commit.seq();
            assert!(seq > self.now.position, "{seq} after {}", self.now.position);
            let mut events = Vec::new();
            while let Some(event) = commit.next_event()? {
                events.push(event);
            }
            self.now.apply(self.table, &events);
            self.now.position = seq;
            check(seq, &self.now.rows);
        }
        self.now.position = feed.position();
        Ok(())
    }

    /// Stores what it has, and says so.
    pub(crate) fn store(&mut self, engine: &Engine) -> Result<()> {
        self.storing = Some(self.now.clone());
        engine.advance_feed_cursor(CURSOR, self.now.position).wait()?;
        self.stored = self.storing.take().unwrap_or_default();
        Ok(())
    }

    /// The process of the engine ended; the consumer goes on from what it has.
    pub(crate) fn disconnect(&mut self) {
        self.feed = None;
    }

    /// The consumer begins again behind the cursor, with what it had stored.
    pub(crate) fn restart(&mut self, engine: &Engine) {
        self.feed = None;
        let position = engine.feed_cursors()[0].position;
        if let Some(storing) = self.storing.take().filter(|storing| storing.position == position) {
            self.stored = storing;
        }
        assert_eq!(self.stored.position, position, "the cursor stands where its consumer said");
        self.now = self.stored.clone();
    }

    /// What it has is what the table has.
    pub(crate) fn assert_is(&self, rows: &[Row]) {
        assert_same_rows(&format!("the feed at {}", self.now.position), rows, &self.now.rows);
    }
}
