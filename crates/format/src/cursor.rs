//! Reading and writing of numbers, texts and byte strings: the only code that touches single bytes.
//!
//! | form | bytes |
//! |---|---|
//! | fixed integers, floats | little-endian |
//! | varint | LEB128, 1 to 10 bytes, shortest form only |
//! | signed varint | varint of `(v << 1) ^ (v >> 63)` |
//! | bytes, text | varint length, then the bytes |

use crate::error::{DecodeError, DecodeProblem};

/// Longest varint in bytes.
const VARINT_BYTES_MAX: usize = 10;

/// Appends to a byte vector.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Bytes in the vector so far, including those before this encoder.
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// One byte.
    pub fn put_u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// Two bytes.
    pub fn put_u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn put_u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn put_u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// A varint.
    pub fn put_varint(&mut self, value: u64) {
        let (bytes, len) = varint_bytes(value);
        self.out.extend(bytes.iter().take(len));
    }

    /// A signed varint.
    pub fn put_signed(&mut self, value: i64) {
        self.put_varint(zigzag(value));
    }

    /// A length or count as a varint.
    pub fn put_count(&mut self, count: usize) {
        self.put_varint(count as u64);
    }

    /// Bytes as they are.
    pub fn put_raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A length, then the bytes.
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_count(bytes.len());
        self.put_raw(bytes);
    }

    /// A length, then UTF-8.
    pub fn put_text(&mut self, text: &str) {
        self.put_bytes(text.as_bytes());
    }

    /// A length, then what `write` appends. Written in place: short content moves once, long content by a few bytes.
    pub fn put_nested(&mut self, write: impl FnOnce(&mut Encoder<'_>)) {
        let outcome: Result<(), std::convert::Infallible> = self.try_put_nested(|nested| {
            write(nested);
            Ok(())
        });
        match outcome {
            Ok(()) => {}
        }
    }

    /// As [`Encoder::put_nested`], for content that may be refused; then nothing is appended.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn try_put_nested<E>(&mut self, write: impl FnOnce(&mut Encoder<'_>) -> Result<(), E>) -> Result<(), E> {
        let start = self.out.len();
        self.out.push(0);
        if let Err(error) = write(&mut Encoder { out: self.out }) {
            self.out.truncate(start);
            return Err(error);
        }
        let content = self.out.len() - start - 1;
        let (bytes, len) = varint_bytes(content as u64);
        drop(self.out.splice(start..=start, bytes.into_iter().take(len)));
        Ok(())
    }
}

/// Reads a byte slice from front to back. Every read is checked; positions in errors count from the outermost slice.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Decoder<'a> {
    /// Reads all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    /// Reads `bytes`, which begin at `offset` of a larger whole.
    pub fn at(bytes: &'a [u8], offset: u64) -> Self {
        Self { rest: bytes, offset }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether all bytes have been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Position of the next byte in the outermost slice.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// A problem at the next byte.
    pub fn error(&self, what: DecodeProblem) -> DecodeError {
        DecodeError::new(self.offset, what)
    }

    /// Succeeds if all bytes have been read.
    ///
    /// # Errors
    /// `TrailingBytes`.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.error(DecodeProblem::TrailingBytes(self.rest.len() as u64)))
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.truncated(len as u64));
        };
        self.rest = rest;
        self.offset += len as u64;
        Ok(taken)
    }

    /// All bytes not read yet.
    pub fn take_rest(&mut self) -> &'a [u8] {
        let taken = self.rest;
        self.offset += taken.len() as u64;
        self.rest = &[];
        taken
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.truncated(N as u64));
        };
        self.rest = rest;
        self.offset += N as u64;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.take_array::<1>().map(|[byte]| byte)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.take_array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take_array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.take_array().map(u64::from_le_bytes)
    }

    /// A varint.
    ///
    /// # Errors
    /// `Truncated`, or `Varint` if it is over-long.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let start = self.offset;
        let malformed = || DecodeError::new(start, DecodeProblem::Varint);
        let mut value = 0_u64;
        for index in 0..VARINT_BYTES_MAX {
            let byte = self.u8()?;
            let low = u64::from(byte & 0x7f);
            let is_last = index == VARINT_BYTES_MAX - 1;
            if (is_last && byte > 1) || (index > 0 && byte == 0) {
                return Err(malformed());
            }
            value |= low << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed())
    }

    /// A varint that fits 32 bits.
    ///
    /// # Errors
    /// Those of [`Decoder::varint`], or `Limit`.
    pub fn varint_u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let at = self.offset;
        let found = self.varint()?;
        u32::try_from(found)
            .map_err(|_too_large| DecodeError::new(at, DecodeProblem::Limit { what, found, max: u64::from(u32::MAX) }))
    }

    /// A varint that fits 16 bits.
    ///
    /// # Errors
    /// Those of [`Decoder::varint`], or `Limit`.
    pub fn varint_u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        let at = self.offset;
        let found = self.varint()?;
        u16::try_from(found)
            .map_err(|_too_large| DecodeError::new(at, DecodeProblem::Limit { what, found, max: u64::from(u16::MAX) }))
    }

    /// A signed varint.
    ///
    /// # Errors
    /// Those of [`Decoder::varint`].
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        self.varint().map(unzigzag)
    }

    /// A count of things of at least `item_bytes_min` bytes each: one that the remaining bytes cannot hold is refused
    /// before anything is allocated for it (B2).
    ///
    /// # Errors
    /// Those of [`Decoder::varint`], or `Limit`.
    pub fn count(&mut self, what: &'static str, item_bytes_min: usize) -> Result<usize, DecodeError> {
        let at = self.offset;
        let found = self.varint()?;
        let max = self.rest.len() / item_bytes_min.max(1);
        usize::try_from(found)
            .ok()
            .filter(|count| *count <= max)
            .ok_or_else(|| DecodeError::new(at, DecodeProblem::Limit { what, found, max: max as u64 }))
    }

    /// A length, then bytes.
    ///
    /// # Errors
    /// Those of [`Decoder::varint`], or `Truncated`.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        self.nested().map(|mut content| content.take_rest())
    }

    /// A length, then UTF-8.
    ///
    /// # Errors
    /// Those of [`Decoder::bytes`], or `Utf8`.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let mut content = self.nested()?;
        let start = content.offset;
        std::str::from_utf8(content.take_rest())
            .map_err(|error| DecodeError::new(start.saturating_add(error.valid_up_to() as u64), DecodeProblem::Utf8))
    }

    /// A length, then content for a decoder of its own.
    ///
    /// # Errors
    /// Those of [`Decoder::varint`], or `Truncated`.
    pub fn nested(&mut self) -> Result<Decoder<'a>, DecodeError> {
        let at = self.offset;
        let len = self.varint()?;
        let left = self.rest.len() as u64;
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= self.rest.len()) else {
            return Err(DecodeError::new(at, DecodeProblem::Truncated { needed: len, left }));
        };
        let offset = self.offset;
        Ok(Decoder { rest: self.take(len)?, offset })
    }

    fn truncated(&self, needed: u64) -> DecodeError {
        self.error(DecodeProblem::Truncated { needed, left: self.rest.len() as u64 })
    }
}

/// Signed to unsigned, small magnitudes to small numbers.
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

fn varint_bytes(mut value: u64) -> ([u8; VARINT_BYTES_MAX], usize) {
    let mut bytes = [0_u8; VARINT_BYTES_MAX];
    let mut len = 0;
    for slot in &mut bytes {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        len += 1;
        if value == 0 {
            *slot = low & 0x7f;
            break;
        }
        *slot = low | 0x80;
    }
    (bytes, len)
}

#[cfg(test)]
mod tests;
