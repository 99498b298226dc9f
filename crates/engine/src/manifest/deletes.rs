//! Delete vectors of manifests: a checkpoint writes what died since the files of dead rows that are there, and not every vector
//! anew (W5).
//!
//! A little is in the manifest itself. What is more becomes a file of its own ([`outcrop_format::deletes_file`]), which later
//! manifests name too. When those that came after the first have as many bytes as it has, or when there are many, all dead rows
//! are written as one new file. So a dead row is written twice for its file and the next whole one, however large the database is.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use outcrop_env::{Env, FileName};
use outcrop_format::{DeletesFile, Manifest, NamedDeletesFile};
use outcrop_segment::DeleteVector;
use outcrop_types::{Error, LogId, Result, UnitId};

use crate::files::{file_name, read_file, write_file};
use crate::node::MANIFEST_DIR;
use crate::snapshot::Version;

/// The files of dead rows that the newest manifest names, and what they say. A start begins with none: its first
/// checkpoint holds all dead rows.
#[derive(Debug, Default)]
pub(super) struct Deletes {
    /// The first holds all that was dead when it was written.
    files: Vec<NamedDeletesFile>,
    said: HashMap<UnitId, DeleteVector>,
}

/// What the next manifest says of dead rows.
#[derive(Debug, Default)]
pub(super) struct SaidDeletes {
    /// The files that it names.
    pub(super) files: Vec<NamedDeletesFile>,
    /// What it says itself.
    pub(super) inline: HashMap<UnitId, Bytes>,
}

impl Deletes {
    /// Says what manifest `number` says of the dead rows of `version`, and writes the file that it needs for it. The second is what to
    /// go on with when the manifest has its name: until then nothing depends on the file.
    ///
    /// # Errors
    /// `DiskFull`, `IoError`.
    pub(super) fn say(
        &self,
        env: &Env,
        number: u64,
        file: impl FnOnce(Vec<(UnitId, Bytes)>) -> DeletesFile,
        (version, inline_bytes_max): (&Version, u64),
    ) -> Result<(SaidDeletes, Self)> {
        let vectors = vectors_of(version);
        let changed = self.changed(&vectors);
        let bytes: u64 = changed.iter().map(|(_, blob)| blob.len() as u64).sum();
        if bytes <= inline_bytes_max {
            let said: HashMap<UnitId, DeleteVector> = self
                .said
                .iter()
                .filter(|(unit, _)| vectors.contains_key(unit))
                .map(|(unit, vector)| (*unit, vector.clone()))
                .collect();
            let files = if said.is_empty() { Vec::new() } else { self.files.clone() };
            let next = Self { files: files.clone(), said };
            return Ok((SaidDeletes { files, inline: changed.into_iter().collect() }, next));
        }
        let whole = self.wants_whole(bytes);
        let units = if whole { Self::default().changed(&vectors) } else { changed };
        let mut files = if whole { Vec::new() } else { self.files.clone() };
        files.push(publish_deletes_file(env, number, &file(units))?);
        Ok((SaidDeletes { files: files.clone(), inline: HashMap::new() }, Self { files, said: vectors }))
    }

    /// Dead rows that the files do not say, by unit.
    fn changed(&self, vectors: &HashMap<UnitId, DeleteVector>) -> Vec<(UnitId, Bytes)> {
        let blob = |(unit, vector): (&UnitId, &DeleteVector)| {
            let blob = match self.said.get(unit) {
                Some(said) => vector.encode_difference(said),
                None => vector.encode(),
            };
            (!blob.is_empty()).then(|| (*unit, Bytes::from(blob)))
        };
        let mut changed: Vec<(UnitId, Bytes)> = vectors.iter().filter_map(blob).collect();
        changed.sort_unstable_by_key(|(unit, _)| *unit);
        changed
    }

    /// Whether all dead rows are to be written, instead of another file of `bytes` bytes beside those that are there.
    fn wants_whole(&self, bytes: u64) -> bool {
        let Some((first, others)) = self.files.split_first() else { return true };
        let others_bytes: u64 = others.iter().map(|file| file.bytes).sum();
        self.files.len() >= FILES_MAX || others_bytes.saturating_add(bytes) >= first.bytes
    }
}

/// The delete vectors of a version's segments, but for those without dead rows.
fn vectors_of(version: &Version) -> HashMap<UnitId, DeleteVector> {
    let shards = version.tables.values().flat_map(|table| &table.shards);
    let views = shards.flat_map(|shard| shard.segments());
    views.filter(|view| view.deletes.deleted() > 0).map(|view| (view.segment.unit(), view.deletes.clone())).collect()
}

fn publish_deletes_file(env: &Env, number: u64, file: &DeletesFile) -> Result<NamedDeletesFile> {
    let mut bytes = Vec::new();
    file.encode(&mut bytes);
    write_file(env, &deletes_file_name(number)?, &bytes)?;
    Ok(NamedDeletesFile::of(number, &bytes))
}

/// The delete vectors of the segments of a manifest, but for those without dead rows.
///
/// # Errors
/// `DataCorrupted` when a file of dead rows is missing, damaged or another one; `IoError`.
pub(crate) fn read_deletes(env: &Env, log_id: LogId, manifest: &Manifest) -> Result<BTreeMap<UnitId, DeleteVector>> {
    let segments = || manifest.tables.iter().flat_map(|table| &table.shards).flat_map(|shard| &shard.segments);
    let rows: HashMap<UnitId, u32> = segments().map(|segment| (segment.unit, segment.rows)).collect();
    let mut vectors = BTreeMap::new();
    let mut add = |unit: UnitId, blob: &[u8], place: &str| {
        let Some(rows) = rows.get(&unit).filter(|_| !blob.is_empty()) else { return Ok(()) };
        let vector = vectors.entry(unit).or_insert_with(|| DeleteVector::new(*rows));
        vector.delete_encoded(blob).map_err(|error| error.in_file(format!("{place}, dead rows of segment {unit}"), 0))
    };
    for segment in segments() {
        add(segment.unit, &segment.deletes, "manifest")?;
    }
    for named in &manifest.deletes_files {
        let name = deletes_file_name(named.number)?;
        let path = env.disk.describe(&name);
        let bytes = read_file(env, &name)?;
        let file = DeletesFile::decode(&bytes).map_err(|error| error.in_file(&path, 0))?;
        if file.log_id != log_id || NamedDeletesFile::of(named.number, &bytes) != *named {
            return Err(Error::corrupt(path, 0, "it is not the file of dead rows that the manifest names"));
        }
        file.units.iter().try_for_each(|(unit, blob)| add(*unit, blob, &path))?;
    }
    Ok(vectors)
}

/// The name of a file of dead rows.
///
/// # Errors
/// None that a caller could provoke.
pub(crate) fn deletes_file_name(number: u64) -> Result<FileName> {
    file_name(MANIFEST_DIR, &format!("{number:020}.{DELETES_SUFFIX}"))
}

/// Whether this is a file of dead rows.
pub(crate) fn is_deletes_file(name: &FileName) -> bool {
    name.base().rsplit_once('.').is_some_and(|(_, suffix)| suffix == DELETES_SUFFIX)
}

/// So many files of dead rows are there at most beside a new one.
const FILES_MAX: usize = 64;
const DELETES_SUFFIX: &str = "deletes";
