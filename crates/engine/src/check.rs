//! Verification of a data directory while no server has it, or of a backup: what `outcrop check` prints. And of one table while it is used:
//! [`crate::Engine::verify`].
//!
//! Everything is read: identity, manifests, log, and every page of every segment and key run. The log is replayed in memory,
//! as a start would. Then every live row must be what the key index finds for its key, and the index must find nothing else:
//! so each key is live once, and no two keys share a hash. Nothing is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use outcrop_env::Env;
use outcrop_format::SegmentMeta;
use outcrop_log::{is_unused, verify as verify_log};
use outcrop_segment::{KeyRun, PageCache, Segment, key_run_file_name};
use outcrop_types::{CommitSeq, Condition, Error, LogId, Result, RowAddress, RowOrdinal, TableId, TableSchema, UnitId};

use crate::ScanColumn;
use crate::backup::{BackupRange, BackupRecord};
use crate::commit::only_shard;
use crate::key_index::ShardKeys;
use crate::manifest::{StoredManifest, list_manifests, read_deletes};
use crate::node::{LOG_DIR, SEGMENT_DIR};
use crate::recovery::{
    Chosen, Claimed, Identity, Replayed, choose, find_leftovers, holds_units, lock, refuse_others, replay,
};
use crate::snapshot::{LiveVersions, ShardState, Snapshot, TableSnapshot, TableState};

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
    /// Key runs.
    pub key_runs: u64,
    /// Bytes of their files.
    pub key_run_bytes: u64,
    /// What it holds, if the directory is a backup.
    pub backup: Option<BackupRange>,
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
    if let Some(backup) = BackupRecord::find(env)? {
        return check_backup(env, &backup);
    }
    refuse_others(env)?;
    // What is not ours is not touched, not even by a lock.
    let identity = Identity::read(env)?.ok_or_else(|| {
        Error::new(Condition::ObjectNotInPrerequisiteState, "the directory is not an Outcrop data directory")
            .with_detail(format!("It has no file {}.", Identity::FILE))
    })?;
    let _lock = lock(env)?;
    let mut report = CheckReport::new(identity.log_id);
    report.check_files(env, &identity)?;
    Ok(report)
}

/// Verifies a backup: every file that it names, then everything that a data directory must be. Nothing is locked: nobody writes to it.
fn check_backup(env: &Env, record: &BackupRecord) -> Result<CheckReport> {
    let mut report = CheckReport::new(record.identity.log_id);
    report.backup = Some(record.range);
    for file in &record.files {
        let outcome = file.verify(env);
        report.note(file.name.as_str(), outcome)?;
    }
    report.check_files(env, &record.identity)?;
    if report.commit_seq != record.range.last {
        report
            .add(LOG_DIR, format!("it ends with commit {}, the backup with {}", report.commit_seq, record.range.last));
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
            key_runs: 0,
            key_run_bytes: 0,
            backup: None,
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

    fn check_files(&mut self, env: &Env, identity: &Identity) -> Result<()> {
        let stored = list_manifests(env, identity.log_id)?;
        self.manifests = stored.len() as u64;
        // A crash in its creation leaves a database without manifests and with nothing in it.
        if stored.is_empty() && !holds_units(env)? && is_unused(env, LOG_DIR)? {
            return Ok(());
        }
        self.check_log(env)?;
        let named = self.check_manifests(env, &stored)?;
        match choose(env, identity.log_id, &stored) {
            Ok(Some(chosen)) => self.check_state((env, identity), chosen, named)?,
            Ok(None) => self.add("manifest", "no manifest can be read"),
            Err(error) if is_damage(&error) => self.add("manifest", "no manifest can be read"),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn check_log(&mut self, env: &Env) -> Result<()> {
        let log = verify_log(env, LOG_DIR, self.log_id)?;
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
    fn check_manifests(&mut self, env: &Env, stored: &[StoredManifest]) -> Result<Named> {
        let mut segments = BTreeMap::new();
        let mut key_runs = BTreeSet::new();
        for stored in stored {
            match &stored.manifest {
                Ok(manifest) => {
                    self.note("manifest", read_deletes(env, self.log_id, manifest).map(drop))?;
                    for shard in manifest.tables.iter().flat_map(|table| &table.shards) {
                        key_runs.extend(shard.runs.iter().map(|run| run.unit));
                        for segment in &shard.segments {
                            segments.entry(segment.unit).or_insert_with(|| segment.meta.clone());
                        }
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
        Ok(Named { segments: units, key_runs })
    }

    /// Replays the log, and checks what comes out.
    fn check_state(&mut self, (env, identity): (&Env, &Identity), chosen: Chosen, named: Named) -> Result<()> {
        let Chosen { manifest, deletes, kept } = chosen;
        let Named { segments: mut named, key_runs: mut named_runs } = named;
        self.checkpoint = manifest.checkpoint;
        let cache = PageCache::new(CACHE_BYTES);
        let live = LiveVersions::new();
        let replayed = replay((env, identity), (&manifest, deletes), kept.log_start(), &cache, &live);
        let Replayed { version, segments, key_runs, damaged_runs, victims_files, .. } = match replayed {
            Ok((_, replayed)) => replayed,
            Err(error) if is_damage(&error) => {
                self.add("recovery", error.message());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for error in damaged_runs {
            self.add("key index", error.message());
        }
        for table in version.tables.values() {
            self.tables += 1;
            let outcome = self.check_table(table, version.seq, &named);
            self.note(&format!("table {}", table.schema.name), outcome)?;
        }
        named.extend(segments);
        named_runs.extend(key_runs);
        let victims_files: Vec<String> = victims_files.into_iter().map(|(_, name)| name).collect();
        let claimed = Claimed {
            identity,
            segments: &named,
            key_runs: &named_runs,
            deletes_files: &kept.deletes_files(),
            victims_files: &victims_files,
        };
        if self.backup.is_none() {
            self.leftovers = find_leftovers(env, &claimed)?.iter().map(|name| name.as_str().to_owned()).collect();
        }
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
        for run in state.runs() {
            self.key_runs += 1;
            self.key_run_bytes += run.bytes();
            self.note(&format!("key run {}", run.unit()), check_run(run, &state))?;
        }
        for segment in state.uncovered() {
            let what = "no key run has the rows of its segment; the next start builds it";
            let file = key_run_file_name(segment.meta().log_id, segment.unit());
            self.add(format!("{SEGMENT_DIR}/{file}"), what);
        }
        for generation in state.generations() {
            snapshot.index_generation(generation.unit)?;
        }
        if let Some(wrong) = first_disagreement(&table.schema, &state, &snapshot)? {
            self.add(format!("table {}", table.schema.name), wrong);
        }
        Ok(())
    }
}

/// What a table holds at one commit, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableReport {
    /// The commit.
    pub commit_seq: CommitSeq,
    /// Rows alive.
    pub rows: u64,
    /// Segments, each read and checked as a whole.
    pub segments: u64,
    /// Everything that is wrong; empty for a sound table.
    pub problems: Vec<CheckProblem>,
}

/// Verifies a table of a snapshot: every page of its segments and key runs; that every live row is what the key index finds
/// for its key; that it finds nothing else. `None` when the snapshot does not have the table.
///
/// # Errors
/// Only what keeps it from looking: `IoError`, `InsufficientResources`.
pub(crate) fn verify(snapshot: &Snapshot, table: TableId) -> Result<Option<TableReport>> {
    let (Some(view), Some(found)) = (snapshot.table(table), snapshot.version().tables.get(&table)) else {
        return Ok(None);
    };
    let state = only_shard(found)?;
    let mut checks = Vec::new();
    for segment in state.segments() {
        checks.push((format!("segment {}", segment.segment.unit()), segment.segment.verify()));
    }
    for run in state.runs() {
        checks.push((format!("key run {}", run.unit()), check_run(run, &state)));
    }
    let place = format!("table {}", view.schema().name);
    let keys = match first_disagreement(view.schema(), &state, &view) {
        Ok(Some(wrong)) => Err(Error::new(Condition::DataCorrupted, wrong)),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    checks.push((place, keys));
    let mut problems = Vec::new();
    for (place, outcome) in checks {
        match outcome {
            Ok(()) => {}
            Err(error) if is_damage(&error) => {
                problems.push(CheckProblem { place, offset: None, what: error.message().to_owned() });
            }
            Err(error) => return Err(error),
        }
    }
    let segments = state.segments().count() as u64;
    Ok(Some(TableReport { commit_seq: snapshot.commit_seq(), rows: state.live_rows(), segments, problems }))
}

/// What the manifests name.
struct Named {
    segments: BTreeSet<UnitId>,
    key_runs: BTreeSet<UnitId>,
}

/// Checks a key run, and that it has as many entries of live rows as its segments have such rows. That each of these rows is
/// found by its own key is checked from the rows: then no entry can be one too many, or of another key.
fn check_run(run: &KeyRun, state: &ShardState) -> Result<()> {
    let mut entries = 0_u64;
    run.verify(|row| entries += u64::from(state.is_live(row)))?;
    let deletes = run.segments().iter().filter_map(|segment| state.deletes(segment.unit));
    let rows: u64 = deletes.map(|deletes| u64::from(deletes.live())).sum();
    if entries == rows {
        return Ok(());
    }
    Err(Error::corrupt("entries", 0, format!("it has {entries} of live rows, its segments have {rows} live rows")))
}

/// The first live row that is not what the key index finds for its key, in words.
fn first_disagreement(schema: &TableSchema, state: &ShardState, snapshot: &TableSnapshot) -> Result<Option<String>> {
    let Some(keys) = state.keys() else { return Ok(None) };
    let mut rows = 0_u64;
    let uncovered: BTreeSet<UnitId> = state.uncovered().map(|segment| segment.unit()).collect();
    let columns = key_scan(schema);
    for morsel in snapshot.morsels(MORSEL_ROWS) {
        let (_, mut arrays, _) = snapshot.scan(&morsel, &columns, None)?.into_parts();
        let Some(numbers) = arrays.pop() else { continue };
        rows += numbers.len() as u64;
        if uncovered.contains(&morsel.unit) {
            continue;
        }
        let found = keys.lookup_live(&keys.encode(&arrays)?, state)?;
        let numbers = numbers.as_primitive::<UInt32Type>().values().iter();
        let addresses = numbers.map(|row| RowAddress::new(morsel.unit, RowOrdinal::new(*row)));
        if let Some((here, found)) = addresses.zip(found).find(|(here, found)| Some(*here) != *found) {
            return describe_disagreement(schema, snapshot, keys, (here, found)).map(Some);
        }
    }
    if rows != state.live_rows() {
        return Err(Error::corrupt("rows", 0, format!("{rows} of {} live rows can be read", state.live_rows())));
    }
    Ok(None)
}

/// Says what the index takes for a row: nothing, another row of the same key, or a row of another key.
fn describe_disagreement(
    schema: &TableSchema,
    snapshot: &TableSnapshot,
    keys: &ShardKeys,
    (here, found): (RowAddress, Option<RowAddress>),
) -> Result<String> {
    let whole = snapshot.fetch(&[here], &crate::write::all_columns(schema))?;
    let described = keys.encoder().describe(&whole, 0);
    let described = described.strip_suffix(" already exists.").unwrap_or(&described);
    let Some(other) = found else {
        return Ok(format!("row {here} is not in the key index: {described}"));
    };
    let (_, mut arrays, _) = snapshot.fetch(&[here, other], &key_scan(schema))?.into_parts();
    arrays.pop();
    if keys.encoder().bytes(&arrays, 0)? == keys.encoder().bytes(&arrays, 1)? {
        return Ok(format!("two live rows have one key: {described}, rows {here} and {other}"));
    }
    Ok(format!("two keys have one hash: {described} of row {here} and the key of row {other}"))
}

/// The key columns, and the row's number.
fn key_scan(schema: &TableSchema) -> Vec<ScanColumn> {
    let key = schema.primary_key().into_iter().flat_map(|key| &key.columns);
    key.map(|id| ScanColumn::Column(*id)).chain([ScanColumn::Row]).collect()
}

/// Whether an error says that stored bytes are wrong.
fn is_damage(error: &Error) -> bool {
    matches!(error.condition(), Condition::DataCorrupted)
}

/// Memory for pages while they are checked.
const CACHE_BYTES: u64 = 64 << 20;
/// Rows of a scan.
const MORSEL_ROWS: u32 = 65_536;
