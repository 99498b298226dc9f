//! Delete vectors as bytes: the blob `deletion-vector-v1` of Iceberg, so that other tools can read them.
//!
//! | bytes | meaning |
//! |---|---|
//! | 4 | length of magic and bitmap, **big-endian** |
//! | 4 | magic `D1 D3 39 64` |
//! | … | 64-bit Roaring bitmap of dead rows, portable form |
//! | 4 | CRC-32 of magic and bitmap, **big-endian** |
//!
//! The two big-endian numbers are Iceberg's; they are the only ones in the crate.

use roaring::{RoaringBitmap, RoaringTreemap};

use crate::cursor::{Decoder, Encoder};
use crate::error::{DecodeError, DecodeProblem};

/// First bytes of the checksummed part.
pub const MAGIC: [u8; 4] = [0xd1, 0xd3, 0x39, 0x64];

/// Bytes before the bitmap.
const HEAD_BYTES: u64 = 8;

/// The blob of these dead rows, in any order.
pub fn encode_deletes(rows: impl IntoIterator<Item = u32>) -> Vec<u8> {
    let mut bitmap: RoaringBitmap = rows.into_iter().collect();
    bitmap.optimize();
    let high = if bitmap.is_empty() { None } else { Some((0, bitmap)) };
    let bitmaps = RoaringTreemap::from_bitmaps(high);
    let mut checked = MAGIC.to_vec();
    let outcome = bitmaps.serialize_into(&mut checked);
    assert!(outcome.is_ok(), "B1 violated: writing to memory failed: {outcome:?}");
    let mut blob = Vec::with_capacity(checked.len() + 8);
    let length = u32::try_from(checked.len());
    // 2^32 rows take at most 512 MiB and a little as a bitmap.
    assert!(length.is_ok(), "B1 violated: delete vector of {} bytes", checked.len());
    let mut out = Encoder::new(&mut blob);
    out.put_raw(&length.unwrap_or(u32::MAX).to_be_bytes());
    out.put_raw(&checked);
    out.put_raw(&crc32fast::hash(&checked).to_be_bytes());
    blob
}

/// The dead rows of a unit of `rows` rows. Empty bytes mean that none is dead.
///
/// # Errors
/// `Truncated`, `TrailingBytes`, `Magic`, `Checksum`; `Limit` for a row that the unit does not have; `Inconsistent` for a
/// malformed bitmap.
pub fn decode_deletes(blob: &[u8], rows: u32) -> Result<RoaringTreemap, DecodeError> {
    if blob.is_empty() {
        return Ok(RoaringTreemap::new());
    }
    let mut bytes = Decoder::new(blob);
    let length = u32::from_be_bytes(bytes.take_array()?);
    let checked = bytes.take(usize::try_from(length).unwrap_or(usize::MAX))?;
    let expected = u64::from(u32::from_be_bytes(bytes.take_array()?));
    bytes.finish()?;
    let found = u64::from(crc32fast::hash(checked));
    let Some(mut bitmap) = checked.strip_prefix(&MAGIC) else {
        return Err(DecodeError::new(4, DecodeProblem::Magic("delete vector")));
    };
    if expected != found {
        return Err(DecodeError::new(bytes.offset() - 4, DecodeProblem::Checksum { expected, found }));
    }
    let malformed = DecodeError::new(HEAD_BYTES, DecodeProblem::Inconsistent("malformed bitmap"));
    let deletes = RoaringTreemap::deserialize_from(&mut bitmap).map_err(|_malformed| malformed)?;
    if !bitmap.is_empty() {
        return Err(DecodeError::new(HEAD_BYTES, DecodeProblem::TrailingBytes(bitmap.len() as u64)));
    }
    match deletes.max() {
        Some(row) if row >= u64::from(rows) => {
            let max = u64::from(rows).saturating_sub(1);
            Err(DecodeError::new(HEAD_BYTES, DecodeProblem::Limit { what: "dead row", found: row, max }))
        }
        Some(_) | None => Ok(deletes),
    }
}

#[cfg(test)]
mod tests;
