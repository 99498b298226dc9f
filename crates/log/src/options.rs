//! Settings of a log.

use outcrop_format::frame::PAGE_BYTES;

/// Sizes of the log's files and of what is kept ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Bytes of each new log file, at least [`LogOptions::FILE_BYTES_MIN`]; rounded down to whole pages. Files of other
    /// sizes, made under another setting, stay valid. Default 64 MiB.
    pub file_bytes: u64,
    /// Files kept zero-filled ahead of use. Default 1.
    pub reserve_files: u32,
    /// Bytes that only [`SpaceClass::Reserve`](crate::SpaceClass) may use, for deletes, DDL and checkpoints on a full
    /// disk. Default 8 MiB.
    pub reserve_bytes: u64,
}

impl LogOptions {
    /// Smallest file: a header and some pages.
    pub const FILE_BYTES_MIN: u64 = 4 * PAGE_BYTES as u64;

    /// Pages of each new file, the header included.
    pub(crate) fn file_pages(&self) -> u64 {
        self.file_bytes.max(Self::FILE_BYTES_MIN) / PAGE_BYTES as u64
    }

    /// Pages that ordinary groups leave alone.
    pub(crate) fn reserve_pages(&self) -> u64 {
        self.reserve_bytes.div_ceil(PAGE_BYTES as u64)
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { file_bytes: 64 << 20, reserve_files: 1, reserve_bytes: 8 << 20 }
    }
}
