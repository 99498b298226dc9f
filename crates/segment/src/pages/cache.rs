//! The bounded cache of checked pages.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::PAGE_BYTES;
use super::handles::OpenFiles;
use crate::columns::ReadSession;

/// Most shards; each has its own lock.
const SHARDS_MAX: u64 = 16;
/// Pages that a shard should at least hold, so that sharding does not cost the hit rate of a small cache.
const SHARD_PAGES_MIN: u64 = 64;

/// Checked pages of the files of all segments, at most as many bytes as it was made for.
///
/// Sharded by page; each shard evicts with the clock algorithm, so that one large scan does not push out what point reads
/// touch again and again. A page is one reference count to hand out. Files are told apart by a number that each opened
/// file draws, so a page can never be taken for that of another file.
pub struct PageCache {
    shards: Box<[Mutex<Shard>]>,
    bytes_max: u64,
    next_file: AtomicU64,
    files: OpenFiles,
    hits: AtomicU64,
    misses: AtomicU64,
    session: ReadSession,
}

/// Counters of a [`PageCache`], for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCacheStats {
    /// Bytes held now.
    pub bytes: u64,
    /// Look-ups that found their page, since the start.
    pub hits: u64,
    /// Look-ups that had to read, since the start.
    pub misses: u64,
    /// Files that are open now.
    pub open_files: usize,
}

impl PageCache {
    /// A cache of at most `bytes_max` bytes of pages. Less than a page means no caching. Of the files
    /// [`PageCache::OPEN_FILES`] may be open at once.
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Self::with_open_files(bytes_max, Self::OPEN_FILES)
    }

    /// As [`PageCache::new`] with another limit of open files, at least 1.
    pub fn with_open_files(bytes_max: u64, open_files: usize) -> Arc<Self> {
        let count = (bytes_max / (PAGE_BYTES * SHARD_PAGES_MIN)).clamp(1, SHARDS_MAX);
        let shards = (0..count).map(|_| Mutex::new(Shard::new(bytes_max / count))).collect();
        Arc::new(Self {
            shards,
            bytes_max,
            next_file: AtomicU64::new(0),
            files: OpenFiles::new(open_files),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            session: ReadSession::default(),
        })
    }

    /// Files that may be open at once, well below what a process may usually have (1,024).
    pub const OPEN_FILES: usize = 256;

    /// What the cache may hold at most.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Current counters.
    pub fn stats(&self) -> PageCacheStats {
        PageCacheStats {
            bytes: self.shards.iter().map(|shard| shard.lock().bytes).sum(),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            open_files: self.files.count(),
        }
    }

    /// The open files.
    pub(super) fn files(&self) -> &OpenFiles {
        &self.files
    }

    /// The decoders that readers share.
    pub(crate) fn session(&self) -> &ReadSession {
        &self.session
    }

    /// A number for a file that is being opened.
    pub(super) fn register(&self) -> FileNumber {
        FileNumber(self.next_file.fetch_add(1, Ordering::Relaxed))
    }

    /// The page, if the cache has it.
    pub(super) fn get(&self, file: FileNumber, page: u32) -> Option<Bytes> {
        let found = self.shard(file, page).lock().get((file, page));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps a page that was checked.
    pub(super) fn put(&self, file: FileNumber, page: u32, bytes: Bytes) {
        self.shard(file, page).lock().put((file, page), bytes);
    }

    /// Drops the pages of a file that is being closed, and closes it.
    pub(super) fn forget(&self, file: FileNumber, pages: u32) {
        self.files.close(file);
        for page in 0..pages {
            self.shard(file, page).lock().remove((file, page));
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is a remainder by the length, which is at least 1")]
    fn shard(&self, file: FileNumber, page: u32) -> &Mutex<Shard> {
        // Fibonacci hashing: neighbouring pages go to different shards.
        let hash = (file.0 << 16 ^ u64::from(page)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        &self.shards[usize::try_from(hash).unwrap_or(0) % self.shards.len()]
    }
}

impl fmt::Debug for PageCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageCache").field("bytes_max", &self.bytes_max).field("stats", &self.stats()).finish()
    }
}

/// Tells opened files apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileNumber(u64);

type Key = (FileNumber, u32);

struct Slot {
    key: Key,
    bytes: Bytes,
    /// Touched since the hand passed.
    referenced: bool,
}

/// One shard: a map from pages to slots, and a hand that goes round the slots.
struct Shard {
    bytes_max: u64,
    bytes: u64,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    by_key: HashMap<Key, usize>,
    hand: usize,
}

impl Shard {
    fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, slots: Vec::new(), free: Vec::new(), by_key: HashMap::new(), hand: 0 }
    }

    fn get(&mut self, key: Key) -> Option<Bytes> {
        let slot = self.slots.get_mut(*self.by_key.get(&key)?)?.as_mut()?;
        slot.referenced = true;
        Some(slot.bytes.clone())
    }

    fn put(&mut self, key: Key, bytes: Bytes) {
        let size = length(&bytes);
        if size > self.bytes_max || self.by_key.contains_key(&key) {
            return;
        }
        while self.bytes + size > self.bytes_max {
            self.evict_one();
        }
        // A new page starts unreferenced: what is read once leaves before what is read again.
        let slot = Some(Slot { key, bytes, referenced: false });
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(place) = self.slots.get_mut(index) {
                    *place = slot;
                }
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.by_key.insert(key, index);
        self.bytes += size;
    }

    fn remove(&mut self, key: Key) {
        let Some(index) = self.by_key.remove(&key) else { return };
        if let Some(slot) = self.slots.get_mut(index).and_then(Option::take) {
            self.bytes -= length(&slot.bytes);
            self.free.push(index);
        }
    }

    /// Moves the hand to the next slot that was not touched since the last round, and empties it. Called only when
    /// `bytes` is above 0, so there is one: the first round clears every mark.
    fn evict_one(&mut self) {
        loop {
            let index = self.hand;
            self.hand = if index + 1 < self.slots.len() { index + 1 } else { 0 };
            match self.slots.get_mut(index) {
                Some(Some(slot)) if slot.referenced => slot.referenced = false,
                Some(Some(slot)) => {
                    let key = slot.key;
                    self.remove(key);
                    return;
                }
                Some(None) | None => {}
            }
        }
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
