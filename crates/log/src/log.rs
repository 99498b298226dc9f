//! The open log: writing, syncing and truncating.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use outcrop_env::{Env, File, FileName, TaskHandle, kill_point};
use outcrop_format::frame::{GroupKind, GroupWriter, PAGE_BYTES, PagePosition, RECORD_BYTES_MAX, pages_of_records};
use outcrop_types::{CommitSeq, Epoch, Error, LogId, Result};

use crate::error::{Range, dir_error, io_error, poisoned};
use crate::options::LogOptions;
use crate::prepare::{LogSpace, PrepareWorker, Preparer, ReadyFile};
use crate::reader::LogExtent;
use crate::recovery::{Reach, RecoveredLog};
use crate::walk::FileContent;

/// A commit log, owned by the one thread that writes it.
///
/// Records are opaque bytes with ascending `CommitSeq`s. A written group is durable after [`Log::sync`]; after a crash
/// the log holds a prefix of what was written, with everything that was synced in it (L1).
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use outcrop_env::Env;
/// use outcrop_log::{Log, LogOptions, Reach};
/// use outcrop_types::{CommitSeq, LogId};
///
/// # fn main() -> outcrop_types::Result<()> {
/// let (env, sim) = Env::simulated(1);
/// let id = LogId::from_bytes([1; 16]);
/// let options = LogOptions { file_bytes: 1 << 20, reserve_bytes: 0, ..LogOptions::default() };
/// let mut log = Log::create(&env, "log", id, &options)?;
/// log.write_group(&[(CommitSeq::new(1), Bytes::from_static(b"first"))])?;
/// log.sync()?;
/// drop(log);
///
/// let env = sim.crash();
/// let mut found = Vec::new();
/// let reach = Reach { from: CommitSeq::new(1), to: CommitSeq::new(1) };
/// let recovered = Log::recover(&env, "log", id, reach, &mut |_, bytes| {
///     found.push(bytes.to_vec());
///     Ok(())
/// })?;
/// let log = recovered.start(&options)?;
/// assert_eq!(found, [b"first"]);
/// assert_eq!(log.last_seq(), CommitSeq::new(1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Log {
    env: Env,
    dir: String,
    id: LogId,
    epoch: Epoch,
    /// The files that hold the log, oldest first, and taken ones that it enters next.
    files: VecDeque<LiveFile>,
    /// Index of the file that is written.
    current: usize,
    /// The next page in it.
    next_page: u64,
    last_seq: CommitSeq,
    /// Everything before is durable.
    synced_to: PagePosition,
    /// What the newest header on disk says about that.
    marked_to: PagePosition,
    /// End of the newest group that is not a mark, and what of that is synced.
    data_to: PagePosition,
    /// Files with writes since the last sync.
    unsynced: Vec<(FileName, Arc<dyn File>)>,
    /// A write or sync failed (L5).
    failed: bool,
    preparer: Arc<Preparer>,
    worker: TaskHandle,
}

/// A file of the log with what truncation must know.
#[derive(Debug)]
pub(crate) struct LiveFile {
    pub(crate) ready: ReadyFile,
    pub(crate) content: FileContent,
}

/// What recovery or creation hands over.
pub(crate) struct Parts {
    pub(crate) epoch: Epoch,
    pub(crate) files: VecDeque<LiveFile>,
    pub(crate) next_page: u64,
    pub(crate) last_seq: CommitSeq,
    pub(crate) preparer: Arc<Preparer>,
}

impl Log {
    /// Begins a new log in directory `dir`, which is created when missing. Durable when it returns.
    ///
    /// # Errors
    /// When the directory already holds a log with records (an interrupted creation is fine), when the disk is full, and
    /// on I/O errors.
    pub fn create(env: &Env, dir: &str, id: LogId, options: &LogOptions) -> Result<Self> {
        crate::recovery::create(env, dir, id, CommitSeq::ZERO, options)
    }

    /// As [`Log::create`], for a log that goes on where another one ended: the first record comes after commit `after`.
    ///
    /// # Errors
    /// As [`Log::create`].
    pub fn create_after(env: &Env, dir: &str, id: LogId, after: CommitSeq, options: &LogOptions) -> Result<Self> {
        crate::recovery::create(env, dir, id, after, options)
    }

    /// Reads a log and calls `visit` with each record that it still has, in order. Changes nothing:
    /// [`RecoveredLog::start`] does, once the caller knows that the records make sense.
    ///
    /// # Errors
    /// Corruption before the last position known durable, with file and offset; a log that does not reach as far as
    /// `reach` says; another log's files; an unknown format; errors of `visit`; I/O.
    pub fn recover(
        env: &Env,
        dir: &str,
        id: LogId,
        reach: Reach,
        visit: &mut dyn FnMut(CommitSeq, &[u8]) -> Result<()>,
    ) -> Result<RecoveredLog> {
        crate::recovery::recover(env, dir, id, reach, visit)
    }

    /// Makes a log of its parts, and writes and syncs the start of its epoch (L3).
    pub(crate) fn begin_epoch(env: &Env, dir: &str, id: LogId, parts: Parts) -> Result<Self> {
        let Parts { epoch, files, next_page, last_seq, preparer } = parts;
        let worker = PrepareWorker::new(Arc::clone(&preparer));
        let worker = env
            .tasks
            .start("log-prepare", Arc::clone(preparer.signal()), Box::new(worker))
            .map_err(|error| dir_error("start a background task for", dir, error))?;
        let mut log = Self {
            env: env.clone(),
            dir: dir.to_owned(),
            id,
            epoch,
            current: files.len().saturating_sub(1),
            files,
            next_page,
            last_seq,
            synced_to: PagePosition::default(),
            marked_to: PagePosition::default(),
            data_to: PagePosition::default(),
            unsynced: Vec::new(),
            failed: false,
            preparer,
            worker,
        };
        let position = log.position();
        log.synced_to = position;
        log.preparer.set_rest(log.rest());
        log.append_empty(GroupKind::EpochStart)?;
        log.data_to = log.position();
        log.sync()?;
        Ok(log)
    }

    /// Writes one group. It is in the operating system's hands when this returns, and durable after [`Log::sync`].
    ///
    /// # Errors
    /// `DiskFull` when no file could be prepared: nothing was written and the log goes on. Not so after an I/O error: the
    /// log is poisoned then (L5). A bug in the caller (no records, `CommitSeq`s that do not ascend, a record above
    /// [`RECORD_BYTES_MAX`]) is an internal error without effect.
    pub fn write_group(&mut self, records: &[(CommitSeq, Bytes)]) -> Result<()> {
        self.check_usable()?;
        let Some((last_seq, _)) = records.last() else { return Err(Error::internal("a log group has no records")) };
        if records.iter().any(|(_, bytes)| bytes.len() as u64 > RECORD_BYTES_MAX) {
            return Err(Error::internal("a log record is larger than a record may be"));
        }
        let pages = pages_of_records(records.iter().map(|(_, bytes)| bytes.len() as u64));
        let mut ascending = records.iter().map(|(seq, _)| *seq);
        let mut previous = self.last_seq;
        if !ascending.all(|seq| std::mem::replace(&mut previous, seq) < seq) {
            return Err(Error::internal(format!("log records do not follow commit {}", self.last_seq)));
        }
        self.reserve(pages)?;
        let runs = self.places(pages);
        let positions = runs.iter().flat_map(|run| (0..run.pages).map(|page| run.position.plus(page)));
        let group = self
            .writer()
            .records(records, positions)
            .map_err(|error| Error::internal("a log group could not be encoded").with_source(error))?;
        self.append(&group, &runs, *last_seq)?;
        self.data_to = self.position();
        kill_point("log", "group-written");
        Ok(())
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// Any error poisons the log: what is durable is unknown until recovery, and the caller must stop acknowledging (W9).
    pub fn sync(&mut self) -> Result<()> {
        self.check_usable()?;
        let written_to = self.position();
        for (name, file) in self.unsynced.drain(..) {
            if let Err(error) = file.sync_data() {
                self.failed = true;
                return Err(io_error(&self.env, "sync", &name, Range::Whole, error));
            }
        }
        self.synced_to = written_to;
        Ok(())
    }

    /// Tells the log itself what is durable, by a header with the new `synced_to` (W11). The caller does this within
    /// 10 ms after a sync that nothing followed; it needs no sync of its own. Does nothing when the disk says so already,
    /// or when the page would come from space that is set aside.
    ///
    /// # Errors
    /// As [`Log::sync`].
    pub fn write_synced_mark(&mut self) -> Result<()> {
        self.check_usable()?;
        if !self.needs_synced_mark() || !self.preparer.has_idle_space(1) {
            return Ok(());
        }
        self.append_empty(GroupKind::SyncedMark)?;
        kill_point("log", "marked");
        Ok(())
    }

    /// True when a synced group is not yet covered by a header on disk, so that [`Log::write_synced_mark`] has work.
    pub fn needs_synced_mark(&self) -> bool {
        self.marked_to < self.data_to.min(self.synced_to)
    }

    /// Drops the oldest files as far as all their records are before `seq` (L6). Files are kept for later use or removed.
    ///
    /// # Errors
    /// I/O errors; they do not poison, and a later call tries again.
    pub fn truncate_before(&mut self, seq: CommitSeq) -> Result<()> {
        self.check_usable()?;
        let drop_files = self.droppable_before(seq);
        for _ in 0..drop_files {
            let Some(oldest) = self.files.front() else { break };
            self.preparer.retire(&oldest.ready)?;
            self.files.pop_front();
            self.current = self.current.saturating_sub(1);
            kill_point("log", "file-retired");
        }
        if drop_files == 0 {
            return Ok(());
        }
        self.env.disk.sync_dir(&self.dir).map_err(|error| dir_error("sync", &self.dir, error))
    }

    /// Hands out space before a commit is sequenced. Usable from other threads.
    pub fn space(&self) -> LogSpace {
        self.preparer.space()
    }

    /// Bytes from the start of the oldest file to the end of the newest group.
    pub fn bytes(&self) -> u64 {
        let first = self.files.front().map_or(0, |file| file.ready.first.get());
        self.position().get().saturating_sub(first) * PAGE_BYTES as u64
    }

    /// Its files, oldest first, for readers who follow it.
    pub fn extents(&self) -> impl Iterator<Item = LogExtent> + '_ {
        self.files.iter().map(|LiveFile { ready, content }| LogExtent {
            number: ready.number,
            pages: ready.pages,
            first_group: content.first_group.map(|group| group.get().saturating_sub(ready.first.get())),
            covered: content.covered,
        })
    }

    /// Bytes of the files that [`Log::truncate_before`] of `seq` would drop.
    pub fn bytes_before(&self, seq: CommitSeq) -> u64 {
        let dropped = self.files.iter().take(self.droppable_before(seq));
        dropped.map(|file| file.ready.pages * PAGE_BYTES as u64).sum()
    }

    /// The writer's reign that began when this log was opened.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The newest record's `CommitSeq`, zero when there never was one.
    pub fn last_seq(&self) -> CommitSeq {
        self.last_seq
    }

    /// The log's name.
    pub fn id(&self) -> LogId {
        self.id
    }

    /// The panic of the worker that prepares files, should it have one.
    pub fn worker_panic(&self) -> Option<String> {
        self.worker.panicked()
    }

    /// How many of the oldest files hold nothing that is needed from `seq` on.
    fn droppable_before(&self, seq: CommitSeq) -> usize {
        // A durable group start must stay, or a reader would not know where the log goes on.
        let last_anchor = self
            .files
            .iter()
            .rposition(|file| file.content.first_group.is_some_and(|group| group < self.synced_to))
            .unwrap_or(0);
        let covered = |file: &LiveFile| file.content.covered < seq;
        (0..=last_anchor).rev().find(|index| *index == 0 || self.files.get(*index).is_some_and(covered)).unwrap_or(0)
    }

    fn check_usable(&self) -> Result<()> {
        if self.failed { Err(poisoned()) } else { Ok(()) }
    }

    fn writer(&self) -> GroupWriter {
        GroupWriter { log_id: self.id, epoch: self.epoch, previous_seq: self.last_seq, synced_to: self.synced_to }
    }

    /// Position of the next page.
    fn position(&self) -> PagePosition {
        let current = self.files.get(self.current);
        current.map_or_else(PagePosition::default, |file| file.ready.first.plus(self.next_page))
    }

    /// Pages left in the current file and in those taken after it.
    fn rest(&self) -> u64 {
        let room = |(index, file): (usize, &LiveFile)| file.ready.pages.saturating_sub(self.first_free(index));
        self.files.iter().enumerate().skip(self.current).map(room).sum()
    }

    /// The first page of a file that no group has.
    fn first_free(&self, file: usize) -> u64 {
        if file == self.current { self.next_page } else { 1 }
    }

    /// Takes ready files until `pages` fit. Without effect when it fails.
    fn reserve(&mut self, pages: u64) -> Result<()> {
        let missing = pages.saturating_sub(self.rest());
        if missing > 0 {
            let taken = self.preparer.take(missing)?;
            let content = FileContent::default();
            self.files.extend(taken.into_iter().map(|ready| LiveFile { ready, content }));
            self.preparer.set_rest(self.rest());
        }
        Ok(())
    }

    /// The next `pages` pages, one run for each file.
    fn places(&self, pages: u64) -> Vec<PageRun> {
        let mut left = pages;
        let mut runs = Vec::new();
        for (index, file) in self.files.iter().enumerate().skip(self.current) {
            let page = self.first_free(index);
            let pages = file.ready.pages.saturating_sub(page).min(left);
            if pages > 0 {
                runs.push(PageRun { file: index, page, pages, position: file.ready.first.plus(page) });
            }
            left -= pages;
        }
        runs
    }

    fn append_empty(&mut self, kind: GroupKind) -> Result<()> {
        self.reserve(1)?;
        let runs = self.places(1);
        let position = runs.first().map_or_else(PagePosition::default, |run| run.position);
        let page = self
            .writer()
            .empty(kind, position)
            .map_err(|error| Error::internal("a log mark could not be encoded").with_source(error))?;
        self.append(&page, &runs, self.last_seq)
    }

    /// Writes the pages of a group whose last record is `last_seq`.
    fn append(&mut self, group: &[u8], runs: &[PageRun], last_seq: CommitSeq) -> Result<()> {
        let mut rest = group;
        for run in runs {
            let Some(file) = self.files.get_mut(run.file) else { break };
            let len = usize::try_from(run.pages).unwrap_or(0) * PAGE_BYTES;
            let (bytes, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            rest = after;
            if run.page == 1 {
                kill_point("log", "file-entered");
            }
            let offset = run.page * PAGE_BYTES as u64;
            if let Err(error) = file.ready.file.write_all_at(offset, bytes) {
                self.failed = true;
                let range = Range::bytes(offset, bytes.len() as u64);
                return Err(io_error(&self.env, "write to", &file.ready.name, range, error));
            }
            if !self.unsynced.iter().any(|(name, _)| *name == file.ready.name) {
                self.unsynced.push((file.ready.name.clone(), Arc::clone(&file.ready.file)));
            }
        }
        self.note_group(runs, last_seq);
        self.marked_to = self.synced_to;
        self.last_seq = last_seq;
        self.preparer.set_rest(self.rest());
        Ok(())
    }

    /// Keeps for each file what truncation must know, and moves on.
    fn note_group(&mut self, runs: &[PageRun], last_seq: CommitSeq) {
        for (index, run) in runs.iter().enumerate() {
            let entered = run.page == 1;
            let Some(file) = self.files.get_mut(run.file) else { continue };
            if index == 0 {
                if entered {
                    file.content.covered = self.last_seq;
                }
                file.content.first_group.get_or_insert(run.position);
            } else {
                file.content.covered = last_seq;
            }
            (self.current, self.next_page) = (run.file, run.page + run.pages);
        }
    }
}

/// Pages of one file that a group takes.
#[derive(Clone, Copy, Debug)]
struct PageRun {
    /// Index in [`Log::files`].
    file: usize,
    page: u64,
    pages: u64,
    position: PagePosition,
}
