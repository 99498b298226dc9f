//! The checkpoints of a running log.

use outcrop_env::FileName;
use outcrop_format::{DeletesFile, Manifest};
use outcrop_types::{CommitSeq, Result};

use super::build::{Stamp, build};
use super::deletes::{Deletes, deletes_file_name};
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
    /// Numbers of the files of dead rows that it names.
    pub(crate) deletes_files: Vec<u64>,
}

/// Writes checkpoints and removes what they make needless.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    newest: Kept,
    /// The one before, if there is one.
    older: Option<Kept>,
    /// Manifests, and files of dead rows, to remove.
    outdated: Vec<FileName>,
    deletes: Deletes,
}

impl Kept {
    /// A manifest with its number and name.
    pub(crate) fn of(number: u64, name: FileName, manifest: &Manifest) -> Self {
        let deletes_files = manifest.deletes_files.iter().map(|file| file.number).collect();
        Self { number, name, checkpoint: manifest.checkpoint, log_start: manifest.log_start, deletes_files }
    }
}

impl Checkpoints {
    pub(crate) fn new(newest: Kept, older: Option<Kept>, outdated: Vec<FileName>) -> Self {
        Self { newest, older, outdated, deletes: Deletes::default() }
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
            let number = self.newest.number.saturating_add(1);
            let file = |units| DeletesFile { log_id: node.log_id, epoch, units };
            let dead = (&*version, node.options.checkpoint_inline_bytes_max);
            let (said, deletes) = self.deletes.say(&node.env, number, file, dead)?;
            let manifest = build(&version, stamp, &said)?;
            let name = publish_manifest(&node.env, number, &manifest)?;
            self.deletes = deletes;
            self.replace_newest(Kept::of(number, name, &manifest))?;
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

    /// The newest manifest is the older one now, and the older one is to be removed, with files that only it names.
    fn replace_newest(&mut self, newest: Kept) -> Result<()> {
        let before = std::mem::replace(&mut self.newest, newest);
        let Some(outdated) = self.older.replace(before) else { return Ok(()) };
        let named = |kept: &Kept, number| kept.deletes_files.contains(&number);
        for number in outdated.deletes_files {
            if !named(&self.newest, number) && !self.older.as_ref().is_some_and(|older| named(older, number)) {
                self.outdated.push(deletes_file_name(number)?);
            }
        }
        self.outdated.push(outdated.name);
        Ok(())
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
