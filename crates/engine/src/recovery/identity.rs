//! The file `FORMAT`: says that a directory is ours, in which version, and which log it holds.
//!
//! Four lines of text, for people who look into the directory: a title, `version N`, `log` with the `LogId`, and
//! `checksum` with the XXH3-64 of everything before that line, in hexadecimal.

use outcrop_env::Env;
use outcrop_types::{Condition, Error, LogId, Result};
use xxhash_rust::xxh3::xxh3_64;

use crate::files::{file_name, read_file, write_file};

/// What the directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) log_id: LogId,
}

impl Identity {
    /// Name of the file.
    pub(crate) const FILE: &str = "FORMAT";

    /// Reads the file of a directory; `None` if there is none.
    ///
    /// # Errors
    /// `UnsupportedVersion` for a directory of another version, `DataCorrupted` for a damaged file, `IoError`.
    pub(crate) fn read(env: &Env) -> Result<Option<Self>> {
        let name = file_name("", Self::FILE)?;
        let files =
            env.disk.list("").map_err(|error| crate::files::FileError::new("list", "the data directory", error))?;
        if !files.iter().any(|entry| entry.name == name) {
            return Ok(None);
        }
        let path = env.disk.describe(&name);
        Self::decode(&read_file(env, &name)?, &path).map(Some)
    }

    /// Writes the file.
    pub(crate) fn write(&self, env: &Env) -> Result<()> {
        write_file(env, &file_name("", Self::FILE)?, self.encode().as_bytes())
    }

    fn encode(&self) -> String {
        let text = format!("{TITLE}\nversion {VERSION}\nlog {}\n", self.log_id);
        let checksum = xxh3_64(text.as_bytes());
        format!("{text}checksum {checksum:016x}\n")
    }

    fn decode(bytes: &[u8], path: &str) -> Result<Self> {
        let corrupt = |what: &str| Error::corrupt(path, 0, what);
        let text = std::str::from_utf8(bytes).map_err(|error| corrupt("it is not text").with_source(error))?;
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err(corrupt("it is not the identity file of an Outcrop data directory"));
        }
        let version = lines.next().and_then(|line| line.strip_prefix("version "));
        let version = version.filter(|version| version.bytes().all(|byte| byte.is_ascii_digit()));
        let version = version.ok_or_else(|| corrupt("no version"))?;
        if version != VERSION {
            return Err(Error::new(
                Condition::UnsupportedVersion,
                format!("data directory has format version {version}, this build reads version {VERSION}"),
            )
            .with_detail(format!("File {path} says so."))
            .with_hint("Open it with the version of Outcrop that wrote it, or load the data into a new directory."));
        }
        let log_id = lines
            .next()
            .and_then(|line| line.strip_prefix("log "))
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| corrupt("no log id"))?;
        let identity = Self { log_id };
        // Text has one form, so the checksum is compared as a whole.
        if text == identity.encode() { Ok(identity) } else { Err(corrupt("checksum mismatch")) }
    }
}

const TITLE: &str = "Outcrop data directory";
/// Version of the directory as a whole: raised when an older build must not even look at the rest.
const VERSION: &str = "1";

#[cfg(test)]
mod tests;
