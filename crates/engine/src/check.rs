//! Verification of a data directory while no server has it: what `outcrop check` prints.
//!
//! Everything is read: identity, manifests, log, and every page of every segment. The log is replayed in memory, as a
//! start would, and the result must have each key once. Nothing is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use outcrop_env::Env;
use outcrop_format::{Manifest, SegmentMeta};
use outcrop_log::verify;
use outcrop_segment::{PageCache, Segment};
use outcrop_types::{CommitSeq, Condition, Error, LogId, Result, TableSchema, UnitId};

use crate::ScanColumn;
use crate::commit::only_shard;
use crate::manifest::{StoredManifest, list_manifests};
use crate::node::{LOG_DIR, SEGMENT_DIR};
use crate::recovery::{Claimed, Identity, Replayed, choose, find_leftovers, lock, replay};
use crate::snapshot::{LiveVersions, ShardState, TableSnapshot, TableState};

/// What a data directory holds, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// The log.
    pub log_id: LogId,
    /// Manifests that are kept.
    pub manifests: u64,
    /// The commit that the newest valid manifest holds.
    pub checkpoint: CommitSeq,
    /// The newest commit of the log.
    pub commit_seq: CommitSeq,
    /// Records of the log.
    pub records: u64,
    /// Tables.
    pub tables: u64,
    /// Rows alive.
    pub rows: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of their files.
    pub segment_bytes: u64,
    /// Files that belong to nothing; the next start removes them.
    pub leftovers: Vec<String>,
    /// Everything that is wrong. Empty for a sound directory, also after a crash.
    pub problems: Vec<CheckProblem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckProblem {
    /// The file, or the part of the database.
    pub place: String,
    /// Byte in the file, where one is to blame.
    pub offset: Option<u64>,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for CheckProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "{} at offset {offset}: {}", self.place, self.what),
            None => write!(f, "{}: {}", self.place, self.what),
        }
    }
}

/// Verifies the data directory of `env.disk`.
///
/// # Errors
/// Only what keeps it from looking: `ObjectInUse` while a server has the directory, `ObjectNotInPrerequisiteState` for a
/// directory that is not ours, `UnsupportedVersion` for another version's, `IoError`. Damage is in the report.
pub fn check(env: &Env) -> Result<CheckReport> {
    let _lock = lock(env)?;
    let identity = Identity::read(env)?.ok_or_else(|| {
        Error::new(Condition::ObjectNotInPrerequisiteState, "the directory is not an Outcrop data directory")
            .with_detail(format!("It has no file {}.", Identity::FILE))
    })?;
    let mut report = CheckReport::new(identity.log_id);
    let stored = list_manifests(env, identity.log_id)?;
    report.manifests = stored.len() as u64;
    report.check_log(env)?;
    let named = report.check_manifests(env, &stored)?;
    match choose(&stored) {
        Ok(Some((manifest, found))) => report.check_state(env, &manifest, found.log_start(), named)?,
        Ok(None) => report.add("manifest", "no manifest can be read"),
        Err(error) if is_damage(&error) => report.add("manifest", "no manifest can be read"),
        Err(error) => return Err(error),
    }
    Ok(report)
}

impl CheckReport {
    fn new(log_id: LogId) -> Self {
        Self {
            log_id,
            manifests: 0,
            checkpoint: CommitSeq::ZERO,
            commit_seq: CommitSeq::ZERO,
            records: 0,
            tables: 0,
            rows: 0,
            segments: 0,
            segment_bytes: 0,
            leftovers: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn add(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.problems.push(CheckProblem { place: place.into(), offset: None, what: what.into() });
    }

    /// Damage goes into the report; what keeps us from looking does not.
    fn note(&mut self, place: &str, outcome: Result<()>) -> Result<()> {
        match outcome {
            Err(error) if is_damage(&error) => {
                self.add(place, error.message());
                Ok(())
            }
            other => other,
        }
    }

    fn check_log(&mut self, env: &Env) -> Result<()> {
        let log = verify(env, LOG_DIR, self.log_id)?;
        self.records = log.records;
        self.commit_seq = log.last_seq;
        self.problems.extend(log.problems.into_iter().map(|problem| CheckProblem {
            place: problem.file,
            offset: Some(problem.offset),
            what: problem.what,
        }));
        Ok(())
    }

    /// Each manifest, and each segment that one of them names.
    fn check_manifests(&mut self, env: &Env, stored: &[StoredManifest]) -> Result<BTreeSet<UnitId>> {
        let mut segments = BTreeMap::new();
        for stored in stored {
            match &stored.manifest {
                Ok(manifest) => {
                    for segment in
                        manifest.tables.iter().flat_map(|table| &table.shards).flat_map(|shard| &shard.segments)
                    {
                        segments.entry(segment.unit).or_insert_with(|| segment.meta.clone());
                    }
                }
                Err(error) if is_damage(error) => self.add(env.disk.describe(&stored.name), error.message()),
                Err(error) => return Err(Error::new(error.condition(), error.message())),
            }
        }
        let cache = PageCache::new(CACHE_BYTES);
        let units = segments.keys().copied().collect();
        for (unit, meta) in segments {
            let outcome = SegmentMeta::decode(&meta)
                .map_err(|error| error.in_file(format!("manifest: segment {unit}"), 0))
                .and_then(|meta| Segment::open(env, SEGMENT_DIR, Arc::new(meta), &cache)?.verify());
            self.note(&format!("segment {unit}"), outcome)?;
        }
        Ok(units)
    }

    /// Replays the log, and checks what comes out.
    fn check_state(
        &mut self,
        env: &Env,
        manifest: &Manifest,
        names_from: CommitSeq,
        mut named: BTreeSet<UnitId>,
    ) -> Result<()> {
        self.checkpoint = manifest.checkpoint;
        let cache = PageCache::new(CACHE_BYTES);
        let live = LiveVersions::new();
        let replayed = replay(env, manifest, names_from, &cache, &live);
        let Replayed { version, segments, victims_files, .. } = match replayed {
            Ok((_, replayed)) => replayed,
            Err(error) if is_damage(&error) => {
                self.add("recovery", error.message());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for table in version.tables.values() {
            self.tables += 1;
            let outcome = self.check_table(table, version.seq, &named);
            self.note(&format!("table {}", table.schema.name), outcome)?;
        }
        named.extend(segments);
        let victims_files: Vec<String> = victims_files.into_iter().map(|(_, name)| name).collect();
        let claimed = Claimed { log_id: self.log_id, segments: &named, victims_files: &victims_files };
        self.leftovers = find_leftovers(env, &claimed)?.iter().map(|name| name.as_str().to_owned()).collect();
        Ok(())
    }

    fn check_table(&mut self, table: &TableState, seq: CommitSeq, verified: &BTreeSet<UnitId>) -> Result<()> {
        let state = only_shard(table)?;
        self.rows += state.live_rows();
        for view in state.segments() {
            self.segments += 1;
            self.segment_bytes += view.segment.bytes();
            if !verified.contains(&view.segment.unit()) {
                let place = format!("segment {}", view.segment.unit());
                self.note(&place, view.segment.verify())?;
            }
        }
        let snapshot = TableSnapshot::of_state(Arc::clone(&table.schema), ShardState::clone(&state), seq);
        if let Some(duplicate) = first_duplicate(&table.schema, &state, &snapshot)? {
            self.add(format!("table {}", table.schema.name), format!("two live rows have one key: {duplicate}"));
        }
        Ok(())
    }
}

/// A primary key that two live rows have, in words.
fn first_duplicate(schema: &TableSchema, state: &ShardState, snapshot: &TableSnapshot) -> Result<Option<String>> {
    let (Some(keys), Some(key)) = (state.keys(), schema.primary_key()) else { return Ok(None) };
    let columns: Vec<ScanColumn> = key.columns.iter().map(|id| ScanColumn::Column(*id)).collect();
    let mut hashes = Vec::new();
    let mut rows = 0_u64;
    for morsel in snapshot.morsels(MORSEL_ROWS) {
        let scanned = snapshot.scan(&morsel, &columns, None)?;
        rows += scanned.num_rows() as u64;
        hashes.extend(keys.encode(scanned.columns())?);
    }
    if rows != state.live_rows() {
        return Err(Error::corrupt("rows", 0, format!("{rows} of {} live rows can be read", state.live_rows())));
    }
    hashes.sort_unstable();
    let Some([twice, _]) = hashes.array_windows().find(|[a, b]| a == b) else { return Ok(None) };
    for morsel in snapshot.morsels(MORSEL_ROWS) {
        let scanned = snapshot.scan(&morsel, &crate::write::all_columns(schema), None)?;
        let found = crate::write::key_hashes(Some(keys), schema, &scanned)?;
        if let Some(row) = found.iter().position(|hash| hash == twice) {
            return Ok(Some(keys.encoder().describe(&scanned, row)));
        }
    }
    Ok(None)
}

/// Whether an error says that stored bytes are wrong.
fn is_damage(error: &Error) -> bool {
    matches!(error.condition(), Condition::DataCorrupted)
}

/// Memory for pages while they are checked.
const CACHE_BYTES: u64 = 64 << 20;
/// Rows of a scan.
const MORSEL_ROWS: u32 = 65_536;
