//! Replay: a manifest and the records after it become the newest version (W1).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use outcrop_env::{Env, reached};
use outcrop_format::manifest::{Manifest, ManifestRun, ManifestSegment, ManifestShard};
use outcrop_format::record::{Change, DdlChange, Expire, Install, InstalledSegment, RowChange, StagedCommit, Victims};
use outcrop_format::{CommitRecord, SegmentMeta, decode_batch};
use outcrop_segment::{DeleteVector, KeyRun, PageCache, Segment, key_run_file_name, meta_checksum, read_meta};
use outcrop_types::{CommitSeq, Condition, Error, Result, RowAddress, TableId, TableSchema, UnitId};

use super::identity::Identity;
use super::progress::Progress;
use crate::Catalog;
use crate::commit::one_shard;
use crate::feed::Feeds;
use crate::node::{LOG_DIR, SEGMENT_DIR};
use crate::snapshot::{LiveVersions, NewSegment, ShardState, Version};
use crate::stage::read_victims;

/// The state of a log while its records are applied.
pub(crate) struct Replay<'a> {
    env: &'a Env,
    identity: &'a Identity,
    cache: &'a Arc<PageCache>,
    live: &'a Arc<LiveVersions>,
    /// The first record that the manifest needs.
    log_start: CommitSeq,
    /// The first record that any manifest needs which is kept.
    needed_from: CommitSeq,
    /// The first record whose files stay: one of those, or one that a feed cursor has not passed.
    names_from: CommitSeq,
    checkpoint: CommitSeq,
    /// Whether all records up to the checkpoint are applied.
    passed: bool,
    wall_us: i64,
    catalog: Catalog,
    tables: BTreeMap<TableId, Table>,
    next_unit: u64,
    next_table: u32,
    /// Segments that the manifest or a record names.
    segments: BTreeSet<UnitId>,
    /// Key runs that the manifest names, and those written with segments that it or a record names.
    key_runs: BTreeSet<UnitId>,
    damaged_runs: Vec<Error>,
    victims_files: Vec<(CommitSeq, String)>,
    feeds: Feeds,
    /// Delete vectors of the manifest's segments that no segment took yet.
    deletes: BTreeMap<UnitId, DeleteVector>,
    progress: Progress,
}

struct Table {
    schema: Arc<TableSchema>,
    state: ShardState,
    /// Generations that were not flushed at the checkpoint with their rows then, oldest first; empty once it is passed.
    unflushed: Vec<(UnitId, u32)>,
}

/// What replay found.
pub(crate) struct Replayed {
    pub(crate) version: Version,
    pub(crate) wall_us: i64,
    pub(crate) next_unit: UnitId,
    pub(crate) next_table: TableId,
    /// Every segment that the manifest or a record names, gone ones too: the next replay from here meets them again.
    pub(crate) segments: BTreeSet<UnitId>,
    /// Every key run whose file may be there for the sake of the version or of another replay from here.
    pub(crate) key_runs: BTreeSet<UnitId>,
    /// Runs that cannot be opened. Their segments are [`ShardState::uncovered`], unless they have runs of their own.
    pub(crate) damaged_runs: Vec<Error>,
    pub(crate) victims_files: Vec<(CommitSeq, String)>,
    /// The first record that any manifest needs which is kept.
    pub(crate) needed_from: CommitSeq,
    /// Records that were applied.
    pub(crate) records: u64,
}

impl<'a> Replay<'a> {
    /// The state at the checkpoint, but for the rows that are only in the log. From commit `names_from` on records are asked
    /// which files they name: an older manifest, which replaces this one should it rot, may need those.
    pub(crate) fn begin(
        (env, identity): (&'a Env, &'a Identity),
        (manifest, deletes): (&Manifest, BTreeMap<UnitId, DeleteVector>),
        names_from: CommitSeq,
        cache: &'a Arc<PageCache>,
        live: &'a Arc<LiveVersions>,
    ) -> Result<Self> {
        let mut catalog = Catalog::default();
        manifest.schemas.iter().for_each(|name| catalog.put_schema(name));
        let feeds = Feeds::of_manifest(&manifest.feeds);
        // Victims files that a cursor keeps are named by records behind its position.
        let named_for_feeds = feeds.oldest_position().and_then(CommitSeq::next).unwrap_or(manifest.log_start);
        let mut replay = Self {
            env,
            identity,
            cache,
            live,
            log_start: manifest.log_start,
            needed_from: names_from.min(manifest.log_start),
            names_from: names_from.min(manifest.log_start).min(named_for_feeds),
            checkpoint: manifest.checkpoint,
            passed: false,
            wall_us: manifest.wall_us,
            catalog,
            tables: BTreeMap::new(),
            next_unit: manifest.next_unit.get(),
            next_table: manifest.next_table.get(),
            segments: BTreeSet::new(),
            key_runs: BTreeSet::new(),
            damaged_runs: Vec::new(),
            victims_files: Vec::new(),
            feeds,
            deletes,
            progress: Progress::new(&*env.clock),
        };
        for table in &manifest.tables {
            let schema = Arc::new(table.schema.clone());
            let [shard] = table.shards.as_slice() else {
                return Err(Error::internal(format!("table {} has {} shards", schema.name, table.shards.len())));
            };
            replay.load_shard(schema, shard)?;
        }
        Ok(replay)
    }

    /// Applies the record of commit `seq`.
    ///
    /// # Errors
    /// `DataCorrupted` when it does not fit what came before; `UnsupportedVersion`; `IoError`.
    pub(crate) fn apply(&mut self, seq: CommitSeq, bytes: &[u8]) -> Result<()> {
        if seq < self.names_from {
            return Ok(());
        }
        let record =
            CommitRecord::decode(bytes).map_err(|error| error.in_file(format!("{LOG_DIR}: record {seq}"), 0))?;
        if record.seq != seq {
            return Err(self.broken(seq, format!("it says that it is commit {}", record.seq)));
        }
        record.changes.iter().for_each(|change| self.note_files(seq, change));
        if seq < self.log_start {
            return Ok(());
        }
        self.progress.note(&*self.env.clock, seq, bytes.len());
        self.wall_us = self.wall_us.max(record.wall_us);
        let after = seq > self.checkpoint;
        if after && !self.passed {
            self.pass_checkpoint()?;
        }
        for change in record.changes {
            match change {
                Change::Rows(change) => self.rows(seq, &change, after)?,
                Change::Staged(change) => {
                    reached!("start.staged_commit_replayed");
                    self.staged(seq, &change, after)?;
                }
                Change::Ddl(change) if after => self.ddl(seq, change)?,
                Change::Install(change) if after => {
                    reached!("start.install_replayed");
                    self.install(seq, &change)?;
                }
                Change::Expire(change) if after => self.expire(seq, &change)?,
                Change::Feed(change) if after => self.feeds.apply(seq, &change),
                Change::Ddl(_) | Change::Install(_) | Change::Expire(_) | Change::Feed(_) => {}
            }
        }
        Ok(())
    }

    /// The newest version. Every table gets a generation that rows can enter.
    pub(crate) fn finish(mut self, last_seq: CommitSeq) -> Result<Replayed> {
        if !self.passed {
            self.pass_checkpoint()?;
        }
        let mut tables = imbl::OrdMap::new();
        for (id, table) in std::mem::take(&mut self.tables) {
            let mut state = table.state;
            if state.open_unit() == NO_GENERATION {
                state.seal(UnitId::new(self.next_unit));
                self.next_unit += 1;
            }
            tables.insert(id, one_shard(&table.schema, state));
        }
        self.segments.extend(self.feeds.kept_segments());
        let (seq, feeds) = (last_seq.max(self.checkpoint), Arc::new(self.feeds));
        Ok(Replayed {
            version: Version::new(seq, Arc::new(self.catalog), tables, feeds),
            wall_us: self.wall_us,
            next_unit: UnitId::new(self.next_unit),
            next_table: TableId::new(self.next_table),
            segments: self.segments,
            key_runs: self.key_runs,
            damaged_runs: self.damaged_runs,
            victims_files: self.victims_files,
            needed_from: self.needed_from,
            records: self.progress.records(),
        })
    }

    fn load_shard(&mut self, schema: Arc<TableSchema>, shard: &ManifestShard) -> Result<()> {
        let open = shard.generations.first().map_or(NO_GENERATION, |generation| generation.unit);
        let mut state = ShardState::new(&schema, self.identity.log_id, self.live, open);
        let segments = shard.segments.iter().map(|segment| self.load_segment(segment));
        let segments = segments.collect::<Result<Vec<_>>>()?;
        state.install(&[], segments)?;
        for run in &shard.runs {
            self.note_units([run.unit]);
            self.key_runs.insert(run.unit);
            if let Some(opened) = self.open_named_run(run)? {
                state.add_run(opened);
            }
        }
        // What no run covers may have one of its own: one that a later merge replaced, or one that was built anew.
        let uncovered: Vec<UnitId> = state.uncovered().map(|segment| segment.unit()).collect();
        for unit in uncovered {
            self.key_runs.insert(unit);
            if let Some(own) = self.open_run(unit)? {
                state.add_run(own);
            }
        }
        let unflushed: Vec<(UnitId, u32)> =
            shard.generations.iter().map(|generation| (generation.unit, generation.rows)).collect();
        self.note_segments(shard.segments.iter().map(|segment| segment.unit));
        self.note_units(unflushed.iter().map(|(unit, _)| *unit));
        self.catalog.put_table(Arc::clone(&schema));
        self.next_table = self.next_table.max(schema.id.get().saturating_add(1));
        self.tables.insert(schema.id, Table { schema, state, unflushed });
        Ok(())
    }

    /// A run that the manifest names, if it can be used.
    fn open_named_run(&mut self, named: &ManifestRun) -> Result<Option<Arc<KeyRun>>> {
        let damaged = self.damaged_runs.len();
        let run = self.open_run(named.unit)?;
        let place = format!("{SEGMENT_DIR}/{}", key_run_file_name(self.identity.log_of(named.unit), named.unit));
        match run {
            Some(run) if run.segments().iter().map(|segment| segment.unit).eq(named.segments.iter().copied()) => {
                return Ok(Some(run));
            }
            Some(_) => {
                self.damaged_runs.push(Error::corrupt(place, 0, "it is over other segments than the manifest says"))
            }
            None if self.damaged_runs.len() == damaged => {
                self.damaged_runs.push(Error::corrupt(place, 0, "the file is missing"));
            }
            None => {}
        }
        Ok(None)
    }

    /// Opens a run; `None` if there is none, or none that can be read.
    fn open_run(&mut self, unit: UnitId) -> Result<Option<Arc<KeyRun>>> {
        match KeyRun::open(self.env, SEGMENT_DIR, (self.identity.log_of(unit), unit), self.cache) {
            Err(error) if error.condition() == Condition::DataCorrupted => {
                self.damaged_runs.push(error);
                Ok(None)
            }
            outcome => outcome,
        }
    }

    fn load_segment(&mut self, stored: &ManifestSegment) -> Result<NewSegment> {
        let place = format!("manifest: segment {}", stored.unit);
        let meta = SegmentMeta::decode(&stored.meta).map_err(|error| error.in_file(&place, 0))?;
        if (meta.unit, meta.rows) != (stored.unit, stored.rows) {
            return Err(Error::corrupt(place, 0, "its metadata is that of another segment"));
        }
        let deletes = self.deletes.remove(&stored.unit).unwrap_or_else(|| DeleteVector::new(meta.rows));
        let segment = Segment::open(self.env, SEGMENT_DIR, Arc::new(meta), self.cache)?;
        Ok(NewSegment { segment, deletes, run: None })
    }

    /// All records up to the checkpoint are applied: the generations must now be as the manifest says.
    fn pass_checkpoint(&mut self) -> Result<()> {
        self.passed = true;
        for table in self.tables.values_mut() {
            let unflushed = std::mem::take(&mut table.unflushed);
            if let Some((open, _)) = unflushed.last()
                && table.state.open_unit() != *open
            {
                table.state.seal(*open);
            }
            for (unit, rows) in unflushed {
                let found = table.state.deletes(unit).map_or(0, DeleteVector::rows);
                if found != rows {
                    let what = format!("generation {unit} of table {} has {found} of {rows} rows", table.schema.name);
                    return Err(Error::corrupt(LOG_DIR, 0, what));
                }
            }
        }
        Ok(())
    }

    fn rows(&mut self, seq: CommitSeq, change: &RowChange, after: bool) -> Result<()> {
        self.note_units([change.generation]);
        let victims: Vec<RowAddress> = change.ops.victims().collect();
        let Some(table) = self.tables.get_mut(&change.table) else { return self.no_table(seq, change.table, after) };
        let wanted = after || table.unflushed.iter().any(|(unit, _)| *unit == change.generation);
        table.delete(&victims, after)?;
        if change.row_count == 0 || !wanted {
            return Ok(());
        }
        if table.state.open_unit() != change.generation {
            table.state.seal(change.generation);
        }
        if table.state.open_rows() != change.first_row.get() {
            let rows = table.state.open_rows();
            let what = format!("its rows begin at {}, its generation has {rows} rows", change.first_row);
            return Err(self.broken(seq, what));
        }
        // A row that died before a column got NOT NULL may have NULL there.
        let decoded = if change.schema_version == table.schema.version {
            decode_batch(&change.rows, &table.schema)
        } else {
            decode_batch(&change.rows, &table.schema.with_nulls())
        };
        let rows = decoded.map_err(|error| error.in_file(format!("{LOG_DIR}: rows of record {seq}"), 0))?;
        table.state.append(rows, seq)?;
        Ok(())
    }

    fn staged(&mut self, seq: CommitSeq, change: &StagedCommit, after: bool) -> Result<()> {
        let victims = match &change.victims {
            Victims::Inline(victims) => victims.clone(),
            Victims::File { name, count, crc32c } => read_victims(self.env, self.identity, name, *count, *crc32c)?,
        };
        let segments = if after { self.open_segments(change.table, &change.segments, Some(seq))? } else { Vec::new() };
        let Some(table) = self.tables.get_mut(&change.table) else { return self.no_table(seq, change.table, after) };
        table.delete(&victims, after)?;
        table.state.install(&[], segments).map_err(|error| self.broken(seq, error.message().to_owned()))
    }

    fn install(&mut self, seq: CommitSeq, change: &Install) -> Result<()> {
        let outputs = self.open_segments(change.table, &change.outputs, None)?;
        let Some(table) = self.tables.get_mut(&change.table) else { return self.no_table(seq, change.table, true) };
        // The generation may be open still: that it was sealed is told by the next record that names another one.
        if change.inputs.contains(&table.state.open_unit()) {
            table.state.seal(NO_GENERATION);
        }
        self.feeds.note_units(seq, change.table, &table.state, &change.inputs);
        table.state.install(&change.inputs, outputs).map_err(|error| self.broken(seq, error.message().to_owned()))
    }

    fn expire(&mut self, seq: CommitSeq, change: &Expire) -> Result<()> {
        let Some(table) = self.tables.get_mut(&change.table) else { return self.no_table(seq, change.table, true) };
        self.feeds.note_expired(seq, change.table, &table.state, &change.units);
        let outcome = table.state.install(&change.units, Vec::new());
        outcome.map_err(|error| self.broken(seq, error.message().to_owned()))
    }

    fn ddl(&mut self, seq: CommitSeq, change: DdlChange) -> Result<()> {
        match change {
            DdlChange::CreateSchema { name } => self.catalog.put_schema(&name),
            DdlChange::DropSchema { name } => self.catalog.drop_schema(&name),
            DdlChange::PutTable(schema) => {
                let schema = Arc::new(schema);
                self.next_table = self.next_table.max(schema.id.get().saturating_add(1));
                self.catalog.put_table(Arc::clone(&schema));
                if let Some(table) = self.tables.get_mut(&schema.id) {
                    self.feeds.note_schema(seq, &table.schema);
                    table.state.alter(&schema, NO_GENERATION);
                    table.schema = schema;
                } else {
                    self.put_empty(schema);
                }
            }
            DdlChange::DropTable { table } => {
                self.catalog.drop_table(table);
                let Some(old) = self.tables.remove(&table) else { return self.no_table(seq, table, true) };
                self.feeds.note_emptied(seq, &one_shard(&old.schema, old.state));
                self.feeds.note_schema(seq, &old.schema);
            }
            DdlChange::Truncate { table } => {
                let Some(old) = self.tables.remove(&table) else { return self.no_table(seq, table, true) };
                self.feeds.note_emptied(seq, &one_shard(&old.schema, old.state));
                self.put_empty(old.schema);
            }
        }
        Ok(())
    }

    fn put_empty(&mut self, schema: Arc<TableSchema>) {
        let state = ShardState::new(&schema, self.identity.log_id, self.live, NO_GENERATION);
        self.tables.insert(schema.id, Table { schema, state, unflushed: Vec::new() });
    }

    /// Opens the segments that a record names. Rows of a staged one belong to the commit that names it.
    fn open_segments(
        &mut self,
        table: TableId,
        segments: &[InstalledSegment],
        staged_by: Option<CommitSeq>,
    ) -> Result<Vec<NewSegment>> {
        let has_keys = self.tables.get(&table).is_some_and(|table| table.state.keys().is_some());
        segments
            .iter()
            .map(|named| {
                let mut meta = read_meta(self.env, SEGMENT_DIR, self.identity.log_of(named.unit), named.unit)?;
                let place = format!("{SEGMENT_DIR}: meta file of segment {}", named.unit);
                if meta_checksum(&meta) != named.meta_crc || meta.rows != named.rows {
                    return Err(Error::corrupt(place, 0, "it is not the one that the log names"));
                }
                if let Some(seq) = staged_by {
                    (meta.min_seq, meta.max_seq) = (seq, seq);
                }
                let deletes = decode_deletes(&named.deletes, meta.rows, &place)?;
                let segment = Segment::open(self.env, SEGMENT_DIR, Arc::new(meta), self.cache)?;
                let run = if has_keys { self.open_run(named.unit)? } else { None };
                Ok(NewSegment { segment, deletes, run })
            })
            .collect()
    }

    fn note_units(&mut self, units: impl IntoIterator<Item = UnitId>) {
        for unit in units {
            self.next_unit = self.next_unit.max(unit.get().saturating_add(1));
        }
    }

    /// Segments that a record names were written with runs of their own.
    fn note_with_runs(&mut self, segments: impl Iterator<Item = UnitId> + Clone) {
        self.key_runs.extend(segments.clone());
        self.note_segments(segments);
    }

    /// Files that a record names stay as long as a manifest may be replayed from before it.
    fn note_files(&mut self, seq: CommitSeq, change: &Change) {
        match change {
            Change::Staged(change) => {
                self.note_with_runs(change.segments.iter().map(|segment| segment.unit));
                if let Victims::File { name, .. } = &change.victims {
                    self.victims_files.push((seq, name.clone()));
                }
            }
            Change::Install(change) => self.note_with_runs(change.outputs.iter().map(|output| output.unit)),
            Change::Rows(_) | Change::Ddl(_) | Change::Expire(_) | Change::Feed(_) => {}
        }
    }

    fn note_segments(&mut self, segments: impl Iterator<Item = UnitId>) {
        for segment in segments {
            self.note_units([segment]);
            self.segments.insert(segment);
        }
    }

    /// Before the checkpoint, records of tables that were dropped by then mean nothing.
    fn no_table(&self, seq: CommitSeq, table: TableId, after: bool) -> Result<()> {
        if after { Err(self.broken(seq, format!("there is no table {table}"))) } else { Ok(()) }
    }

    fn broken(&self, seq: CommitSeq, what: String) -> Error {
        Error::corrupt(format!("{LOG_DIR}: record {seq}"), 0, what)
    }
}

impl Table {
    /// Marks rows dead: all of them after the checkpoint, before it those of unflushed generations.
    fn delete(&mut self, victims: &[RowAddress], after: bool) -> Result<()> {
        if after {
            self.state.delete(victims)?;
        } else {
            let unflushed: HashSet<UnitId> = self.unflushed.iter().map(|(unit, _)| *unit).collect();
            let victims: Vec<RowAddress> =
                victims.iter().copied().filter(|victim| unflushed.contains(&victim.unit)).collect();
            self.state.delete(&victims)?;
        }
        Ok(())
    }
}

pub(crate) fn decode_deletes(bytes: &[u8], rows: u32, place: &str) -> Result<DeleteVector> {
    if bytes.is_empty() {
        return Ok(DeleteVector::new(rows));
    }
    DeleteVector::decode(bytes, rows).map_err(|error| error.in_file(format!("{place}, delete vector"), 0))
}

/// Open generation of a shard into which no record has put rows yet; real ones begin at [`UnitId::FIRST`].
const NO_GENERATION: UnitId = UnitId::new(0);
