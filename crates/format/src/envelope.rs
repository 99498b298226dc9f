//! The outside of our own files (manifest, segment metadata): a header that never changes, a body, a checksum over both.
//!
//! | offset | bytes | meaning |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 2 | format version of the body |
//! | 10 | 1 | codec of the body, 0 = none |
//! | 11 | 1 | reserved, 0 |
//! | 12 | 4 | writer epoch, 0 where the file is named by a `UnitId` |
//! | 16 | 16 | `LogId` |
//! | 32 | 8 | feature bits that a reader must understand |
//! | 40 | 8 | feature bits that a reader may ignore |
//! | 48 | 4 | encryption key, 0 = none |
//! | 52 | 4 | reserved, 0 |
//! | 56 | 8 | length of the body |
//! | 64 | … | body |
//! | 64 + length | 8 | XXH3-64 of everything before |

use outcrop_types::{Epoch, LogId};
use xxhash_rust::xxh3::xxh3_64;

use crate::cursor::{Decoder, Encoder};
use crate::error::{DecodeError, DecodeProblem};

/// Bytes before the body.
pub const HEADER_BYTES: usize = 64;
/// Bytes after the body.
pub const TRAILER_BYTES: usize = 8;

/// A kind of file: what its first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileKind {
    /// For messages: "manifest".
    pub name: &'static str,
    /// First eight bytes.
    pub magic: [u8; 8],
    /// Version that this build writes, and the newest it reads; versions start at 1.
    pub version: u16,
    /// Required features that this build knows.
    pub features: u64,
}

/// Feature bits of a file (architecture F2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// A reader that does not know one of these refuses the file.
    pub required: u64,
    /// A reader that does not know one of these goes on.
    pub optional: u64,
}

/// Who wrote a file, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The log that the file belongs to.
    pub log_id: LogId,
    /// The reign in which it was written.
    pub epoch: Epoch,
    /// Feature bits.
    pub features: Features,
}

/// Appends a whole file of `kind`: header, what `write` appends, checksum.
pub fn seal(kind: &FileKind, header: &Header, out: &mut Vec<u8>, write: impl FnOnce(&mut Encoder<'_>)) {
    let mut body = Vec::new();
    write(&mut Encoder::new(&mut body));
    let start = out.len();
    let mut file = Encoder::new(out);
    file.put_raw(&kind.magic);
    file.put_u16(kind.version);
    file.put_u16(0);
    file.put_u32(header.epoch.get());
    file.put_raw(header.log_id.as_bytes());
    file.put_u64(header.features.required);
    file.put_u64(header.features.optional);
    file.put_u64(0);
    file.put_u64(body.len() as u64);
    file.put_raw(&body);
    let checksum = xxh3_64(out.get(start..).unwrap_or_default());
    Encoder::new(out).put_u64(checksum);
}

/// Checks a whole file of `kind` and gives its header and a decoder of its body (B4).
///
/// # Errors
/// `Magic`, `Truncated`, `TrailingBytes`, `Checksum`; then `Version`, `Features` or `Codec` for files from the future.
pub fn open<'a>(kind: &FileKind, bytes: &'a [u8]) -> Result<(Header, Decoder<'a>), DecodeError> {
    let mut file = Decoder::new(bytes);
    if file.take_array::<8>()? != kind.magic {
        return Err(DecodeError::new(0, DecodeProblem::Magic(kind.name)));
    }
    let (content, stored) = bytes
        .split_last_chunk::<TRAILER_BYTES>()
        .filter(|(content, _)| content.len() >= HEADER_BYTES)
        .ok_or_else(|| file.error(truncated(HEADER_BYTES + TRAILER_BYTES, bytes.len())))?;
    let (expected, found) = (u64::from_le_bytes(*stored), xxh3_64(content));
    if expected != found {
        return Err(DecodeError::new(content.len() as u64, DecodeProblem::Checksum { expected, found }));
    }
    let version = file.u16()?;
    if version == 0 || version > kind.version {
        let what = DecodeProblem::Version { what: kind.name, found: version, newest: kind.version };
        return Err(DecodeError::new(8, what));
    }
    let codec = file.u8()?;
    file.u8()?;
    let epoch = Epoch::new(file.u32()?);
    let log_id = LogId::from_bytes(file.take_array()?);
    let features = Features { required: file.u64()?, optional: file.u64()? };
    let unknown = features.required & !kind.features;
    if unknown != 0 {
        return Err(DecodeError::new(32, DecodeProblem::Features(unknown)));
    }
    let key = file.u32()?;
    if codec != 0 || key != 0 {
        return Err(DecodeError::new(10, DecodeProblem::Codec { codec, key }));
    }
    file.u32()?;
    let length = file.u64()?;
    let body = Decoder::at(content.get(HEADER_BYTES..).unwrap_or_default(), HEADER_BYTES as u64);
    if length != body.remaining() as u64 {
        return Err(DecodeError::new(56, DecodeProblem::Inconsistent("length of the body differs from the file's")));
    }
    Ok((Header { log_id, epoch, features }, body))
}

/// The checksum that a whole file says of itself; `None` if it is too short to be one.
pub fn checksum(bytes: &[u8]) -> Option<u64> {
    bytes.last_chunk::<TRAILER_BYTES>().map(|stored| u64::from_le_bytes(*stored))
}

fn truncated(needed: usize, left: usize) -> DecodeProblem {
    DecodeProblem::Truncated { needed: needed as u64, left: left as u64 }
}

#[cfg(test)]
mod tests;
