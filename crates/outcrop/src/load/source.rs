//! The file: what it is, and its bytes without compression.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail};

use crate::cli::FileFormat;

/// A file to load.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) format: FileFormat,
    pub(super) compression: Compression,
    /// Length of the file.
    pub(super) bytes: u64,
    /// Bytes of the file that were read so far.
    pub(super) read: Arc<AtomicU64>,
}

/// How a text file is compressed, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const PARQUET_MAGIC: &[u8] = b"PAR1";
const BUFFER_BYTES: usize = 256 << 10;
/// What is looked at to tell JSON from CSV.
const PEEK_BYTES: u64 = 4_096;

impl Source {
    /// Looks at a file. `format` is what the user says that it is.
    pub(super) fn open(path: &Path, format: Option<FileFormat>) -> Result<Self> {
        let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let metadata = file.metadata().with_context(|| format!("look at {}", path.display()))?;
        if !metadata.is_file() {
            bail!("{} is not a file", path.display());
        }
        let mut magic = Vec::new();
        (&mut file).take(4).read_to_end(&mut magic).with_context(|| format!("read {}", path.display()))?;
        let compression = match magic.as_slice() {
            magic if magic.starts_with(GZIP_MAGIC) => Compression::Gzip,
            magic if magic.starts_with(ZSTD_MAGIC) => Compression::Zstd,
            _ => Compression::None,
        };
        let mut source = Self {
            path: path.to_path_buf(),
            format: FileFormat::Csv,
            compression,
            bytes: metadata.len(),
            read: Arc::new(AtomicU64::new(0)),
        };
        let by_name = || format_of_name(path);
        source.format = match format.or_else(|| magic.starts_with(PARQUET_MAGIC).then_some(FileFormat::Parquet)) {
            Some(format) => format,
            None => match by_name() {
                Some(format) => format,
                None => source.format_of_content()?,
            },
        };
        Ok(source)
    }

    /// The content from its beginning, decompressed.
    pub(super) fn reader(&self) -> Result<Box<dyn Read + Send>> {
        let mut file = self.file()?;
        file.seek(SeekFrom::Start(0)).with_context(|| format!("read {}", self.path.display()))?;
        self.read.store(0, Ordering::Relaxed);
        let counted = BufReader::with_capacity(BUFFER_BYTES, Counted { file, read: Arc::clone(&self.read) });
        Ok(match self.compression {
            Compression::None => Box::new(counted),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(counted)),
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(counted)
                    .with_context(|| format!("read {}", self.path.display()))?;
                Box::new(decoder)
            }
        })
    }

    /// The file as it is.
    pub(super) fn file(&self) -> Result<File> {
        File::open(&self.path).with_context(|| format!("open {}", self.path.display()))
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        self.path.file_name().map_or_else(|| self.path.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// JSON objects begin with a brace; CSV does hardly ever.
    fn format_of_content(&self) -> Result<FileFormat> {
        let mut start = Vec::new();
        self.reader()?
            .take(PEEK_BYTES)
            .read_to_end(&mut start)
            .with_context(|| format!("read {}", self.path.display()))?;
        let first = start.iter().find(|byte| !byte.is_ascii_whitespace());
        Ok(if first == Some(&b'{') { FileFormat::Ndjson } else { FileFormat::Csv })
    }
}

/// By the extension, the one of a compression taken off.
fn format_of_name(path: &Path) -> Option<FileFormat> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = [".gz", ".zst", ".zstd"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    let (_, extension) = name.rsplit_once('.')?;
    match extension {
        "csv" | "tsv" | "tab" => Some(FileFormat::Csv),
        "ndjson" | "jsonl" | "json" => Some(FileFormat::Ndjson),
        "parquet" => Some(FileFormat::Parquet),
        _ => None,
    }
}

/// Counts what is read.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(bytes)?;
        self.read.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
        Ok(count)
    }
}
