//! The files of a log directory: names, order and headers.

use std::io;
use std::sync::Arc;

use outcrop_env::{Env, File, FileName};
use outcrop_format::frame::{FileHeader, FrameError, PAGE_BYTES, PagePosition};
use outcrop_types::{Condition, Error, LogId, Result};

use crate::error::{Range, dir_error, io_error};

/// Digits in the name of a log file: enough for any `u64`.
const NUMBER_DIGITS: usize = 20;

/// Name of log file `number`.
pub(crate) fn log_file_name(dir: &str, number: u64) -> Result<FileName> {
    file_name(dir, &format!("{number:0NUMBER_DIGITS$}.log"))
}

/// Name of log file `number` while it is prepared; such files are removed at the next start.
pub(crate) fn new_file_name(dir: &str, number: u64) -> Result<FileName> {
    file_name(dir, &format!("{number:0NUMBER_DIGITS$}.new"))
}

/// Name of the truncated file `number` while it waits to be used again; such files are removed at the next start.
pub(crate) fn spare_file_name(dir: &str, number: u64) -> Result<FileName> {
    file_name(dir, &format!("spare-{number:0NUMBER_DIGITS$}.new"))
}

fn file_name(dir: &str, base: &str) -> Result<FileName> {
    FileName::in_dir(dir, base)
        .map_err(|error| Error::new(Condition::IoError, format!("bad log directory {dir:?}")).with_source(error))
}

/// A log file as it was found.
#[derive(Debug)]
pub(crate) struct FoundFile {
    pub(crate) number: u64,
    pub(crate) name: FileName,
    pub(crate) file: Arc<dyn File>,
    /// Position of its header page; by addition when the header does not tell.
    pub(crate) first: PagePosition,
    /// Its pages, the header included.
    pub(crate) pages: u64,
    /// Pages that the file really has.
    pub(crate) stored_pages: u64,
    /// Why its header is no header of this file.
    pub(crate) header_error: Option<FrameError>,
    /// Epoch of the writer that prepared it.
    pub(crate) epoch: u32,
}

impl FoundFile {
    /// Position after its last page.
    pub(crate) fn end(&self) -> PagePosition {
        self.first.plus(self.pages)
    }

    /// True when every page that the header promises exists, so that nothing must grow when it is written.
    pub(crate) fn is_whole(&self) -> bool {
        self.header_error.is_none() && self.stored_pages >= self.pages
    }
}

/// What a log directory holds.
#[derive(Debug, Default)]
pub(crate) struct FoundFiles {
    /// The longest run of files without a gap that ends with the newest file, oldest first.
    pub(crate) run: Vec<FoundFile>,
    /// Files before a gap: rests of a truncation, or witnesses of a lost file.
    pub(crate) stragglers: Vec<FileName>,
    /// The number that is missing between them.
    pub(crate) gap: Option<u64>,
    /// Files in preparation when the last process ended.
    pub(crate) leftovers: Vec<FileName>,
}

impl FoundFiles {
    /// Lists the directory and reads the headers.
    ///
    /// # Errors
    /// I/O errors, another log's files, and formats that this build does not read. A damaged header is no error yet: it
    /// may lie behind the end of the log.
    pub(crate) fn read(env: &Env, dir: &str, id: LogId) -> Result<Self> {
        let mut found = Self::default();
        let mut numbered = Vec::new();
        for entry in env.disk.list(dir).map_err(|error| dir_error("list", dir, error))? {
            let base = entry.name.base();
            if base.ends_with(".new") {
                found.leftovers.push(entry.name);
            } else if let Some(number) = parse_number(base) {
                numbered.push((number, entry));
            }
        }
        numbered.sort_unstable_by_key(|(number, _)| *number);
        let mut expected = None;
        for (number, entry) in numbered {
            if expected.is_some_and(|expected| expected != number) {
                found.gap = expected;
                found.stragglers.extend(found.run.drain(..).map(|file| file.name));
            }
            expected = number.checked_add(1);
            let file = read_file(env, id, number, entry.name, entry.len, found.run.last())?;
            // A file without a header of its own is as long as the next one says.
            if let Some(last) = found.run.last_mut().filter(|last| last.header_error.is_some()) {
                last.pages = file.first.get().saturating_sub(last.first.get()).max(1);
            }
            found.run.push(file);
        }
        Ok(found)
    }
}

fn parse_number(base: &str) -> Option<u64> {
    let digits = base.strip_suffix(".log")?;
    let canonical = digits.len() == NUMBER_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if canonical { digits.parse().ok() } else { None }
}

/// Opens a file as its owner does; one that may only be read, as of a backup on a read-only medium, for that.
fn open(env: &Env, name: &FileName) -> io::Result<Arc<dyn File>> {
    match env.disk.open(name) {
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            env.disk.open_read(name)
        }
        outcome => outcome,
    }
}

fn read_file(
    env: &Env,
    id: LogId,
    number: u64,
    name: FileName,
    len: u64,
    previous: Option<&FoundFile>,
) -> Result<FoundFile> {
    let file = open(env, &name).map_err(|error| io_error(env, "open", &name, Range::Whole, error))?;
    let stored_pages = len / PAGE_BYTES as u64;
    let header = if stored_pages == 0 {
        Err(FrameError::Short)
    } else {
        let mut page = vec![0; PAGE_BYTES];
        let range = Range::bytes(0, PAGE_BYTES as u64);
        file.read_exact_at(0, &mut page).map_err(|error| io_error(env, "read", &name, range, error))?;
        FileHeader::decode(&page)
    };
    if let Err(error @ (FrameError::Version { .. } | FrameError::Features { .. })) = header {
        let path = env.disk.describe(&name);
        return Err(Error::new(Condition::UnsupportedVersion, format!("cannot read log file {path}: {error}"))
            .with_hint("It was written by a newer version of Outcrop; start that version or a later one."));
    }
    if let Ok(header) = &header
        && header.log_id != id
    {
        let path = env.disk.describe(&name);
        let message = format!("log file {path} belongs to another log");
        return Err(Error::new(Condition::DataCorrupted, message)
            .with_detail(format!("It names log {}, this is log {id}.", header.log_id))
            .with_hint("Look whether files of two data directories were mixed."));
    }
    // A header that contradicts the file's name or its neighbour is as good as none.
    let header = header.and_then(|header| {
        let follows = previous.is_none_or(|previous| match previous.header_error {
            None => header.first == previous.end(),
            Some(_) => header.first > previous.first,
        });
        if follows && header.number == number && header.pages > 1 { Ok(header) } else { Err(FrameError::Position) }
    });
    let by_addition = previous.map(FoundFile::end).unwrap_or_default();
    Ok(FoundFile {
        number,
        name,
        file,
        first: header.as_ref().map_or(by_addition, |header| header.first),
        pages: header.as_ref().map_or_else(|_damaged| stored_pages.max(1), |header| header.pages),
        stored_pages,
        header_error: header.as_ref().err().copied(),
        epoch: header.as_ref().map_or(0, |header| header.epoch.get()),
    })
}
