//! Which files recovery from a manifest and the log after it needs.

use std::collections::BTreeMap;

use outcrop_env::{Env, FileName};
use outcrop_format::meta::MetaFile;
use outcrop_format::record::{Change, InstalledSegment, Victims};
use outcrop_format::{CommitRecord, Manifest, SegmentMeta};
use outcrop_segment::{key_run_file_name, meta_file_name, read_meta};
use outcrop_types::{CommitSeq, LogId, Result, UnitId};

use crate::files::file_name;
use crate::node::SEGMENT_DIR;
use crate::recovery::Identity;

/// The files that a manifest and records name.
pub(super) struct NamedFiles<'a> {
    env: &'a Env,
    identity: &'a Identity,
    checkpoint: CommitSeq,
    files: BTreeMap<FileName, NamedFile>,
    next_unit: UnitId,
}

/// What is known of a file beside its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NamedFile {
    /// A data file: its length, and the checksum of each page.
    Data(u64, Vec<u32>),
    /// A key run, which can be made again.
    KeyRun(LogId, UnitId),
    /// A file with a checksum of its own.
    Sealed,
}

impl<'a> NamedFiles<'a> {
    /// The files that the manifest itself names.
    ///
    /// # Errors
    /// `DataCorrupted`.
    pub(super) fn of_manifest(env: &'a Env, identity: &'a Identity, manifest: &Manifest) -> Result<Self> {
        let (checkpoint, next_unit) = (manifest.checkpoint, manifest.next_unit);
        let mut named = Self { env, identity, checkpoint, files: BTreeMap::new(), next_unit };
        for shard in manifest.tables.iter().flat_map(|table| &table.shards) {
            for segment in &shard.segments {
                let place = format!("manifest: segment {}", segment.unit);
                let meta = SegmentMeta::decode(&segment.meta).map_err(|error| error.in_file(place, 0))?;
                named.add_segment(&meta)?;
                // One that a merged run covers may be gone, and is not needed.
                if !shard.runs.iter().any(|run| run.segments.contains(&segment.unit)) {
                    named.add_run(meta.log_id, meta.unit)?;
                }
            }
            for run in &shard.runs {
                named.add_run(run.log_id, run.unit)?;
            }
            shard.generations.iter().for_each(|generation| named.note_unit(generation.unit));
        }
        Ok(named)
    }

    /// Those of a record that recovery reads too.
    ///
    /// # Errors
    /// `DataCorrupted` when a meta file is missing or damaged, `IoError`.
    pub(super) fn add_record(&mut self, record: &CommitRecord) -> Result<()> {
        let after = record.seq > self.checkpoint;
        for change in &record.changes {
            match change {
                Change::Rows(change) => self.note_unit(change.generation),
                Change::Staged(change) => {
                    if let Victims::File { name, .. } = &change.victims {
                        self.files.insert(file_name("", name)?, NamedFile::Sealed);
                    }
                    self.add_segments(&change.segments, after)?;
                }
                Change::Install(change) => self.add_segments(&change.outputs, after)?,
                Change::Ddl(_) | Change::Expire(_) | Change::Feed(_) => {}
            }
        }
        Ok(())
    }

    /// The first unit that nothing has.
    pub(super) fn next_unit(&self) -> UnitId {
        self.next_unit
    }

    pub(super) fn into_files(self) -> BTreeMap<FileName, NamedFile> {
        self.files
    }

    fn add_segments(&mut self, segments: &[InstalledSegment], after: bool) -> Result<()> {
        for segment in segments {
            self.note_unit(segment.unit);
            if after {
                let log_id = self.identity.log_of(segment.unit);
                let meta = read_meta(self.env, SEGMENT_DIR, log_id, segment.unit)?;
                self.add_segment(&meta)?;
                self.add_run(log_id, segment.unit)?;
            }
        }
        Ok(())
    }

    fn add_segment(&mut self, meta: &SegmentMeta) -> Result<()> {
        self.note_unit(meta.unit);
        for MetaFile { name, length, page_crc32c, .. } in &meta.files {
            self.files.insert(file_name(SEGMENT_DIR, name)?, NamedFile::Data(*length, page_crc32c.clone()));
        }
        let meta = file_name(SEGMENT_DIR, &meta_file_name(meta.log_id, meta.unit))?;
        self.files.insert(meta, NamedFile::Sealed);
        Ok(())
    }

    fn add_run(&mut self, log_id: LogId, unit: UnitId) -> Result<()> {
        self.note_unit(unit);
        let name = file_name(SEGMENT_DIR, &key_run_file_name(log_id, unit))?;
        self.files.insert(name, NamedFile::KeyRun(log_id, unit));
        Ok(())
    }

    fn note_unit(&mut self, unit: UnitId) {
        self.next_unit = self.next_unit.max(UnitId::new(unit.get().saturating_add(1)));
    }
}
