//! Reading a log from its first page to its end, and finding that end (W11).

use std::collections::VecDeque;

use outcrop_env::Env;
use outcrop_format::frame::{
    FrameError, GroupHeader, GroupKind, PAGE_BYTES, Page, PagePart, PagePosition, decode_records,
};
use outcrop_types::{CommitSeq, Epoch, Error, LogId, Result};

use crate::error::{Range, io_error};
use crate::files::FoundFile;

/// How many pages are read at once.
pub(crate) const READ_PAGES: u64 = 256;

/// A page of a run of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index of the file in the run; one past the last when the log fills it.
    pub(crate) file: usize,
    /// Page in the file; 0 is the header.
    pub(crate) page: u64,
}

/// Why the log does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndReason {
    /// The group does not continue the one before.
    #[error("the group does not follow the one before it")]
    Chain,
    /// A page of an epoch that a later writer has ended.
    #[error("the page is older than the ones before it")]
    Fenced,
    /// No page at all, or a damaged one.
    #[error(transparent)]
    Page(#[from] FrameError),
    /// A page of a group that does not begin here.
    #[error("the page is no part of the group before it")]
    Stray,
}

/// What a file of the run contributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileContent {
    /// Newest `CommitSeq` of the groups that begin in earlier files.
    pub(crate) covered: CommitSeq,
    /// Position of the first group that begins in this file.
    pub(crate) first_group: Option<PagePosition>,
}

/// A page that the walk accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AcceptedPage {
    pub(crate) place: Place,
    pub(crate) position: PagePosition,
    /// As stored in it; it stands for its bytes.
    pub(crate) checksum: u32,
}

/// The log as the walk found it.
#[derive(Debug)]
pub(crate) struct Walked {
    /// Where the next group belongs: behind the last whole one.
    pub(crate) end: Place,
    /// The same as a position.
    pub(crate) end_position: PagePosition,
    /// The first page that is not part of the log, and why.
    pub(crate) bad: (Place, PagePosition, EndReason),
    /// Highest `synced_to` of any valid page, behind the end too.
    pub(crate) synced_to: PagePosition,
    /// Highest epoch of any valid page or header, behind the end too.
    pub(crate) epoch: Epoch,
    /// The last record's, or what the first group says came before it.
    pub(crate) last_seq: CommitSeq,
    /// What the first group says came before it; `None` when there is no group.
    pub(crate) before_first: Option<CommitSeq>,
    pub(crate) groups: u64,
    pub(crate) records: u64,
    /// By file of the run, as far as the walk came.
    pub(crate) contents: Vec<FileContent>,
    /// The pages of the log at and after `synced_to`: those of the last groups.
    pub(crate) unmarked: Vec<AcceptedPage>,
    /// Pages behind the end that are neither blank nor valid nor of another time, for reports; bounded.
    pub(crate) damaged: Vec<(Place, PagePosition, FrameError)>,
}

impl Walked {
    /// Corruption, if the log ends where it must not (L2).
    pub(crate) fn corruption(&self, env: &Env, run: &[FoundFile]) -> Option<Error> {
        let (place, position, reason) = self.bad;
        let lost = position < self.synced_to || self.before_first.is_none();
        lost.then(|| damage(env, run, place, reason))
    }
}

/// The error that names a bad page.
pub(crate) fn damage(env: &Env, run: &[FoundFile], place: Place, reason: impl std::fmt::Display) -> Error {
    match run.get(place.file) {
        Some(file) => Error::corrupt(env.disk.describe(&file.name), place.page * PAGE_BYTES as u64, reason),
        None => {
            let last = run.last().map_or_else(String::new, |file| env.disk.describe(&file.name));
            Error::corrupt("the commit log", 0, format!("the file after {last:?} is missing"))
        }
    }
}

/// Walks `run` and calls `visit` with each record in order.
///
/// # Errors
/// Errors of I/O and of `visit`. A bad page is no error here: see [`Walked::corruption`].
pub(crate) fn walk(
    env: &Env,
    id: LogId,
    run: &[FoundFile],
    visit: &mut dyn FnMut(CommitSeq, &[u8]) -> Result<()>,
) -> Result<Walked> {
    let mut walker = Walker {
        id,
        pages: PageReader { env, run, buffer: Vec::new(), start: Place { file: 0, page: 0 } },
        at: Place { file: 0, page: 0 },
        epoch: None,
        synced_to: PagePosition::default(),
        last_seq: None,
        before_first: None,
        groups: 0,
        records: 0,
        contents: Vec::new(),
        accepted: Vec::new(),
        unmarked: VecDeque::new(),
    };
    let bad = loop {
        match walker.group(visit)? {
            Ok(()) => {}
            Err(bad) => break bad,
        }
    };
    walker.finish(bad)
}

struct Walker<'a> {
    id: LogId,
    pages: PageReader<'a>,
    /// The next page to read.
    at: Place,
    epoch: Option<Epoch>,
    synced_to: PagePosition,
    last_seq: Option<CommitSeq>,
    before_first: Option<CommitSeq>,
    groups: u64,
    records: u64,
    contents: Vec<FileContent>,
    /// Pages of the group that is being read.
    accepted: Vec<AcceptedPage>,
    /// Pages of whole groups from `synced_to` on.
    unmarked: VecDeque<AcceptedPage>,
}

/// A page at which the log cannot go on.
type Bad = (Place, EndReason);

impl Walker<'_> {
    /// Reads one group. The inner error is the end of the log; `self.at` stays at the group's first page then.
    fn group(&mut self, visit: &mut dyn FnMut(CommitSeq, &[u8]) -> Result<()>) -> Result<Result<(), Bad>> {
        let (mut at, header, epoch, mut body) = match self.group_start()? {
            Ok(start) => start,
            Err(bad) => return Ok(Err(bad)),
        };
        let start = self.pages.position(at);
        let start_file = at.file;
        for _ in 1..header.pages() {
            at.page += 1;
            if let Err(bad) = self.enter_file(&mut at) {
                return Ok(Err(bad));
            }
            match self.page(at, &mut body)? {
                Ok(found) if found == (epoch, PagePart::Continuation(start)) => {}
                Ok(_) => return Ok(Err((at, EndReason::Stray))),
                Err(error) => return Ok(Err((at, error.into()))),
            }
        }
        // The checksums are right, so a contradiction here was written, not suffered.
        let first = Place { file: start_file, page: start.get() - self.pages.position_of_file(start_file).get() };
        let records = if header.kind == GroupKind::Records {
            decode_records(&header, &body).map_err(|error| damage(self.pages.env, self.pages.run, first, error))?
        } else {
            Vec::new()
        };
        for (seq, bytes) in &records {
            visit(*seq, bytes)?;
        }
        self.contents_of(start_file).first_group.get_or_insert(start);
        for file in start_file + 1..=at.file {
            self.contents_of(file).covered = header.last_seq;
        }
        self.groups += 1;
        self.records += records.len() as u64;
        self.before_first.get_or_insert(header.previous_seq);
        self.last_seq = Some(header.last_seq);
        self.epoch = Some(epoch);
        self.synced_to = self.synced_to.max(header.synced_to);
        self.unmarked.extend(self.accepted.drain(..));
        while self.unmarked.pop_front_if(|page| page.position < self.synced_to).is_some() {}
        self.at = Place { file: at.file, page: at.page + 1 };
        Ok(Ok(()))
    }

    /// The first page of the next group, checked against what came before.
    #[expect(clippy::type_complexity, reason = "one caller; the tuple is taken apart at once")]
    fn group_start(&mut self) -> Result<Result<(Place, GroupHeader, Epoch, Vec<u8>), Bad>> {
        loop {
            let mut at = self.at;
            if let Err(bad) = self.enter_file(&mut at) {
                return Ok(Err(bad));
            }
            if at.file != self.at.file || self.contents.is_empty() {
                let covered = self.last_seq.unwrap_or_default();
                self.contents_of(at.file).covered = covered;
            }
            self.at = at;
            self.accepted.clear();
            let mut body = Vec::new();
            let (page_epoch, part) = match self.page(at, &mut body)? {
                Ok(found) => found,
                Err(error) => return Ok(Err((at, error.into()))),
            };
            let header = match part {
                PagePart::Start(header) => header,
                // The rest of a group whose first pages went with an older file.
                PagePart::Continuation(start) if self.groups == 0 && start < self.pages.position_of_file(0) => {
                    self.at.page += 1;
                    continue;
                }
                PagePart::Continuation(_) => return Ok(Err((at, EndReason::Stray))),
            };
            let fenced = match self.epoch {
                None => false,
                Some(epoch) if header.kind == GroupKind::EpochStart => page_epoch <= epoch,
                Some(epoch) => page_epoch != epoch,
            };
            if fenced {
                return Ok(Err((at, EndReason::Fenced)));
            }
            if self.last_seq.is_some_and(|last| last != header.previous_seq) {
                return Ok(Err((at, EndReason::Chain)));
            }
            return Ok(Ok((at, header, page_epoch, body)));
        }
    }

    /// Checks one page and appends its part of the body.
    fn page(&mut self, at: Place, body: &mut Vec<u8>) -> Result<Result<(Epoch, PagePart), FrameError>> {
        let position = self.pages.position(at);
        let bytes = self.pages.read(at)?;
        Ok(Page::decode(self.id, position, bytes).map(|page| {
            body.extend_from_slice(page.body);
            self.accepted.push(AcceptedPage { place: at, position, checksum: page.checksum });
            (page.epoch, page.part)
        }))
    }

    /// Moves a place behind the last page of a file, or on a header page, to the next page of a group.
    fn enter_file(&self, at: &mut Place) -> Result<(), Bad> {
        if self.pages.run.get(at.file).is_some_and(|file| at.page >= file.pages) {
            *at = Place { file: at.file + 1, page: 0 };
        }
        if at.page == 0 {
            let file = self.pages.run.get(at.file).ok_or((*at, EndReason::Page(FrameError::Blank)))?;
            if let Some(error) = file.header_error {
                return Err((*at, error.into()));
            }
            at.page = 1;
        }
        Ok(())
    }

    fn contents_of(&mut self, file: usize) -> &mut FileContent {
        if self.contents.len() <= file {
            self.contents.resize(file + 1, FileContent::default());
        }
        // The line above made room.
        #[expect(clippy::indexing_slicing, reason = "in bounds after the resize")]
        &mut self.contents[file]
    }

    /// Looks behind the end for what valid pages say about it.
    fn finish(mut self, (bad_place, reason): Bad) -> Result<Walked> {
        let bad_position = self.pages.position(bad_place);
        let mut epoch = self.epoch.unwrap_or_default().max(self.pages.header_epoch());
        let mut synced_to = self.synced_to;
        let mut damaged = Vec::new();
        let mut at = bad_place;
        while let Some(file) = self.pages.run.get(at.file) {
            if at.page >= file.pages.min(file.stored_pages) {
                at = Place { file: at.file + 1, page: 1 };
                continue;
            }
            if at.page > 0 {
                let position = self.pages.position(at);
                match Page::decode(self.id, position, self.pages.read(at)?) {
                    Ok(page) => {
                        epoch = epoch.max(page.epoch);
                        if let PagePart::Start(header) = page.part {
                            synced_to = synced_to.max(header.synced_to);
                        }
                    }
                    Err(error) if damaged.len() < DAMAGED_MAX => damaged.push((at, position, error)),
                    Err(_) => {}
                }
            }
            at.page += 1;
        }
        self.unmarked.retain(|page| page.position >= synced_to);
        Ok(Walked {
            end: self.at,
            end_position: self.pages.position(self.at),
            bad: (bad_place, bad_position, reason),
            synced_to,
            epoch,
            last_seq: self.last_seq.unwrap_or_default(),
            before_first: self.before_first,
            groups: self.groups,
            records: self.records,
            contents: self.contents,
            unmarked: self.unmarked.into(),
            damaged,
        })
    }
}

/// Reads pages of a run, many at a time.
struct PageReader<'a> {
    env: &'a Env,
    run: &'a [FoundFile],
    buffer: Vec<u8>,
    start: Place,
}

impl PageReader<'_> {
    fn position_of_file(&self, file: usize) -> PagePosition {
        match self.run.get(file) {
            Some(file) => file.first,
            None => self.run.last().map(FoundFile::end).unwrap_or_default(),
        }
    }

    fn position(&self, at: Place) -> PagePosition {
        self.position_of_file(at.file).plus(at.page)
    }

    fn header_epoch(&self) -> Epoch {
        Epoch::new(self.run.iter().map(|file| file.epoch).max().unwrap_or(0))
    }

    /// The page at `at`; empty when the file ends before it.
    fn read(&mut self, at: Place) -> Result<&[u8]> {
        let buffered = self.buffer.len() / PAGE_BYTES;
        let index = at.page.checked_sub(self.start.page).and_then(|index| usize::try_from(index).ok());
        let hit = index.filter(|index| at.file == self.start.file && *index < buffered);
        let index = match hit {
            Some(index) => index,
            None => {
                self.fill(at)?;
                0
            }
        };
        Ok(self.buffer.get(index * PAGE_BYTES..(index + 1) * PAGE_BYTES).unwrap_or_default())
    }

    fn fill(&mut self, at: Place) -> Result<()> {
        self.buffer.clear();
        self.start = at;
        let Some(file) = self.run.get(at.file) else { return Ok(()) };
        let pages = file.stored_pages.saturating_sub(at.page).min(READ_PAGES);
        let bytes = usize::try_from(pages).unwrap_or(0) * PAGE_BYTES;
        self.buffer.resize(bytes, 0);
        let offset = at.page * PAGE_BYTES as u64;
        let range = Range::bytes(offset, bytes as u64);
        let outcome = file.file.read_exact_at(offset, &mut self.buffer);
        outcome.map_err(|error| io_error(self.env, "read", &file.name, range, error))
    }
}

/// How many damaged pages a walk remembers.
const DAMAGED_MAX: usize = 4096;
