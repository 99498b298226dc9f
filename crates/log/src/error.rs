//! From I/O errors to errors of the system: always with path, offset and length (style rule 35).

use std::fmt;
use std::io;

use outcrop_env::{Env, FileName, is_out_of_handles};
use outcrop_types::{Condition, Error};

/// An error of reading, writing or syncing: `verb` is as in "write to the log".
pub(crate) fn io_error(env: &Env, verb: &str, name: &FileName, range: Range, source: io::Error) -> Error {
    let path = env.disk.describe(name);
    Error::new(condition(&source), format!("could not {verb} file {path}{range}: {source}")).with_source(source)
}

/// An error of preparing a log file: the one place where a full disk may show (W9).
pub(crate) fn prepare_error(env: &Env, name: &FileName, bytes: u64, source: io::Error) -> Error {
    if is_full(&source) {
        let path = env.disk.describe(name);
        Error::new(Condition::DiskFull, format!("no space left to prepare log file {path} of {bytes} bytes"))
            .with_detail("Nothing was written; reads go on.")
            .with_hint("Free space on the disk of the data directory; writes resume by themselves.")
            .with_source(source)
    } else if is_out_of_handles(&source) {
        let path = env.disk.describe(name);
        let message = format!("too many open files to prepare log file {path}");
        Error::new(Condition::InsufficientResources, message)
            .with_detail("Nothing was written; reads go on.")
            .with_source(source)
    } else {
        io_error(env, "prepare", name, Range::bytes(0, bytes), source)
    }
}

/// An error of a whole directory.
pub(crate) fn dir_error(verb: &str, dir: &str, source: io::Error) -> Error {
    Error::new(condition(&source), format!("could not {verb} log directory {dir}: {source}")).with_source(source)
}

fn condition(source: &io::Error) -> Condition {
    if is_out_of_handles(source) { Condition::InsufficientResources } else { Condition::IoError }
}

/// The log refused work because an earlier write or sync failed (L5).
pub(crate) fn poisoned() -> Error {
    Error::new(Condition::Poisoned, "the commit log stopped after a failed write")
        .with_detail("What the disk holds of it is unknown until the log is recovered.")
        .with_hint("Restart the server; see the first error in its messages for the cause.")
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The bytes that an operation was about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Range {
    Bytes { offset: u64, len: u64 },
    Whole,
}

impl Range {
    pub(crate) const fn bytes(offset: u64, len: u64) -> Self {
        Self::Bytes { offset, len }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { offset, len } => write!(f, " ({len} bytes at offset {offset})"),
            Self::Whole => Ok(()),
        }
    }
}
