//! A file of small pages that carry their own checksums.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use outcrop_env::{Disk, FileName};
use outcrop_format::key_run::{PAGE_BYTES, Page, PagePlace};
use outcrop_types::{Error, LogId, Result, UnitId};

use super::cache::FileNumber;
use super::{PageCache, PageError};

/// A key run's file, whose pages are believed one by one, after their checksum was verified. It is open only while it is read
/// often: see [`PageCache::OPEN_FILES`].
#[derive(Debug)]
pub(crate) struct SealedFile {
    disk: Arc<dyn Disk>,
    name: FileName,
    path: Arc<str>,
    length: u64,
    /// What the checksums tie pages to, beside their number.
    log_id: LogId,
    unit: UnitId,
    cache: Arc<PageCache>,
    number: FileNumber,
}

impl SealedFile {
    /// Opens a file; `None` if it is not there. Reads nothing yet.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        name: &FileName,
        (log_id, unit): (LogId, UnitId),
        cache: &Arc<PageCache>,
    ) -> std::result::Result<Option<Self>, PageError> {
        let path: Arc<str> = disk.describe(name).into();
        let number = cache.register();
        let read_error = |error: io::Error| {
            let path = Arc::clone(&path);
            PageError::Read { path, offset: 0, length: 0, source: Arc::new(error) }
        };
        let file = match cache.files().get(number, || disk.open_read(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read_error(error)),
        };
        let (disk, name, cache) = (Arc::clone(disk), name.clone(), Arc::clone(cache));
        let mut opened = Self { disk, name, path: Arc::clone(&path), length: 0, log_id, unit, cache, number };
        opened.length = file.len().map_err(read_error)?;
        Ok(Some(opened))
    }

    /// Bytes of the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Full path, for messages.
    pub(crate) fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// The first page, which has no checksum of this kind.
    pub(crate) fn first_page(&self) -> Result<Box<Page>> {
        let mut page = Box::new([0; PAGE_BYTES]);
        self.read_at(0, page.as_mut_slice())?;
        Ok(page)
    }

    /// A page, from the cache or checked and put there.
    pub(crate) fn page(&self, number: u32) -> Result<Bytes> {
        if let Some(bytes) = self.cache.get(self.number, number) {
            return Ok(bytes);
        }
        let mut bytes = vec![0; PAGE_BYTES];
        self.read_at(number, &mut bytes)?;
        self.check(number, &bytes)?;
        let bytes = Bytes::from(bytes);
        self.cache.put(self.number, number, bytes.clone());
        Ok(bytes)
    }

    /// Pages that follow each other, past the cache, each checked.
    pub(crate) fn pages(&self, first: u32, count: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(PAGE_BYTES)];
        self.read_at(first, &mut bytes)?;
        for (number, page) in (first..).zip(bytes.chunks(PAGE_BYTES)) {
            self.check(number, page)?;
        }
        Ok(bytes)
    }

    fn check(&self, number: u32, bytes: &[u8]) -> Result<()> {
        let place = PagePlace { log_id: self.log_id, unit: self.unit, number };
        place.check(bytes).map(drop).map_err(|error| Error::corrupt(&self.path, error.offset, error.what))
    }

    fn read_at(&self, first: u32, bytes: &mut [u8]) -> Result<()> {
        let offset = u64::from(first) * PAGE_BYTES as u64;
        let file = self.cache.files().get(self.number, || self.disk.open_read(&self.name));
        file.and_then(|file| file.read_exact_at(offset, bytes)).map_err(|error| {
            let path = Arc::clone(&self.path);
            if error.kind() == io::ErrorKind::UnexpectedEof {
                return PageError::Truncated { path, offset }.into();
            }
            let length = bytes.len() as u64;
            PageError::Read { path, offset, length, source: Arc::new(error) }.into()
        })
    }
}

impl Drop for SealedFile {
    fn drop(&mut self) {
        let pages = u32::try_from(self.length.div_ceil(PAGE_BYTES as u64)).unwrap_or(u32::MAX);
        self.cache.forget(self.number, pages);
    }
}
