//! COPY's binary format: a header, tuples of sized fields, an end mark.

use outcrop_types::{Condition, Error, Result};

/// What every stream begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the extension.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;
/// Flags in the upper half change the format.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
const HAS_OIDS: u32 = 1 << 16;

/// Writes the header.
pub(super) fn write_header(out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[0; 8]);
}

/// Writes the end mark.
pub(super) fn write_end(out: &mut Vec<u8>) {
    out.extend_from_slice(&END_MARK.to_be_bytes());
}

/// The bytes that came and were not yet decoded.
#[derive(Debug)]
pub(super) struct Tuples {
    bytes: Vec<u8>,
    start: usize,
    state: State,
    tuple_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Tuples,
    Ended,
}

/// What comes next in the stream.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// The fields of a tuple, whole.
    Tuple(Fields<'a>),
    /// The stream has not brought the whole of it.
    More,
    /// The end mark.
    End,
}

impl Tuples {
    pub(super) fn new(tuple_bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, state: State::Header, tuple_bytes_max }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next tuple, which has `width` fields.
    pub(super) fn next_tuple(&mut self, width: usize) -> Result<Next<'_>> {
        if self.state == State::Header && !self.read_header()? {
            return Ok(Next::More);
        }
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        if self.state == State::Ended {
            return if rest.is_empty() { Ok(Next::End) } else { Err(bad("received copy data after EOF marker")) };
        }
        let Some((count, rest)) = rest.split_first_chunk() else { return Ok(Next::More) };
        let count = i16::from_be_bytes(*count);
        if count == END_MARK {
            self.start += size_of_val(&count);
            self.state = State::Ended;
            return if rest.is_empty() { Ok(Next::End) } else { Err(bad("received copy data after EOF marker")) };
        }
        if usize::try_from(count) != Ok(width) {
            return Err(bad(format!("row field count is {count}, expected {width}")));
        }
        let length = tuple_length(rest, width)?;
        if length.unwrap_or(rest.len()) > self.tuple_bytes_max {
            let message = format!("a row of COPY data is longer than {} bytes", self.tuple_bytes_max);
            return Err(Error::new(Condition::ProgramLimitExceeded, message));
        }
        let Some(fields) = length.and_then(|length| rest.get(..length)) else { return Ok(Next::More) };
        self.start += size_of_val(&count) + fields.len();
        Ok(Next::Tuple(Fields(fields)))
    }

    /// The stream has ended. PostgreSQL lets the end mark be absent.
    pub(super) fn finish(&self) -> Result<()> {
        match self.state {
            State::Header => Err(bad("COPY file signature not recognized")),
            State::Tuples if self.start < self.bytes.len() => Err(bad("unexpected EOF in COPY data")),
            State::Tuples | State::Ended => Ok(()),
        }
    }

    /// Skips the header once it is whole.
    fn read_header(&mut self) -> Result<bool> {
        let known = self.bytes.len().min(SIGNATURE.len());
        if self.bytes.get(..known) != SIGNATURE.get(..known) {
            return Err(bad("COPY file signature not recognized"));
        }
        let Some((flags, rest)) = self.bytes.get(SIGNATURE.len()..).and_then(<[u8]>::split_first_chunk) else {
            return Ok(false);
        };
        let flags = u32::from_be_bytes(*flags);
        if flags & HAS_OIDS != 0 {
            return Err(bad("invalid COPY file header (WITH OIDS)"));
        }
        if flags & CRITICAL_FLAGS != 0 {
            return Err(bad("unrecognized critical flags in COPY file header"));
        }
        let Some((length, _)) = rest.split_first_chunk() else { return Ok(false) };
        let length = usize::try_from(i32::from_be_bytes(*length)).ok().filter(|length| *length <= self.tuple_bytes_max);
        let end = HEADER_BYTES + length.ok_or_else(|| bad("invalid COPY file header (wrong length)"))?;
        if self.bytes.len() < end {
            return Ok(false);
        }
        (self.start, self.state) = (end, State::Tuples);
        Ok(true)
    }
}

/// The bytes of `width` fields; `None` if they are not all there.
fn tuple_length(bytes: &[u8], width: usize) -> Result<Option<usize>> {
    let mut fields = Fields(bytes);
    for _ in 0..width {
        if fields.next().transpose()?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(bytes.len() - fields.0.len()))
}

/// The fields of a tuple in order; `None` is NULL. It ends where the bytes do.
#[derive(Clone, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of a tuple as [`super::CopyEncoder`] writes it, with their number before them.
    pub fn of_tuple(tuple: &'a [u8]) -> Self {
        Self(tuple.get(size_of::<i16>()..).unwrap_or_default())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Option<&'a [u8]>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = i32::from_be_bytes(*length);
        if length == NULL {
            self.0 = rest;
            return Some(Ok(None));
        }
        let Ok(length) = usize::try_from(length) else { return Some(Err(bad("invalid field size"))) };
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Ok(Some(field)))
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(Condition::BadCopyFileFormat, message)
}

/// In the place of the number of fields.
const END_MARK: i16 = -1;
/// In the place of the length of a field.
pub(super) const NULL: i32 = -1;
