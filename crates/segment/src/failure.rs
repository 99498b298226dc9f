//! Errors of the operating system as errors of ours.

use std::fmt;
use std::io;

use outcrop_env::is_out_of_handles;
use outcrop_types::{Condition, Error};

/// A failed operation on a file: `verb` and the file make the sentence, as in "write segments/x.vortex".
pub(crate) fn io_error(verb: &str, file: impl fmt::Display, error: io::Error) -> Error {
    let condition = condition_of(&error);
    let failed = Error::new(condition, format!("cannot {verb} {file}: {error}")).with_source(error);
    if condition == Condition::DiskFull {
        return failed.with_hint("Free space on the disk of the data directory; writing resumes without a restart.");
    }
    failed
}

/// What kind of refusal it is: after lack of space or of open files everything else is as it was.
pub(crate) fn condition_of(error: &io::Error) -> Condition {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        Condition::DiskFull
    } else if is_out_of_handles(error) {
        Condition::InsufficientResources
    } else {
        Condition::IoError
    }
}
