//! The file `BACKUP`: what a backup is, and every file of it.
//!
//! Lines of text, as in `FORMAT`: a title, `version N`, the lines of the log's identity, `commits A to B`, `times A to B` in µs since 1970,
//! one line `file` for each file with the CRC32C in hexadecimal, the length and the name, and `checksum`.

use std::iter::Peekable;

use outcrop_env::{Env, FileName};
use outcrop_types::{CommitSeq, Condition, Error, LogId, Result};

use super::copy::verify_file;
use crate::files::{FileError, file_name, read_file};
use crate::recovery::{Identity, sealed_text};

/// Which moments of a database a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupRange {
    /// The log of the commits.
    pub log_id: LogId,
    /// The first commit to which it can be restored.
    pub first: CommitSeq,
    /// The last one.
    pub last: CommitSeq,
    /// The first time to which it can be restored, in µs since 1970.
    pub first_us: i64,
    /// The last one: until then nothing came after `last`.
    pub last_us: i64,
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupRecord {
    pub(crate) identity: Identity,
    pub(crate) range: BackupRange,
    /// Sorted by name.
    pub(crate) files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupFile {
    pub(crate) name: FileName,
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
}

impl BackupFile {
    /// Reads the file of a backup.
    ///
    /// # Errors
    /// `DataCorrupted` when it is not what the backup says; `IoError`.
    pub(crate) fn verify(&self, env: &Env) -> Result<()> {
        verify_file(env, self)
    }
}

impl BackupRecord {
    /// Name of the file.
    pub(crate) const FILE: &str = "BACKUP";
    /// What stands in its place while the backup is taken.
    pub(crate) const INCOMPLETE: &str = "BACKUP.incomplete";

    /// Reads the file of a directory; `None` if there is none.
    ///
    /// # Errors
    /// `ObjectNotInPrerequisiteState` for a backup that was not finished, `UnsupportedVersion`, `DataCorrupted`, `IoError`.
    pub(crate) fn find(env: &Env) -> Result<Option<Self>> {
        let files = env.disk.list("").map_err(|error| FileError::new("list", "the directory", error))?;
        let has = |base: &str| files.iter().any(|entry| entry.name.as_str() == base);
        let name = file_name("", Self::FILE)?;
        if has(Self::FILE) {
            return Self::decode(&read_file(env, &name)?, &env.disk.describe(&name)).map(Some);
        }
        if has(Self::INCOMPLETE) {
            let marker = env.disk.describe(&file_name("", Self::INCOMPLETE)?);
            return Err(Error::new(Condition::ObjectNotInPrerequisiteState, "the backup is incomplete")
                .with_detail(format!("It was interrupted while it was taken: there is a file {marker}."))
                .with_hint("Remove the directory, and take the backup again."));
        }
        Ok(None)
    }

    /// Reads the file of a directory that should be a backup.
    ///
    /// # Errors
    /// As [`BackupRecord::find`]; `ObjectNotInPrerequisiteState` for a directory that is none.
    pub(crate) fn read(env: &Env) -> Result<Self> {
        Self::find(env)?.ok_or_else(|| {
            Error::new(Condition::ObjectNotInPrerequisiteState, "the directory is not a backup")
                .with_detail(format!("It has no file {}.", Self::FILE))
        })
    }

    /// A file by name.
    pub(crate) fn file(&self, name: &FileName) -> Option<&BackupFile> {
        let at = self.files.binary_search_by(|file| file.name.cmp(name)).ok()?;
        self.files.get(at)
    }

    pub(crate) fn encode(&self) -> String {
        let BackupRange { first, last, first_us, last_us, .. } = self.range;
        let mut text = format!(
            "{TITLE}\nversion {VERSION}\n{}commits {} to {}\ntimes {first_us} to {last_us}\n",
            self.identity.lines(),
            first.get(),
            last.get()
        );
        for BackupFile { name, bytes, crc32c } in &self.files {
            text.push_str(&format!("file {crc32c:08x} {bytes} {name}\n"));
        }
        sealed_text(&text)
    }

    pub(crate) fn decode(bytes: &[u8], path: &str) -> Result<Self> {
        let corrupt = |what: &str| Error::corrupt(path, 0, what);
        let text = std::str::from_utf8(bytes).map_err(|error| corrupt("it is not text").with_source(error))?;
        let mut lines = text.lines().peekable();
        if lines.next() != Some(TITLE) {
            return Err(corrupt("it is not the description of an Outcrop backup"));
        }
        let version = lines.next().and_then(|line| line.strip_prefix("version "));
        let version = version.filter(|version| version.bytes().all(|byte| byte.is_ascii_digit()));
        let version = version.ok_or_else(|| corrupt("no version"))?;
        if version != VERSION {
            return Err(Error::new(
                Condition::UnsupportedVersion,
                format!("the backup has format version {version}, this build reads version {VERSION}"),
            )
            .with_detail(format!("File {path} says so."))
            .with_hint("Restore it with the version of Outcrop that wrote it."));
        }
        let record = Self::parse(&mut lines).ok_or_else(|| corrupt("it is not complete"))?;
        // Text has one form, so the checksum is compared as a whole.
        if text == record.encode() { Ok(record) } else { Err(corrupt("checksum mismatch")) }
    }

    fn parse<'a>(lines: &mut Peekable<impl Iterator<Item = &'a str>>) -> Option<Self> {
        let identity = Identity::parse(lines)?;
        let (first, last) = lines.next()?.strip_prefix("commits ")?.split_once(" to ")?;
        let (first, last) = (CommitSeq::new(first.parse().ok()?), CommitSeq::new(last.parse().ok()?));
        let (first_us, last_us) = lines.next()?.strip_prefix("times ")?.split_once(" to ")?;
        let (first_us, last_us) = (first_us.parse().ok()?, last_us.parse().ok()?);
        let range = BackupRange { log_id: identity.log_id, first, last, first_us, last_us };
        let mut files = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("file ")) {
            let mut words = line.splitn(4, ' ').skip(1);
            let crc32c = u32::from_str_radix(words.next()?, 16).ok()?;
            let bytes = words.next()?.parse().ok()?;
            files.push(BackupFile { name: FileName::new(words.next()?).ok()?, bytes, crc32c });
        }
        files.is_sorted_by(|a, b| a.name < b.name).then_some(Self { identity, range, files })
    }
}

const TITLE: &str = "Outcrop backup";
const VERSION: &str = "1";

/// The moments to which a backup can be restored.
///
/// # Errors
/// `ObjectNotInPrerequisiteState` for a directory that is no backup, or an incomplete one; `UnsupportedVersion`; `DataCorrupted`; `IoError`.
pub fn range_of(backup: &Env) -> Result<BackupRange> {
    Ok(BackupRecord::read(backup)?.range)
}

#[cfg(test)]
mod tests;
