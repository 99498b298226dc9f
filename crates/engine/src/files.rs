//! Small files that are written and read whole: identity, manifests, victims.

use std::io;

use outcrop_env::{Env, FileName, is_out_of_handles};
use outcrop_types::{Condition, Error, Result};

/// Writes a file under another name, then publishes it (S5).
///
/// # Errors
/// `DiskFull`, `InsufficientResources`: nothing is there. `IoError`: whether the file will be there after a crash is unknown.
pub(crate) fn write_file(env: &Env, name: &FileName, bytes: &[u8]) -> Result<()> {
    let temporary = file_name(name.dir(), &format!("{}.{TEMPORARY}", name.base()))?;
    let path = env.disk.describe(name);
    if let Err(error) = remove_if_there(env, &temporary) {
        return Err(FileError::new("replace", &path, error).into());
    }
    let written = env.disk.create(&temporary).and_then(|file| file.write_all_at(0, bytes));
    if let Err(error) = written {
        if let Err(error) = remove_if_there(env, &temporary) {
            tracing::debug!(file = %temporary, %error, "temporary file stays until the next start");
        }
        return Err(FileError::new("write", &path, error).into());
    }
    env.disk.publish(&temporary, name).map_err(|error| FileError::new("publish", &path, error).into())
}

/// Reads a file whole, of which something durable says that it is there.
///
/// # Errors
/// `DataCorrupted` when it is missing, `IoError`.
pub(crate) fn read_file(env: &Env, name: &FileName) -> Result<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let file = env.disk.open_read(name)?;
        let length = usize::try_from(file.len()?).map_err(|_too_large| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(0, &mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| {
        let path = env.disk.describe(name);
        if error.kind() == io::ErrorKind::NotFound {
            return Error::corrupt(path, 0, "the file is missing").with_source(error);
        }
        FileError::new("read", &path, error).into()
    })
}

/// Removes a file; one that is not there is fine.
pub(crate) fn remove_if_there(env: &Env, name: &FileName) -> io::Result<()> {
    match env.disk.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// `base` in `dir`, as a checked name.
pub(crate) fn file_name(dir: &str, base: &str) -> Result<FileName> {
    FileName::in_dir(dir, base).map_err(|error| Error::internal("a file has a malformed name").with_source(error))
}

/// A failed operation on a whole file or directory.
pub(crate) struct FileError<'a> {
    verb: &'static str,
    path: &'a str,
    source: io::Error,
}

impl<'a> FileError<'a> {
    /// `verb` is as in "read the file".
    pub(crate) fn new(verb: &'static str, path: &'a str, source: io::Error) -> Self {
        Self { verb, path, source }
    }
}

impl From<FileError<'_>> for Error {
    fn from(error: FileError<'_>) -> Self {
        let FileError { verb, path, source } = error;
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::new(Condition::DiskFull, format!("no space left to {verb} file {path}"))
                .with_hint("Free space on the disk of the data directory; writes resume by themselves.")
                .with_source(source);
        }
        let condition = if is_out_of_handles(&source) { Condition::InsufficientResources } else { Condition::IoError };
        Self::new(condition, format!("could not {verb} file {path}: {source}")).with_source(source)
    }
}

/// Suffix of files that are being written; what a crash leaves of them is removed at the next start.
pub(crate) const TEMPORARY: &str = "tmp";
