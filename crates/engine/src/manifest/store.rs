//! The manifest files.

use outcrop_env::{Env, FileName};
use outcrop_format::Manifest;
use outcrop_types::{Condition, Error, LogId, Result};

use crate::files::{FileError, file_name, read_file, write_file};
use crate::node::MANIFEST_DIR;

/// A manifest file, as it was found.
#[derive(Debug)]
pub(crate) struct StoredManifest {
    /// Counts the manifests of the log.
    pub(crate) number: u64,
    pub(crate) name: FileName,
    /// Its content, or what is wrong with it.
    pub(crate) manifest: Result<Manifest>,
}

/// All manifest files, newest first, read and checked.
///
/// # Errors
/// `IoError` when the directory cannot be listed.
pub(crate) fn list_manifests(env: &Env, log_id: LogId) -> Result<Vec<StoredManifest>> {
    let entries = env.disk.list(MANIFEST_DIR).map_err(|error| FileError::new("list", MANIFEST_DIR, error))?;
    let mut found: Vec<StoredManifest> = entries
        .into_iter()
        .filter_map(|entry| {
            let number = parse_number(entry.name.base())?;
            let manifest = read_manifest(env, &entry.name, log_id);
            Some(StoredManifest { number, name: entry.name, manifest })
        })
        .collect();
    found.sort_unstable_by_key(|stored| std::cmp::Reverse(stored.number));
    Ok(found)
}

/// Writes manifest `number` and gives it its name.
///
/// # Errors
/// `DiskFull`, `IoError`.
pub(crate) fn publish_manifest(env: &Env, number: u64, manifest: &Manifest) -> Result<FileName> {
    let name = file_name(MANIFEST_DIR, &format!("{number:020}.{SUFFIX}"))?;
    let mut bytes = Vec::new();
    manifest.encode(&mut bytes);
    write_file(env, &name, &bytes)?;
    Ok(name)
}

/// Reads a manifest of log `log_id`.
///
/// # Errors
/// `DataCorrupted`, `UnsupportedVersion`, `IoError`.
pub(crate) fn read_manifest(env: &Env, name: &FileName, log_id: LogId) -> Result<Manifest> {
    let path = env.disk.describe(name);
    let manifest = Manifest::decode(&read_file(env, name)?).map_err(|error| error.in_file(&path, 0))?;
    if manifest.log_id != log_id {
        return Err(Error::new(Condition::DataCorrupted, format!("manifest {path} belongs to another log"))
            .with_detail(format!("It names log {}, this directory is log {log_id}.", manifest.log_id))
            .with_hint("Look whether files of two data directories were mixed."));
    }
    Ok(manifest)
}

fn parse_number(base: &str) -> Option<u64> {
    let digits = base.strip_suffix(SUFFIX)?.strip_suffix('.')?;
    if digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

const SUFFIX: &str = "manifest";
