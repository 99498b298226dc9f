//! Taking a backup of an open database.

use std::sync::Arc;

use outcrop_env::{Env, FileName};
use outcrop_format::{CommitRecord, Manifest};
use outcrop_log::{LogPart, LogReader};
use outcrop_segment::{KeyRun, PageCache};
use outcrop_types::{Condition, Error, LogId, Result, UnitId};

use super::copy::{Expected, NewDirectory, Taken};
use super::names::{NamedFile, NamedFiles};
use super::record::{BackupFile, BackupRange, BackupRecord};
use crate::Engine;
use crate::files::file_name;
use crate::manifest::{deletes_file_name, read_manifest};
use crate::node::{LOG_DIR, MANIFEST_DIR, Node, SEGMENT_DIR, STAGED_DIR};

/// A backup that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// What it holds.
    pub range: BackupRange,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that had to be copied; the others share their bytes with the database or with an earlier backup.
    pub copied_files: u64,
    /// Their bytes.
    pub copied_bytes: u64,
}

impl Engine {
    /// Takes a backup of everything that is visible now into the empty directory of `target`. Files that the backup in `since` has
    /// already are shared with it, if the file system can do that. Blocks the calling thread; commits, flushes, compactions and DDL go on.
    ///
    /// # Errors
    /// `ObjectNotInPrerequisiteState` if the target is not empty or `since` is no backup of this database; `DiskFull` and `IoError` of the
    /// target, `DataCorrupted` of a file of the database, `QueryCanceled`: the database is as it was, and the target without a backup.
    pub fn backup(&self, target: &Env, since: Option<&Env>, is_cancelled: &dyn Fn() -> bool) -> Result<BackupReport> {
        let node = self.node();
        let base = since.map(|env| Base::open(node, env)).transpose()?;
        let marker = file_name("", BackupRecord::INCOMPLETE)?;
        let text = "This backup is being taken, or was interrupted. It cannot be restored.\n";
        let made = NewDirectory::claim(target, marker, text, &DIRECTORIES, is_cancelled)?;
        // From here on everything that the manifest names stays.
        let hold = node.holds.hold(&node.flush_signal);
        let manifest = read_manifest(&node.env, &hold.kept.name, node.log_id)?;
        let log = read_log(node, &manifest)?;
        let mut backup = Backup { node, base, made, files: Vec::new(), copied_files: 0, copied_bytes: 0 };
        let deletes = hold.kept.deletes_files.iter().map(|number| deletes_file_name(*number));
        backup.take((&hold.kept.name, &deletes.collect::<Result<Vec<_>>>()?), &log)?;
        drop(hold);
        backup.finish(log.range)
    }

    /// How many backups are being taken.
    pub fn backups_running(&self) -> usize {
        self.node().holds.count()
    }
}

/// The part of the log that a backup has.
struct LogCopy {
    parts: Vec<LogPart>,
    range: BackupRange,
    named: std::collections::BTreeMap<FileName, NamedFile>,
}

/// Reads the log from where the manifest needs it to the newest visible commit.
fn read_log(node: &Arc<Node>, manifest: &Manifest) -> Result<LogCopy> {
    let extents = node.log_extents.load_full();
    // What these extents hold was sequenced before this line, so that a whole group ends with the commit that is waited for.
    let (mut time, last) = {
        let mut tail = node.tail.lock();
        (Some(tail.divide_time(&*node.env.clock)), tail.version().seq)
    };
    node.log_signal.notify();
    node.env.tasks.wait_until(&node.progress, None, &mut || {
        node.published_seq() >= last || node.tail.lock().check_durable().is_err()
    });
    if node.published_seq() < last {
        // Writes have stopped. What is visible is durable, but the commits after it have times of their own.
        time = None;
    }
    let last = node.published_seq();
    let checkpoint = manifest.checkpoint;
    let mut named = NamedFiles::of_manifest(&node.env, &node.identity, manifest)?;
    let mut reader = LogReader::open(&node.env, LOG_DIR, node.log_id, &extents, manifest.log_start)
        .ok_or_else(|| Error::corrupt(LOG_DIR, 0, format!("it begins behind commit {}", manifest.log_start)))?;
    let (mut first_us, mut last_us) = (None, None);
    let end = reader.read_to(last, &mut |seq, bytes| {
        if seq < manifest.log_start {
            return Ok(());
        }
        let record =
            CommitRecord::decode(bytes).map_err(|error| error.in_file(format!("{LOG_DIR}: record {seq}"), 0))?;
        if seq >= checkpoint {
            first_us.get_or_insert(record.wall_us);
        }
        last_us = Some(record.wall_us);
        named.add_record(&record)
    })?;
    if end != last {
        // Only where writes stopped in between.
        return Err(Error::new(Condition::ObjectInUse, "the newest commits were not settled while the backup began")
            .with_hint("Take it again."));
    }
    let last_us = last_us.max(time).unwrap_or(manifest.wall_us);
    let first_us = first_us.unwrap_or(last_us).min(last_us);
    let range = BackupRange { log_id: node.log_id, first: checkpoint, last, first_us, last_us };
    Ok(LogCopy { parts: reader.parts()?, range, named: named.into_files() })
}

/// An earlier backup, whose files need not be copied again.
struct Base<'a> {
    env: &'a Env,
    record: BackupRecord,
}

impl<'a> Base<'a> {
    fn open(node: &Node, env: &'a Env) -> Result<Self> {
        let record = BackupRecord::read(env)?;
        let (theirs, ours) = (record.identity.log_id, node.log_id);
        if !node.identity.descends_from(theirs) {
            return Err(Error::new(
                Condition::ObjectNotInPrerequisiteState,
                "the earlier backup is of another database",
            )
            .with_detail(format!("It is of log {theirs}, this database is log {ours}."))
            .with_hint("Take a backup without an earlier one."));
        }
        Ok(Self { env, record })
    }

    /// A file that it has, if it is this one.
    fn file(&self, name: &FileName, bytes: Option<u64>) -> Option<&BackupFile> {
        self.record.file(name).filter(|file| bytes.is_none_or(|bytes| file.bytes == bytes))
    }
}

/// A backup that is being taken.
struct Backup<'a> {
    node: &'a Node,
    base: Option<Base<'a>>,
    made: NewDirectory<'a>,
    files: Vec<BackupFile>,
    copied_files: u64,
    copied_bytes: u64,
}

impl Backup<'_> {
    fn take(&mut self, (manifest, deletes): (&FileName, &[FileName]), log: &LogCopy) -> Result<()> {
        let env = &self.node.env;
        for (name, file) in &log.named {
            match file {
                NamedFile::Data(bytes, pages) => self.keep(name, &Expected::Pages(*bytes, pages))?,
                NamedFile::Sealed => self.keep(name, &Expected::Anything(None))?,
                NamedFile::KeyRun(log_id, unit) => {
                    if is_sound(env, *log_id, *unit)? {
                        self.keep(name, &Expected::Anything(None))?;
                    }
                }
            }
        }
        for part in &log.parts {
            let file = self.made.copy(env, &part.name, &Expected::Anything(Some(part.bytes)))?;
            self.add(file, true);
        }
        // Their names are not those of a log: another file may have the same in another backup.
        for name in deletes.iter().chain([manifest]) {
            let file = self.made.copy(env, name, &Expected::Anything(None))?;
            self.add(file, true);
        }
        if let Some(users) = self.made.copy_private(env, &file_name("", crate::USERS_FILE)?)? {
            self.add(users, true);
        }
        Ok(())
    }

    /// Takes a file that never changes.
    fn keep(&mut self, name: &FileName, expected: &Expected<'_>) -> Result<()> {
        let bytes = match expected {
            Expected::Pages(bytes, _) | Expected::Whole(bytes, _) => Some(*bytes),
            Expected::Anything(bytes) => *bytes,
        };
        if let Some(base) = &self.base
            && let Some(file) = base.file(name, bytes).cloned()
            && self.made.link(base.env, name)?
        {
            self.add(file, false);
            return Ok(());
        }
        let Taken { file, copied } = self.made.link_or_copy(&self.node.env, name, expected)?;
        self.add(file, copied);
        Ok(())
    }

    fn add(&mut self, file: BackupFile, copied: bool) {
        self.copied_files += u64::from(copied);
        self.copied_bytes += if copied { file.bytes } else { 0 };
        self.files.push(file);
    }

    fn finish(self, range: BackupRange) -> Result<BackupReport> {
        let Self { node, made, mut files, copied_files, copied_bytes, .. } = self;
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let report = BackupReport {
            range,
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.bytes).sum(),
            copied_files,
            copied_bytes,
        };
        let record = BackupRecord { identity: node.identity.clone(), range, files };
        made.finish(&file_name("", BackupRecord::FILE)?, &record.encode())?;
        tracing::info!(commit_seq = %range.last, files = report.files, bytes = report.bytes, "backup taken");
        Ok(report)
    }
}

/// Whether a key run can be read to its end. One that cannot is left out: it is made again from its segments.
fn is_sound(env: &Env, log_id: LogId, unit: UnitId) -> Result<bool> {
    let cache = PageCache::new(CACHE_BYTES);
    let outcome = KeyRun::open(env, SEGMENT_DIR, (log_id, unit), &cache).and_then(|run| match run {
        Some(run) => run.verify(|_| ()).map(|()| true),
        None => Ok(false),
    });
    match outcome {
        Err(error) if error.condition() == Condition::DataCorrupted => {
            tracing::warn!(%error, "a damaged key run is left out of the backup");
            Ok(false)
        }
        outcome => outcome,
    }
}

/// Directories of a backup.
const DIRECTORIES: [&str; 4] = [LOG_DIR, MANIFEST_DIR, SEGMENT_DIR, STAGED_DIR];
/// Memory for pages of one key run.
const CACHE_BYTES: u64 = 4 << 20;
