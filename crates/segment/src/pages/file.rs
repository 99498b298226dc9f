//! A file whose bytes are believed only page by page, after their checksum was verified.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use outcrop_env::{Disk, File, FileName};

use super::cache::FileNumber;
use super::{PAGE_BYTES, PageCache, PageError};

/// A data file and the checksums of its pages. It is open only while it is read often: see [`PageCache::OPEN_FILES`].
#[derive(Debug)]
pub(crate) struct PagedFile {
    disk: Arc<dyn Disk>,
    name: FileName,
    path: Arc<str>,
    length: u64,
    checksums: Vec<u32>,
    cache: Arc<PageCache>,
    number: FileNumber,
}

impl PagedFile {
    /// Opens a file that has `length` bytes in pages of these checksums. Reads nothing yet.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        name: &FileName,
        length: u64,
        checksums: &[u32],
        cache: &Arc<PageCache>,
    ) -> Result<Self, PageError> {
        let path: Arc<str> = disk.describe(name).into();
        let read_error = |error: io::Error| {
            let path = Arc::clone(&path);
            if error.kind() == io::ErrorKind::NotFound {
                return PageError::Missing { path };
            }
            PageError::Read { path, offset: 0, length: 0, source: Arc::new(error) }
        };
        let number = cache.register();
        let file = cache.files().get(number, || disk.open_read(name)).map_err(read_error)?;
        let (disk, name, cache) = (Arc::clone(disk), name.clone(), Arc::clone(cache));
        let opened = Self { disk, name, path: Arc::clone(&path), length, checksums: checksums.to_vec(), cache, number };
        let found = file.len().map_err(read_error)?;
        if found != length {
            return Err(PageError::Length { path, found, expected: length });
        }
        Ok(opened)
    }

    /// Bytes of the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Full path, for messages.
    pub(crate) fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// Fills `out` with the bytes at `offset`, from pages that were checked.
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), PageError> {
        self.check_range(offset, length(out))?;
        let mut position = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let page = self.page_number(position)?;
            let bytes = match self.cache.get(self.number, page) {
                Some(bytes) => bytes,
                None => {
                    let bytes = self.read_page(page)?;
                    self.cache.put(self.number, page, bytes.clone());
                    bytes
                }
            };
            let within = usize::try_from(position % PAGE_BYTES).unwrap_or(usize::MAX);
            let available = bytes.get(within..).unwrap_or_default();
            let count = available.len().min(rest.len());
            let (Some(source), Some((target, next))) = (available.get(..count), rest.split_at_mut_checked(count))
            else {
                break;
            };
            if count == 0 {
                return Err(self.outside(position, length(next)));
            }
            target.copy_from_slice(source);
            position += length(source);
            rest = next;
        }
        Ok(())
    }

    /// Reads every page from the disk, past the cache, and checks it.
    pub(crate) fn verify(&self) -> Result<(), PageError> {
        let found = self.file()?.len().map_err(|error| self.read_error(0, 0, error))?;
        if found != self.length {
            return Err(PageError::Length { path: Arc::clone(&self.path), found, expected: self.length });
        }
        (0..self.page_count()).try_for_each(|page| self.read_page(page).map(drop))
    }

    /// One page from the disk. One read a page: the operating system reads ahead where pages follow each other, and the
    /// bytes land where the cache keeps them.
    fn read_page(&self, page: u32) -> Result<Bytes, PageError> {
        let offset = u64::from(page) * PAGE_BYTES;
        let size = self.length.saturating_sub(offset).min(PAGE_BYTES);
        let expected = *usize::try_from(page)
            .ok()
            .and_then(|page| self.checksums.get(page))
            .ok_or_else(|| self.outside(offset, size))?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        self.file()?.read_exact_at(offset, &mut bytes).map_err(|error| self.read_error(offset, size, error))?;
        let found = crc32c::crc32c(&bytes);
        if found != expected {
            return Err(PageError::Checksum { path: Arc::clone(&self.path), offset, found, expected });
        }
        Ok(bytes.into())
    }

    fn file(&self) -> Result<Arc<dyn File>, PageError> {
        let opened = self.cache.files().get(self.number, || self.disk.open_read(&self.name));
        opened.map_err(|error| self.read_error(0, 0, error))
    }

    fn check_range(&self, offset: u64, size: u64) -> Result<(), PageError> {
        match offset.checked_add(size) {
            Some(end) if end <= self.length => Ok(()),
            Some(_) | None => Err(self.outside(offset, size)),
        }
    }

    fn page_count(&self) -> u32 {
        u32::try_from(self.length.div_ceil(PAGE_BYTES)).unwrap_or(u32::MAX)
    }

    fn page_number(&self, position: u64) -> Result<u32, PageError> {
        u32::try_from(position / PAGE_BYTES).map_err(|_too_large| self.outside(position, 0))
    }

    fn outside(&self, offset: u64, length: u64) -> PageError {
        PageError::Outside { path: Arc::clone(&self.path), offset, length }
    }

    fn read_error(&self, offset: u64, length: u64, error: io::Error) -> PageError {
        let path = Arc::clone(&self.path);
        if error.kind() == io::ErrorKind::UnexpectedEof {
            PageError::Truncated { path, offset }
        } else if error.kind() == io::ErrorKind::NotFound {
            PageError::Missing { path }
        } else {
            PageError::Read { path, offset, length, source: Arc::new(error) }
        }
    }
}

impl Drop for PagedFile {
    fn drop(&mut self) {
        self.cache.forget(self.number, self.page_count());
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
