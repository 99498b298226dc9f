//! The first page of a key run.
//!
//! An [`envelope`] whose body is sections:
//!
//! | section | payload |
//! |---|---|
//! | 1 run | unit, table, key index, version of the key encoding, words of a hash (1 or 2), entries, filter blocks |
//! | 2 segments | count, each: unit, rows; ascending by unit |

use outcrop_types::{Epoch, IndexId, LogId, TableId, UnitId};

use super::{FENCES_PER_PAGE, FILTER_BLOCKS_PER_PAGE, PAGE_BYTES, Page, SEGMENTS_MAX, entries};
use crate::cursor::{Decoder, Encoder};
use crate::envelope::{self, Features, FileKind, HEADER_BYTES, Header, TRAILER_BYTES};
use crate::error::{DecodeError, DecodeProblem};
use crate::key::{KEY_ENCODING_VERSION, KeyWidth};
use crate::section::WhenUnknown;

/// What a key run's first bytes say.
pub const KEY_RUN_KIND: FileKind = FileKind { name: "key run", magic: *b"OUTCRKEY", version: 1, features: 0 };

const RUN: u16 = 1;
const SEGMENTS: u16 = 2;

const KEY_RUN: &str = "key run";

/// A segment whose rows a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoveredSegment {
    /// Its identity.
    pub unit: UnitId,
    /// Its rows, dead ones included: no entry has a row beyond.
    pub rows: u32,
}

/// What a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRunHeader {
    /// The log that wrote it.
    pub log_id: LogId,
    /// Its identity in the log: the unit of the segment that it was written with, or one of its own.
    pub unit: UnitId,
    /// The table.
    pub table: TableId,
    /// The key index of the table.
    pub index: IndexId,
    /// What is stored of a hash.
    pub width: KeyWidth,
    /// Entries.
    pub entries: u64,
    /// Blocks of the filter.
    pub filter_blocks: u32,
    /// The segments, ascending by unit; entries name them by position.
    pub segments: Vec<CoveredSegment>,
}

impl KeyRunHeader {
    /// The first page.
    ///
    /// # Errors
    /// `Limit` for more segments than a run covers.
    pub fn encode(&self) -> Result<Box<Page>, crate::EncodeError> {
        let header = Header { log_id: self.log_id, epoch: Epoch::new(0), features: Features::default() };
        let mut bytes = Vec::with_capacity(PAGE_BYTES);
        envelope::seal(&KEY_RUN_KIND, &header, &mut bytes, |out| {
            out.put_section(RUN, WhenUnknown::Refuse, |out| {
                out.put_varint(self.unit.get());
                out.put_varint(u64::from(self.table.get()));
                out.put_varint(u64::from(self.index.get()));
                out.put_varint(u64::from(KEY_ENCODING_VERSION));
                out.put_u8(match self.width {
                    KeyWidth::Half => 1,
                    KeyWidth::Whole => 2,
                });
                out.put_varint(self.entries);
                out.put_varint(u64::from(self.filter_blocks));
            });
            out.put_section(SEGMENTS, WhenUnknown::Refuse, |out| encode_segments(&self.segments, out));
        });
        if self.segments.len() > SEGMENTS_MAX || bytes.len() > PAGE_BYTES {
            let (found, max) = (self.segments.len() as u64, SEGMENTS_MAX as u64);
            return Err(crate::EncodeError::Limit { what: "segments of a key run", found, max });
        }
        let mut page = Box::new([0; PAGE_BYTES]);
        page.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
        Ok(page)
    }

    /// Reads the first page.
    ///
    /// # Errors
    /// Those of [`envelope::open`]; any [`DecodeProblem`] of the body.
    pub fn decode(page: &Page) -> Result<Self, DecodeError> {
        let length = page.get(HEADER_BYTES - 8..).and_then(|rest| rest.first_chunk::<8>());
        let length = length.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let end = usize::try_from(length).ok().and_then(|length| length.checked_add(HEADER_BYTES + TRAILER_BYTES));
        let (file, rest) = end.and_then(|end| page.split_at_checked(end)).unwrap_or((page.as_slice(), &[]));
        let (Header { log_id, .. }, mut body) = envelope::open(&KEY_RUN_KIND, file)?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(DecodeError::new(file.len() as u64, DecodeProblem::TrailingBytes(rest.len() as u64)));
        }
        let (mut run, mut segments) = (None, None);
        while let Some(mut section) = body.section()? {
            match section.tag {
                RUN => {
                    let value = Self::decode_run(log_id, &mut section.payload)?;
                    section.set(&mut run, KEY_RUN, value)?;
                }
                SEGMENTS => {
                    let value = decode_segments(&mut section.payload)?;
                    section.set(&mut segments, KEY_RUN, value)?;
                }
                _ => section.unknown(KEY_RUN)?,
            }
        }
        let run = body.required(run, KEY_RUN, RUN)?;
        Ok(Self { segments: body.required(segments, KEY_RUN, SEGMENTS)?, ..run })
    }

    /// Pages of entries; they follow the first page.
    pub fn entry_pages(&self) -> u32 {
        pages(self.entries, entries::capacity(self.width))
    }

    /// Pages of the filter; they follow those of entries.
    pub fn filter_pages(&self) -> u32 {
        pages(u64::from(self.filter_blocks), FILTER_BLOCKS_PER_PAGE)
    }

    /// Pages of fences; they follow those of the filter.
    pub fn fence_pages(&self) -> u32 {
        pages(u64::from(self.entry_pages()), FENCES_PER_PAGE)
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        let pages = [1, self.entry_pages(), self.filter_pages(), self.fence_pages()];
        pages.into_iter().map(u64::from).sum::<u64>() * PAGE_BYTES as u64
    }

    fn decode_run(log_id: LogId, bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let unit = UnitId::new(bytes.varint()?);
        let table = TableId::new(bytes.varint_u32("table id")?);
        let index = IndexId::new(bytes.varint_u32("index id")?);
        let at = bytes.offset();
        let found = bytes.varint_u16("version of keys")?;
        if found != KEY_ENCODING_VERSION {
            let what = DecodeProblem::Version { what: "key encoding", found, newest: KEY_ENCODING_VERSION };
            return Err(DecodeError::new(at, what));
        }
        let at = bytes.offset();
        let width = match bytes.u8()? {
            1 => KeyWidth::Half,
            2 => KeyWidth::Whole,
            found => return Err(DecodeError::new(at, DecodeProblem::Tag { what: "hash width", found })),
        };
        let at = bytes.offset();
        let entries = bytes.varint()?;
        let max = SEGMENTS_MAX as u64 * (1 << entries::ROW_BITS);
        if entries > max {
            let what = DecodeProblem::Limit { what: "entries of a key run", found: entries, max };
            return Err(DecodeError::new(at, what));
        }
        let filter_blocks = bytes.varint_u32("filter blocks")?;
        bytes.extensions(KEY_RUN)?;
        Ok(Self { log_id, unit, table, index, width, entries, filter_blocks, segments: Vec::new() })
    }
}

fn encode_segments(segments: &[CoveredSegment], out: &mut Encoder<'_>) {
    out.put_count(segments.len());
    for segment in segments {
        out.put_varint(segment.unit.get());
        out.put_varint(u64::from(segment.rows));
    }
}

fn decode_segments(bytes: &mut Decoder<'_>) -> Result<Vec<CoveredSegment>, DecodeError> {
    let at = bytes.offset();
    let count = bytes.count("segments", 2)?;
    let mut segments: Vec<CoveredSegment> = Vec::with_capacity(count);
    for _ in 0..count {
        let unit = UnitId::new(bytes.varint()?);
        segments.push(CoveredSegment { unit, rows: bytes.varint_u32("rows of a segment")? });
    }
    if count > SEGMENTS_MAX || !segments.is_sorted_by(|a, b| a.unit < b.unit) {
        return Err(DecodeError::new(at, DecodeProblem::Inconsistent("segments of a key run are out of order")));
    }
    bytes.extensions("segments of a key run")?;
    Ok(segments)
}

fn pages(items: u64, per_page: usize) -> u32 {
    u32::try_from(items.div_ceil(per_page.max(1) as u64)).unwrap_or(u32::MAX)
}
