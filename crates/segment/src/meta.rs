//! The files of segments and key runs: their names, the meta file, and files that belong to nothing.

use std::collections::HashSet;

use outcrop_env::{Disk, Env, FileName};
use outcrop_format::SegmentMeta;
use outcrop_types::{Error, LogId, Result, UnitId};

use crate::failure::io_error;

/// Version of our use of the data file format; [`outcrop_format::meta::MetaFileKind::Data`] carries it.
pub(crate) const DATA_VERSION: u16 = 1;

const DATA_SUFFIX: &str = "vortex";
const META_SUFFIX: &str = "meta";
const KEY_RUN_SUFFIX: &str = "keys";
const TEMPORARY_SUFFIX: &str = "tmp";

/// Name of a segment's data file in its directory (F1).
pub fn data_file_name(log: LogId, unit: UnitId) -> String {
    format!("{log}-{}.{DATA_SUFFIX}", unit.get())
}

/// Name of data file `number` of a segment that has several: they are counted from 0.
pub fn data_file_name_of(log: LogId, unit: UnitId, number: usize) -> String {
    match number {
        0 => data_file_name(log, unit),
        _ => format!("{log}-{}.{number}.{DATA_SUFFIX}", unit.get()),
    }
}

/// Name of a segment's meta file in its directory (F1).
pub fn meta_file_name(log: LogId, unit: UnitId) -> String {
    format!("{log}-{}.{META_SUFFIX}", unit.get())
}

/// Name of a key run's file in its directory (F1). A segment's own run has the unit of the segment.
pub fn key_run_file_name(log: LogId, unit: UnitId) -> String {
    format!("{log}-{}.{KEY_RUN_SUFFIX}", unit.get())
}

/// The checksum by which an install record names a segment's metadata: CRC32C of its encoded form.
pub fn meta_checksum(meta: &SegmentMeta) -> u32 {
    let mut bytes = Vec::new();
    meta.encode(&mut bytes);
    crc32c::crc32c(&bytes)
}

/// Reads and checks the meta file of a segment.
///
/// # Errors
/// `DataCorrupted` with file and offset when it is missing, damaged or that of another segment; `UnsupportedVersion` when
/// a newer Outcrop wrote it; `IoError`.
pub fn read_meta(env: &Env, dir: &str, log: LogId, unit: UnitId) -> Result<SegmentMeta> {
    let name = file_name(dir, &meta_file_name(log, unit))?;
    let path = env.disk.describe(&name);
    let bytes = read_file(&*env.disk, &name).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Error::corrupt(&path, 0, "the file is missing");
        }
        io_error("read", &path, error)
    })?;
    let meta = SegmentMeta::decode(&bytes).map_err(|error| error.in_file(&path, 0))?;
    if (meta.log_id, meta.unit) != (log, unit) {
        return Err(Error::corrupt(&path, 0, format!("it describes segment {}-{}", meta.log_id, meta.unit.get())));
    }
    Ok(meta)
}

/// The segments and key runs whose files are in use.
#[derive(Clone, Debug, Default)]
pub struct LiveFiles {
    /// Segments.
    pub segments: HashSet<(LogId, UnitId)>,
    /// Key runs.
    pub key_runs: HashSet<(LogId, UnitId)>,
}

/// The files of `dir` that look like a segment's or a key run's and belong to none of `live`: what a crash left of those
/// that were never installed, and what was dropped and not yet removed. Files of other names are not ours to judge. To be
/// asked while none is being written.
///
/// # Errors
/// `IoError` when the directory cannot be listed.
pub fn orphans(env: &Env, dir: &str, live: &LiveFiles) -> Result<Vec<FileName>> {
    let entries = env.disk.list(dir).map_err(|error| io_error("list", dir, error))?;
    let names = entries.into_iter().map(|entry| entry.name);
    let orphaned = |name: &FileName| match parse(name.base()) {
        Some(SegmentFile::Final(log, unit)) => !live.segments.contains(&(log, unit)),
        Some(SegmentFile::KeyRun(log, unit)) => !live.key_runs.contains(&(log, unit)),
        Some(SegmentFile::Temporary) => true,
        None => false,
    };
    Ok(names.filter(orphaned).collect())
}

/// Writes the meta file: temporary, sync, rename, sync (S5).
pub(crate) fn write_meta(env: &Env, dir: &str, meta: &SegmentMeta) -> Result<()> {
    let mut bytes = Vec::new();
    meta.encode(&mut bytes);
    let name = file_name(dir, &meta_file_name(meta.log_id, meta.unit))?;
    let temporary = temporary_name(&name)?;
    let path = env.disk.describe(&name);
    let guard = TemporaryFile::create(env, temporary).map_err(|error| io_error("create", &path, error))?;
    guard.file().write_all_at(0, &bytes).map_err(|error| io_error("write", &path, error))?;
    guard.publish(&name).map_err(|error| io_error("publish", &path, error))
}

/// `base` in `dir`, as a checked name.
pub(crate) fn file_name(dir: &str, base: &str) -> Result<FileName> {
    FileName::in_dir(dir, base)
        .map_err(|error| Error::internal("a segment has a malformed file name").with_source(error))
}

/// The name under which a file is written.
pub(crate) fn temporary_name(name: &FileName) -> Result<FileName> {
    file_name(name.dir(), &format!("{}.{TEMPORARY_SUFFIX}", name.base()))
}

/// A file that is removed again unless it is published.
pub(crate) struct TemporaryFile {
    env: Env,
    name: FileName,
    file: std::sync::Arc<dyn outcrop_env::File>,
    published: bool,
}

impl TemporaryFile {
    pub(crate) fn create(env: &Env, name: FileName) -> std::io::Result<Self> {
        let file = match env.disk.create(&name) {
            // Of a process that ended while it wrote the same file: a start builds key runs before it removes what is left over.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                env.disk.remove(&name)?;
                env.disk.create(&name)?
            }
            created => created?,
        };
        Ok(Self { env: env.clone(), name, file, published: false })
    }

    pub(crate) fn file(&self) -> &std::sync::Arc<dyn outcrop_env::File> {
        &self.file
    }

    pub(crate) fn publish(mut self, name: &FileName) -> std::io::Result<()> {
        self.env.disk.publish(&self.name, name)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        // What stays is found by `orphans` at the next start.
        if let Err(error) = self.env.disk.remove(&self.name) {
            tracing::debug!(file = %self.name, %error, "temporary file stays");
        }
    }
}

/// What the name of a file says.
enum SegmentFile {
    Final(LogId, UnitId),
    KeyRun(LogId, UnitId),
    Temporary,
}

fn parse(base: &str) -> Option<SegmentFile> {
    let (base, temporary) = match base.strip_suffix(TEMPORARY_SUFFIX).and_then(|base| base.strip_suffix('.')) {
        Some(base) => (base, true),
        None => (base, false),
    };
    let (stem, suffix) = base.rsplit_once('.')?;
    if ![DATA_SUFFIX, META_SUFFIX, KEY_RUN_SUFFIX].contains(&suffix) {
        return None;
    }
    let (log, unit) = stem.split_once('-')?;
    let unit = match unit.split_once('.') {
        Some((unit, number)) if suffix == DATA_SUFFIX && number.parse::<u32>().is_ok() => unit,
        Some(_) => return None,
        None => unit,
    };
    let (log, unit) = (log.parse().ok()?, UnitId::new(unit.parse().ok()?));
    Some(match suffix {
        _ if temporary => SegmentFile::Temporary,
        KEY_RUN_SUFFIX => SegmentFile::KeyRun(log, unit),
        _ => SegmentFile::Final(log, unit),
    })
}

fn read_file(disk: &dyn Disk, name: &FileName) -> std::io::Result<Vec<u8>> {
    let file = disk.open_read(name)?;
    let length = usize::try_from(file.len()?).map_err(|_too_large| std::io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}
