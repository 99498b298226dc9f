//! Framing of the commit log: file headers, pages and groups (architecture W11, F2).
//!
//! A log is one sequence of 4 KiB pages, numbered from 0 for ever by [`PagePosition`] and cut into files. The first page
//! of a file is its header; groups fill the others. A *group* is what one write puts into the log: a header and records,
//! padded to whole pages. All integers are little-endian.
//!
//! File header, one page:
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic `OUTCRLOG` |
//! | 8..10 | format version |
//! | 10..12 | zero |
//! | 12..16 | epoch of the writer that prepared the file |
//! | 16..32 | log id |
//! | 32..40 | feature bits that a reader must understand |
//! | 40..48 | feature bits that a reader may skip |
//! | 48..56 | file number |
//! | 56..64 | position of this page |
//! | 64..72 | pages of the file, this one included |
//! | 72..4092 | zero |
//! | 4092..4096 | CRC32C of all bytes before; at this place in every format version |
//!
//! Every other page:
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | CRC32C of the log id and bytes 4..4096 |
//! | 4..8 | epoch |
//! | 8..16 | position of this page |
//! | 16..24 | position of the page in which its group begins |
//! | 24 | codec, 0 = none (no other is defined yet) |
//! | 25..28 | zero |
//! | 28..32 | key id, 0 = none (no other is defined yet) |
//! | 32..4096 | payload |
//!
//! The payloads of a group's pages, joined, are its header, its body and zeros:
//!
//! | bytes | field |
//! |---|---|
//! | 0 | kind: 1 records, 2 start of an epoch, 3 synced mark |
//! | 1..4 | zero |
//! | 4..8 | number of records |
//! | 8..16 | bytes of the body |
//! | 16..24 | `CommitSeq` of the first record |
//! | 24..32 | `CommitSeq` of the last record |
//! | 32..40 | `CommitSeq` of the last record before this group |
//! | 40..48 | `synced_to`: all pages before this position were durable when the header was written |
//!
//! The body is a sequence of records: `CommitSeq` (8), length (4), bytes.
//!
//! The log id under the checksum and the position in the page tell pages of other logs, pages written to a wrong place
//! and pages of a file's earlier life from valid ones; the epoch fences what a dead writer left behind the end.

use bytes::Bytes;
use outcrop_types::{CommitSeq, Epoch, LogId};

/// Bytes of a page: the unit of checksums and padding.
pub const PAGE_BYTES: usize = 4096;
/// Bytes of a page that carry a group.
pub const PAGE_PAYLOAD_BYTES: usize = PAGE_BYTES - PAGE_HEADER_BYTES;
/// Newest format version of log files; also the oldest one so far.
pub const LOG_VERSION: u16 = 1;
/// Largest record: its length is stored in 32 bits.
pub const RECORD_BYTES_MAX: u64 = u32::MAX as u64;

/// Number of a page in its log. Pages are never renumbered, whatever happens to the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PagePosition(u64);

impl PagePosition {
    /// Wraps a number.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The page that many pages further on.
    #[must_use]
    pub const fn plus(self, pages: u64) -> Self {
        Self(self.0.saturating_add(pages))
    }
}

/// The first page of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// The log that the file belongs to.
    pub log_id: LogId,
    /// The writer that prepared the file.
    pub epoch: Epoch,
    /// Number of the file.
    pub number: u64,
    /// Position of the header page.
    pub first: PagePosition,
    /// Pages of the file, the header page included.
    pub pages: u64,
    /// Features in use that a reader may ignore.
    pub optional_features: u64,
}

impl FileHeader {
    /// The page.
    pub fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE_BYTES);
        page.extend_from_slice(FILE_MAGIC);
        page.extend_from_slice(&LOG_VERSION.to_le_bytes());
        page.extend_from_slice(&[0; 2]);
        page.extend_from_slice(&self.epoch.get().to_le_bytes());
        page.extend_from_slice(self.log_id.as_bytes());
        page.extend_from_slice(&KNOWN_FEATURES.to_le_bytes());
        page.extend_from_slice(&self.optional_features.to_le_bytes());
        page.extend_from_slice(&self.number.to_le_bytes());
        page.extend_from_slice(&self.first.get().to_le_bytes());
        page.extend_from_slice(&self.pages.to_le_bytes());
        page.resize(PAGE_BYTES - CHECKSUM_BYTES, 0);
        let checksum = crc32c::crc32c(&page);
        page.extend_from_slice(&checksum.to_le_bytes());
        page
    }

    /// Reads the page. The checksum comes first, so that a flipped bit is never taken for a newer version.
    ///
    /// # Errors
    /// Why this is no header that this build can read.
    pub fn decode(page: &[u8]) -> Result<Self, FrameError> {
        let (content, checksum) = page.split_last_chunk::<CHECKSUM_BYTES>().ok_or(FrameError::Short)?;
        if page.len() != PAGE_BYTES {
            return Err(FrameError::Short);
        }
        if !content.starts_with(FILE_MAGIC) {
            return Err(FrameError::Magic);
        }
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return Err(FrameError::Checksum);
        }
        let version = u16::from_le_bytes(field(content, 8)?);
        if version != LOG_VERSION {
            return Err(FrameError::Version { found: version });
        }
        let unknown = u64::from_le_bytes(field(content, 32)?) & !KNOWN_FEATURES;
        if unknown != 0 {
            return Err(FrameError::Features { unknown });
        }
        Ok(Self {
            log_id: LogId::from_bytes(field(content, 16)?),
            epoch: Epoch::new(u32::from_le_bytes(field(content, 12)?)),
            number: u64::from_le_bytes(field(content, 48)?),
            first: PagePosition(u64::from_le_bytes(field(content, 56)?)),
            pages: u64::from_le_bytes(field(content, 64)?),
            optional_features: u64::from_le_bytes(field(content, 40)?),
        })
    }
}

/// What a group is for. It grows only with the format version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// A new writer begins here; older epochs behind this page do not count.
    EpochStart,
    /// Commit records.
    Records,
    /// Carries a newer `synced_to` and nothing else (W11).
    SyncedMark,
}

impl GroupKind {
    const fn tag(self) -> u8 {
        match self {
            Self::Records => 1,
            Self::EpochStart => 2,
            Self::SyncedMark => 3,
        }
    }

    const fn of_tag(tag: u8) -> Result<Self, FrameError> {
        match tag {
            1 => Ok(Self::Records),
            2 => Ok(Self::EpochStart),
            3 => Ok(Self::SyncedMark),
            _ => Err(FrameError::Group),
        }
    }
}

/// The first bytes of a group. Without records, the three `CommitSeq`s are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// What the group is for.
    pub kind: GroupKind,
    /// How many records follow.
    pub record_count: u32,
    /// Bytes of all records with their headers.
    pub body_bytes: u64,
    /// The first record's.
    pub first_seq: CommitSeq,
    /// The last record's.
    pub last_seq: CommitSeq,
    /// The last record's before this group, zero at the beginning of the log.
    pub previous_seq: CommitSeq,
    /// All pages before were durable when this was written.
    pub synced_to: PagePosition,
}

impl GroupHeader {
    /// Pages of the whole group.
    pub const fn pages(&self) -> u64 {
        pages_of_body(self.body_bytes)
    }

    fn encode(&self, target: &mut Vec<u8>) {
        target.extend_from_slice(&[self.kind.tag(), 0, 0, 0]);
        target.extend_from_slice(&self.record_count.to_le_bytes());
        target.extend_from_slice(&self.body_bytes.to_le_bytes());
        target.extend_from_slice(&self.first_seq.get().to_le_bytes());
        target.extend_from_slice(&self.last_seq.get().to_le_bytes());
        target.extend_from_slice(&self.previous_seq.get().to_le_bytes());
        target.extend_from_slice(&self.synced_to.get().to_le_bytes());
    }

    fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        let [kind] = field(payload, 0)?;
        let header = Self {
            kind: GroupKind::of_tag(kind)?,
            record_count: u32::from_le_bytes(field(payload, 4)?),
            body_bytes: u64::from_le_bytes(field(payload, 8)?),
            first_seq: CommitSeq::new(u64::from_le_bytes(field(payload, 16)?)),
            last_seq: CommitSeq::new(u64::from_le_bytes(field(payload, 24)?)),
            previous_seq: CommitSeq::new(u64::from_le_bytes(field(payload, 32)?)),
            synced_to: PagePosition(u64::from_le_bytes(field(payload, 40)?)),
        };
        let ordered = match header.kind {
            GroupKind::Records => {
                header.record_count > 0
                    && header.previous_seq < header.first_seq
                    && header.first_seq <= header.last_seq
                    && header.body_bytes >= u64::from(header.record_count).saturating_mul(RECORD_HEADER_BYTES)
            }
            GroupKind::EpochStart | GroupKind::SyncedMark => header.record_count == 0 && header.body_bytes == 0,
        };
        if ordered { Ok(header) } else { Err(FrameError::Group) }
    }
}

/// Pages that a group of records with these lengths takes.
pub fn pages_of_records(lengths: impl IntoIterator<Item = u64>) -> u64 {
    pages_of_body(lengths.into_iter().map(|len| len.saturating_add(RECORD_HEADER_BYTES)).fold(0, u64::saturating_add))
}

/// Who writes a group, and what its header says beside the records.
#[derive(Clone, Copy, Debug)]
pub struct GroupWriter {
    /// The log.
    pub log_id: LogId,
    /// The writer's reign.
    pub epoch: Epoch,
    /// The last record's `CommitSeq` before the group.
    pub previous_seq: CommitSeq,
    /// The position known durable now.
    pub synced_to: PagePosition,
}

impl GroupWriter {
    /// A group of records, as pages for `positions`, which must yield at least as many as [`pages_of_records`] says.
    ///
    /// # Errors
    /// [`FrameError::Group`] when there is no record, their `CommitSeq`s do not ascend from `previous_seq`, one is longer
    /// than [`RECORD_BYTES_MAX`], or the positions are too few.
    pub fn records(
        &self,
        records: &[(CommitSeq, Bytes)],
        positions: impl IntoIterator<Item = PagePosition>,
    ) -> Result<Vec<u8>, FrameError> {
        let (Some((first_seq, _)), Some((last_seq, _))) = (records.first(), records.last()) else {
            return Err(FrameError::Group);
        };
        let body_bytes = records.iter().map(|(_, bytes)| bytes.len() as u64 + RECORD_HEADER_BYTES).sum();
        let header = GroupHeader {
            kind: GroupKind::Records,
            record_count: u32::try_from(records.len()).map_err(|_too_many| FrameError::Group)?,
            body_bytes,
            first_seq: *first_seq,
            last_seq: *last_seq,
            previous_seq: self.previous_seq,
            synced_to: self.synced_to,
        };
        let mut content =
            Vec::with_capacity(usize::try_from(body_bytes).unwrap_or(0).saturating_add(GROUP_HEADER_BYTES));
        header.encode(&mut content);
        let mut previous = self.previous_seq;
        for (seq, bytes) in records {
            if *seq <= previous {
                return Err(FrameError::Group);
            }
            previous = *seq;
            let len = u32::try_from(bytes.len()).map_err(|_too_long| FrameError::Group)?;
            content.extend_from_slice(&seq.get().to_le_bytes());
            content.extend_from_slice(&len.to_le_bytes());
            content.extend_from_slice(bytes);
        }
        self.pages(&content, positions)
    }

    /// A group without records, as one page.
    ///
    /// # Errors
    /// [`FrameError::Group`] when `kind` is [`GroupKind::Records`].
    pub fn empty(&self, kind: GroupKind, position: PagePosition) -> Result<Vec<u8>, FrameError> {
        if kind == GroupKind::Records {
            return Err(FrameError::Group);
        }
        let seq = self.previous_seq;
        let header = GroupHeader {
            kind,
            record_count: 0,
            body_bytes: 0,
            first_seq: seq,
            last_seq: seq,
            previous_seq: seq,
            synced_to: self.synced_to,
        };
        let mut content = Vec::with_capacity(GROUP_HEADER_BYTES);
        header.encode(&mut content);
        self.pages(&content, [position])
    }

    fn pages(&self, content: &[u8], positions: impl IntoIterator<Item = PagePosition>) -> Result<Vec<u8>, FrameError> {
        let mut positions = positions.into_iter();
        let mut pages = Vec::with_capacity(content.len().div_ceil(PAGE_PAYLOAD_BYTES) * PAGE_BYTES);
        let mut start = None;
        for payload in content.chunks(PAGE_PAYLOAD_BYTES) {
            let position = positions.next().ok_or(FrameError::Group)?;
            let start = *start.get_or_insert(position);
            let mut page = [0; PAGE_BYTES];
            let (checksum, rest) = page.split_first_chunk_mut::<CHECKSUM_BYTES>().ok_or(FrameError::Short)?;
            let (header, room) = rest.split_at_mut(PAGE_HEADER_BYTES - CHECKSUM_BYTES);
            put(header, 0, &self.epoch.get().to_le_bytes());
            put(header, 4, &position.get().to_le_bytes());
            put(header, 12, &start.get().to_le_bytes());
            put(room, 0, payload);
            *checksum = page_checksum(self.log_id, rest).to_le_bytes();
            pages.extend_from_slice(&page);
        }
        Ok(pages)
    }
}

/// A checked page of a group.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Who wrote it.
    pub epoch: Epoch,
    /// Its part in its group.
    pub part: PagePart,
    /// The stored checksum of all its other bytes.
    pub checksum: u32,
    /// Bytes of the group's body in this page, padding included.
    pub body: &'a [u8],
}

/// Which part of its group a page is. It grows only with the format version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagePart {
    /// A later page of the group that begins at this position.
    Continuation(PagePosition),
    /// The first page.
    Start(GroupHeader),
}

impl<'a> Page<'a> {
    /// Checks the page that should be at `position` of log `log_id`.
    ///
    /// # Errors
    /// Why it is not.
    pub fn decode(log_id: LogId, position: PagePosition, page: &'a [u8]) -> Result<Self, FrameError> {
        if page.len() != PAGE_BYTES {
            return Err(FrameError::Short);
        }
        let (checksum, rest) = page.split_first_chunk::<CHECKSUM_BYTES>().ok_or(FrameError::Short)?;
        let found = PagePosition(u64::from_le_bytes(field(rest, 4)?));
        if found != position {
            // Before the checksum: most pages behind the end of a log are blank or of the file's earlier life.
            return Err(if page.iter().all(|byte| *byte == 0) { FrameError::Blank } else { FrameError::Position });
        }
        let checksum = u32::from_le_bytes(*checksum);
        if page_checksum(log_id, rest) != checksum {
            return Err(FrameError::Checksum);
        }
        let [codec] = field(rest, 20)?;
        let key_id = u32::from_le_bytes(field(rest, 24)?);
        if codec != 0 || key_id != 0 {
            return Err(FrameError::Encoding { codec, key_id });
        }
        let epoch = Epoch::new(u32::from_le_bytes(field(rest, 0)?));
        let start = PagePosition(u64::from_le_bytes(field(rest, 12)?));
        let payload = rest.get(PAGE_HEADER_BYTES - CHECKSUM_BYTES..).ok_or(FrameError::Short)?;
        if start != position {
            return Ok(Self { epoch, part: PagePart::Continuation(start), checksum, body: payload });
        }
        let header = GroupHeader::decode(payload)?;
        let body = payload.get(GROUP_HEADER_BYTES..).ok_or(FrameError::Short)?;
        Ok(Self { epoch, part: PagePart::Start(header), checksum, body })
    }
}

/// The records of a group's body.
///
/// # Errors
/// [`FrameError::Group`] when lengths, count or order contradict the header.
pub fn decode_records<'a>(header: &GroupHeader, body: &'a [u8]) -> Result<Vec<(CommitSeq, &'a [u8])>, FrameError> {
    // The count is bounded by the body: each record has a header in it.
    let mut records = Vec::with_capacity(body.len().min(usize::try_from(header.record_count).unwrap_or(0)));
    let mut rest = usize::try_from(header.body_bytes).ok().and_then(|len| body.get(..len)).ok_or(FrameError::Group)?;
    let mut previous = header.previous_seq;
    while let Some((seq, after)) = rest.split_first_chunk::<8>() {
        let (len, after) = after.split_first_chunk::<4>().ok_or(FrameError::Group)?;
        let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_too_long| FrameError::Group)?;
        let (bytes, after) = after.split_at_checked(len).ok_or(FrameError::Group)?;
        let seq = CommitSeq::new(u64::from_le_bytes(*seq));
        if seq <= previous {
            return Err(FrameError::Group);
        }
        previous = seq;
        records.push((seq, bytes));
        rest = after;
    }
    let first = records.first().map(|(seq, _)| *seq);
    let counted = u32::try_from(records.len()).is_ok_and(|count| count == header.record_count);
    if rest.is_empty() && counted && previous == header.last_seq && first.is_none_or(|seq| seq == header.first_seq) {
        Ok(records)
    } else {
        Err(FrameError::Group)
    }
}

/// Why bytes are not the header or page that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Nothing was ever written here.
    #[error("the page is blank")]
    Blank,
    /// The bytes changed, or were written in part.
    #[error("the checksum does not match")]
    Checksum,
    /// A codec or key that this version does not define.
    #[error("unknown codec {codec} or key {key_id}")]
    Encoding {
        /// The codec.
        codec: u8,
        /// The key id.
        key_id: u32,
    },
    /// Must-understand features of a newer version.
    #[error("unknown features {unknown:#x}")]
    Features {
        /// The bits that this build does not know.
        unknown: u64,
    },
    /// A header whose fields contradict each other.
    #[error("the group header or its records contradict themselves")]
    Group,
    /// No log file at all.
    #[error("the file does not begin like a log file")]
    Magic,
    /// A valid-looking page of another place or time.
    #[error("the page belongs to another position")]
    Position,
    /// The file ends too early.
    #[error("the file ends before the page does")]
    Short,
    /// Another format version.
    #[error("format version {found}, this build reads version {LOG_VERSION}")]
    Version {
        /// The version of the file.
        found: u16,
    },
}

const fn pages_of_body(body_bytes: u64) -> u64 {
    body_bytes.saturating_add(GROUP_HEADER_BYTES as u64).div_ceil(PAGE_PAYLOAD_BYTES as u64)
}

fn page_checksum(log_id: LogId, rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(log_id.as_bytes()), rest)
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], FrameError> {
    bytes.get(offset..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or(FrameError::Short)
}

fn put(target: &mut [u8], offset: usize, bytes: &[u8]) {
    if let Some(range) = target.get_mut(offset..offset + bytes.len()) {
        range.copy_from_slice(bytes);
    }
}

const FILE_MAGIC: &[u8; 8] = b"OUTCRLOG";
/// Must-understand features of this version: none.
const KNOWN_FEATURES: u64 = 0;
const CHECKSUM_BYTES: usize = 4;
const PAGE_HEADER_BYTES: usize = 32;
const GROUP_HEADER_BYTES: usize = 48;
const RECORD_HEADER_BYTES: u64 = 12;

#[cfg(test)]
mod tests;
