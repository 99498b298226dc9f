//! Which versions somebody still reads.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use outcrop_types::CommitSeq;
use parking_lot::Mutex;

use super::Version;

/// The versions of a log that are still held, by `CommitSeq`: published ones, and states of the tail that a statement reads
/// outside of a turn.
///
/// The newest published one counts as held. Every version that a reader can get was published here before, or was entered
/// with [`LiveVersions::hold`] while it was the tail, and later ones have a greater `CommitSeq`; so whatever was visible
/// only at commits for which [`LiveVersions::sees_between`] is false is visible to nobody, now and for ever, and may go.
#[derive(Default)]
pub(crate) struct LiveVersions {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    published: CommitSeq,
    /// By commit, then by entry: the tail at a commit may be held several times, and be published as well.
    versions: BTreeMap<(CommitSeq, u64), Weak<Version>>,
    entries: u64,
}

/// The entry of one version; its drop removes it. A clone is a version of its own and has no entry.
#[derive(Default)]
pub(super) struct LiveMark {
    entry: Option<(Arc<LiveVersions>, (CommitSeq, u64))>,
}

impl LiveVersions {
    /// No version yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Enters `version` as the newest and hands it back for the readers. Called once for each group, in log order, right
    /// before the pointer is swapped.
    ///
    /// # Panics
    /// If a version of the same or a later commit was published before.
    pub(crate) fn publish(self: &Arc<Self>, version: &Version) -> Arc<Version> {
        let seq = version.seq;
        let mut held = self.held.lock();
        let first = held.versions.is_empty() && held.published == CommitSeq::ZERO;
        assert!(first || seq > held.published, "E1 violated: {seq} published after {}", held.published);
        held.published = seq;
        self.enter(&mut held, version)
    }

    /// Enters the tail as held for as long as the answer lives: for a statement that looks keys up in it outside of the
    /// turn. To be called while it is the tail, under the turn of the shard that is read.
    pub(crate) fn hold(self: &Arc<Self>, tail: &Version) -> Arc<Version> {
        self.enter(&mut self.held.lock(), tail)
    }

    fn enter(self: &Arc<Self>, held: &mut Held, version: &Version) -> Arc<Version> {
        held.entries += 1;
        let entry = (version.seq, held.entries);
        let mut version = version.clone();
        version.mark.entry = Some((Arc::clone(self), entry));
        let version = Arc::new(version);
        held.versions.insert(entry, Arc::downgrade(&version));
        version
    }

    /// Commit of the oldest version that is held; of the newest published one if none is.
    pub(crate) fn oldest_seq(&self) -> CommitSeq {
        let held = self.held.lock();
        held.versions.keys().next().map_or(held.published, |(seq, _)| *seq)
    }

    /// The versions that are held, oldest first. None of them is newer than the tail.
    #[cfg(test)]
    pub(crate) fn held(&self) -> Vec<Arc<Version>> {
        // Upgraded under the lock and dropped by the caller: the drop of the last handle takes the lock.
        self.held.lock().versions.values().filter_map(Weak::upgrade).collect()
    }

    /// How many versions are held.
    pub(crate) fn count(&self) -> usize {
        self.held.lock().versions.len()
    }

    /// Whether something that became visible with commit `from` and stopped being so with `until` may be seen by a version
    /// that is held or still to be published.
    pub(crate) fn sees_between(&self, from: CommitSeq, until: CommitSeq) -> bool {
        let held = self.held.lock();
        until > held.published || (from < until && held.versions.range((from, 0)..(until, 0)).next().is_some())
    }
}

impl fmt::Debug for LiveVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held.lock();
        f.debug_struct("LiveVersions").field("published", &held.published).field("held", &held.versions.keys()).finish()
    }
}

impl Clone for LiveMark {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Drop for LiveMark {
    fn drop(&mut self) {
        if let Some((live, entry)) = self.entry.take() {
            live.held.lock().versions.remove(&entry);
        }
    }
}
