//! Opening a directory: creating, recovering, and putting the node together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use outcrop_env::{DirLock, Env, FileName, Signal, kill_point};
use outcrop_format::Manifest;
use outcrop_format::envelope::Features;
use outcrop_format::feed::ManifestFeeds;
use outcrop_log::{Log, LogOptions, Reach, RecoveredLog};
use outcrop_segment::{DeleteVector, PageCache};
use outcrop_types::{CommitSeq, Condition, Error, LogId, Result, TableId, UnitId};
use parking_lot::{Mutex, RwLock};

use super::identity::Identity;
use super::leftovers::{Claimed, find_leftovers};
use super::replay::{Replay, Replayed};
use crate::EngineOptions;
use crate::backup::BackupRecord;
use crate::commit::{LogRequests, Pressure, Shard, Tail, one_shard, only_shard};
use crate::compaction::History;
use crate::files::{FileError, file_name, read_file, remove_if_there, write_file};
use crate::flush::Requests;
use crate::key_index::rebuild_runs;
use crate::manifest::{Checkpoints, Holds, Kept, StoredManifest, list_manifests, publish_manifest, read_deletes};
use crate::node::{Counters, Ids, LOG_DIR, MANIFEST_DIR, Node, RetiredRun, RetiredSegment, SEGMENT_DIR, STAGED_DIR};
use crate::rewrite::is_harmless;
use crate::snapshot::{LiveVersions, ShardState, TableSnapshot, TableState, Version};

/// A recovered node, and what its workers need.
pub(crate) struct Start {
    pub(crate) node: Arc<Node>,
    pub(crate) log: Log,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) lock: Box<dyn DirLock>,
}

/// Opens the directory of `env.disk`, or creates a database in an empty one.
pub(crate) fn open(env: &Env, options: EngineOptions) -> Result<Start> {
    refuse_others(env)?;
    let lock = lock(env)?;
    let found = Identity::read(env)?;
    let was_there = found.is_some();
    let identity = match found {
        Some(identity) => identity,
        None => create_identity(env)?,
    };
    for dir in [SEGMENT_DIR, MANIFEST_DIR, STAGED_DIR] {
        env.disk.create_dir(dir).map_err(|error| FileError::new("create", dir, error))?;
    }
    let log_options = log_options(&options);
    let stored = list_manifests(env, identity.log_id)?;
    let Some(Chosen { manifest, deletes, kept: chosen }) = choose(env, identity.log_id, &stored)? else {
        if was_there {
            // Its creation was interrupted, and whether its name is durable is unknown.
            identity.write(env)?;
        }
        return create(env, options, &log_options, identity, stored.len(), lock);
    };
    let cache = PageCache::with_open_files(options.page_cache_bytes, options.open_files_max);
    let live = LiveVersions::new();
    let replayed = replay((env, &identity), (&manifest, deletes), chosen.log_start(), &cache, &live);
    let (recovered, mut replayed) = replayed?;
    kill_point("recovery", "replayed");
    complete_key_indexes(env, &cache, &mut replayed)?;
    // Nothing was changed so far, though missing key runs may have been written; from here on it is known that what is there
    // makes sense.
    store_again(env, &chosen.newest.name)?;
    kill_point("recovery", "manifest-written-again");
    let log = recovered.start(&log_options)?;
    kill_point("recovery", "log-started");
    replayed.segments.extend(segments_of(&stored));
    replayed.key_runs.extend(key_runs_of(&stored));
    sweep(env, &identity, &replayed, &chosen.deletes_files())?;
    kill_point("recovery", "swept");
    tracing::info!(
        checkpoint = %manifest.checkpoint,
        commit_seq = %replayed.version.seq,
        records = replayed.records,
        tables = replayed.version.tables.len(),
        "database recovered"
    );
    let opened = Opened { options, identity, cache, live, oldest: chosen.oldest().clone() };
    let node = build_node(env, opened, &log, replayed);
    Ok(Start { node, log, checkpoints: chosen.into_checkpoints(), lock })
}

/// The newest version, from a manifest and the log after it. Reads only. `names_from` is the first record that any manifest
/// needs which is kept.
pub(crate) fn replay(
    (env, identity): (&Env, &Identity),
    (manifest, deletes): (&Manifest, BTreeMap<UnitId, DeleteVector>),
    names_from: CommitSeq,
    cache: &Arc<PageCache>,
    live: &Arc<LiveVersions>,
) -> Result<(RecoveredLog, Replayed)> {
    let mut replay = Replay::begin((env, identity), (manifest, deletes), names_from, cache, live)?;
    // Everything up to the checkpoint was durable when the manifest was written (W11).
    let reach = Reach { from: manifest.log_start, to: manifest.checkpoint };
    let log = Log::recover(env, LOG_DIR, manifest.log_id, reach, &mut |seq, bytes| replay.apply(seq, bytes))?;
    let replayed = replay.finish(log.last_seq())?;
    Ok((log, replayed))
}

/// Writes a manifest under its own name again. If the process before met a failed sync when it published it, the name is
/// there, and yet another sync of the directory would not make it durable. Whoever met that may not have seen it fail.
fn store_again(env: &Env, manifest: &FileName) -> Result<()> {
    match read_file(env, manifest).and_then(|bytes| write_file(env, manifest, &bytes)) {
        Err(error) if is_harmless(&error) => {
            tracing::warn!(%error, "the newest manifest could not be written again");
            Ok(())
        }
        outcome => outcome,
    }
}

/// Options of the log.
pub(crate) fn log_options(options: &EngineOptions) -> LogOptions {
    let defaults = LogOptions::default();
    LogOptions {
        file_bytes: options.log_file_bytes,
        reserve_files: defaults.reserve_files,
        reserve_bytes: defaults.reserve_bytes.min(options.log_file_bytes / 8),
    }
}

/// The manifest that a start begins with.
pub(crate) struct Chosen {
    pub(crate) manifest: Manifest,
    /// Delete vectors of its segments, but for those without dead rows.
    pub(crate) deletes: BTreeMap<UnitId, DeleteVector>,
    pub(crate) kept: Found,
}

/// The manifests that are kept, as they were found.
pub(crate) struct Found {
    newest: Kept,
    older: Option<Kept>,
    outdated: Vec<FileName>,
}

impl Found {
    /// The first record that one of them needs.
    pub(crate) fn log_start(&self) -> CommitSeq {
        self.older.as_ref().map_or(self.newest.log_start, |older| older.log_start.min(self.newest.log_start))
    }

    /// The manifest that keeps the most.
    fn oldest(&self) -> &Kept {
        self.older.as_ref().unwrap_or(&self.newest)
    }

    /// Numbers of the files of dead rows that they name.
    pub(crate) fn deletes_files(&self) -> Vec<u64> {
        let both = std::iter::once(&self.newest).chain(&self.older);
        both.flat_map(|kept| kept.deletes_files.iter().copied()).collect()
    }

    fn into_checkpoints(self) -> Checkpoints {
        Checkpoints::new(self.newest, self.older, self.outdated)
    }
}

/// The newest valid manifest. A damaged one is passed over with a warning: the one before it and the log hold everything,
/// and where they do not, replay says so.
pub(crate) fn choose(env: &Env, log_id: LogId, stored: &[StoredManifest]) -> Result<Option<Chosen>> {
    let mut chosen = None;
    let mut older = None;
    let mut outdated = Vec::new();
    let mut first_error = None;
    for found in stored {
        let manifest = match &found.manifest {
            Ok(manifest) if chosen.is_none() => read_deletes(env, log_id, manifest).map(|deletes| (manifest, deletes)),
            Ok(manifest) => Ok((manifest, BTreeMap::new())),
            Err(error) => Err(copy_of(error)),
        };
        match manifest {
            Ok((manifest, deletes)) => {
                let kept = Kept::of(found.number, found.name.clone(), manifest);
                match (&chosen, &older) {
                    (None, _) => chosen = Some((manifest.clone(), deletes, kept)),
                    (Some(_), None) => older = Some(kept),
                    (Some(_), Some(_)) => outdated.push(kept.name),
                }
            }
            Err(error) if error.condition() != Condition::DataCorrupted => return Err(error),
            Err(error) => {
                outdated.push(found.name.clone());
                if chosen.is_none() {
                    tracing::warn!(%error, "a damaged manifest is passed over");
                    first_error = first_error.or(Some(error));
                }
            }
        }
    }
    match (chosen, first_error) {
        (Some((manifest, deletes, newest)), _) => {
            let number = stored.first().map_or(newest.number, |first| first.number.max(newest.number));
            let kept = Found { newest: Kept { number, ..newest }, older, outdated };
            Ok(Some(Chosen { manifest, deletes, kept }))
        }
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}

fn copy_of(error: &Error) -> Error {
    let copy = Error::new(error.condition(), error.message());
    match error.hint() {
        Some(hint) => copy.with_hint(hint),
        None => copy,
    }
}

/// Refuses a directory of ours that is no database, before anything in it is touched.
pub(crate) fn refuse_others(env: &Env) -> Result<()> {
    let entries = env.disk.list("").map_err(|error| FileError::new("list", "the data directory", error))?;
    let has = |file: &str| entries.iter().any(|entry| entry.name.as_str() == file);
    let refused =
        |message: &str, hint: &str| Err(Error::new(Condition::ObjectNotInPrerequisiteState, message).with_hint(hint));
    if has(Identity::FILE) {
        return Ok(());
    }
    if has(RESTORING) {
        let message = "the database in this directory was not restored completely";
        return refused(message, "Remove the directory, and run outcrop restore again.");
    }
    if has(BackupRecord::FILE) || has(BackupRecord::INCOMPLETE) {
        let message = "the directory is a backup, not a data directory";
        return refused(message, "Make a data directory of it with outcrop restore.");
    }
    Ok(())
}

/// Takes the directory for this process.
pub(crate) fn lock(env: &Env) -> Result<Box<dyn DirLock>> {
    let name = file_name("", LOCK_FILE)?;
    env.disk.lock(&name).map_err(|error| {
        if error.kind() == std::io::ErrorKind::WouldBlock {
            return Error::new(Condition::ObjectInUse, "the data directory is in use by another process")
                .with_detail(format!("File {} is locked.", env.disk.describe(&name)))
                .with_hint("Stop the other server, or choose another data directory.");
        }
        FileError::new("lock", &env.disk.describe(&name), error).into()
    })
}

/// Names a new log. The directory must be empty: what is in it is not ours.
fn create_identity(env: &Env) -> Result<Identity> {
    let entries = env.disk.list("").map_err(|error| FileError::new("list", "the data directory", error))?;
    let foreign = entries.iter().find(|entry| {
        let name = entry.name.as_str();
        name != LOCK_FILE && !name.starts_with(Identity::FILE) && !name.starts_with(crate::USERS_FILE)
    });
    let mut lost = None;
    for dir in [LOG_DIR, SEGMENT_DIR, MANIFEST_DIR] {
        let entries = env.disk.list(dir).map_err(|error| FileError::new("list", dir, error))?;
        lost = lost.or_else(|| (!entries.is_empty()).then_some(dir));
    }
    if let Some(name) = foreign.map(|entry| entry.name.as_str()).or(lost) {
        return Err(Error::new(
            Condition::ObjectNotInPrerequisiteState,
            format!("the data directory is not empty and has no file {}", Identity::FILE),
        )
        .with_detail(format!("It holds \"{name}\"."))
        .with_hint("Choose an empty directory for a new database."));
    }
    let mut id = [0; 16];
    env.rng.fill(&mut id);
    let identity = Identity::new(LogId::from_bytes(id));
    identity.write(env)?;
    Ok(identity)
}

/// Whether there are files that manifests name: then there was a manifest too.
pub(crate) fn holds_units(env: &Env) -> Result<bool> {
    let entries = env.disk.list(SEGMENT_DIR).map_err(|error| FileError::new("list", SEGMENT_DIR, error))?;
    Ok(!entries.is_empty())
}

/// A database without any commit. A crash in here leaves no manifest, and the next start begins here again.
fn create(
    env: &Env,
    options: EngineOptions,
    log_options: &LogOptions,
    identity: Identity,
    damaged: usize,
    lock: Box<dyn DirLock>,
) -> Result<Start> {
    if damaged > 0 || holds_units(env)? {
        return Err(Error::corrupt(MANIFEST_DIR, 0, "no manifest can be read"));
    }
    let log_id = identity.log_id;
    // Refuses a log that has records: then the manifest was lost, not never written.
    let log = Log::create(env, LOG_DIR, log_id, log_options)?;
    kill_point("creation", "log-created");
    let manifest = Manifest {
        log_id,
        epoch: log.epoch(),
        features: Features::default(),
        checkpoint: CommitSeq::ZERO,
        wall_us: env.clock.wall_us(),
        next_unit: UnitId::FIRST,
        next_table: TableId::new(1),
        log_start: CommitSeq::new(1),
        schemas: crate::Catalog::default().schemas().map(str::to_owned).collect(),
        tables: Vec::new(),
        feeds: ManifestFeeds::default(),
        deletes_files: Vec::new(),
    };
    let name = publish_manifest(env, 1, &manifest)?;
    let newest = Kept::of(1, name, &manifest);
    let cache = PageCache::with_open_files(options.page_cache_bytes, options.open_files_max);
    let live = LiveVersions::new();
    let replayed = Replay::begin((env, &identity), (&manifest, BTreeMap::new()), manifest.log_start, &cache, &live)?
        .finish(CommitSeq::ZERO)?;
    sweep(env, &identity, &replayed, &[])?;
    let node = build_node(env, Opened { options, identity, cache, live, oldest: newest.clone() }, &log, replayed);
    Ok(Start { node, log, checkpoints: Checkpoints::new(newest, None, Vec::new()), lock })
}

/// Enters the keys of rows that replay brought back to memory, and builds key runs that are missing. No segment is read
/// unless its run is.
fn complete_key_indexes(env: &Env, cache: &Arc<PageCache>, replayed: &mut Replayed) -> Result<()> {
    for error in &replayed.damaged_runs {
        tracing::warn!(%error, "a key run cannot be used");
    }
    let version = &mut replayed.version;
    let tables: Vec<Arc<TableState>> = version.tables.values().map(Arc::clone).collect();
    for table in tables {
        let mut state = ShardState::clone(&*only_shard(&table)?);
        if state.keys().is_none() {
            continue;
        }
        let rebuilt = rebuild_runs(env, cache, &table.schema, &mut state)?;
        replayed.key_runs.extend(&rebuilt);
        if !rebuilt.is_empty() {
            version.tables.insert(table.schema.id, one_shard(&table.schema, state.clone()));
        }
        let generations: Vec<UnitId> = state.generations().map(|generation| generation.unit).collect();
        let snapshot = TableSnapshot::of_state(Arc::clone(&table.schema), state, version.seq);
        generations.into_iter().try_for_each(|unit| snapshot.index_generation(unit))?;
    }
    Ok(())
}

/// The key runs that manifests name: their files stay as long as the manifests.
fn key_runs_of(stored: &[StoredManifest]) -> impl Iterator<Item = UnitId> + '_ {
    let manifests = stored.iter().filter_map(|stored| stored.manifest.as_ref().ok());
    let shards = manifests.flat_map(|manifest| &manifest.tables).flat_map(|table| &table.shards);
    shards.flat_map(|shard| &shard.runs).map(|run| run.unit)
}

/// Key runs whose files are there, or may be, for the sake of older manifests and records only.
fn retired_runs(version: &Version, named: &BTreeSet<UnitId>) -> Vec<RetiredRun> {
    let shards = version.tables.values().flat_map(|table| &table.shards);
    let current: BTreeSet<UnitId> =
        shards.flat_map(|shard| shard.runs().map(|run| run.unit()).collect::<Vec<_>>()).collect();
    let gone = named.difference(&current);
    gone.map(|unit| RetiredRun { at: version.seq, unit: *unit, run: Weak::new() }).collect()
}

/// The segments that manifests name: their files stay as long as the manifests.
fn segments_of(stored: &[StoredManifest]) -> impl Iterator<Item = UnitId> + '_ {
    let manifests = stored.iter().filter_map(|stored| stored.manifest.as_ref().ok());
    let shards = manifests.flat_map(|manifest| &manifest.tables).flat_map(|table| &table.shards);
    shards.flat_map(|shard| &shard.segments).map(|segment| segment.unit)
}

/// Segments whose files are there for the sake of older manifests and records only.
fn retired_segments(version: &Version, named: &BTreeSet<UnitId>) -> Vec<RetiredSegment> {
    let shards = version.tables.values().flat_map(|table| &table.shards);
    let current: BTreeSet<UnitId> =
        shards.flat_map(|shard| shard.segments().map(|view| view.segment.unit()).collect::<Vec<_>>()).collect();
    let gone = named.difference(&current);
    gone.map(|unit| RetiredSegment { at: version.seq, unit: *unit, segment: Weak::new() }).collect()
}

/// Removes what a crash left of things that never became part of the log.
fn sweep(env: &Env, identity: &Identity, replayed: &Replayed, deletes_files: &[u64]) -> Result<()> {
    let victims: Vec<String> = replayed.victims_files.iter().map(|(_, name)| name.clone()).collect();
    let claimed = Claimed {
        identity,
        segments: &replayed.segments,
        key_runs: &replayed.key_runs,
        deletes_files,
        victims_files: &victims,
    };
    for name in find_leftovers(env, &claimed)? {
        tracing::info!(file = %name, "a file that belongs to nothing is removed");
        let path = env.disk.describe(&name);
        remove_if_there(env, &name).map_err(|error| FileError::new("remove", &path, error))?;
    }
    Ok(())
}

/// What a node is built from, beside what replay found.
struct Opened {
    options: EngineOptions,
    identity: Identity,
    cache: Arc<PageCache>,
    live: Arc<LiveVersions>,
    /// The manifest that keeps the most.
    oldest: Kept,
}

fn build_node(env: &Env, opened: Opened, log: &Log, replayed: Replayed) -> Arc<Node> {
    let Opened { options, identity, cache, live, oldest } = opened;
    let Replayed {
        version,
        wall_us,
        next_unit,
        next_table,
        victims_files,
        segments,
        key_runs,
        needed_from,
        records,
        ..
    } = replayed;
    let retired = retired_segments(&version, &segments);
    // The age of recovered rows counts from now on: the clock of the process before is gone.
    let now = env.clock.monotonic();
    let recovered = |(id, table): (&TableId, &Arc<TableState>)| {
        let has_open_rows = table.shards.iter().any(|shard| shard.open_rows() > 0);
        (*id, Arc::new(Shard::new(has_open_rows.then_some(now))))
    };
    let shards: HashMap<TableId, Arc<Shard>> = version.tables.iter().map(recovered).collect();
    let retired_runs = retired_runs(&version, &key_runs);
    let pressure = Pressure::default();
    let bytes = version.tables.values().flat_map(|table| &table.shards).map(|shard| shard.memtable_bytes()).sum();
    pressure.resize(0, bytes);
    let published = live.publish(&version);
    Arc::new(Node {
        env: env.clone(),
        options,
        log_id: identity.log_id,
        identity,
        cache,
        space: log.space(),
        log_extents: ArcSwap::from_pointee(log.extents().collect()),
        published: ArcSwap::new(published),
        live,
        tail: Mutex::new(Tail::new(version, log.epoch(), wall_us)),
        shards: RwLock::new(shards),
        pressure,
        log_requests: LogRequests::starting_from(needed_from),
        flushes: Requests::default(),
        compactions: Requests::default(),
        compaction_history: History::default(),
        compaction_tables: Mutex::default(),
        installed: AtomicU64::new(0),
        counters: Counters::new(records),
        retired: Mutex::new(retired),
        retired_runs: Mutex::new(retired_runs),
        victims_files: Mutex::new(victims_files),
        ids: Ids::new(next_unit, next_table),
        holds: Holds::new(oldest),
        log_signal: Arc::new(Signal::new()),
        flush_signal: Arc::new(Signal::new()),
        compaction_signal: Arc::new(Signal::new()),
        merge_signal: Arc::new(Signal::new()),
        progress: Signal::new(),
    })
}

/// What stands in the place of `FORMAT` until a backup is restored.
pub(crate) const RESTORING: &str = "RESTORING";
/// Held by the process that has the directory.
pub(crate) const LOCK_FILE: &str = "LOCK";
