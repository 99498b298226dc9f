//! Making a database from a backup.

use std::collections::BTreeMap;

use bytes::Bytes;
use outcrop_env::{Env, FileName};
use outcrop_format::feed::FeedChange;
use outcrop_format::record::Change;
use outcrop_format::{CommitRecord, Manifest};
use outcrop_log::{Log, LogOptions, Reach};
use outcrop_types::{CommitSeq, Condition, Epoch, Error, LogId, Result, UnitId};

use super::copy::{Expected, NewDirectory};
use super::names::{NamedFile, NamedFiles};
use super::record::{BackupRange, BackupRecord};
use crate::feed::Feeds;
use crate::files::file_name;
use crate::manifest::{is_deletes_file, publish_manifest, read_deletes, read_manifest};
use crate::node::{LOG_DIR, MANIFEST_DIR, SEGMENT_DIR, STAGED_DIR};
use crate::recovery::{Identity, RESTORING};

/// Up to where a backup is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// All of it.
    End,
    /// This commit is the last one.
    Commit(CommitSeq),
    /// Commits up to this time, in µs since 1970.
    Time(i64),
}

/// A database that was made from a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Its last commit that the original had, too.
    pub commit_seq: CommitSeq,
    /// What the backup would have allowed.
    pub range: BackupRange,
    /// The log that the backup was taken from.
    pub from_log: LogId,
    /// The log of the new database.
    pub log_id: LogId,
    /// Its files, without the log.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Feed cursors that were ended.
    pub ended_cursors: Vec<String>,
}

/// Makes a database of a backup in the empty directory of `target`. It shares no file with the backup.
///
/// # Errors
/// `ObjectNotInPrerequisiteState` for a directory that is no backup, or an incomplete one, and for a target that is not empty;
/// `InvalidParameterValue` for a moment that the backup does not hold; `DataCorrupted` for a damaged backup; `DiskFull`; `IoError`. The target has no
/// database then.
pub fn restore(backup: &Env, target: &Env, until: Until) -> Result<Restored> {
    let record = BackupRecord::read(backup)?;
    check_range(&record.range, until)?;
    let source = Source::read(backup, &record, until)?;
    let mut id = [0; 16];
    target.rng.fill(&mut id);
    let identity = record.identity.fork(LogId::from_bytes(id), source.next_unit);
    let text = identity.encode();
    let marker = file_name("", RESTORING)?;
    let mut made = NewDirectory::claim(target, marker, &text, &DIRECTORIES, &|| false)?;
    let mut restored = Restored {
        commit_seq: source.last,
        range: record.range,
        from_log: record.identity.log_id,
        log_id: identity.log_id,
        files: 0,
        bytes: 0,
        ended_cursors: source.cursors.clone(),
    };
    for name in source.files.keys() {
        let Some(file) = record.file(name) else {
            // A key run that was damaged when the backup was taken: the first start makes it again.
            continue;
        };
        made.copy(backup, name, &Expected::Whole(file.bytes, file.crc32c))?;
        (restored.files, restored.bytes) = (restored.files + 1, restored.bytes + file.bytes);
    }
    let users = file_name("", crate::USERS_FILE)?;
    if record.file(&users).is_some() && made.copy_private(backup, &users)?.as_ref() != record.file(&users) {
        return Err(Error::corrupt(backup.disk.describe(&users), 0, "checksum mismatch"));
    }
    let epoch = source.write_log(backup, target, &identity)?;
    let manifest = Manifest { log_id: identity.log_id, epoch, next_unit: source.next_unit, ..source.manifest };
    publish_manifest(target, 1, &manifest)?;
    made.finish(&Identity::file()?, &text)?;
    Ok(restored)
}

/// What of a backup becomes the database.
struct Source {
    manifest: Manifest,
    log_id: LogId,
    /// The last commit that is restored.
    last: CommitSeq,
    /// Its time, or a later one.
    wall_us: i64,
    /// Bytes of the records that are restored.
    log_bytes: u64,
    files: BTreeMap<FileName, NamedFile>,
    next_unit: UnitId,
    /// Feed cursors that keep something.
    cursors: Vec<String>,
}

impl Source {
    /// Reads manifest and log of a backup up to a moment.
    fn read(env: &Env, record: &BackupRecord, until: Until) -> Result<Self> {
        let BackupRecord { identity, range, files } = record;
        let name = files.iter().find(|file| file.name.dir() == MANIFEST_DIR && !is_deletes_file(&file.name));
        let name = name.ok_or_else(|| Error::corrupt(BackupRecord::FILE, 0, "it names no manifest"))?;
        let manifest = read_manifest(env, &name.name, identity.log_id)?;
        let manifest = with_deletes(env, identity.log_id, manifest)?;
        let mut named = NamedFiles::of_manifest(env, identity, &manifest)?;
        let mut feeds = Feeds::of_manifest(&manifest.feeds);
        let (mut last, mut wall_us, mut over) = (manifest.checkpoint, manifest.wall_us, false);
        let mut log_bytes = 0;
        visit_log(env, record, &manifest, &mut |seq, bytes| {
            if over {
                return Ok(());
            }
            let record =
                CommitRecord::decode(bytes).map_err(|error| error.in_file(format!("{LOG_DIR}: record {seq}"), 0))?;
            if seq > manifest.checkpoint {
                over = match until {
                    Until::End => seq > range.last,
                    Until::Commit(until) => seq > until,
                    Until::Time(until) => seq > range.last || record.wall_us > until,
                };
                if over {
                    return Ok(());
                }
                for change in &record.changes {
                    if let Change::Feed(change) = change {
                        feeds.apply(seq, change);
                    }
                }
                last = seq;
            }
            wall_us = wall_us.max(record.wall_us);
            log_bytes += bytes.len() as u64;
            named.add_record(&record)
        })?;
        let active = feeds.cursors().filter(|(_, cursor)| cursor.ended.is_none());
        let cursors = active.map(|(name, _)| name.to_string()).collect();
        let next_unit = named.next_unit();
        let (log_id, files) = (identity.log_id, named.into_files());
        Ok(Self { manifest, log_id, last, wall_us, log_bytes, files, next_unit, cursors })
    }

    /// Writes the log of the new database: the records of the old one, and the end of its feed cursors.
    fn write_log(&self, backup: &Env, target: &Env, identity: &Identity) -> Result<Epoch> {
        let Manifest { log_start, .. } = self.manifest;
        let before = CommitSeq::new(log_start.get().saturating_sub(1));
        // One file if it is not too large; the server makes its own after it.
        let file_bytes = (self.log_bytes + self.log_bytes / 8 + LOG_ROOM_BYTES).min(LOG_FILE_BYTES_MAX);
        let options = LogOptions { file_bytes, reserve_files: 0, reserve_bytes: 0 };
        let mut log = Log::create_after(target, LOG_DIR, identity.log_id, before, &options)?;
        let mut group: Vec<(CommitSeq, Bytes)> = Vec::new();
        let mut bytes_of_group = 0;
        let reach = Reach { from: log_start, to: self.last.max(before) };
        let read = Log::recover(backup, LOG_DIR, self.log_id, reach, &mut |seq, bytes| {
            if seq < log_start || seq > self.last {
                return Ok(());
            }
            group.push((seq, Bytes::copy_from_slice(bytes)));
            bytes_of_group += bytes.len();
            if bytes_of_group >= GROUP_BYTES {
                log.write_group(&group)?;
                group.clear();
                bytes_of_group = 0;
            }
            Ok(())
        })?;
        drop(read);
        let end = self.end_of_cursors(log.epoch())?;
        group.extend(end);
        if !group.is_empty() {
            log.write_group(&group)?;
        }
        log.sync()?;
        // The new log says of all of this that it is durable, so that no damage of it is ever taken for its end (W11).
        log.write_synced_mark()?;
        log.sync()?;
        Ok(log.epoch())
    }

    /// The commit that ends the cursors: their consumers may have seen what is not there any more.
    fn end_of_cursors(&self, epoch: Epoch) -> Result<Option<(CommitSeq, Bytes)>> {
        if self.cursors.is_empty() {
            return Ok(None);
        }
        let seq = self.last.next().ok_or_else(|| Error::internal("the log is full"))?;
        let reason = format!("the database was restored from a backup, as it was at commit {}", self.last);
        let end = |name: &String| Change::Feed(FeedChange::End { name: name.clone(), reason: reason.clone() });
        let record = CommitRecord {
            seq,
            epoch,
            wall_us: self.wall_us,
            transaction: 0,
            token: None,
            offsets: Vec::new(),
            changes: self.cursors.iter().map(end).collect(),
        };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        Ok(Some((seq, Bytes::from(bytes))))
    }
}

/// The manifest with all dead rows in itself: files of them are of the log that wrote them.
fn with_deletes(env: &Env, log_id: LogId, mut manifest: Manifest) -> Result<Manifest> {
    let mut vectors = read_deletes(env, log_id, &manifest)?;
    let shards = manifest.tables.iter_mut().flat_map(|table| &mut table.shards);
    for segment in shards.flat_map(|shard| &mut shard.segments) {
        segment.deletes = vectors.remove(&segment.unit).map(|vector| vector.encode().into()).unwrap_or_default();
    }
    manifest.deletes_files.clear();
    Ok(manifest)
}

/// Reads the log of a backup, from the first record that its manifest needs.
fn visit_log(
    env: &Env,
    record: &BackupRecord,
    manifest: &Manifest,
    visit: &mut dyn FnMut(CommitSeq, &[u8]) -> Result<()>,
) -> Result<()> {
    let reach = Reach { from: manifest.log_start, to: record.range.last };
    let read = Log::recover(env, LOG_DIR, record.identity.log_id, reach, &mut |seq, bytes| {
        if seq < manifest.log_start { Ok(()) } else { visit(seq, bytes) }
    })?;
    drop(read);
    Ok(())
}

fn check_range(range: &BackupRange, until: Until) -> Result<()> {
    let BackupRange { first, last, first_us, last_us, .. } = *range;
    match until {
        Until::Commit(seq) if seq < first || seq > last => {
            Err(Error::new(Condition::InvalidParameterValue, format!("the backup does not hold commit {seq}"))
                .with_detail(format!("It can be restored to the commits from {first} to {last}.")))
        }
        Until::Time(us) if us < first_us || us > last_us => {
            Err(Error::new(Condition::InvalidParameterValue, "the backup does not hold that time")
                .with_detail(format!("It can be restored to the times from {first_us} to {last_us} (µs since 1970).")))
        }
        Until::End | Until::Commit(_) | Until::Time(_) => Ok(()),
    }
}

/// Directories of a database.
const DIRECTORIES: [&str; 4] = [LOG_DIR, MANIFEST_DIR, SEGMENT_DIR, STAGED_DIR];
/// Room in the log beside records: for headers of pages and groups.
const LOG_ROOM_BYTES: u64 = 64 << 10;
/// Largest file of the log.
const LOG_FILE_BYTES_MAX: u64 = 64 << 20;
/// Records that are written at once.
const GROUP_BYTES: usize = 4 << 20;
