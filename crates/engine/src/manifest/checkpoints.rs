//! The checkpoints of a running log.

use outcrop_env::FileName;
use outcrop_types::{CommitSeq, Result};

use super::build::{Stamp, build};
use super::retire::{retire, retired};
use super::store::publish_manifest;
use crate::files::remove_if_there;
use crate::node::{MANIFEST_DIR, Node};
use crate::snapshot::Version;

/// A manifest file that recovery could start from.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) number: u64,
    pub(crate) name: FileName,
    pub(crate) checkpoint: CommitSeq,
    pub(crate) log_start: CommitSeq,
}

/// Writes checkpoints and removes what they make needless.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    newest: Kept,
    /// The one before, if there is one.
    older: Option<Kept>,
    /// Manifests to remove.
    outdated: Vec<FileName>,
}

impl Checkpoints {
    pub(crate) fn new(newest: Kept, older: Option<Kept>, outdated: Vec<FileName>) -> Self {
        Self { newest, older, outdated }
    }

    /// The commit that the newest checkpoint holds.
    pub(crate) fn newest(&self) -> CommitSeq {
        self.newest.checkpoint
    }

    /// Writes a manifest of the published version, unless the newest one has it, and drops what nobody needs any more.
    ///
    /// # Errors
    /// `DiskFull`; `IoError`, after which it is unknown which manifest a restart finds (W9).
    pub(crate) fn write(&mut self, node: &Node) -> Result<()> {
        let newest = self.newest.checkpoint;
        self.write_if(node, |version| version.seq > newest)
    }

    /// Gives back the space of files that nobody reads any more, while there is nothing else to do. As long as the older of
    /// the two manifests needs some, another one is written, so that neither does.
    ///
    /// # Errors
    /// As [`Checkpoints::write`].
    pub(crate) fn return_space(&mut self, node: &Node) -> Result<()> {
        let needed_since = self.oldest().checkpoint;
        let (removable, waiting) = retired(node, needed_since);
        if waiting {
            self.write_if(node, |_| true)
        } else {
            if removable {
                self.tidy(node);
            }
            Ok(())
        }
    }

    fn write_if(&mut self, node: &Node, wanted: impl FnOnce(&Version) -> bool) -> Result<()> {
        let version = node.published.load_full();
        if wanted(&version) {
            let epoch = node.tail.lock().epoch();
            let stamp = Stamp {
                log_id: node.log_id,
                epoch,
                wall_us: node.env.clock.wall_us(),
                next_unit: node.ids.next_unit(),
                next_table: node.ids.next_table(),
            };
            let manifest = build(&version, stamp)?;
            let number = self.newest.number.saturating_add(1);
            let name = publish_manifest(&node.env, number, &manifest)?;
            let kept = Kept { number, name, checkpoint: manifest.checkpoint, log_start: manifest.log_start };
            let before = std::mem::replace(&mut self.newest, kept);
            self.outdated.extend(self.older.replace(before).map(|older| older.name));
            tracing::debug!(number, checkpoint = %version.seq, log_start = %self.newest.log_start, "checkpoint written");
        }
        drop(version);
        self.tidy(node);
        Ok(())
    }

    /// The older of the manifests that recovery could start from.
    fn oldest(&self) -> &Kept {
        self.older.as_ref().unwrap_or(&self.newest)
    }

    /// Removes what neither of the two manifests needs, and no backup. What cannot be removed now stays for the next time.
    fn tidy(&mut self, node: &Node) {
        let oldest = &node.holds.advance(self.oldest());
        let is_removed = |name: &FileName| match remove_if_there(&node.env, name) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(file = %name, %error, "an old manifest stays");
                false
            }
        };
        self.outdated.retain(|name| node.holds.has(name) || !is_removed(name));
        if let Err(error) = node.env.disk.sync_dir(MANIFEST_DIR) {
            tracing::debug!(%error, "the manifest directory could not be synced after a removal");
        }
        retire(node, oldest);
        node.log_requests.truncate_before(oldest.log_start);
        node.log_signal.notify();
    }
}
