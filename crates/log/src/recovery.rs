//! Creating and recovering a log.

use std::collections::VecDeque;
use std::sync::Arc;

use outcrop_env::{Env, FileName, kill_point, reached};
use outcrop_format::frame::{FileHeader, GroupKind, PAGE_BYTES, Page, PagePart};
use outcrop_types::{CommitSeq, Condition, Epoch, Error, LogId, Result};

use crate::error::{Range, dir_error, io_error};
use crate::files::{FoundFile, FoundFiles, log_file_name, spare_file_name};
use crate::log::{LiveFile, Log, Parts};
use crate::options::LogOptions;
use crate::prepare::{NextFile, Preparer, ReadyFile};
use crate::walk::{AcceptedPage, FileContent, READ_PAGES, Walked, damage, walk};

/// See [`Log::create`] and [`Log::create_after`].
pub(crate) fn create(env: &Env, dir: &str, id: LogId, last_seq: CommitSeq, options: &LogOptions) -> Result<Log> {
    env.disk.create_dir(dir).map_err(|error| dir_error("create", dir, error))?;
    remove_unused(env, dir)?;
    let epoch = Epoch::default().next().unwrap_or_default();
    let preparer = Preparer::new(env, dir, (id, epoch), options, NextFile::FIRST, VecDeque::new());
    let files =
        preparer.take(1)?.into_iter().map(|ready| LiveFile { ready, content: FileContent::default() }).collect();
    Log::begin_epoch(env, dir, id, Parts { epoch, files, next_page: 1, last_seq, preparer })
}

/// Which part of a log must be there for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The oldest record that is needed.
    pub from: CommitSeq,
    /// The newest commit that is known to have been durable; a log that ends before it lost something.
    pub to: CommitSeq,
}

/// A log that was read and is not changed yet, by [`Log::recover`].
#[derive(Debug)]
#[must_use = "nothing is durable before it is started"]
pub struct RecoveredLog {
    env: Env,
    dir: String,
    id: LogId,
    found: FoundFiles,
    walked: Walked,
}

/// See [`Log::recover`].
pub(crate) fn recover(
    env: &Env,
    dir: &str,
    id: LogId,
    reach: Reach,
    visit: &mut dyn FnMut(CommitSeq, &[u8]) -> Result<()>,
) -> Result<RecoveredLog> {
    let found = FoundFiles::read(env, dir, id)?;
    let walked = walk(env, id, &found.run, visit)?;
    check_reach(env, dir, reach, &found, &walked)?;
    Ok(RecoveredLog { env: env.clone(), dir: dir.to_owned(), id, found, walked })
}

impl RecoveredLog {
    /// The newest record's `CommitSeq`, zero when there never was one.
    pub fn last_seq(&self) -> CommitSeq {
        self.walked.last_seq
    }

    /// Makes everything that was visited durable and begins a new epoch behind it.
    ///
    /// # Errors
    /// A log that reads differently than before, a full disk, I/O errors.
    pub fn start(self, options: &LogOptions) -> Result<Log> {
        let Self { env, dir, id, found, walked } = self;
        let epoch = walked.epoch.next().ok_or_else(|| Error::internal("the log has no epoch left"))?;
        make_durable(&env, &dir, id, &found.run, &walked)?;
        let (files, ready) = divide(&found.run, &walked);
        // Behind the end, files that were not finished go, newest first: a crash in between must leave no gap.
        let kept = files.len() + ready.len();
        let mut names = found.leftovers;
        names.extend(found.stragglers);
        names.extend(found.run.iter().skip(kept).rev().map(|file| file.name.clone()));
        for name in names {
            remove(&env, &dir, &name)?;
        }
        name_again(&env, &dir, &ready)?;
        let next = found.run.iter().take(kept).next_back().map_or(NextFile::FIRST, NextFile::after);
        let preparer = Preparer::new(&env, &dir, (id, epoch), options, next, ready);
        let parts = Parts { epoch, files, next_page: walked.end.page, last_seq: walked.last_seq, preparer };
        Log::begin_epoch(&env, &dir, id, parts)
    }
}

/// Refuses a log that lost something: pages known durable (L2), files, or either end of what the caller needs.
pub(crate) fn check_reach(env: &Env, dir: &str, reach: Reach, found: &FoundFiles, walked: &Walked) -> Result<()> {
    let Reach { from, to } = reach;
    if found.run.is_empty() {
        return Err(Error::new(Condition::DataCorrupted, format!("log directory {dir} holds no log file"))
            .with_hint("Restore the directory from a backup; without its log a database cannot start."));
    }
    let begins_late = walked.before_first.is_none_or(|before| before >= from && before > CommitSeq::ZERO);
    if begins_late && let Some(missing) = found.gap {
        let name = log_file_name(dir, missing)?;
        return Err(Error::corrupt(env.disk.describe(&name), 0, "the file is missing"));
    }
    if let Some(error) = walked.corruption(env, &found.run) {
        return Err(error);
    }
    let first = found.run.first().map_or_else(String::new, |file| env.disk.describe(&file.name));
    if begins_late {
        let before = walked.before_first.unwrap_or_default();
        let what = format!("the log begins after commit {before}, but is needed from {from}: older files are missing");
        return Err(Error::corrupt(first, 0, what));
    }
    let needed = to.get().max(from.get().saturating_sub(1));
    if walked.last_seq.get() < needed {
        let (place, ..) = walked.bad;
        let what = format!("the log ends with commit {}, but commit {needed} was durable", walked.last_seq);
        return Err(damage(env, &found.run, place, what));
    }
    Ok(())
}

/// Writes what the walk found and no header calls durable once more, and syncs it: it is about to be shown as if it had
/// been acknowledged. A sync alone would prove nothing: if one failed in the process before, the pages count as clean, with
/// content that only the cache has.
fn make_durable(env: &Env, dir: &str, id: LogId, run: &[FoundFile], walked: &Walked) -> Result<()> {
    env.disk.sync_dir(dir).map_err(|error| dir_error("sync", dir, error))?;
    let follows = |a: &AcceptedPage, b: &AcceptedPage| a.place.file == b.place.file && a.place.page + 1 == b.place.page;
    for pages in walked.unmarked.chunk_by(follows) {
        for pages in pages.chunks(usize::try_from(READ_PAGES).unwrap_or(1)) {
            let file = pages.first().and_then(|first| run.get(first.place.file));
            file.map_or(Ok(()), |file| write_again(env, id, file, pages))?;
        }
    }
    kill_point("recovery", "log-written-again");
    for file in run.iter().filter(|file| file.end() > walked.synced_to && file.first <= walked.end_position) {
        file.file.sync_data().map_err(|error| io_error(env, "sync", &file.name, Range::Whole, error))?;
    }
    Ok(())
}

/// Writes pages that follow each other in a file once more, with the bytes that were visited.
fn write_again(env: &Env, id: LogId, file: &FoundFile, pages: &[AcceptedPage]) -> Result<()> {
    reached!("log.end_written_again");
    let mut bytes = vec![0; pages.len() * PAGE_BYTES];
    let offset = pages.first().map_or(0, |first| first.place.page) * PAGE_BYTES as u64;
    let range = Range::bytes(offset, bytes.len() as u64);
    let read = file.file.read_exact_at(offset, &mut bytes);
    read.map_err(|error| io_error(env, "read", &file.name, range, error))?;
    for (page, bytes) in pages.iter().zip(bytes.chunks(PAGE_BYTES)) {
        // The cache may have dropped the page since, and then the disk may have older bytes.
        if Page::decode(id, page.position, bytes).map(|found| found.checksum) != Ok(page.checksum) {
            let what = "the page changed while the log was recovered; start again";
            return Err(Error::corrupt(env.disk.describe(&file.name), page.place.page * PAGE_BYTES as u64, what));
        }
    }
    let written = file.file.write_all_at(offset, &bytes);
    written.map_err(|error| io_error(env, "write to", &file.name, range, error))
}

/// Gives files behind the end their names anew. If the sync of the directory failed in the process before, the names are
/// there, and yet another sync would not make them durable.
fn name_again(env: &Env, dir: &str, ready: &VecDeque<ReadyFile>) -> Result<()> {
    let publish = |from: &FileName, to: &FileName| {
        env.disk.publish(from, to).map_err(|error| io_error(env, "rename", from, Range::Whole, error))
    };
    // The newest goes first and comes back last: a crash in between leaves no gap.
    for file in ready.iter().rev() {
        publish(&file.name, &spare_file_name(dir, file.number)?)?;
    }
    ready.iter().try_for_each(|file| publish(&spare_file_name(dir, file.number)?, &file.name))
}

/// Files with the log in them, and files ready for what comes next; the rest of the run is of no use.
fn divide(run: &[FoundFile], walked: &Walked) -> (VecDeque<LiveFile>, VecDeque<ReadyFile>) {
    let ready = |file: &FoundFile| ReadyFile {
        number: file.number,
        name: file.name.clone(),
        file: Arc::clone(&file.file),
        first: file.first,
        pages: file.pages,
    };
    let live = (walked.end.file + 1).min(run.len());
    let content = |index: usize| walked.contents.get(index).copied().unwrap_or_default();
    let files = run.iter().take(live).enumerate().map(|(i, file)| LiveFile { ready: ready(file), content: content(i) });
    let next = run.iter().skip(live).take_while(|file| file.is_whole()).map(ready);
    (files.collect(), next.collect())
}

/// Removes one file, durably before the next.
fn remove(env: &Env, dir: &str, name: &FileName) -> Result<()> {
    env.disk.remove(name).map_err(|error| io_error(env, "remove", name, Range::Whole, error))?;
    env.disk.sync_dir(dir).map_err(|error| dir_error("sync", dir, error))
}

/// Removes what an interrupted creation left. A log with records stops it.
fn remove_unused(env: &Env, dir: &str) -> Result<()> {
    let entries = env.disk.list(dir).map_err(|error| dir_error("list", dir, error))?;
    let first = log_file_name(dir, NextFile::FIRST.number)?;
    let mut unused = Vec::new();
    for entry in entries {
        let base = entry.name.base();
        if base.ends_with(".new") || (base.ends_with(".log") && !holds_records(env, &entry.name, entry.len)?) {
            unused.push(entry.name);
        } else if base.ends_with(".log") {
            let path = env.disk.describe(&first);
            return Err(Error::new(Condition::ObjectNotInPrerequisiteState, format!("a log already exists at {path}"))
                .with_hint("Choose an empty data directory, or start with the one that the log belongs to."));
        }
    }
    for name in unused.iter().rev() {
        remove(env, dir, name)?;
    }
    Ok(())
}

/// Whether the directory holds no log, or one that was begun and never had a record: a new one may take its place.
///
/// # Errors
/// I/O.
pub fn is_unused(env: &Env, dir: &str) -> Result<bool> {
    let entries = env.disk.list(dir).map_err(|error| dir_error("list", dir, error))?;
    for entry in entries.iter().filter(|entry| entry.name.base().ends_with(".log")) {
        if holds_records(env, &entry.name, entry.len)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// True when the file may hold records: unless it is plainly one of ours without any.
fn holds_records(env: &Env, name: &FileName, len: u64) -> Result<bool> {
    let failed = |error| io_error(env, "read", name, Range::bytes(0, len), error);
    let file = env.disk.open_read(name).map_err(failed)?;
    let mut page = vec![0; PAGE_BYTES];
    if len < PAGE_BYTES as u64 {
        return Ok(true);
    }
    file.read_exact_at(0, &mut page).map_err(failed)?;
    let Ok(header) = FileHeader::decode(&page) else { return Ok(true) };
    for index in 1..len / PAGE_BYTES as u64 {
        file.read_exact_at(index * PAGE_BYTES as u64, &mut page).map_err(failed)?;
        if let Ok(page) = Page::decode(header.log_id, header.first.plus(index), &page)
            && matches!(page.part, PagePart::Start(group) if group.kind == GroupKind::Records)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
