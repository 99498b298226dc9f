//! Where the log's space comes from: files that are zero-filled, headed and synced before the log needs them (L4).

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use outcrop_env::{Env, File, FileName, Signal, Step, Worker, reached};
use outcrop_format::frame::{FileHeader, PAGE_BYTES, PagePosition, pages_of_records};
use outcrop_types::{Epoch, LogId, Result};
use parking_lot::Mutex;

use crate::error::{Range, io_error, prepare_error};
use crate::files::{FoundFile, log_file_name, new_file_name, spare_file_name};
use crate::options::LogOptions;

/// How long the preparer waits after a failure before it tries again by itself.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A file with nothing in it but its header, ready for groups.
#[derive(Clone, Debug)]
pub(crate) struct ReadyFile {
    pub(crate) number: u64,
    pub(crate) name: FileName,
    pub(crate) file: Arc<dyn File>,
    pub(crate) first: PagePosition,
    pub(crate) pages: u64,
}

impl ReadyFile {
    /// Pages for groups.
    fn room(&self) -> u64 {
        self.pages.saturating_sub(1)
    }
}

/// Who may use the space that is left. It grows only with a new promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceClass {
    /// Writes that add data.
    Ordinary,
    /// Deletes, DDL and checkpoints: they may use [`LogOptions::reserve_bytes`] when the disk is full.
    Reserve,
}

/// Hands out space of the log before a commit is sequenced, so that a full disk refuses a write while it still can be
/// refused. Cheap to clone; any thread may ask.
#[derive(Clone, Debug)]
pub struct LogSpace(Arc<Preparer>);

impl LogSpace {
    /// Sets space aside for a record of `bytes`, preparing files when needed. Keep the permit until the record has been
    /// given to [`Log::write_group`](crate::Log::write_group).
    ///
    /// # Errors
    /// `DiskFull` when there is no space; nothing has happened then, and a later call may succeed. I/O errors.
    pub fn admit(&self, bytes: u64, class: SpaceClass) -> Result<Permit> {
        loop {
            if let Some(permit) = self.admit_at_once(bytes, class) {
                return Ok(permit);
            }
            self.0.make_unless(|space| self.fits(space, pages_of_records([bytes]), class))?;
        }
    }

    /// As [`LogSpace::admit`] if a file with room is ready; prepares none.
    pub fn admit_at_once(&self, bytes: u64, class: SpaceClass) -> Option<Permit> {
        let pages = pages_of_records([bytes]);
        let mut space = self.0.space.lock();
        self.fits(&space, pages, class).then(|| {
            space.permitted = space.permitted.saturating_add(pages);
            Permit { preparer: Arc::clone(&self.0), pages }
        })
    }

    fn fits(&self, space: &Space, pages: u64, class: SpaceClass) -> bool {
        let kept = match class {
            SpaceClass::Ordinary => self.0.options.reserve_pages(),
            SpaceClass::Reserve => 0,
        };
        space.free() >= space.permitted.saturating_add(pages).saturating_add(kept)
    }
}

impl LogSpace {
    /// Space that only [`SpaceClass::Reserve`] may use: what such records have together on a full disk.
    pub fn reserve_bytes(&self) -> u64 {
        self.0.options.reserve_bytes
    }
}

/// Space set aside for one record; it is free again when the permit goes.
#[derive(Debug)]
#[must_use = "the space is free again when the permit is dropped"]
pub struct Permit {
    preparer: Arc<Preparer>,
    pages: u64,
}

impl Permit {
    /// Whether a record of `bytes` fits into the space.
    pub fn covers(&self, bytes: u64) -> bool {
        pages_of_records([bytes]) <= self.pages
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut space = self.preparer.space.lock();
        space.permitted = space.permitted.saturating_sub(self.pages);
    }
}

/// Makes files ahead of use; the log, its space handles and the background worker share it.
#[derive(Debug)]
pub(crate) struct Preparer {
    env: Env,
    dir: String,
    id: LogId,
    epoch: Epoch,
    options: LogOptions,
    space: Mutex<Space>,
    /// The next file; held while it is made, so that numbers follow each other.
    next: Mutex<NextFile>,
    /// Truncated files that wait to be used again.
    spares: Mutex<Vec<FileName>>,
    signal: Arc<Signal>,
}

#[derive(Debug)]
pub(crate) struct Space {
    ready: VecDeque<ReadyFile>,
    /// Pages left in the file that the log writes now.
    rest: u64,
    /// Pages set aside by permits.
    permitted: u64,
}

impl Space {
    fn free(&self) -> u64 {
        self.rest.saturating_add(self.ready_room())
    }

    fn ready_room(&self) -> u64 {
        self.ready.iter().map(ReadyFile::room).sum()
    }
}

/// Number and position of the next file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextFile {
    pub(crate) number: u64,
    pub(crate) first: PagePosition,
}

impl NextFile {
    /// The first file of a log.
    pub(crate) const FIRST: Self = Self { number: 1, first: PagePosition::new(0) };

    /// The file after `last`.
    pub(crate) fn after(last: &FoundFile) -> Self {
        Self { number: last.number.saturating_add(1), first: last.end() }
    }
}

impl Preparer {
    pub(crate) fn new(
        env: &Env,
        dir: &str,
        identity: (LogId, Epoch),
        options: &LogOptions,
        next: NextFile,
        ready: VecDeque<ReadyFile>,
    ) -> Arc<Self> {
        let (id, epoch) = identity;
        Arc::new(Self {
            env: env.clone(),
            dir: dir.to_owned(),
            id,
            epoch,
            options: options.clone(),
            space: Mutex::new(Space { ready, rest: 0, permitted: 0 }),
            next: Mutex::new(next),
            spares: Mutex::new(Vec::new()),
            signal: Arc::new(Signal::new()),
        })
    }

    pub(crate) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    pub(crate) fn space(self: &Arc<Self>) -> LogSpace {
        LogSpace(Arc::clone(self))
    }

    /// The log has so many pages left in its file.
    pub(crate) fn set_rest(&self, pages: u64) {
        self.space.lock().rest = pages;
    }

    /// True when `pages` are free beside permits and reserve.
    pub(crate) fn has_idle_space(&self, pages: u64) -> bool {
        let space = self.space.lock();
        let kept = space.permitted.saturating_add(self.options.reserve_pages());
        space.free() >= kept.saturating_add(pages)
    }

    /// Ready files with room for `pages` together, made now if there are too few; or none of them and an error.
    pub(crate) fn take(&self, pages: u64) -> Result<Vec<ReadyFile>> {
        while self.space.lock().ready_room() < pages {
            self.make_unless(|space| space.ready_room() >= pages)?;
        }
        let mut space = self.space.lock();
        let mut taken = Vec::new();
        let mut room = 0;
        while room < pages {
            let Some(file) = space.ready.pop_front() else { break };
            room += file.room();
            taken.push(file);
        }
        drop(space);
        if !taken.is_empty() {
            self.signal.notify();
        }
        Ok(taken)
    }

    /// Takes a truncated file out of the log: kept for later, under a name that the next start removes, or removed when
    /// there are enough. To be called again after an error; what was done by then is no error.
    pub(crate) fn retire(&self, file: &ReadyFile) -> Result<()> {
        let enough = self.spares.lock().len() >= usize::try_from(self.options.reserve_files).unwrap_or(usize::MAX);
        if enough || file.pages != self.options.file_pages() {
            let removed = gone_is_done(self.env.disk.remove(&file.name));
            return removed.map_err(|error| io_error(&self.env, "remove", &file.name, Range::Whole, error));
        }
        let spare = spare_file_name(&self.dir, file.number)?;
        match self.env.disk.publish(&file.name, &spare) {
            Ok(()) => self.spares.lock().push(spare),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                // Which of the two names it has after a crash is unknown, so it must not be used again.
                if let Err(error) = gone_is_done(self.env.disk.remove(&spare)) {
                    tracing::debug!(file = %spare, %error, "a truncated log file stays until the next start");
                }
                return Err(io_error(&self.env, "rename", &file.name, Range::Whole, error));
            }
        }
        Ok(())
    }

    /// Makes one file and adds it to the ready ones, unless there is `enough`: whoever was first made room for others too.
    pub(crate) fn make_unless(&self, enough: impl Fn(&Space) -> bool) -> Result<()> {
        let mut next = self.next.lock();
        if enough(&self.space.lock()) {
            return Ok(());
        }
        let name = log_file_name(&self.dir, next.number)?;
        let pages = self.options.file_pages();
        let bytes = pages * PAGE_BYTES as u64;
        let header = FileHeader {
            log_id: self.id,
            epoch: self.epoch,
            number: next.number,
            first: next.first,
            pages,
            optional_features: 0,
        };
        let file = self.fill(&name, next.number, bytes, &header.encode())?;
        let ready = ReadyFile { number: next.number, name, file, first: next.first, pages };
        *next = NextFile { number: next.number.saturating_add(1), first: next.first.plus(pages) };
        self.space.lock().ready.push_back(ready);
        Ok(())
    }

    /// Fills a file under a temporary name, then publishes it as `name`.
    fn fill(&self, name: &FileName, number: u64, bytes: u64, header: &[u8]) -> Result<Arc<dyn File>> {
        let disk = &self.env.disk;
        // A recycled file needs no new zeros: what is in it stands at positions of long ago (L3).
        let spare = self.spares.lock().pop();
        let (temporary, prepared) = match spare {
            Some(spare) => {
                reached!("log.file_used_again");
                let prepared = disk.open(&spare).and_then(|file| {
                    file.write_all_at(0, header)?;
                    disk.publish(&spare, name)?;
                    Ok(file)
                });
                (spare, prepared)
            }
            None => {
                let temporary = new_file_name(&self.dir, number)?;
                let prepared = disk.create(&temporary).and_then(|file| {
                    file.zero_fill(0, bytes)?;
                    file.write_all_at(0, header)?;
                    disk.publish(&temporary, name)?;
                    Ok(file)
                });
                (temporary, prepared)
            }
        };
        prepared.map_err(|error| {
            let cause = prepare_error(&self.env, name, bytes, error);
            // Its bytes may be the last free ones. What cannot be removed now is removed by the next start.
            if let Err(error) = disk.remove(&temporary) {
                tracing::debug!(file = %temporary, %error, "a half-prepared log file stays");
            }
            cause
        })
    }

    /// Whether as many files are ready as are to be kept.
    fn is_prepared(&self, space: &Space) -> bool {
        let wanted = usize::try_from(self.options.reserve_files).unwrap_or(usize::MAX);
        space.ready.len() >= wanted && (wanted == 0 || space.ready_room() >= self.options.reserve_pages())
    }
}

/// A file that is gone needs no further removal.
fn gone_is_done(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Keeps [`LogOptions::reserve_files`] files ready.
pub(crate) struct PrepareWorker {
    preparer: Arc<Preparer>,
    /// A failure is told once, not every second.
    failing: bool,
}

impl PrepareWorker {
    pub(crate) fn new(preparer: Arc<Preparer>) -> Self {
        Self { preparer, failing: false }
    }
}

impl Worker for PrepareWorker {
    fn step(&mut self) -> Step {
        let is_prepared = |space: &Space| self.preparer.is_prepared(space);
        if is_prepared(&self.preparer.space.lock()) {
            return Step::Wait;
        }
        match self.preparer.make_unless(is_prepared) {
            Ok(()) => {
                if self.failing {
                    tracing::info!("log files can be prepared again");
                }
                self.failing = false;
                Step::Again
            }
            Err(error) => {
                if !self.failing {
                    tracing::warn!(%error, "no log file could be prepared");
                }
                self.failing = true;
                Step::WaitAtMost(RETRY_DELAY)
            }
        }
    }
}
