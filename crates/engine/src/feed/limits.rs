//! What cursors keep, and the end of those that keep too much.

use std::sync::atomic::Ordering;

use outcrop_env::reached;
use outcrop_format::feed::{FeedChange, FeedTables};
use outcrop_log::LogExtent;
use outcrop_types::CommitSeq;

use super::cursors::Cursor;
use crate::node::Node;
use crate::snapshot::Version;

/// A feed cursor, as it is at the newest visible commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeedCursor {
    /// Its name.
    pub name: String,
    /// Its tables.
    pub tables: FeedTables,
    /// The last commit that its consumer has.
    pub position: CommitSeq,
    /// Bytes of log and segment files that are kept for its sake, also if others need them too.
    pub retained_bytes: u64,
    /// Why it was ended, if it was.
    pub ended: Option<String>,
}

impl Node {
    /// All cursors, by name.
    pub(crate) fn feed_cursors(&self) -> Vec<FeedCursor> {
        let version = self.published.load_full();
        let cursors = version.feeds.cursors();
        cursors
            .map(|(name, cursor)| FeedCursor {
                name: name.to_string(),
                tables: cursor.tables.clone(),
                position: cursor.position,
                retained_bytes: self.retained_bytes(&version, cursor),
                ended: cursor.ended.as_deref().map(str::to_owned),
            })
            .collect()
    }

    /// Ends every cursor that keeps more than it may. Its consumer learns why.
    pub(crate) fn end_feeds_over_limit(&self) {
        let limit = self.options.feed_retain_bytes;
        let over = |cursor: &FeedCursor| cursor.ended.is_none() && cursor.retained_bytes > limit;
        for cursor in self.feed_cursors().into_iter().filter(over) {
            let kept = cursor.retained_bytes;
            self.end_feed(cursor.name, format!("it kept {kept} bytes, and feed_retain_bytes is {limit}"));
        }
        if self.pressure.take_full_disk_for_feeds() {
            let keeps = self.feed_cursors().into_iter().filter(|cursor| cursor.ended.is_none());
            let most = keeps.filter(|cursor| cursor.retained_bytes > 0).max_by_key(|cursor| cursor.retained_bytes);
            if let Some(cursor) = most {
                let kept = cursor.retained_bytes;
                self.end_feed(cursor.name, format!("the disk was full, and it kept {kept} bytes"));
            }
        }
    }

    fn end_feed(&self, name: String, reason: String) {
        reached!("feed.cursor_ended");
        tracing::warn!(cursor = name, reason, "a feed cursor is ended");
        let flush_signal = std::sync::Arc::clone(&self.flush_signal);
        // Its files go when the end is durable.
        self.commit_feed(&FeedChange::End { name, reason }).on_done(move |_| flush_signal.notify());
    }

    fn retained_bytes(&self, version: &Version, cursor: &Cursor) -> u64 {
        if cursor.ended.is_some() {
            return 0;
        }
        let extents = self.log_extents.load();
        let own = bytes_before(&extents, self.log_requests.needed_from());
        let kept = bytes_before(&extents, version.feeds.log_from(cursor, &version.tables));
        own.saturating_sub(kept).saturating_add(version.feeds.segment_bytes(cursor))
    }

    /// Whether some cursor keeps log files for itself that are longer than it may keep.
    pub(crate) fn is_feed_log_long(&self) -> bool {
        self.counters.feed_log_bytes.load(Ordering::Relaxed) > self.options.feed_retain_bytes
    }
}

/// Bytes of the files all of whose records are before `seq`.
fn bytes_before(extents: &[LogExtent], seq: CommitSeq) -> u64 {
    let needed = extents.iter().rposition(|extent| extent.covered() < seq).unwrap_or(0);
    extents.iter().take(needed).map(LogExtent::bytes).sum()
}
