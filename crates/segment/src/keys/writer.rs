//! Writing a key run, entry by entry.

use outcrop_env::{Env, FileName};
use outcrop_format::key_run::filter::BLOCK_BYTES;
use outcrop_format::key_run::{
    EntryPageBuilder, FENCES_PER_PAGE, FILTER_BLOCKS_PER_PAGE, KeyFilter, KeyRunHeader, PAGE_BYTES, Page, PagePlace,
    RunEntry, put_fences,
};
use outcrop_types::{Error, Result, RowAddress, RowOrdinal, UnitId};

use crate::failure::io_error;
use crate::meta::{TemporaryFile, temporary_name};

/// Pages that are collected before they are written.
const PAGES_PER_WRITE: usize = 64;

/// Writes entries in ascending order to a temporary file, then what follows them, then the header, and publishes (S5).
pub(super) struct RunFileWriter {
    name: FileName,
    path: String,
    temporary: TemporaryFile,
    header: KeyRunHeader,
    page: EntryPageBuilder,
    fences: Vec<u64>,
    filter: KeyFilter,
    last: Option<RunEntry>,
    /// Pages that wait to be written, and the number of the next one.
    pending: Vec<u8>,
    next_page: u32,
    written: u64,
}

impl RunFileWriter {
    /// Starts a file for at most `entries_max` entries; the header's counts are filled in at the end.
    pub(super) fn create(env: &Env, name: FileName, header: KeyRunHeader, entries_max: u64) -> Result<Self> {
        let path = env.disk.describe(&name);
        let temporary =
            TemporaryFile::create(env, temporary_name(&name)?).map_err(|error| io_error("create", &path, error))?;
        let filter = KeyFilter::new(KeyFilter::blocks_for(entries_max));
        let page = EntryPageBuilder::new(header.width);
        Ok(Self {
            name,
            path,
            temporary,
            header,
            page,
            fences: Vec::new(),
            filter,
            last: None,
            pending: Vec::new(),
            next_page: 1,
            written: PAGE_BYTES as u64,
        })
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, entry: &RunEntry) -> Result<()> {
        if self.last.is_some_and(|last| last >= *entry) {
            return Err(Error::internal("entries of a key run out of order"));
        }
        self.last = Some(*entry);
        if self.page.is_full() {
            self.end_page()?;
        }
        if self.page.is_empty() {
            self.fences.push(entry.key.high());
        }
        self.page.push(entry);
        self.filter.insert(entry.key);
        self.header.entries += 1;
        Ok(())
    }

    /// The row that an entry of this file means.
    pub(super) fn address(&self, entry: &RunEntry) -> RowAddress {
        let segment = self.header.segments.get(usize::from(entry.segment));
        let unit = segment.map_or(UnitId::new(0), |segment| segment.unit);
        RowAddress::new(unit, RowOrdinal::new(entry.row))
    }

    /// Completes the file and gives it its name.
    pub(super) fn finish(mut self) -> Result<()> {
        if !self.page.is_empty() {
            self.end_page()?;
        }
        let mut blocks = self.filter.blocks();
        let mut pages = Vec::new();
        let mut filter_blocks = 0;
        loop {
            let of_page: Vec<[u8; BLOCK_BYTES]> = blocks.by_ref().take(FILTER_BLOCKS_PER_PAGE).collect();
            if of_page.is_empty() {
                break;
            }
            let mut page = Box::new([0; PAGE_BYTES]);
            page.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut().zip(&of_page).for_each(|(slot, block)| *slot = *block);
            filter_blocks += of_page.len();
            pages.push(page);
        }
        drop(blocks);
        self.header.filter_blocks = u32::try_from(filter_blocks).unwrap_or(u32::MAX);
        for fences in self.fences.chunks(FENCES_PER_PAGE) {
            let mut page = Box::new([0; PAGE_BYTES]);
            put_fences(&mut page, fences);
            pages.push(page);
        }
        pages.into_iter().try_for_each(|page| self.put(page))?;
        self.write_pending()?;
        let header = self.header.encode()?;
        self.temporary
            .file()
            .write_all_at(0, header.as_slice())
            .map_err(|error| io_error("write", &self.path, error))?;
        self.temporary.publish(&self.name).map_err(|error| io_error("publish", &self.path, error))
    }

    fn end_page(&mut self) -> Result<()> {
        let page = self.page.take();
        self.put(page)
    }

    fn put(&mut self, mut page: Box<Page>) -> Result<()> {
        let place = PagePlace { log_id: self.header.log_id, unit: self.header.unit, number: self.next_page };
        place.seal(&mut page);
        self.pending.extend_from_slice(page.as_slice());
        self.next_page += 1;
        if self.pending.len() >= PAGES_PER_WRITE * PAGE_BYTES { self.write_pending() } else { Ok(()) }
    }

    fn write_pending(&mut self) -> Result<()> {
        let file = self.temporary.file();
        file.write_all_at(self.written, &self.pending).map_err(|error| io_error("write", &self.path, error))?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}
