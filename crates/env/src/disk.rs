//! Files with explicit durability.
//!
//! Nothing is durable before it is synced: bytes and lengths by [`File::sync_data`], directory entries (created, removed
//! and renamed names) by [`Disk::sync_dir`] or [`Disk::publish`]. The simulated disk holds its users to exactly that.

use std::fmt::{self, Debug};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A directory tree of files below one root.
///
/// Directories are named like files (`segments`, `log/old`); the empty string is the root.
pub trait Disk: Send + Sync + Debug {
    /// Creates a file for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, `NotFound` when its directory is missing.
    fn create(&self, name: &FileName) -> io::Result<Arc<dyn File>>;

    /// As [`Disk::create`], for a file that only its owner may read, where there are owners.
    ///
    /// # Errors
    /// As [`Disk::create`].
    fn create_private(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        self.create(name)
    }

    /// Gives the file `from` of another disk, or of this one, a second name here, without copying it. Durable after
    /// [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `Unsupported`, `CrossesDevices`, `PermissionDenied`, `TooManyLinks` where that cannot be done: a copy can. `AlreadyExists`,
    /// `NotFound`.
    fn link(&self, source: &dyn Disk, from: &FileName, name: &FileName) -> io::Result<()> {
        let _ = (source, from, name);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Where the root is on this machine; `None` for a simulated disk.
    fn root(&self) -> Option<&Path> {
        None
    }

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn open(&self, name: &FileName) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file for reading; writing through it is refused.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn open_read(&self, name: &FileName) -> io::Result<Arc<dyn File>>;

    /// The files directly in `dir`, sorted by name, without directories. A missing directory has no files.
    ///
    /// # Errors
    /// What the operating system says.
    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>>;

    /// Creates `dir` and its parents, durably. An existing directory is fine.
    ///
    /// # Errors
    /// What the operating system says.
    fn create_dir(&self, dir: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Disk::sync_dir`] of its directory.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn remove(&self, name: &FileName) -> io::Result<()>;

    /// Makes every creation, removal and renaming in `dir` durable.
    ///
    /// # Errors
    /// What the operating system says. The durability of the directory is then unknown.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// The only way a finished file gets its name: syncs `temporary`, renames it to `name`, replacing what had that
    /// name, and syncs the directory (architecture S5).
    ///
    /// # Errors
    /// What the operating system says. When the last step fails, `name` may or may not survive a crash; for want of open
    /// files ([`is_out_of_handles`]) only the first one fails.
    fn publish(&self, temporary: &FileName, name: &FileName) -> io::Result<()>;

    /// Takes the exclusive lock of a directory, by the file `name`, and writes the process id into it.
    ///
    /// # Errors
    /// `WouldBlock` when someone else holds it.
    fn lock(&self, name: &FileName) -> io::Result<Box<dyn DirLock>>;

    /// The full path of `name`, for messages.
    fn describe(&self, name: &FileName) -> String;
}

/// An open file. All methods may be called from several threads; overlapping writes are the caller's affair.
pub trait File: Send + Sync + Debug {
    /// Fills `bytes` from the file, starting at `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes all `bytes` at `offset`, growing the file when needed; a gap reads as zeros.
    ///
    /// # Errors
    /// `StorageFull` when the disk is full. After any error the content of the range is unknown.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// True when the file has no bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or grows it with a hole that reads as zeros.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Writes real zero bytes from `from` to `to`, so that later writes there need no new space: a full disk shows
    /// here and not there (architecture W9).
    ///
    /// # Errors
    /// `StorageFull` when the disk is full.
    fn zero_fill(&self, from: u64, to: u64) -> io::Result<()>;

    /// Makes bytes and length durable.
    ///
    /// # Errors
    /// After any error the durability of all earlier writes is unknown and a second call proves nothing: poison (W9).
    fn sync_data(&self) -> io::Result<()>;
}

/// Whether an operation failed for want of open files (`EMFILE`, `ENFILE`). Nothing was done then, and a later try may
/// succeed.
pub fn is_out_of_handles(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// An exclusive lock, held until it is dropped.
#[must_use = "the lock is released when it is dropped"]
pub trait DirLock: Send + Sync + Debug {}

/// One file of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name from the root.
    pub name: FileName,
    /// Its length in bytes.
    pub len: u64,
}

/// The name of a file: relative, parts separated by `/`, checked when it is made.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Arc<str>);

impl FileName {
    /// Checks `name`: not empty, relative, no empty, `.` or `..` part, no NUL or backslash.
    ///
    /// # Errors
    /// [`InvalidFileName`] otherwise.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidFileName> {
        let name = name.as_ref();
        if is_valid_path(name) { Ok(Self(Arc::from(name))) } else { Err(InvalidFileName(name.to_owned())) }
    }

    /// The file `base` in directory `dir`; the empty string is the root.
    ///
    /// # Errors
    /// [`InvalidFileName`] when the whole is no valid name.
    pub fn in_dir(dir: &str, base: &str) -> Result<Self, InvalidFileName> {
        if dir.is_empty() { Self::new(base) } else { Self::new(format!("{dir}/{base}")) }
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory part; empty for a file in the root.
    pub fn dir(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(dir, _)| dir)
    }

    /// The last part.
    pub fn base(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, base)| base)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// A text that cannot name a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a relative file name")]
pub struct InvalidFileName(String);

impl From<InvalidFileName> for io::Error {
    fn from(invalid: InvalidFileName) -> Self {
        Self::new(io::ErrorKind::InvalidInput, invalid)
    }
}

/// Checks the name of a directory, in which the empty string is the root.
pub(crate) fn check_dir(dir: &str) -> io::Result<()> {
    if dir.is_empty() || is_valid_path(dir) { Ok(()) } else { Err(InvalidFileName(dir.to_owned()).into()) }
}

fn is_valid_path(path: &str) -> bool {
    !path.contains(['\0', '\\']) && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}
