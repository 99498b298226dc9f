//! Rows that came before a feed began.

use std::sync::Arc;

use outcrop_format::feed::FeedTables;
use outcrop_log::LogReader;
use outcrop_types::{CommitSeq, Result, RowOrdinal, UnitId};

use super::follow::{decode, gone};
use super::generation_rows::{GenerationRows, RowsRecord};
use crate::node::{LOG_DIR, Node};

/// Which records brought the rows that were in memory where a feed began. It is looked for when such a row is replaced: who
/// follows inserts never reads the log from the oldest row on that was not flushed yet.
#[derive(Debug)]
pub(super) struct EarlierRows {
    cursor: String,
    /// Where the feed began.
    position: CommitSeq,
    tables: FeedTables,
    /// `None` until it is asked for.
    rows: Option<GenerationRows>,
}

impl EarlierRows {
    pub(super) fn new(cursor: &str, position: CommitSeq, tables: FeedTables) -> Self {
        Self { cursor: cursor.to_owned(), position, tables, rows: None }
    }

    /// The record that brought a row.
    ///
    /// # Errors
    /// As those of the feed, the first time.
    pub(super) fn record_of(&mut self, node: &Arc<Node>, unit: UnitId, row: RowOrdinal) -> Result<Option<RowsRecord>> {
        let rows = match &mut self.rows {
            Some(rows) => rows,
            slot @ None => {
                let read = read(node, &self.cursor, self.position, &self.tables)?;
                slot.insert(read)
            }
        };
        Ok(rows.record_of(unit, row))
    }
}

/// Reads the log from the first row on that was in memory at `position`.
fn read(node: &Arc<Node>, name: &str, position: CommitSeq, tables: &FeedTables) -> Result<GenerationRows> {
    let version = node.published.load_full();
    let mut cursor = version.feeds.active_cursor(name)?.clone();
    let kept_after = cursor.position;
    cursor.position = position;
    let from = version.feeds.log_from(&cursor, &version.tables);
    let mut rows = GenerationRows::default();
    if from > position {
        return Ok(rows);
    }
    let extents = node.log_extents.load_full();
    let mut log = LogReader::open(&node.env, LOG_DIR, node.log_id, &extents, from)
        .ok_or_else(|| gone(name, position, kept_after))?;
    loop {
        let group = log.next_group()?;
        let place = group.place;
        for (seq, bytes) in group.records {
            if seq > position {
                return Ok(rows);
            }
            if seq >= from {
                rows.pass(&decode(seq, &bytes)?, place, |table| tables.has(table));
            }
            if seq == position {
                return Ok(rows);
            }
        }
    }
}
