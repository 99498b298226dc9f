//! Bytes as a list of edits of files that were sound.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | which file |
//! | 2 | offset, modulo the file's length |
//! | 1 | lower half: bytes to overwrite, less one; upper half: bits of the whole edit, see [`Edit::is_sealed`] |
//! | … | the new bytes |

/// One edit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edit<'a> {
    pub(crate) file: usize,
    pub(crate) offset: usize,
    pub(crate) bytes: &'a [u8],
    /// Whether the checksum over it is set right afterwards: then its content is the enemy, not the disk.
    pub(crate) is_sealed: bool,
}

/// Reads the edits that `input` is, for files of these lengths.
pub(crate) fn edits<'a>(mut input: &'a [u8], lengths: &[usize]) -> Vec<Edit<'a>> {
    let mut found = Vec::new();
    while let Some(([file, low, high, shape], rest)) = input.split_first_chunk::<4>() {
        let file = usize::from(*file) % lengths.len().max(1);
        let length = lengths.get(file).copied().unwrap_or_default().max(1);
        let offset = usize::from(u16::from_le_bytes([*low, *high])) % length;
        let count = (usize::from(shape & 0x0f) + 1).min(rest.len()).min(length - offset);
        let (bytes, rest) = rest.split_at(count);
        found.push(Edit { file, offset, bytes, is_sealed: shape & 0x10 == 0 });
        input = rest;
    }
    found
}

impl Edit<'_> {
    /// Overwrites bytes of the file.
    pub(crate) fn apply(&self, file: &mut [u8]) {
        if let Some(place) = file.get_mut(self.offset..self.offset + self.bytes.len()) {
            place.copy_from_slice(self.bytes);
        }
    }
}
