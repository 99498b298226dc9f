//! Files of the operating system.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use crate::disk::{DirEntry, DirLock, Disk, File, FileName, check_dir};
use crate::kill_points::kill_point;

/// How many zero bytes one write of [`File::zero_fill`] carries.
const ZERO_CHUNK: usize = 1 << 20;
/// Permissions of [`Disk::create_private`].
const PRIVATE: u32 = 0o600;

/// A directory of the file system.
#[derive(Debug)]
pub(crate) struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Takes `root` as the root, creating it, durably, when it is missing.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        // Absolute, so that a later change of the working directory moves nothing.
        let root = std::path::absolute(root)?;
        create_durably(&root)?;
        Ok(Self { root })
    }

    fn path(&self, name: &FileName) -> PathBuf {
        self.root.join(name.as_str())
    }

    fn dir_path(&self, dir: &str) -> io::Result<PathBuf> {
        check_dir(dir)?;
        Ok(if dir.is_empty() { self.root.clone() } else { self.root.join(dir) })
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.path(name))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn create_private(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(PRIVATE).open(self.path(name))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn link(&self, source: &dyn Disk, from: &FileName, name: &FileName) -> io::Result<()> {
        let root = source.root().ok_or(io::ErrorKind::Unsupported)?;
        fs::hard_link(root.join(from.as_str()), self.path(name))
    }

    fn root(&self) -> Option<&Path> {
        Some(&self.root)
    }

    fn open(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(name))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn open_read(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).open(self.path(name))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let entries = match fs::read_dir(self.dir_path(dir)?) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let metadata = entry.metadata()?;
            // A foreign file whose name could not be ours is not reported, and so never touched.
            let name = entry.file_name().to_str().and_then(|base| FileName::in_dir(dir, base).ok());
            if let Some(name) = name
                && metadata.is_file()
            {
                files.push(DirEntry { name, len: metadata.len() });
            }
        }
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        check_dir(dir)?;
        let mut path = self.root.clone();
        for part in dir.split('/').filter(|part| !part.is_empty()) {
            let parent = path.clone();
            path.push(part);
            // Synced also when it exists: whoever made it may have been killed before its own sync.
            create_or_accept(&path)?;
            sync_path(&parent)?;
        }
        Ok(())
    }

    fn remove(&self, name: &FileName) -> io::Result<()> {
        fs::remove_file(self.path(name))?;
        kill_point(name.dir(), "removed");
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        sync_path(&self.dir_path(dir)?)
    }

    fn publish(&self, temporary: &FileName, name: &FileName) -> io::Result<()> {
        // All are opened before anything is done: no lack of open files comes between the rename and its sync.
        let file = fs::File::open(self.path(temporary))?;
        let dir = fs::File::open(self.dir_path(name.dir())?)?;
        let old_dir = fs::File::open(self.dir_path(temporary.dir())?)?;
        kill_point(name.dir(), "written");
        sync(&file)?;
        kill_point(name.dir(), "synced");
        fs::rename(self.path(temporary), self.path(name))?;
        kill_point(name.dir(), "renamed");
        sync(&dir)?;
        if temporary.dir() != name.dir() {
            sync(&old_dir)?;
        }
        kill_point(name.dir(), "published");
        Ok(())
    }

    fn lock(&self, name: &FileName) -> io::Result<Box<dyn DirLock>> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(self.path(name))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::from(io::ErrorKind::WouldBlock),
            TryLockError::Error(error) => error,
        })?;
        file.set_len(0)?;
        writeln!(file, "{}", process::id())?;
        Ok(Box::new(RealLock { _file: file }))
    }

    fn describe(&self, name: &FileName) -> String {
        self.path(name).display().to_string()
    }
}

#[derive(Debug)]
struct RealFile {
    file: fs::File,
}

impl File for RealFile {
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn zero_fill(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; ZERO_CHUNK];
        let mut offset = from;
        while offset < to {
            let len = usize::try_from(to - offset).map_or(ZERO_CHUNK, |left| left.min(ZERO_CHUNK));
            let chunk = zeros.get(..len).unwrap_or(&zeros);
            self.file.write_all_at(chunk, offset)?;
            offset += chunk.len() as u64;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// `flock` ends when its open file is closed, also when the process is killed.
#[derive(Debug)]
struct RealLock {
    _file: fs::File,
}

impl DirLock for RealLock {}

/// Creates the root with its parents and syncs the parent of each one that is new. Of one that exists too: whoever made it
/// may have been killed before its own sync. There it may be another user's, or of a file system without such a sync.
fn create_durably(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else {
        return if path.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) };
    };
    if path.is_dir() {
        return match sync_path(parent) {
            Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => {
                tracing::debug!(%error, "the directory above the root cannot be synced");
                Ok(())
            }
            outcome => outcome,
        };
    }
    create_durably(parent)?;
    create_or_accept(path)?;
    sync_path(parent)
}

fn create_or_accept(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

fn sync_path(path: &Path) -> io::Result<()> {
    sync(&fs::File::open(path)?)
}

/// The one place where names and whole files become durable.
fn sync(file: &fs::File) -> io::Result<()> {
    #[cfg(test)]
    super::tests::before_sync(file);
    file.sync_all()
}
