//! Opening a directory: creating, recovering, and putting the node together.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use outcrop_env::{DirLock, Env, FileName, Signal};
use outcrop_format::Manifest;
use outcrop_format::envelope::Features;
use outcrop_format::feed::ManifestFeeds;
use outcrop_log::{Log, LogOptions, Reach, RecoveredLog};
use outcrop_segment::PageCache;
use outcrop_types::{CommitSeq, Condition, Error, LogId, Result, TableId, UnitId};
use parking_lot::{Mutex, RwLock};

use super::identity::Identity;
use super::leftovers::{Claimed, find_leftovers};
use super::replay::{Replay, Replayed};
use crate::EngineOptions;
use crate::commit::{LogRequests, Pressure, Shard, Tail, one_shard, only_shard};
use crate::compaction::History;
use crate::files::{FileError, file_name, read_file, remove_if_there, write_file};
use crate::flush::Requests;
use crate::key_index::rebuild_runs;
use crate::manifest::{Checkpoints, Kept, StoredManifest, list_manifests, publish_manifest};
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
    let lock = lock(env)?;
    let found = Identity::read(env)?;
    let identity = match found {
        Some(identity) => identity,
        None => create_identity(env)?,
    };
    for dir in [SEGMENT_DIR, MANIFEST_DIR, STAGED_DIR] {
        env.disk.create_dir(dir).map_err(|error| FileError::new("create", dir, error))?;
    }
    let log_options = log_options(&options);
    let stored = list_manifests(env, identity.log_id)?;
    let Some((manifest, chosen)) = choose(&stored)? else {
        if found.is_some() {
            // Its creation was interrupted, and whether its name is durable is unknown.
            identity.write(env)?;
        }
        return create(env, options, &log_options, identity.log_id, stored.len(), lock);
    };
    let cache = PageCache::with_open_files(options.page_cache_bytes, options.open_files_max);
    let live = LiveVersions::new();
    let (recovered, mut replayed) = replay(env, &manifest, chosen.log_start(), &cache, &live)?;
    complete_key_indexes(env, &cache, identity.log_id, &mut replayed)?;
    // Nothing was changed so far, though missing key runs may have been written; from here on it is known that what is there
    // makes sense.
    store_again(env, &chosen.newest.name)?;
    let log = recovered.start(&log_options)?;
    replayed.segments.extend(segments_of(&stored));
    replayed.key_runs.extend(key_runs_of(&stored));
    sweep(env, identity.log_id, &replayed)?;
    tracing::info!(
        checkpoint = %manifest.checkpoint,
        commit_seq = %replayed.version.seq,
        tables = replayed.version.tables.len(),
        "database recovered"
    );
    let node = build_node(env, options, identity.log_id, &log, cache, live, replayed);
    Ok(Start { node, log, checkpoints: chosen.into_checkpoints(), lock })
}

/// The newest version, from a manifest and the log after it. Reads only. `names_from` is the first record that any manifest
/// needs which is kept.
pub(crate) fn replay(
    env: &Env,
    manifest: &Manifest,
    names_from: CommitSeq,
    cache: &Arc<PageCache>,
    live: &Arc<LiveVersions>,
) -> Result<(RecoveredLog, Replayed)> {
    let mut replay = Replay::begin(env, manifest, names_from, cache, live)?;
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

    fn into_checkpoints(self) -> Checkpoints {
        Checkpoints::new(self.newest, self.older, self.outdated)
    }
}

/// The newest valid manifest. A damaged one is passed over with a warning: the one before it and the log hold everything,
/// and where they do not, replay says so.
pub(crate) fn choose(stored: &[StoredManifest]) -> Result<Option<(Manifest, Found)>> {
    let mut valid = Vec::new();
    let mut outdated = Vec::new();
    let mut first_error = None;
    for found in stored {
        match &found.manifest {
            Ok(manifest) if valid.len() < 2 => {
                let kept = Kept {
                    number: found.number,
                    name: found.name.clone(),
                    checkpoint: manifest.checkpoint,
                    log_start: manifest.log_start,
                };
                valid.push((manifest, kept));
            }
            Ok(_) => outdated.push(found.name.clone()),
            Err(error) if error.condition() == Condition::DataCorrupted && valid.is_empty() => {
                tracing::warn!(%error, "a damaged manifest is passed over");
                first_error = first_error.or(Some(error));
                outdated.push(found.name.clone());
            }
            Err(error) if error.condition() == Condition::DataCorrupted => outdated.push(found.name.clone()),
            Err(error) => return Err(copy_of(error)),
        }
    }
    let mut valid = valid.into_iter();
    match (valid.next(), first_error) {
        (Some((manifest, newest)), _) => {
            let older = valid.next().map(|(_, kept)| kept);
            let number = stored.first().map_or(newest.number, |first| first.number.max(newest.number));
            let newest = Kept { number, ..newest };
            Ok(Some((manifest.clone(), Found { newest, older, outdated })))
        }
        (None, Some(error)) => Err(copy_of(error)),
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
        if !entries.is_empty() && lost.is_none() {
            lost = Some(dir);
        }
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
    let identity = Identity { log_id: LogId::from_bytes(id) };
    identity.write(env)?;
    Ok(identity)
}

/// A database without any commit. A crash in here leaves no manifest, and the next start begins here again.
fn create(
    env: &Env,
    options: EngineOptions,
    log_options: &LogOptions,
    log_id: LogId,
    damaged: usize,
    lock: Box<dyn DirLock>,
) -> Result<Start> {
    if damaged > 0 {
        return Err(Error::corrupt(MANIFEST_DIR, 0, "no manifest can be read"));
    }
    // Refuses a log that has records: then the manifest was lost, not never written.
    let log = Log::create(env, LOG_DIR, log_id, log_options)?;
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
    };
    let name = publish_manifest(env, 1, &manifest)?;
    let newest = Kept { number: 1, name, checkpoint: manifest.checkpoint, log_start: manifest.log_start };
    let cache = PageCache::with_open_files(options.page_cache_bytes, options.open_files_max);
    let live = LiveVersions::new();
    let replayed = Replay::begin(env, &manifest, manifest.log_start, &cache, &live)?.finish(CommitSeq::ZERO)?;
    sweep(env, log_id, &replayed)?;
    let node = build_node(env, options, log_id, &log, cache, live, replayed);
    Ok(Start { node, log, checkpoints: Checkpoints::new(newest, None, Vec::new()), lock })
}

/// Enters the keys of rows that replay brought back to memory, and builds key runs that are missing. No segment is read
/// unless its run is.
fn complete_key_indexes(env: &Env, cache: &Arc<PageCache>, log_id: LogId, replayed: &mut Replayed) -> Result<()> {
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
        let rebuilt = rebuild_runs(env, cache, log_id, &table.schema, &mut state)?;
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
fn sweep(env: &Env, log_id: LogId, replayed: &Replayed) -> Result<()> {
    let victims: Vec<String> = replayed.victims_files.iter().map(|(_, name)| name.clone()).collect();
    let claimed =
        Claimed { log_id, segments: &replayed.segments, key_runs: &replayed.key_runs, victims_files: &victims };
    for name in find_leftovers(env, &claimed)? {
        tracing::info!(file = %name, "a file that belongs to nothing is removed");
        let path = env.disk.describe(&name);
        remove_if_there(env, &name).map_err(|error| FileError::new("remove", &path, error))?;
    }
    Ok(())
}

fn build_node(
    env: &Env,
    options: EngineOptions,
    log_id: LogId,
    log: &Log,
    cache: Arc<PageCache>,
    live: Arc<LiveVersions>,
    replayed: Replayed,
) -> Arc<Node> {
    let Replayed { version, wall_us, next_unit, next_table, victims_files, segments, key_runs, needed_from, .. } =
        replayed;
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
        log_id,
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
        counters: Counters::new(),
        retired: Mutex::new(retired),
        retired_runs: Mutex::new(retired_runs),
        victims_files: Mutex::new(victims_files),
        ids: Ids::new(next_unit, next_table),
        log_signal: Arc::new(Signal::new()),
        flush_signal: Arc::new(Signal::new()),
        compaction_signal: Arc::new(Signal::new()),
        merge_signal: Arc::new(Signal::new()),
        progress: Signal::new(),
    })
}

/// Held by the process that has the directory.
pub(crate) const LOCK_FILE: &str = "LOCK";
