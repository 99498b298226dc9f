//! Copying files from one directory into another that is being made.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use outcrop_env::{DirEntry, Env, File, FileName, is_out_of_handles};
use outcrop_types::{Condition, Error, Result};

use super::record::BackupFile;
use crate::files::{FileError, remove_if_there};

/// A directory that is being made. What it has is durable after [`NewDirectory::sync`]; dropped unfinished it is emptied.
pub(super) struct NewDirectory<'a> {
    env: &'a Env,
    /// Says that the directory is not what it shall be yet.
    marker: FileName,
    /// Its directories, which had no file.
    dirs: Vec<String>,
    /// Those with new names.
    changed: BTreeSet<String>,
    finished: bool,
    is_cancelled: &'a dyn Fn() -> bool,
}

/// What must be in a file that is copied.
pub(super) enum Expected<'a> {
    /// Anything; of a file that grows no more than so many bytes.
    Anything(Option<u64>),
    /// So many bytes, with the checksum of each page.
    Pages(u64, &'a [u32]),
    /// So many bytes with this checksum.
    Whole(u64, u32),
}

impl<'a> NewDirectory<'a> {
    /// Takes an empty directory: from now on the marker, with this text, says what it will be.
    ///
    /// # Errors
    /// `ObjectNotInPrerequisiteState` if it is not empty; `DiskFull`; `IoError`.
    pub(super) fn claim(
        env: &'a Env,
        marker: FileName,
        text: &str,
        dirs: &[&str],
        is_cancelled: &'a dyn Fn() -> bool,
    ) -> Result<Self> {
        for dir in dirs.iter().copied().chain([""]) {
            let entries = env.disk.list(dir).map_err(|error| FileError::new("list", dir, error))?;
            if let Some(entry) = entries.first() {
                return Err(not_empty(&env.disk.describe(&entry.name)));
            }
        }
        let file = env.disk.create(&marker).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                return not_empty(&env.disk.describe(&marker));
            }
            failed(env, "create", &marker, error)
        })?;
        let dirs: Vec<String> = dirs.iter().map(|dir| (*dir).to_owned()).collect();
        let made = Self { env, marker, dirs, changed: BTreeSet::new(), finished: false, is_cancelled };
        let stored = file.write_all_at(0, text.as_bytes()).and_then(|()| file.sync_data());
        stored.map_err(|error| made.failed("write", &made.marker, error))?;
        made.sync_dir("")?;
        for dir in &made.dirs {
            made.env.disk.create_dir(dir).map_err(|error| FileError::new("create", dir, error))?;
        }
        Ok(made)
    }

    /// Copies a file, and says what it is.
    ///
    /// # Errors
    /// `DataCorrupted` when it is not as expected; `QueryCanceled`; `DiskFull`; `IoError`.
    pub(super) fn copy(&mut self, source: &Env, name: &FileName, expected: &Expected<'_>) -> Result<BackupFile> {
        let target = self.create(name)?;
        let copied = self.read((source, name), &*open(source, name)?, expected, Some(&*target))?;
        target.sync_data().map_err(|error| self.failed("sync", name, error))?;
        Ok(copied)
    }

    /// Takes a file over under its own name, without a copy where the file system can, and says what it is. The file never changes.
    ///
    /// # Errors
    /// As [`NewDirectory::copy`].
    pub(super) fn link_or_copy(&mut self, source: &Env, name: &FileName, expected: &Expected<'_>) -> Result<Taken> {
        if self.link(source, name)? {
            let file = self.read((source, name), &*open(source, name)?, expected, None)?;
            return Ok(Taken { file, copied: false });
        }
        Ok(Taken { file: self.copy(source, name, expected)?, copied: true })
    }

    /// Gives a file of another directory a name here; false if that cannot be done.
    ///
    /// # Errors
    /// `DiskFull`, `IoError`.
    pub(super) fn link(&mut self, source: &Env, name: &FileName) -> Result<bool> {
        match self.env.disk.link(&*source.disk, name, name) {
            Ok(()) => {
                self.note(name);
                Ok(true)
            }
            Err(error) if is_no_link(&error) => Ok(false),
            Err(error) => Err(self.failed("link", name, error)),
        }
    }

    /// Copies a small file that may be replaced meanwhile, for the eyes of its owner; `None` if there is none.
    ///
    /// # Errors
    /// As [`NewDirectory::copy`].
    pub(super) fn copy_private(&mut self, source: &Env, name: &FileName) -> Result<Option<BackupFile>> {
        match source.disk.open_read(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(source, "open", name, error)),
            Ok(open) => {
                self.check_cancelled()?;
                let target = self.env.disk.create_private(name).map_err(|error| self.failed("create", name, error))?;
                self.note(name);
                let copied = self.read((source, name), &*open, &Expected::Anything(None), Some(&*target))?;
                target.sync_data().map_err(|error| self.failed("sync", name, error))?;
                Ok(Some(copied))
            }
        }
    }

    /// Makes every name durable.
    fn sync(&self) -> Result<()> {
        self.changed.iter().try_for_each(|dir| self.sync_dir(dir))
    }

    /// The directory is what it shall be: the marker, with this text, gets its final name.
    ///
    /// # Errors
    /// `DiskFull`, `IoError`.
    pub(super) fn finish(mut self, name: &FileName, text: &str) -> Result<()> {
        self.sync()?;
        let file = self.env.disk.open(&self.marker).map_err(|error| self.failed("open", &self.marker, error))?;
        let stored = file.write_all_at(0, text.as_bytes()).and_then(|()| file.set_len(text.len() as u64));
        stored.map_err(|error| self.failed("write", &self.marker, error))?;
        // Whether the name is durable after a failure is unknown, so nothing is removed any more: whole it is in any case.
        self.finished = true;
        self.env.disk.publish(&self.marker, name).map_err(|error| self.failed("publish", name, error))
    }

    fn create(&mut self, name: &FileName) -> Result<Arc<dyn File>> {
        self.check_cancelled()?;
        let file = self.env.disk.create(name).map_err(|error| self.failed("create", name, error))?;
        self.note(name);
        Ok(file)
    }

    fn note(&mut self, name: &FileName) {
        self.changed.insert(name.dir().to_owned());
    }

    /// Removes everything but the marker. Nothing else was there when it was claimed.
    fn empty(&self) -> Result<()> {
        for dir in self.dirs.iter().map(String::as_str).chain([""]) {
            let entries = self.env.disk.list(dir).map_err(|error| FileError::new("list", dir, error))?;
            for DirEntry { name, .. } in entries.into_iter().filter(|entry| entry.name != self.marker) {
                remove_if_there(self.env, &name).map_err(|error| self.failed("remove", &name, error))?;
            }
        }
        Ok(())
    }

    /// Reads a file of another directory, and writes what it reads here.
    fn read(
        &self,
        from: (&Env, &FileName),
        open: &dyn File,
        expected: &Expected<'_>,
        target: Option<&dyn File>,
    ) -> Result<BackupFile> {
        read_checked(from, open, expected, &mut |offset, bytes| {
            self.check_cancelled()?;
            let Some(target) = target else { return Ok(()) };
            target.write_all_at(offset, bytes).map_err(|error| self.failed("write", from.1, error))
        })
    }

    fn sync_dir(&self, dir: &str) -> Result<()> {
        self.env.disk.sync_dir(dir).map_err(|error| FileError::new("sync", dir, error).into())
    }

    fn check_cancelled(&self) -> Result<()> {
        if (self.is_cancelled)() {
            return Err(Error::new(Condition::QueryCanceled, "canceling statement due to user request"));
        }
        Ok(())
    }

    fn failed(&self, verb: &'static str, name: &FileName, error: io::Error) -> Error {
        failed(self.env, verb, name, error)
    }
}

impl Drop for NewDirectory<'_> {
    /// What is left of it is of no use. The marker goes last, so that nobody takes the rest for anything.
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let removed = self.empty().and_then(|()| {
            let removed = remove_if_there(self.env, &self.marker);
            removed.map_err(|error| self.failed("remove", &self.marker, error))
        });
        if let Err(error) = removed {
            tracing::debug!(%error, "files of an unfinished directory stay");
        }
    }
}

/// Reads a file of a backup.
///
/// # Errors
/// `DataCorrupted` when it is not what the backup says; `IoError`.
pub(super) fn verify_file(env: &Env, file: &BackupFile) -> Result<()> {
    let expected = Expected::Whole(file.bytes, file.crc32c);
    read_checked((env, &file.name), &*open(env, &file.name)?, &expected, &mut |_, _| Ok(())).map(drop)
}

fn open(env: &Env, name: &FileName) -> Result<Arc<dyn File>> {
    env.disk.open_read(name).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return Error::corrupt(env.disk.describe(name), 0, "the file is missing");
        }
        failed(env, "open", name, error)
    })
}

/// Reads a file in pieces, and says what it is.
fn read_checked(
    (env, name): (&Env, &FileName),
    open: &dyn File,
    expected: &Expected<'_>,
    visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<BackupFile> {
    let corrupt = |offset, what: &str| Error::corrupt(env.disk.describe(name), offset, what);
    let found = open.len().map_err(|error| failed(env, "read", name, error))?;
    let bytes = match expected {
        Expected::Anything(bytes) => bytes.unwrap_or(found),
        Expected::Pages(bytes, _) | Expected::Whole(bytes, _) => *bytes,
    };
    if found < bytes || (found > bytes && !matches!(expected, Expected::Anything(_))) {
        return Err(corrupt(found.min(bytes), &format!("it has {found} bytes, not {bytes}")));
    }
    let (mut crc32c, mut offset) = (0, 0);
    let mut buffer = vec![0; CHUNK_BYTES];
    while offset < bytes {
        let len = usize::try_from(bytes - offset).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let chunk = buffer.get_mut(..len).unwrap_or_default();
        open.read_exact_at(offset, chunk).map_err(|error| failed(env, "read", name, error))?;
        if let Expected::Pages(_, pages) = expected
            && let Some(at) = first_bad_page(pages, offset, chunk)
        {
            return Err(corrupt(at, "checksum mismatch"));
        }
        crc32c = crc32c::crc32c_append(crc32c, chunk);
        visit(offset, chunk)?;
        offset += len as u64;
    }
    match expected {
        Expected::Whole(_, expected) if crc32c != *expected => Err(corrupt(0, "checksum mismatch")),
        Expected::Whole(..) | Expected::Pages(..) | Expected::Anything(_) => {
            Ok(BackupFile { name: name.clone(), bytes, crc32c })
        }
    }
}

/// A file that was taken over.
pub(super) struct Taken {
    pub(super) file: BackupFile,
    pub(super) copied: bool,
}

/// The error of a directory that is not empty.
pub(super) fn not_empty(what: &str) -> Error {
    Error::new(Condition::ObjectNotInPrerequisiteState, "the directory is not empty")
        .with_detail(format!("There is {what}."))
        .with_hint("Choose a directory that is empty or not there yet.")
}

fn failed(env: &Env, verb: &'static str, name: &FileName, error: io::Error) -> Error {
    let path = env.disk.describe(name);
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return Error::new(Condition::DiskFull, format!("no space left to {verb} file {path}"))
            .with_detail("What was there of the new directory is removed; the database is as it was.")
            .with_source(error);
    }
    let condition = if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
        Condition::InsufficientPrivilege
    } else if is_out_of_handles(&error) {
        Condition::InsufficientResources
    } else {
        Condition::IoError
    };
    Error::new(condition, format!("could not {verb} file {path}: {error}")).with_source(error)
}

/// Where the first page of a chunk begins that is not what its checksum says. Chunks begin with a page.
fn first_bad_page(pages: &[u32], offset: u64, chunk: &[u8]) -> Option<u64> {
    let page_bytes = u64::from(outcrop_format::meta::PAGE_BYTES);
    let first = usize::try_from(offset / page_bytes).unwrap_or(usize::MAX);
    let mut found = chunk.chunks(usize::try_from(page_bytes).unwrap_or(usize::MAX)).zip(0..);
    let bad = found.find(|(page, number)| pages.get(first + number) != Some(&crc32c::crc32c(page)));
    bad.map(|(_, number)| offset + number as u64 * page_bytes)
}

/// Whether a copy can do what a link cannot.
fn is_no_link(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, NotFound, PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), CrossesDevices | NotFound | PermissionDenied | TooManyLinks | Unsupported)
}

/// Bytes that are read at once: some pages of a segment.
const CHUNK_BYTES: usize = 16 * 64 * 1024;
