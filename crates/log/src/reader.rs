//! Reading the log while it is written: records that are known to be durable, for those who follow it.

use std::sync::Arc;

use bytes::Bytes;
use outcrop_env::{Env, File, FileName};
use outcrop_format::frame::{
    FileHeader, GroupHeader, GroupKind, PAGE_BYTES, Page, PagePart, PagePosition, decode_records,
};
use outcrop_types::{CommitSeq, Epoch, Error, LogId, Result};

use crate::error::{Range, io_error};
use crate::files::log_file_name;

/// A file of the log, as [`Log::extents`](crate::Log::extents) knew it at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogExtent {
    pub(crate) number: u64,
    pub(crate) pages: u64,
    /// Page of the first group that begins in it.
    pub(crate) first_group: Option<u64>,
    pub(crate) covered: CommitSeq,
}

impl LogExtent {
    /// The newest commit of the groups that begin in earlier files.
    pub fn covered(&self) -> CommitSeq {
        self.covered
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.pages * PAGE_BYTES as u64
    }
}

/// Where the group of a record begins. Valid as long as the file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPlace {
    number: u64,
    page: u64,
}

/// A log file from its beginning as far as a reader has read: whole, or up to the end of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPart {
    /// The file.
    pub name: FileName,
    /// How much of it.
    pub bytes: u64,
}

/// The records of one group.
#[derive(Clone, Debug)]
pub struct LogGroup {
    /// Where it begins.
    pub place: RecordPlace,
    /// Its records, in order.
    pub records: Vec<(CommitSeq, Bytes)>,
}

impl LogGroup {
    /// One of its records.
    pub fn record(&self, seq: CommitSeq) -> Option<&Bytes> {
        self.records.iter().find(|(found, _)| *found == seq).map(|(_, bytes)| bytes)
    }
}

/// Reads groups one after the other, through file handles of its own. It never looks for the end of the log: its caller
/// knows which commits are durable, asks for no more than those, and keeps the files in place.
#[derive(Debug)]
pub struct LogReader {
    env: Env,
    dir: String,
    id: LogId,
    /// The first commit that is wanted.
    from: CommitSeq,
    next: RecordPlace,
    /// The files so far, oldest first, and the pages of each.
    entered: Vec<(u64, u64)>,
    /// Of the group before.
    last: Option<(CommitSeq, Epoch)>,
    open: Option<OpenFile>,
}

#[derive(Clone, Debug)]
struct OpenFile {
    number: u64,
    first: PagePosition,
    pages: u64,
    file: Arc<dyn File>,
}

/// A group as it was read.
struct ReadGroup {
    header: GroupHeader,
    epoch: Epoch,
    body: Vec<u8>,
    /// Where the next one begins.
    after: RecordPlace,
}

impl LogReader {
    /// Begins with the first group that may hold commit `from`. `None` if the log begins behind it.
    pub fn open(env: &Env, dir: &str, id: LogId, extents: &[LogExtent], from: CommitSeq) -> Option<Self> {
        let (begin, _) = begin_of(extents, from)?;
        Some(Self {
            env: env.clone(),
            dir: dir.to_owned(),
            id,
            from,
            next: begin,
            entered: Vec::new(),
            last: None,
            open: None,
        })
    }

    /// Moves on to the newest file that leaves out no record that is to come. Whoever keeps only those keeps not the file of the one
    /// before: call this with extents that have the next record before it is read, when the log was cut since the last call.
    pub fn skip_passed_files(&mut self, extents: &[LogExtent]) {
        let wanted = self.last.map_or(self.from, |(seq, _)| self.from.max(CommitSeq::new(seq.get().saturating_add(1))));
        let found = begin_of(extents, wanted).filter(|(place, _)| place.number > self.next.number);
        if let Some((place, covered)) = found {
            self.next = place;
            self.last = self.last.filter(|(seq, _)| *seq == covered);
        }
    }

    /// The next group of records, which must be durable.
    ///
    /// # Errors
    /// `DataCorrupted` with file and offset, also when the file was taken away; `IoError`. A later call reads it again.
    pub fn next_group(&mut self) -> Result<LogGroup> {
        loop {
            let (header, group) = self.read_on()?;
            if header.kind == GroupKind::Records {
                return Ok(group);
            }
        }
    }

    /// Reads on to the first group that ends with commit `to` or a later one, and calls `visit` with each record. Says where that
    /// group ends. Only what begins in the extents that [`LogReader::open`] got is sure to end with `to` at the latest.
    ///
    /// # Errors
    /// As [`LogReader::next_group`]; those of `visit`.
    pub fn read_to(
        &mut self,
        to: CommitSeq,
        visit: &mut dyn FnMut(CommitSeq, &[u8]) -> Result<()>,
    ) -> Result<CommitSeq> {
        loop {
            let (header, group) = self.read_on()?;
            group.records.iter().try_for_each(|(seq, bytes)| visit(*seq, bytes))?;
            if header.last_seq >= to {
                return Ok(header.last_seq);
            }
        }
    }

    /// The next group of any kind.
    fn read_on(&mut self) -> Result<(GroupHeader, LogGroup)> {
        let place = self.next;
        let ReadGroup { header, epoch, body, after } = self.read(place)?;
        match self.last {
            Some((seq, last_epoch)) if header.previous_seq != seq || epoch < last_epoch => {
                return Err(self.damage(place, "the group does not follow the one before it"));
            }
            // What recovery knows of the oldest file is only what it found in it.
            None if header.previous_seq >= self.from => {
                let first = header.previous_seq;
                return Err(self.damage(place, format!("the log begins after commit {first}, older files are gone")));
            }
            Some(_) | None => {}
        }
        let records = self.records(place, &header, &body)?;
        self.last = Some((header.last_seq, epoch));
        self.next = after;
        Ok((header, LogGroup { place, records }))
    }

    /// The files from the one with the first group to the end of the newest group that was read: what a copy of the log up to there
    /// consists of.
    ///
    /// # Errors
    /// An internal error for a directory with a malformed name.
    pub fn parts(&self) -> Result<Vec<LogPart>> {
        let read = self.entered.iter().filter(|(number, _)| *number <= self.next.number);
        read.map(|(number, pages)| {
            let pages = if *number == self.next.number { self.next.page } else { *pages };
            Ok(LogPart { name: log_file_name(&self.dir, *number)?, bytes: pages * PAGE_BYTES as u64 })
        })
        .collect()
    }

    /// A group that was read before.
    ///
    /// # Errors
    /// As [`LogReader::next_group`].
    pub fn group_at(&mut self, place: RecordPlace) -> Result<LogGroup> {
        let ReadGroup { header, body, .. } = self.read(place)?;
        Ok(LogGroup { place, records: self.records(place, &header, &body)? })
    }

    fn records(&self, place: RecordPlace, header: &GroupHeader, body: &[u8]) -> Result<Vec<(CommitSeq, Bytes)>> {
        if header.kind != GroupKind::Records {
            return Ok(Vec::new());
        }
        let records = decode_records(header, body).map_err(|error| self.damage(place, error))?;
        Ok(records.into_iter().map(|(seq, bytes)| (seq, Bytes::copy_from_slice(bytes))).collect())
    }

    fn read(&mut self, place: RecordPlace) -> Result<ReadGroup> {
        let mut at = place;
        let mut file = self.enter(&mut at)?;
        let begin = file.first.plus(at.page);
        let page = self.pages(&file, at.page, 1)?;
        let first = Page::decode(self.id, begin, &page).map_err(|error| self.damage(at, error))?;
        let PagePart::Start(header) = first.part else { return Err(self.damage(at, "no group begins here")) };
        let epoch = first.epoch;
        let mut body = first.body.to_vec();
        at.page += 1;
        let mut left = header.pages().saturating_sub(1);
        while left > 0 {
            file = self.enter(&mut at)?;
            let some = left.min(file.pages.saturating_sub(at.page)).min(READ_PAGES);
            let bytes = self.pages(&file, at.page, some)?;
            for page in bytes.chunks(PAGE_BYTES) {
                let found = Page::decode(self.id, file.first.plus(at.page), page);
                let found = found.map_err(|error| self.damage(at, error))?;
                if (found.epoch, found.part) != (epoch, PagePart::Continuation(begin)) {
                    return Err(self.damage(at, "the page is no part of the group before it"));
                }
                body.extend_from_slice(found.body);
                at.page += 1;
            }
            left -= some;
        }
        Ok(ReadGroup { header, epoch, body, after: at })
    }

    /// The file of a place; behind the last page of one, the place moves to the first of the next.
    fn enter(&mut self, at: &mut RecordPlace) -> Result<OpenFile> {
        let file = self.file(at.number)?;
        if at.page < file.pages {
            return Ok(file);
        }
        *at = RecordPlace { number: at.number.saturating_add(1), page: 1 };
        self.file(at.number)
    }

    fn file(&mut self, number: u64) -> Result<OpenFile> {
        if let Some(open) = self.open.as_ref().filter(|open| open.number == number) {
            return Ok(open.clone());
        }
        let name = log_file_name(&self.dir, number)?;
        let file = match self.env.disk.open_read(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::corrupt(self.env.disk.describe(&name), 0, "the file is missing"));
            }
            Err(error) => return Err(io_error(&self.env, "open", &name, Range::Whole, error)),
        };
        let mut page = vec![0; PAGE_BYTES];
        let range = Range::bytes(0, PAGE_BYTES as u64);
        file.read_exact_at(0, &mut page).map_err(|error| io_error(&self.env, "read", &name, range, error))?;
        let begin = RecordPlace { number, page: 0 };
        let header = FileHeader::decode(&page).map_err(|error| self.damage(begin, error))?;
        if header.log_id != self.id || header.number != number {
            return Err(self.damage(begin, "it is another file of a log"));
        }
        let open = OpenFile { number, first: header.first, pages: header.pages, file };
        if self.entered.last().is_none_or(|(last, _)| *last < number) {
            self.entered.push((number, header.pages));
        }
        self.open = Some(open.clone());
        Ok(open)
    }

    fn pages(&self, file: &OpenFile, page: u64, count: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0) * PAGE_BYTES];
        let offset = page * PAGE_BYTES as u64;
        let range = Range::bytes(offset, bytes.len() as u64);
        match file.file.read_exact_at(offset, &mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(io_error(&self.env, "read", &log_file_name(&self.dir, file.number)?, range, error)),
        }
    }

    fn damage(&self, at: RecordPlace, what: impl std::fmt::Display) -> Error {
        let name = log_file_name(&self.dir, at.number);
        let path = name.map_or_else(|_| self.dir.clone(), |name| self.env.disk.describe(&name));
        Error::corrupt(path, at.page * PAGE_BYTES as u64, what)
    }
}

/// The last group that begins a file and has no record from `from` on before it, and the newest commit before it.
fn begin_of(extents: &[LogExtent], from: CommitSeq) -> Option<(RecordPlace, CommitSeq)> {
    extents.iter().rev().find_map(|extent| {
        let page = extent.first_group.filter(|_| extent.covered < from)?;
        Some((RecordPlace { number: extent.number, page }, extent.covered))
    })
}

/// Pages of a group that are read at once.
const READ_PAGES: u64 = 256;
