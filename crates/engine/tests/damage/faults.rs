//! Ways to damage a disk.

use std::fmt;

use outcrop_env::{DiskImage, FileName};

/// One damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// These bits of a byte are others.
    Flip { file: FileName, offset: usize, bits: u8 },
    /// The file is as short as this.
    Truncate { file: FileName, length: usize },
    /// The file has some bytes more.
    Extend { file: FileName, bytes: usize },
    /// The range reads as zeros.
    Zero { file: FileName, from: usize, to: usize },
    /// Two ranges of one length have changed places.
    Exchange { file: FileName, first: usize, second: usize, length: usize },
    /// The file is as it was at an earlier moment.
    Older { file: FileName, moment: usize },
    /// The file has the content of another one.
    Other { file: FileName, other: FileName },
    /// The files have changed names.
    Swap { file: FileName, other: FileName },
    /// The file is gone.
    Missing { file: FileName },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flip { file, offset, bits } => write!(f, "{file}: byte {offset} ^ {bits:#04x}"),
            Self::Truncate { file, length } => write!(f, "{file}: cut to {length} bytes"),
            Self::Extend { file, bytes } => write!(f, "{file}: {bytes} bytes more"),
            Self::Zero { file, from, to } => write!(f, "{file}: {from}..{to} zeroed"),
            Self::Exchange { file, first, second, length } => {
                write!(f, "{file}: {length} bytes at {first} and at {second} exchanged")
            }
            Self::Older { file, moment } => write!(f, "{file}: as at moment {moment}"),
            Self::Other { file, other } => write!(f, "{file}: has the content of {other}"),
            Self::Swap { file, other } => write!(f, "{file}: swapped with {other}"),
            Self::Missing { file } => write!(f, "{file}: missing"),
        }
    }
}

impl Fault {
    /// The file that is damaged, the first if there are two.
    pub(crate) fn file(&self) -> &FileName {
        match self {
            Self::Flip { file, .. }
            | Self::Truncate { file, .. }
            | Self::Extend { file, .. }
            | Self::Zero { file, .. }
            | Self::Exchange { file, .. }
            | Self::Older { file, .. }
            | Self::Other { file, .. }
            | Self::Swap { file, .. }
            | Self::Missing { file } => file,
        }
    }

    /// The damaged disk; `None` when it is the same as before.
    pub(crate) fn apply(&self, sound: &DiskImage, earlier: &[DiskImage]) -> Option<DiskImage> {
        let mut image = sound.clone();
        match self {
            Self::Flip { file, offset, bits } => image.files.get_mut(file)?[*offset] ^= bits,
            Self::Truncate { file, length } => image.files.get_mut(file)?.truncate(*length),
            Self::Extend { file, bytes } => image.files.get_mut(file)?.extend((0_u8..=255).cycle().take(*bytes)),
            Self::Zero { file, from, to } => image.files.get_mut(file)?[*from..*to].fill(0),
            Self::Exchange { file, first, second, length } => {
                let bytes = image.files.get_mut(file)?;
                let (before, after) = bytes.split_at_mut(*second);
                before[*first..first + length].swap_with_slice(&mut after[..*length]);
            }
            Self::Older { file, moment } => {
                let older = earlier.get(*moment)?.files.get(file)?.clone();
                image.files.insert(file.clone(), older);
            }
            Self::Other { file, other } => {
                let content = sound.files.get(other)?.clone();
                image.files.insert(file.clone(), content);
            }
            Self::Swap { file, other } => {
                let (a, b) = (sound.files.get(file)?.clone(), sound.files.get(other)?.clone());
                image.files.insert(file.clone(), b);
                image.files.insert(other.clone(), a);
            }
            Self::Missing { file } => {
                image.files.remove(file)?;
            }
        }
        (image != *sound).then_some(image)
    }
}

/// Every damage of a disk, of the files that `wanted` says.
pub(crate) fn all(sound: &DiskImage, earlier: &[DiskImage], wanted: impl Fn(&FileName) -> bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, bytes) in sound.files.iter().filter(|(file, _)| wanted(file)) {
        flips(file, bytes.len(), &mut faults);
        lengths(file, bytes.len(), &mut faults);
        ranges(file, bytes.len(), &mut faults);
        faults.push(Fault::Missing { file: file.clone() });
        for moment in 0..earlier.len() {
            faults.push(Fault::Older { file: file.clone(), moment });
        }
        for other in sound.files.keys().filter(|other| kind(other) == kind(file) && *other != file) {
            faults.push(Fault::Other { file: file.clone(), other: other.clone() });
            if file < other {
                faults.push(Fault::Swap { file: file.clone(), other: other.clone() });
            }
        }
    }
    faults
}

/// Every byte once, each with another bit than the one before; every bit where headers, page headers and trailers are.
fn flips(file: &FileName, length: usize, faults: &mut Vec<Fault>) {
    for offset in 0..length {
        let is_telling = offset % 4_096 < 80 || length - offset <= 16;
        for bit in 0..8 {
            if is_telling || bit == offset % 8 {
                faults.push(Fault::Flip { file: file.clone(), offset, bits: 1 << bit });
            }
        }
    }
}

/// Every length around pages and sectors, and near the ends.
fn lengths(file: &FileName, length: usize, faults: &mut Vec<Fault>) {
    for cut in 0..length {
        let is_telling = cut < 80 || length - cut <= 80 || matches!(cut % 512, 0 | 1 | 511) || cut % 61 == 0;
        if is_telling {
            faults.push(Fault::Truncate { file: file.clone(), length: cut });
        }
    }
    for bytes in [1, 8, 511, 4_096, 70_000] {
        faults.push(Fault::Extend { file: file.clone(), bytes });
    }
}

/// Sectors, pages and larger ranges that are zeros, and pages in each other's place.
fn ranges(file: &FileName, length: usize, faults: &mut Vec<Fault>) {
    for size in [16, 512, 4_096, 16_384] {
        for from in (0..length).step_by(size) {
            faults.push(Fault::Zero { file: file.clone(), from, to: (from + size).min(length) });
        }
    }
    faults.push(Fault::Zero { file: file.clone(), from: 0, to: length });
    for size in [512, 4_096] {
        for first in (0..length).step_by(size) {
            for second in [first + size, first + 2 * size, first + 5 * size] {
                if second + size <= length {
                    faults.push(Fault::Exchange { file: file.clone(), first, second, length: size });
                }
            }
        }
    }
}

/// Directory and suffix.
fn kind(file: &FileName) -> (&str, Option<&str>) {
    (file.dir(), file.base().rsplit_once('.').map(|(_, suffix)| suffix))
}
