//! Compressed text files, known by their first bytes.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Plain,
    Gzip,
    Zstd,
}

impl Compression {
    /// By the first bytes of a file.
    pub(super) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// The text of the file. `taken` counts bytes of the file itself.
    pub(super) fn decode(
        self,
        file: Box<dyn Read + Send>,
        taken: Arc<AtomicU64>,
    ) -> io::Result<Box<dyn BufRead + Send>> {
        let file = BufReader::with_capacity(BUFFER_BYTES, Counted { file, taken });
        Ok(match self {
            Self::Plain => Box::new(file),
            // Several gzip members in a row are one text, as `gzip -d` has it.
            Self::Gzip => Box::new(BufReader::with_capacity(BUFFER_BYTES, flate2::bufread::MultiGzDecoder::new(file))),
            Self::Zstd => {
                Box::new(BufReader::with_capacity(BUFFER_BYTES, zstd::stream::read::Decoder::with_buffer(file)?))
            }
        })
    }
}

/// A file that counts what was read from it.
struct Counted {
    file: Box<dyn Read + Send>,
    taken: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.taken.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
        Ok(count)
    }
}

const BUFFER_BYTES: usize = 256 << 10;
