//! A consumer of the feed: has the rows of one table by nothing but events (P13).

use std::collections::BTreeMap;
use std::time::Duration;

use outcrop_engine::{Engine, Feed, FeedEvent, FeedTables};
use outcrop_testkit::{Row, assert_same_rows, rows_of};
use outcrop_types::{CommitSeq, Condition, Error, TableId};

use super::faults::Verdict;
use super::life::Life;
use crate::statements::id_of;

const CURSOR: &str = "consumer";

pub(super) struct Consumer {
    table: TableId,
    feed: Option<Feed>,
    now: Mirror,
    stored: Mirror,
    /// What it was storing when the machine failed.
    storing: Option<Mirror>,
}

#[derive(Clone, Debug, Default)]
struct Mirror {
    position: CommitSeq,
    rows: BTreeMap<i64, Row>,
}

impl Mirror {
    fn apply(&mut self, table: TableId, events: &[FeedEvent]) {
        for event in events {
            match event {
                FeedEvent::Deleted { table: of, old } | FeedEvent::Updated { table: of, old, .. } => {
                    assert_eq!(of.id, table);
                    for gone in rows_of(old) {
                        assert_eq!(self.rows.remove(&id_of(&gone)), Some(gone), "the old row is what was there");
                    }
                }
                FeedEvent::Truncated(_) | FeedEvent::TableDropped(_) => self.rows.clear(),
                _ => {}
            }
        }
        for event in events {
            if let FeedEvent::Inserted { new, .. } | FeedEvent::Updated { new, .. } = event {
                for row in rows_of(new) {
                    assert_eq!(self.rows.insert(id_of(&row), row), None, "a new row has a new key");
                }
            }
        }
    }

    fn rows(&self) -> Vec<Row> {
        self.rows.values().cloned().collect()
    }
}

impl Consumer {
    /// The process of the engine ended; the consumer goes on from what it has.
    pub(super) fn disconnect(&mut self) {
        self.feed = None;
    }

    fn follow(&mut self, engine: &Engine, check: impl Fn(CommitSeq, &Mirror)) -> Result<(), Error> {
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
            check(seq, &self.now);
        }
        self.now.position = feed.position();
        Ok(())
    }

    /// Begins again behind the cursor, with what was stored.
    fn restart(&mut self, position: CommitSeq) {
        self.feed = None;
        if let Some(storing) = self.storing.take().filter(|storing| storing.position == position) {
            self.stored = storing;
        }
        assert_eq!(self.stored.position, position, "the cursor stands where its consumer said");
        self.now = self.stored.clone();
    }
}

impl Life {
    /// The consumer reads on, begins, begins again, stores its position or ends.
    pub(super) fn consume(&mut self) -> Result<(), Verdict> {
        self.settle()?;
        let Some(consumer) = self.consumer.take() else { return self.begin_consumer() };
        let is_there = self.tables.contains_key(&consumer.table);
        if !is_there || self.draw.chance(5) {
            return self.drop_cursor();
        }
        let outcome = self.read_on(consumer);
        match outcome {
            Err(error) if error.condition() == Condition::ObjectNotInPrerequisiteState => {
                let ended = self.engine().feed_cursors().iter().any(|cursor| cursor.ended.is_some());
                assert!(ended, "{error}");
                self.consumer = None;
                self.drop_cursor()
            }
            outcome => outcome.map_err(|error| self.judge("the feed", &error)),
        }
    }

    fn read_on(&mut self, mut consumer: Consumer) -> Result<(), Error> {
        let engine = self.engine().clone();
        if self.draw.chance(25)
            && let Some(cursor) = engine.feed_cursors().into_iter().find(|cursor| cursor.ended.is_none())
        {
            consumer.restart(cursor.position);
        }
        let table = consumer.table;
        let outcome = consumer.follow(&engine, |seq, mirror| {
            if self.known.contains(&seq) {
                let wanted = self.model.rows_at(table, seq);
                assert_same_rows(&format!("the feed at {seq}"), &wanted, &mirror.rows());
            }
        });
        let outcome = outcome.map(|()| {
            let wanted = self.model.rows(consumer.table);
            assert_same_rows("the feed at its end", &wanted, &consumer.now.rows());
        });
        let outcome = match outcome {
            Ok(()) if self.draw.chance(40) => {
                consumer.storing = Some(consumer.now.clone());
                let advanced = engine.advance_feed_cursor(CURSOR, consumer.now.position).wait();
                if advanced.is_ok() {
                    consumer.stored = consumer.storing.take().unwrap_or_default();
                }
                advanced.map(drop)
            }
            outcome => outcome,
        };
        self.consumer = Some(consumer);
        outcome
    }

    fn begin_consumer(&mut self) -> Result<(), Verdict> {
        if !self.engine().feed_cursors().is_empty() {
            return self.drop_cursor();
        }
        let tables: Vec<TableId> = self.tables.keys().copied().collect();
        if tables.is_empty() {
            return Ok(());
        }
        let table = self.draw.pick(&tables);
        let outcome = self.engine().create_feed_cursor(CURSOR, FeedTables::Some([table].into())).wait();
        let commit = outcome.map_err(|error| self.judge("a new cursor", &error))?;
        let rows = self.model.rows(table).into_iter().map(|row| (id_of(&row), row)).collect();
        let begin = Mirror { position: commit.seq, rows };
        self.consumer = Some(Consumer { table, feed: None, now: begin.clone(), stored: begin, storing: None });
        Ok(())
    }

    fn drop_cursor(&mut self) -> Result<(), Verdict> {
        let outcome = self.engine().drop_feed_cursor(CURSOR).wait();
        outcome.map(drop).map_err(|error| self.judge("the end of a cursor", &error))
    }

    /// Nothing is kept for anybody any more.
    pub(super) fn end_consumer(&mut self) {
        self.consumer = None;
        if !self.engine().feed_cursors().is_empty() {
            self.drop_cursor().expect("no faults");
        }
    }
}
