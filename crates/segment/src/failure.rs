//! Errors of the operating system as errors of ours.

use std::fmt;
use std::io;

use outcrop_types::{Condition, Error};

/// A failed operation on a file: `verb` and the file make the sentence, as in "write segments/x.vortex".
pub(crate) fn io_error(verb: &str, file: impl fmt::Display, error: io::Error) -> Error {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let condition = if full { Condition::DiskFull } else { Condition::IoError };
    let failed = Error::new(condition, format!("cannot {verb} {file}: {error}")).with_source(error);
    if full {
        return failed.with_hint("Free space on the disk of the data directory; writing resumes without a restart.");
    }
    failed
}
