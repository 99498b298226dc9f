//! Creating, advancing, ending and dropping cursors: commits of their own.

use std::sync::Arc;

use outcrop_format::feed::{FeedChange, FeedTables};
use outcrop_format::record::Change;
use outcrop_log::{Permit, SpaceClass};
use outcrop_types::{CommitSeq, Condition, Error, Result};

use super::Feeds;
use crate::catalog::{check_name, undefined_table};
use crate::commit::{Answer, CommitHandle, Sequenced, Tail, Ticket};
use crate::node::Node;
use crate::snapshot::Version;
use crate::write::Commit;

impl Node {
    /// Changes a cursor. It is judged against the tail.
    pub(crate) fn commit_feed(&self, change: &FeedChange) -> CommitHandle {
        let permit = match self.admit(record_bytes(change), SpaceClass::Reserve) {
            Ok(permit) => permit,
            Err(error) => return CommitHandle::ready(Err(error), &self.env.tasks),
        };
        let published = self.published_seq();
        let mut tail = self.tail.lock();
        let seq = tail.version().seq;
        match self.sequence_feed(&mut tail, change, published, permit) {
            Ok(Some(ticket)) => {
                drop(tail);
                self.log_signal.notify();
                CommitHandle::new(&ticket, &self.env.tasks)
            }
            Ok(None) => {
                drop(tail);
                self.answer_after(seq, Ok(Commit::of_nothing(seq)))
            }
            Err(error) => {
                drop(tail);
                self.answer_after(seq, Err(error))
            }
        }
    }

    /// Puts the change in the log; `None` if there is nothing to change.
    fn sequence_feed(
        &self,
        tail: &mut Tail,
        change: &FeedChange,
        published: CommitSeq,
        permit: Permit,
    ) -> Result<Option<Arc<Ticket>>> {
        tail.check_open()?;
        if !is_change(tail.version(), change, published)? {
            return Ok(None);
        }
        let seq = tail.next_seq()?;
        let mut feeds = Feeds::clone(&tail.version().feeds);
        feeds.apply(seq, change);
        let old = tail.version();
        let version = Version::new(seq, Arc::clone(&old.catalog), old.tables.clone(), Arc::new(feeds));
        let changes = vec![Change::Feed(change.clone())];
        tail.push(Sequenced { version, changes, permit }, &*self.env.clock);
        let ticket = Ticket::new();
        tail.answer(Answer::new(&ticket, Ok(Commit::of_nothing(seq))));
        Ok(Some(ticket))
    }
}

/// Whether the change changes anything.
fn is_change(tail: &Version, change: &FeedChange, published: CommitSeq) -> Result<bool> {
    match change {
        FeedChange::Create { name, tables } => {
            check_name(name)?;
            if tail.feeds.cursor(name).is_ok() {
                return Err(Error::new(Condition::DuplicateCursor, format!("feed cursor \"{name}\" already exists")));
            }
            if tail.feeds.len() >= CURSORS_MAX {
                return Err(Error::new(Condition::ProgramLimitExceeded, "there are too many feed cursors")
                    .with_detail(format!("There may be {CURSORS_MAX} of them."))
                    .with_hint("Drop cursors that nobody reads any more; outcrop.feeds lists them."));
            }
            if let FeedTables::Some(tables) = tables {
                let missing = tables.iter().find(|table| !tail.tables.contains_key(*table));
                missing.map_or(Ok(()), |table| Err(undefined_table(*table)))?;
            }
            Ok(true)
        }
        FeedChange::Advance { name, to } => {
            let position = tail.feeds.active_cursor(name)?.position;
            if *to < position {
                return Err(Error::new(
                    Condition::InvalidParameterValue,
                    format!("feed cursor \"{name}\" cannot go back to commit {to}"),
                )
                .with_detail(format!("It stands behind commit {position}; what came before may be gone.")));
            }
            if *to > published {
                return Err(Error::new(
                    Condition::InvalidParameterValue,
                    format!("feed cursor \"{name}\" cannot pass commit {to}, which is not visible yet"),
                )
                .with_detail(format!("The newest visible commit is {published}.")));
            }
            Ok(*to > position)
        }
        FeedChange::End { name, .. } => Ok(tail.feeds.active_cursor(name).is_ok()),
        FeedChange::Drop { name } => tail.feeds.cursor(name).map(|_| true),
    }
}

/// About the bytes of a record.
fn record_bytes(change: &FeedChange) -> u64 {
    let (name, more) = match change {
        FeedChange::Create { name, tables: FeedTables::Some(tables) } => (name, tables.len() * TABLE_BYTES),
        FeedChange::Create { name, tables: FeedTables::All } | FeedChange::Drop { name } => (name, 0),
        FeedChange::Advance { name, .. } => (name, 0),
        FeedChange::End { name, reason } => (name, reason.len()),
    };
    (name.len() + more) as u64 + CHANGE_BYTES
}

/// Cursors at once: each is in every manifest, and asked about everything that leaves a table.
const CURSORS_MAX: usize = 64;
/// Most bytes of a table's id in a record.
const TABLE_BYTES: usize = 5;
/// The rest of a change.
const CHANGE_BYTES: u64 = 64;
