//! The file to load: what it is and how it is opened.

use std::fs::File;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, Result, bail};

use super::compression::Compression;
use super::csv::CsvFormat;
use super::pipe::{Pipe, PipeReader};
use crate::cli::{FileFormat, LoadArguments};

/// A file to load.
#[derive(Clone, Debug)]
pub(super) struct InputFile {
    path: PathBuf,
    /// Standard input.
    pipe: Option<Pipe>,
    format: FileFormat,
    compression: Compression,
    bytes: u64,
    csv: CsvFormat,
}

impl InputFile {
    /// Looks at the file that the arguments name.
    ///
    /// # Errors
    /// If it cannot be read, or if it is not clear what it is.
    pub(super) fn look(arguments: &LoadArguments) -> Result<Self> {
        let (path, pipe) = source(&arguments.file);
        let (head, bytes) = head(&path, pipe.as_ref()).with_context(|| format!("read {}", path.display()))?;
        let compression = Compression::of(&head);
        let Some(format) = arguments.format.or_else(|| format_of(&path, &head)) else {
            bail!("cannot tell what {} is: say it with --format csv, ndjson or parquet", path.display());
        };
        let csv = CsvFormat::new(arguments.delimiter, &arguments.null)?;
        let mut input = Self { path, pipe, format, compression, bytes, csv };
        match format {
            FileFormat::Parquet if compression != Compression::Plain => {
                bail!("{} is compressed: a Parquet file must be unpacked first", input.path.display());
            }
            FileFormat::Parquet if input.pipe.is_some() => {
                bail!("a Parquet file is read from its end: it cannot come through a pipe");
            }
            FileFormat::Csv if arguments.delimiter.is_none() => {
                let mut text = input.text(&Arc::default())?;
                input.csv.find_delimiter(&mut text).with_context(|| input.reading())?;
            }
            FileFormat::Csv | FileFormat::Ndjson | FileFormat::Parquet => {}
        }
        Ok(input)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn format(&self) -> FileFormat {
        self.format
    }

    pub(super) fn csv(&self) -> &CsvFormat {
        &self.csv
    }

    /// Length of the file; 0 for a pipe.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its name without directories, as messages have it.
    pub(super) fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// What the places in its messages are: lines of text, or rows.
    pub(super) fn place(&self) -> &'static str {
        match self.format {
            FileFormat::Csv | FileFormat::Ndjson => "line",
            FileFormat::Parquet => "row",
        }
    }

    /// Opens it as text. `taken` counts bytes of the file.
    pub(super) fn text(&self, taken: &Arc<AtomicU64>) -> Result<Box<dyn BufRead + Send>> {
        self.decode(self.pipe.as_ref().map(Pipe::look), taken)
    }

    /// Opens it as text for the last time: of a pipe nothing is kept any more.
    pub(super) fn text_at_last(&self, taken: &Arc<AtomicU64>) -> Result<Box<dyn BufRead + Send>> {
        self.decode(self.pipe.as_ref().map(Pipe::read_on), taken)
    }

    fn decode(&self, pipe: Option<PipeReader>, taken: &Arc<AtomicU64>) -> Result<Box<dyn BufRead + Send>> {
        let bytes: Box<dyn Read + Send> = match pipe {
            Some(pipe) => Box::new(pipe),
            None => Box::new(self.file()?),
        };
        self.compression.decode(bytes, Arc::clone(taken)).with_context(|| self.reading())
    }

    /// Opens it as it is.
    pub(super) fn file(&self) -> Result<File> {
        File::open(&self.path).with_context(|| self.reading())
    }

    /// Context of an error.
    pub(super) fn reading(&self) -> String {
        format!("read {}", self.path.display())
    }
}

/// `-` is standard input.
fn source(file: &Path) -> (PathBuf, Option<Pipe>) {
    if file.as_os_str() != "-" {
        return (file.to_owned(), None);
    }
    (PathBuf::from("stdin"), Some(Pipe::new(Box::new(std::io::stdin()))))
}

/// The first bytes of a file, and its length.
fn head(path: &Path, pipe: Option<&Pipe>) -> Result<(Vec<u8>, u64)> {
    let mut head = Vec::new();
    if let Some(pipe) = pipe {
        pipe.look().take(HEAD_BYTES).read_to_end(&mut head)?;
        return Ok((head, 0));
    }
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        bail!("it is not a regular file, which is read twice; give a pipe as standard input, with - as the file");
    }
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok((head, metadata.len()))
}

/// By the name, else by the first bytes.
fn format_of(path: &Path, head: &[u8]) -> Option<FileFormat> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let plain = [".gz", ".gzip", ".zst", ".zstd"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name);
    match plain.rsplit_once('.').map(|(_, extension)| extension) {
        Some("csv" | "tsv") => Some(FileFormat::Csv),
        Some("ndjson" | "jsonl" | "json") => Some(FileFormat::Ndjson),
        Some("parquet" | "pq") => Some(FileFormat::Parquet),
        _ if head.starts_with(b"PAR1") => Some(FileFormat::Parquet),
        _ if head.starts_with(b"{") => Some(FileFormat::Ndjson),
        _ => None,
    }
}

const HEAD_BYTES: u64 = 16;
