//! Where Vortex's writer puts bytes: a file of ours, with a checksum per page.

use std::future::ready;
use std::io;
use std::sync::Arc;

use outcrop_env::File;
use parking_lot::Mutex;
use vortex::io::{IoBuf, VortexWrite};

use crate::pages::PAGE_BYTES;

/// Pages that are collected before they are written.
const PAGES_PER_WRITE: usize = 8;

/// The sink, shared between Vortex's writer and ours.
#[derive(Clone)]
pub(super) struct PageSink(Arc<Mutex<State>>);

struct State {
    file: Arc<dyn File>,
    /// Bytes that the file has.
    written: u64,
    /// Bytes that follow; whole pages leave from here.
    pending: Vec<u8>,
    checksums: Vec<u32>,
    failed: Option<WriteFailure>,
}

/// The write that failed.
#[derive(Debug)]
pub(super) struct WriteFailure {
    pub(super) offset: u64,
    pub(super) length: usize,
    pub(super) error: io::Error,
}

impl PageSink {
    pub(super) fn new(file: Arc<dyn File>) -> Self {
        let state = State { file, written: 0, pending: Vec::new(), checksums: Vec::new(), failed: None };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Bytes taken so far.
    pub(super) fn length(&self) -> u64 {
        let state = self.0.lock();
        state.written + u64::try_from(state.pending.len()).unwrap_or(u64::MAX)
    }

    /// The write that failed, if one did.
    pub(super) fn take_failure(&self) -> Option<WriteFailure> {
        self.0.lock().failed.take()
    }

    /// Writes what is left, and returns the length and the checksum of every page.
    pub(super) fn finish(&self) -> Result<(u64, Vec<u32>), WriteFailure> {
        let mut state = self.0.lock();
        state.write_pending(true)?;
        Ok((state.written, std::mem::take(&mut state.checksums)))
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock();
        state.pending.extend_from_slice(bytes);
        if state.pending.len() < PAGES_PER_WRITE * page_bytes() {
            return Ok(());
        }
        state.write_pending(false).map_err(|failure| {
            let kind = failure.error.kind();
            state.failed = Some(failure);
            kind.into()
        })
    }
}

impl State {
    /// Writes the whole pages of `pending`, or all of it at the end of the file.
    fn write_pending(&mut self, at_end: bool) -> Result<(), WriteFailure> {
        let rest = if at_end { 0 } else { self.pending.len() % page_bytes() };
        let kept = self.pending.split_off(self.pending.len() - rest);
        let bytes = std::mem::replace(&mut self.pending, kept);
        if bytes.is_empty() {
            return Ok(());
        }
        let offset = self.written;
        self.file.write_all_at(offset, &bytes).map_err(|error| WriteFailure { offset, length: bytes.len(), error })?;
        self.checksums.extend(bytes.chunks(page_bytes()).map(crc32c::crc32c));
        self.written += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

impl VortexWrite for PageSink {
    fn write_all<B: IoBuf>(&mut self, buffer: B) -> impl Future<Output = io::Result<B>> + Send {
        let written = self.append(buffer.as_slice());
        ready(written.map(|()| buffer))
    }

    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        ready(Ok(()))
    }

    fn shutdown(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        ready(Ok(()))
    }
}

fn page_bytes() -> usize {
    usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX)
}
