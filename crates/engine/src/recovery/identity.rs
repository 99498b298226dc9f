//! The file `FORMAT`: says that a directory is ours, in which version, and which log it holds.
//!
//! Lines of text, for people who look into the directory: a title, `version N`, `log` with the `LogId`, and `checksum` with the
//! XXH3-64 of everything before that line, in hexadecimal. The database of a backup that was restored goes on under a `LogId` of its
//! own; the one that wrote the files of units below `N` is then in a line `from` id `below N`, oldest first, and the version is 2.

use std::sync::Arc;

use outcrop_env::{Env, FileName};
use outcrop_types::{Condition, Error, LogId, Result, UnitId};
use xxhash_rust::xxh3::xxh3_64;

use crate::files::{file_name, read_file, write_file};

/// What the directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) log_id: LogId,
    /// The logs that it goes on from, oldest first.
    pub(crate) origins: Arc<[Origin]>,
}

/// A log from which another one goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) log_id: LogId,
    /// Files of units before this one are called after it, or after an older one.
    pub(crate) below: UnitId,
}

impl Identity {
    /// Name of the file.
    pub(crate) const FILE: &str = "FORMAT";

    /// A log of its own.
    pub(crate) fn new(log_id: LogId) -> Self {
        Self { log_id, origins: Arc::new([]) }
    }

    /// The identity of a log that goes on from this one: units below `below` have their files from here.
    pub(crate) fn fork(&self, log_id: LogId, below: UnitId) -> Self {
        let origin = Origin { log_id: self.log_id, below };
        Self { log_id, origins: self.origins.iter().copied().chain([origin]).collect() }
    }

    /// The log that wrote the files of a unit (F1).
    pub(crate) fn log_of(&self, unit: UnitId) -> LogId {
        self.origins.iter().find(|origin| unit < origin.below).map_or(self.log_id, |origin| origin.log_id)
    }

    /// Whether this log or one that it goes on from has the id.
    pub(crate) fn descends_from(&self, log_id: LogId) -> bool {
        self.log_id == log_id || self.origins.iter().any(|origin| origin.log_id == log_id)
    }

    /// Reads the file of a directory; `None` if there is none.
    ///
    /// # Errors
    /// `UnsupportedVersion` for a directory of another version, `DataCorrupted` for a damaged file, `IoError`.
    pub(crate) fn read(env: &Env) -> Result<Option<Self>> {
        let name = Self::file()?;
        let files =
            env.disk.list("").map_err(|error| crate::files::FileError::new("list", "the data directory", error))?;
        if !files.iter().any(|entry| entry.name == name) {
            return Ok(None);
        }
        let path = env.disk.describe(&name);
        Self::decode(&read_file(env, &name)?, &path).map(Some)
    }

    /// Its name in the directory.
    pub(crate) fn file() -> Result<FileName> {
        file_name("", Self::FILE)
    }

    /// Writes the file.
    pub(crate) fn write(&self, env: &Env) -> Result<()> {
        write_file(env, &Self::file()?, self.encode().as_bytes())
    }

    /// Its content.
    pub(crate) fn encode(&self) -> String {
        let version = if self.origins.is_empty() { VERSION } else { VERSION_WITH_ORIGINS };
        sealed_text(&format!("{TITLE}\nversion {version}\n{}", self.lines()))
    }

    /// The lines that say which log it is.
    pub(crate) fn lines(&self) -> String {
        let origin = |origin: &Origin| format!("from {} below {}\n", origin.log_id, origin.below.get());
        format!("log {}\n{}", self.log_id, self.origins.iter().map(origin).collect::<String>())
    }

    /// Reads such lines, and stops before the first other one.
    pub(crate) fn parse<'a>(lines: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> Option<Self> {
        let log_id = lines.next()?.strip_prefix("log ")?.parse().ok()?;
        let mut origins = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("from ")) {
            let (from, below) = line.strip_prefix("from ")?.split_once(" below ")?;
            origins.push(Origin { log_id: from.parse().ok()?, below: UnitId::new(below.parse().ok()?) });
        }
        Some(Self { log_id, origins: origins.into() })
    }

    fn decode(bytes: &[u8], path: &str) -> Result<Self> {
        let corrupt = |what: &str| Error::corrupt(path, 0, what);
        let text = std::str::from_utf8(bytes).map_err(|error| corrupt("it is not text").with_source(error))?;
        let mut lines = text.lines().peekable();
        if lines.next() != Some(TITLE) {
            return Err(corrupt("it is not the identity file of an Outcrop data directory"));
        }
        let version = lines.next().and_then(|line| line.strip_prefix("version "));
        let version = version.filter(|version| version.bytes().all(|byte| byte.is_ascii_digit()));
        let version = version.ok_or_else(|| corrupt("no version"))?;
        if ![VERSION, VERSION_WITH_ORIGINS].contains(&version) {
            return Err(Error::new(
                Condition::UnsupportedVersion,
                format!(
                    "data directory has format version {version}, this build reads versions {VERSION} and {VERSION_WITH_ORIGINS}"
                ),
            )
            .with_detail(format!("File {path} says so."))
            .with_hint("Open it with the version of Outcrop that wrote it, or load the data into a new directory."));
        }
        let identity = Self::parse(&mut lines).ok_or_else(|| corrupt("no log id"))?;
        // Text has one form, so the checksum is compared as a whole.
        if text == identity.encode() { Ok(identity) } else { Err(corrupt("checksum mismatch")) }
    }
}

/// A text with a last line that has the checksum of those before it.
pub(crate) fn sealed_text(text: &str) -> String {
    let checksum = xxh3_64(text.as_bytes());
    format!("{text}checksum {checksum:016x}\n")
}

const TITLE: &str = "Outcrop data directory";
/// Version of the directory as a whole: raised when an older build must not even look at the rest.
const VERSION: &str = "1";
/// Version of a directory with files of other logs, which a build that knows only version 1 would not find.
const VERSION_WITH_ORIGINS: &str = "2";

#[cfg(test)]
mod tests;
