//! Reading a key run.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use outcrop_env::Env;
use outcrop_format::key_run::filter::BLOCK_BYTES;
use outcrop_format::key_run::{
    CoveredSegment, EntryPage, FENCES_PER_PAGE, FILTER_BLOCKS_PER_PAGE, KeyFilter, KeyRunHeader, PAGE_BYTES, Page,
    RunEntry, entries, fences,
};
use outcrop_format::{KeyHash, KeyWidth};
use outcrop_types::{Condition, Error, LogId, Result, RowAddress, RowOrdinal, TableId, UnitId};
use parking_lot::RwLock;

use crate::meta::{file_name, key_run_file_name};
use crate::pages::{PageCache, SealedFile};

/// Pages that are read at a time where all are read.
pub(super) const PAGES_PER_READ: u32 = 64;

/// A key run that is open. Its owner keeps the file in place as long as the run is in use.
pub struct KeyRun {
    header: KeyRunHeader,
    file: SealedFile,
    /// Read when a key is first looked for.
    resident: RwLock<Option<Arc<Resident>>>,
}

/// A row that has a key, as far as a run knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRunCandidate {
    /// Position in the list of keys that was looked for.
    pub position: u32,
    /// Where the row was when the run was written.
    pub address: RowAddress,
}

/// What of a run is in memory.
struct Resident {
    filter: KeyFilter,
    /// Upper half of the first hash of each page of entries.
    fences: Vec<u64>,
}

impl KeyRun {
    /// Opens a run of `dir`; `None` if the file is not there. Reads one page.
    ///
    /// # Errors
    /// `DataCorrupted` with file and offset when it is not the whole run; `UnsupportedVersion`; `IoError`.
    pub fn open(env: &Env, dir: &str, id: (LogId, UnitId), cache: &Arc<PageCache>) -> Result<Option<Arc<Self>>> {
        let (log_id, unit) = id;
        let name = file_name(dir, &key_run_file_name(log_id, unit))?;
        let Some(file) = SealedFile::open(&env.disk, &name, id, cache)? else { return Ok(None) };
        let first = file.first_page().map_err(rebuild_hint)?;
        let header = KeyRunHeader::decode(&first).map_err(|error| rebuild_hint(error.in_file(file.path(), 0)))?;
        let corrupt = |what: String| Err(rebuild_hint(Error::corrupt(file.path(), 0, what)));
        if (header.log_id, header.unit) != id {
            return corrupt(format!("it is key run {}-{}", header.log_id, header.unit.get()));
        }
        if file.length() != header.file_bytes() {
            return corrupt(format!("it has {} bytes, its header says {}", file.length(), header.file_bytes()));
        }
        Ok(Some(Arc::new(Self { header, file, resident: RwLock::new(None) })))
    }

    /// Its identity in the log.
    pub fn unit(&self) -> UnitId {
        self.header.unit
    }

    /// The log that wrote it.
    pub fn log_id(&self) -> LogId {
        self.header.log_id
    }

    /// The table.
    pub fn table(&self) -> TableId {
        self.header.table
    }

    /// What of a hash tells keys apart.
    pub fn width(&self) -> KeyWidth {
        self.header.width
    }

    /// Entries.
    pub fn entries(&self) -> u64 {
        self.header.entries
    }

    /// The segments whose rows it has, ascending.
    pub fn segments(&self) -> &[CoveredSegment] {
        &self.header.segments
    }

    /// Whether it has the rows of a segment.
    pub fn covers(&self, segment: UnitId) -> bool {
        self.header.segments.binary_search_by_key(&segment, |covered| covered.unit).is_ok()
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.file.length()
    }

    /// Memory held, the page cache apart.
    pub fn resident_bytes(&self) -> u64 {
        let resident = self.resident.read();
        resident.as_ref().map_or(0, |resident| resident.filter.bytes() + resident.fences.len() as u64 * 8)
    }

    /// Calls `visit` with every row that has one of the keys: in the order of the keys, of one key newest first. `keys` are
    /// sorted, each with its position in the caller's list.
    ///
    /// # Errors
    /// `DataCorrupted` with file and offset; `IoError`.
    pub fn lookup(&self, keys: &[(KeyHash, u32)], mut visit: impl FnMut(KeyRunCandidate)) -> Result<()> {
        let resident = self.resident()?;
        let mut page: Option<(usize, Bytes)> = None;
        for &(key, position) in keys {
            if !resident.filter.may_have(key) {
                continue;
            }
            // The key begins on the last page that begins before it; its entries may go on.
            let begin = resident.fences.partition_point(|fence| *fence < key.high()).saturating_sub(1);
            let pages = resident.fences.iter().enumerate().skip(begin).take_while(|(_, fence)| **fence <= key.high());
            for (number, _) in pages {
                if page.as_ref().is_none_or(|(known, _)| *known != number) {
                    page = Some((number, self.entry_page(number)?));
                }
                let Some((_, bytes)) = &page else { continue };
                for entry in self.decode(number, bytes)?.find(key) {
                    visit(KeyRunCandidate { position, address: self.address(&entry)? });
                }
            }
        }
        Ok(())
    }

    /// Reads every page from the disk and checks it: order, counts, segments, filter and fences. Calls `visit` with the row of
    /// each entry. For `outcrop check`.
    ///
    /// # Errors
    /// `DataCorrupted` for the first thing that is wrong; `IoError`.
    pub fn verify(&self, mut visit: impl FnMut(RowAddress)) -> Result<()> {
        let resident = self.read_resident()?;
        let mut scan = EntryScan::new(self);
        let mut last: Option<RunEntry> = None;
        let mut count = 0;
        while let Some(entry) = scan.next()? {
            let per_page = entries::capacity(self.header.width) as u64;
            if last.is_some_and(|last| last >= entry) {
                return Err(self.corrupt(count / per_page, "its entries are out of order"));
            }
            let fence = usize::try_from(count / per_page).ok().and_then(|page| resident.fences.get(page));
            if !resident.filter.may_have(entry.key) || (count % per_page == 0 && fence != Some(&entry.key.high())) {
                return Err(self.corrupt(count / per_page, "filter or fences do not fit its entries"));
            }
            visit(self.address(&entry)?);
            last = Some(entry);
            count += 1;
        }
        Ok(())
    }

    /// The row that an entry means.
    pub(super) fn address(&self, entry: &RunEntry) -> Result<RowAddress> {
        let segment = self.header.segments.get(usize::from(entry.segment));
        let segment = segment.filter(|segment| entry.row < segment.rows);
        let segment = segment.ok_or_else(|| self.corrupt(0, "an entry names a row that no segment has"))?;
        Ok(RowAddress::new(segment.unit, RowOrdinal::new(entry.row)))
    }

    fn resident(&self) -> Result<Arc<Resident>> {
        if let Some(resident) = &*self.resident.read() {
            return Ok(Arc::clone(resident));
        }
        let mut slot = self.resident.write();
        if let Some(resident) = &*slot {
            return Ok(Arc::clone(resident));
        }
        let resident = Arc::new(self.read_resident()?);
        *slot = Some(Arc::clone(&resident));
        Ok(resident)
    }

    fn read_resident(&self) -> Result<Resident> {
        let (entry_pages, filter_pages) = (self.header.entry_pages(), self.header.filter_pages());
        let mut filter = KeyFilter::new(self.header.filter_blocks);
        let mut first = 0;
        self.each_page(1 + entry_pages, filter_pages, |page| {
            filter.set_blocks(first, page.as_chunks::<BLOCK_BYTES>().0.iter().take(FILTER_BLOCKS_PER_PAGE));
            first += FILTER_BLOCKS_PER_PAGE;
        })?;
        let mut left = count(entry_pages);
        let mut all = Vec::with_capacity(left);
        self.each_page(1 + entry_pages + filter_pages, self.header.fence_pages(), |page| {
            let of_page = left.min(FENCES_PER_PAGE);
            all.extend(fences(page, of_page));
            left -= of_page;
        })?;
        Ok(Resident { filter, fences: all })
    }

    fn each_page(&self, first: u32, count: u32, mut visit: impl FnMut(&Page)) -> Result<()> {
        let end = first + count;
        let mut next = first;
        while next < end {
            let step = (end - next).min(PAGES_PER_READ);
            let bytes = self.file.pages(next, step).map_err(rebuild_hint)?;
            bytes.as_chunks::<PAGE_BYTES>().0.iter().for_each(&mut visit);
            next += step;
        }
        Ok(())
    }

    fn entry_page(&self, number: usize) -> Result<Bytes> {
        let number = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1);
        self.file.page(number).map_err(rebuild_hint)
    }

    fn decode<'a>(&self, number: usize, bytes: &'a [u8]) -> Result<EntryPage<'a>> {
        let page: Result<&Page, _> = bytes.try_into();
        let page = page.map_err(|_length| self.corrupt(number as u64, "a page of another length"))?;
        let base = (number as u64 + 1) * PAGE_BYTES as u64;
        EntryPage::decode(self.header.width, page).map_err(|error| rebuild_hint(error.in_file(self.file.path(), base)))
    }

    /// Damage at a page of entries, counted from 0.
    fn corrupt(&self, page: u64, what: &str) -> Error {
        rebuild_hint(Error::corrupt(self.file.path(), (page + 1) * PAGE_BYTES as u64, what))
    }
}

impl fmt::Debug for KeyRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRun({}, {} entries of {} segments)", self.unit(), self.entries(), self.segments().len())
    }
}

/// All entries of a run in order, past the cache.
pub(super) struct EntryScan<'a> {
    run: &'a KeyRun,
    /// Page of entries that is read next, counted from 0.
    next_page: u32,
    /// Entries that were read, last first.
    read: Vec<RunEntry>,
}

impl<'a> EntryScan<'a> {
    pub(super) fn new(run: &'a KeyRun) -> Self {
        Self { run, next_page: 0, read: Vec::new() }
    }

    /// The next entry.
    pub(super) fn next(&mut self) -> Result<Option<RunEntry>> {
        if self.read.is_empty() {
            read_entries(self.run, &mut self.next_page, &mut self.read)?;
        }
        Ok(self.read.pop())
    }
}

/// Reads the entries of the next pages, last first.
pub(super) fn read_entries(run: &KeyRun, next_page: &mut u32, read: &mut Vec<RunEntry>) -> Result<()> {
    let pages = run.header.entry_pages();
    let step = (pages - (*next_page).min(pages)).min(PAGES_PER_READ);
    if step == 0 {
        return Ok(());
    }
    let bytes = run.file.pages(1 + *next_page, step).map_err(rebuild_hint)?;
    let per_page = entries::capacity(run.header.width) as u64;
    for (number, page) in (*next_page..).zip(bytes.chunks(PAGE_BYTES)) {
        let page = run.decode(count(number), page)?;
        let expected = run.header.entries.saturating_sub(u64::from(number) * per_page).min(per_page);
        if page.len() as u64 != expected {
            return Err(run.corrupt(u64::from(number), "a page with another number of entries"));
        }
        read.extend(page.entries());
    }
    read.reverse();
    *next_page += step;
    Ok(())
}

fn count(pages: u32) -> usize {
    usize::try_from(pages).unwrap_or(usize::MAX)
}

/// A run is made from its segments: whoever has a damaged one can have another.
fn rebuild_hint(error: Error) -> Error {
    if error.condition() != Condition::DataCorrupted {
        return error;
    }
    error.with_hint(
        "A key run holds nothing of its own: stop the server and remove the file; the next start builds it anew from its \
         segments.",
    )
}
