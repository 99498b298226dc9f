//! Directories of one simulated machine as disks of their own, and operations on them that fail or are interrupted.

use std::fmt;
use std::io;
use std::sync::Arc;

use outcrop_env::{DirEntry, DirLock, Disk, Env, File, FileName};

/// Called before each operation that changes the directory, with its number; what it gives back is the outcome.
pub(crate) type Hook = Arc<dyn Fn(u64) -> io::Result<()> + Send + Sync>;

/// The directory `dir` of a machine.
pub(crate) fn nested(env: &Env, dir: &str) -> Env {
    hooked(env, dir, Arc::new(|_| Ok(())))
}

/// The same, with a hook.
pub(crate) fn hooked(env: &Env, dir: &str, hook: Hook) -> Env {
    env.disk.create_dir(dir).unwrap();
    let watch = Watch { hook, count: Arc::default() };
    Env { disk: Arc::new(Nested { disk: Arc::clone(&env.disk), dir: dir.to_owned(), watch }), ..env.clone() }
}

#[derive(Clone)]
struct Watch {
    hook: Hook,
    count: Arc<std::sync::atomic::AtomicU64>,
}

impl Watch {
    fn before_change(&self) -> io::Result<()> {
        (self.hook)(self.count.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }
}

struct Nested {
    disk: Arc<dyn Disk>,
    dir: String,
    watch: Watch,
}

impl fmt::Debug for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", self.dir, self.disk)
    }
}

impl Nested {
    fn name(&self, name: &FileName) -> FileName {
        FileName::new(format!("{}/{name}", self.dir)).unwrap()
    }

    fn dir(&self, dir: &str) -> String {
        if dir.is_empty() { self.dir.clone() } else { format!("{}/{dir}", self.dir) }
    }

    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(Watched { file, watch: self.watch.clone() })
    }
}

impl Disk for Nested {
    fn create(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        self.watch.before_change()?;
        Ok(self.file(self.disk.create(&self.name(name))?))
    }

    fn open(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.disk.open(&self.name(name))?))
    }

    fn open_read(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        self.disk.open_read(&self.name(name))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let entries = self.disk.list(&self.dir(dir))?;
        let prefix = format!("{}/", self.dir);
        let name = |entry: &DirEntry| FileName::new(entry.name.as_str().strip_prefix(&prefix).unwrap()).unwrap();
        Ok(entries.into_iter().map(|entry| DirEntry { name: name(&entry), len: entry.len }).collect())
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.watch.before_change()?;
        self.disk.create_dir(&self.dir(dir))
    }

    fn remove(&self, name: &FileName) -> io::Result<()> {
        self.disk.remove(&self.name(name))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.watch.before_change()?;
        self.disk.sync_dir(&self.dir(dir))
    }

    fn publish(&self, temporary: &FileName, name: &FileName) -> io::Result<()> {
        self.watch.before_change()?;
        self.disk.publish(&self.name(temporary), &self.name(name))
    }

    fn lock(&self, name: &FileName) -> io::Result<Box<dyn DirLock>> {
        self.disk.lock(&self.name(name))
    }

    fn describe(&self, name: &FileName) -> String {
        self.disk.describe(&self.name(name))
    }
}

struct Watched {
    file: Arc<dyn File>,
    watch: Watch,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl File for Watched {
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(offset, bytes)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.watch.before_change()?;
        self.file.write_all_at(offset, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.watch.before_change()?;
        self.file.set_len(len)
    }

    fn zero_fill(&self, from: u64, to: u64) -> io::Result<()> {
        self.watch.before_change()?;
        self.file.zero_fill(from, to)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.watch.before_change()?;
        self.file.sync_data()
    }
}
