//! A turn: one statement looks at the tail, decides, and gets its place in the log.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use bytes::Bytes;
use outcrop_format::record::{Change, RowChange, StagedCommit};
use outcrop_format::{SegmentMeta, encode_batch};
use outcrop_log::{Permit, SpaceClass};
use outcrop_segment::Segment;
use outcrop_types::{ColumnId, CommitSeq, Condition, Error, Result, RowAddress, RowOrdinal, ShardId, TableSchema};
use parking_lot::MutexGuard;

use super::pressure::Promise;
use super::record_size::bytes_max;
use super::remap::Remaps;
use super::shard::{Journal, Shard, Turn};
use super::tail::{Answer, Sequenced, Tail};
use super::ticket::{CommitHandle, Ticket};
use crate::catalog::undefined_table;
use crate::key_index::KeyHash;
use crate::node::{Node, SEGMENT_DIR};
use crate::snapshot::{NewSegment, ShardState, TableSnapshot, TableState, Version};
use crate::stage::RowSet;
use crate::write::{AppliedRows, Commit, Conversion, Decision, LastWord, RowOutcome, TailView, altered};

/// A statement that is ready to be decided.
pub(crate) trait Proposal: Send {
    /// Brings the statement to a later version of the schema: an `ALTER TABLE` got its place before it.
    ///
    /// # Errors
    /// `SerializationFailure` if it cannot be brought there.
    fn convert(&mut self, to: &Conversion) -> Result<()>;

    /// Whether it has anything to do off the turn: [`Proposal::settle`] is called for such a statement only.
    fn settles(&self) -> bool {
        true
    }

    /// One round of Q7 outside of the turn: brings what changed since the statement read it up to `view`.
    fn settle(&mut self, view: &TailView<'_>) -> Result<()>;

    /// Whether [`Proposal::settle`] would find nothing to do.
    fn is_settled(&self, view: &TailView<'_>) -> bool;

    /// Judges the statement inside the turn. The outcome is applied to exactly the state of `view`.
    fn decide(&mut self, view: &TailView<'_>) -> Result<Applied>;

    /// About the bytes that its record will have.
    fn record_bytes(&self) -> u64;

    /// Whether it adds rows, so that it may not use the space that is left for deletes.
    fn adds_rows(&self) -> bool;

    /// Whether its rows go to the memtable.
    fn needs_memory(&self) -> bool {
        self.adds_rows()
    }

    /// Whether its keys are resolved off the turn, so that keys written meanwhile must be kept for it (W10).
    fn resolves_off_turn(&self) -> bool {
        false
    }

    /// Its record has its place in the log.
    fn sequenced(&mut self, _seq: CommitSeq) {}
}

/// What a turn applies.
#[derive(Debug)]
pub(crate) struct Applied {
    /// Rows through the memtable.
    pub(crate) decision: Decision,
    /// Rows in staged segments, with their place in the record.
    pub(crate) staged: Option<StagedPart>,
    /// Staged rows to return, before those of the decision.
    pub(crate) returning_staged: Vec<RowAddress>,
    /// Rows that die, to return before those of the decision.
    pub(crate) returning_deleted: Vec<RowAddress>,
    /// What became of staged rows, before those of the decision.
    pub(crate) staged_outcomes: Outcomes,
}

/// What became of rows: counted, and kept one by one only for those who ask.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    inserted: u64,
    updated: u64,
    deleted: u64,
    list: Option<Vec<RowOutcome>>,
}

impl Outcomes {
    pub(crate) fn new(keep: Keep) -> Self {
        Self { list: (keep == Keep::Rows).then(Vec::new), ..Self::default() }
    }

    pub(crate) fn add(&mut self, outcome: RowOutcome) {
        self.add_many(outcome, 1);
        if let Some(list) = &mut self.list {
            list.push(outcome);
        }
    }

    /// `count` rows of one outcome, for those who want no list.
    pub(crate) fn add_many(&mut self, outcome: RowOutcome, count: u64) {
        match outcome {
            RowOutcome::Inserted => self.inserted += count,
            RowOutcome::Updated => self.updated += count,
            RowOutcome::Deleted => self.deleted += count,
            RowOutcome::Skipped => {}
        }
    }
}

/// The staged half of a commit (W10).
#[derive(Debug)]
pub(crate) struct StagedPart {
    pub(crate) segments: Vec<NewSegment>,
    pub(crate) victims: RowSet,
    pub(crate) record: StagedCommit,
    /// Keys of the staged rows that are alive, for statements that resolve theirs at the same time.
    pub(crate) keys: Vec<KeyHash>,
}

impl StagedPart {
    /// Whether nothing lives and nothing dies by it.
    fn is_empty(&self) -> bool {
        self.victims.is_empty() && self.segments.iter().all(|new| new.deletes.live() == 0)
    }
}

impl Applied {
    /// Only rows through the memtable.
    pub(crate) fn inline(decision: Decision) -> Self {
        Self {
            decision,
            staged: None,
            returning_staged: Vec::new(),
            returning_deleted: Vec::new(),
            staged_outcomes: Outcomes::default(),
        }
    }
}

/// Commits a statement: rounds off the turn, then the turn. Blocks for back-pressure and the turn, not for the sync.
pub(crate) fn commit_statement(
    node: &Arc<Node>,
    shard: &Shard,
    schema: &Arc<TableSchema>,
    proposal: &mut dyn Proposal,
    caller: Caller,
) -> CommitHandle {
    let permit = match Admitted::of(node, proposal) {
        Ok(permit) => permit,
        Err(error) => return CommitHandle::ready(Err(error), &node.env.tasks),
    };
    if !proposal.resolves_off_turn() {
        return decide_and_sequence(node, shard, schema, proposal, permit, caller);
    }
    let _kept = KeptJournal::open(shard);
    decide_and_sequence(node, shard, schema, proposal, permit, caller)
}

/// Commits a statement if it has to wait for nothing: neither for memory or log space, nor for another statement's turn, nor
/// for anything off the turn. Otherwise nothing has happened, and the caller is handed back.
pub(crate) fn commit_at_once(
    node: &Arc<Node>,
    shard: &Shard,
    schema: &Arc<TableSchema>,
    proposal: &mut dyn Proposal,
    caller: Caller,
) -> std::result::Result<CommitHandle, Caller> {
    if proposal.settles() {
        return Err(caller);
    }
    let (Some(permit), Some(turn)) = (Admitted::at_once(node, proposal), shard.turn_at_once()) else {
        return Err(caller);
    };
    let mut statement = Statement { proposal, schema: Arc::clone(schema), keep: caller.keep };
    Ok(in_turn(node, turn, &mut statement, permit, caller))
}

/// While it lives, the shard keeps the keys that its turns write.
struct KeptJournal<'a>(&'a Shard);

impl<'a> KeptJournal<'a> {
    fn open(shard: &'a Shard) -> Self {
        shard.turn().journal.open();
        Self(shard)
    }
}

impl Drop for KeptJournal<'_> {
    fn drop(&mut self) {
        self.0.turn().journal.close();
    }
}

fn decide_and_sequence(
    node: &Arc<Node>,
    shard: &Shard,
    schema: &Arc<TableSchema>,
    proposal: &mut dyn Proposal,
    permit: Admitted<'_>,
    caller: Caller,
) -> CommitHandle {
    let mut statement = Statement { proposal, schema: Arc::clone(schema), keep: caller.keep };
    let rounds = if statement.proposal.settles() { ROUNDS_OFF_TURN } else { 0 };
    for _ in 0..rounds {
        match settle_off_turn(node, shard, &mut statement) {
            Ok(true) => break,
            Ok(false) => {}
            Err((seq, error)) => return node.answer_after(seq, Err(error)),
        }
    }
    // Preparing space may take a while; better here than in the turn.
    let permit = match permit.for_at_least(node, statement.proposal.record_bytes()) {
        Ok(permit) => permit,
        Err(error) => return CommitHandle::ready(Err(error), &node.env.tasks),
    };
    in_turn(node, shard.turn(), &mut statement, permit, caller)
}

/// Decides a statement in its turn, and gives the turn back.
fn in_turn(
    node: &Arc<Node>,
    mut turn: MutexGuard<'_, Turn>,
    statement: &mut Statement<'_>,
    permit: Admitted<'_>,
    caller: Caller,
) -> CommitHandle {
    let seq = node.tail.lock().version().seq;
    let handle = match take_turn(node, &mut turn, statement, permit, caller) {
        Ok(Outcome::Sequenced(ticket, seq)) => {
            statement.proposal.sequenced(seq);
            Ok(CommitHandle::new(&ticket, &node.env.tasks))
        }
        Ok(Outcome::Nothing(commit)) => Err(Ok(commit)),
        Err(error) => Err(Err(error)),
    };
    drop(turn);
    match handle {
        Ok(handle) => {
            node.log_signal.notify();
            handle
        }
        Err(answer) => node.answer_after(seq, answer),
    }
}

/// Whether the caller wants rows and outcomes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Rows,
    Counts,
}

/// What the caller of a statement wants of its commit.
pub(crate) struct Caller {
    pub(crate) keep: Keep,
    /// Asked when the outcome is decided.
    pub(crate) last_word: Option<LastWord>,
    /// When the statement wished to commit, by the monotonic clock.
    pub(crate) asked_at: Duration,
}

enum Outcome {
    Sequenced(Arc<Ticket>, CommitSeq),
    Nothing(Commit),
}

/// Space in the log, and for how much it was asked.
struct Admitted<'a> {
    permit: Permit,
    /// Memory for its rows, if they go to the memtable.
    memory: Option<Promise<'a>>,
    bytes: u64,
    class: SpaceClass,
}

impl<'a> Admitted<'a> {
    fn of(node: &'a Node, proposal: &dyn Proposal) -> Result<Self> {
        let bytes = proposal.record_bytes();
        if proposal.adds_rows() {
            node.wait_for_compaction()?;
        }
        let memory = if proposal.needs_memory() { Some(node.wait_for_memory(bytes)?) } else { None };
        let class = if proposal.adds_rows() { SpaceClass::Ordinary } else { SpaceClass::Reserve };
        Ok(Self { permit: node.admit(bytes, class)?, memory, bytes, class })
    }

    /// As [`Admitted::of`], if that waits for nothing.
    fn at_once(node: &'a Node, proposal: &dyn Proposal) -> Option<Self> {
        if proposal.adds_rows() && node.is_compaction_behind() {
            return None;
        }
        let bytes = proposal.record_bytes();
        let memory = if proposal.needs_memory() { Some(node.memory_at_once(bytes)?) } else { None };
        let class = if proposal.adds_rows() { SpaceClass::Ordinary } else { SpaceClass::Reserve };
        Some(Self { permit: node.admit_at_once(bytes, class)?, memory, bytes, class })
    }

    /// Space for at least `needed` bytes: estimates can be too low, and a staged statement knows its victims late.
    fn for_at_least(self, node: &Node, needed: u64) -> Result<Self> {
        if needed <= self.bytes {
            return Ok(self);
        }
        // Given back first: on a full disk there may be room for one of the two only.
        let Self { permit, memory, class, .. } = self;
        drop(permit);
        Ok(Self { permit: node.admit(needed, class)?, memory, bytes: needed, class })
    }
}

/// A statement, and the version of the schema that it is made for.
struct Statement<'a> {
    proposal: &'a mut dyn Proposal,
    schema: Arc<TableSchema>,
    keep: Keep,
}

impl Statement<'_> {
    /// The tail of its table.
    fn tail_state(&self, tail: &Tail) -> Result<TailState> {
        let table = tail.table(self.schema.id).ok_or_else(|| undefined_table(&self.schema.name))?;
        Ok(TailState { table: Arc::clone(table), state: only_shard(table)?, seq: tail.version().seq })
    }

    /// Brings the statement to the schema of the tail. Whoever wants rows back described them with the columns of before.
    fn adopt(&mut self, newest: &Arc<TableSchema>) -> Result<()> {
        if self.schema.version == newest.version {
            return Ok(());
        }
        let conversion = Conversion::new(&self.schema, newest)?;
        if self.keep == Keep::Rows && !conversion.keeps_shape() {
            return Err(altered(newest));
        }
        self.proposal.convert(&conversion)?;
        self.schema = Arc::clone(newest);
        Ok(())
    }
}

/// The tail of one table at one moment.
struct TailState {
    table: Arc<TableState>,
    state: Arc<ShardState>,
    seq: CommitSeq,
}

impl TailState {
    fn view<'a>(&'a self, remaps: &'a Remaps, journal: Option<&'a Journal>) -> TailView<'a> {
        TailView { schema: &self.table.schema, state: &self.state, remaps, journal, seq: self.seq }
    }
}

/// Tables have one shard today.
pub(crate) fn only_shard(table: &TableState) -> Result<Arc<ShardState>> {
    table
        .shards
        .first()
        .map(Arc::clone)
        .ok_or_else(|| Error::internal(format!("table {} has no shard", table.schema.id)))
}

fn settle_off_turn(
    node: &Node,
    shard: &Shard,
    statement: &mut Statement<'_>,
) -> std::result::Result<bool, (CommitSeq, Error)> {
    // The turn is held for as long as it takes to see which rows are where they were, not for the rechecks.
    let turn = shard.turn();
    let (version, state) = {
        let tail = node.tail.lock();
        (tail.version().clone(), statement.tail_state(&tail))
    };
    let seq = version.seq;
    let state = state.map_err(|error| (seq, error))?;
    statement.adopt(&state.table.schema).map_err(|error| (seq, error))?;
    if statement.proposal.is_settled(&state.view(&turn.remaps, Some(&turn.journal))) {
        return Ok(true);
    }
    // Nothing else tells the key index that somebody still looks keys up in this state (E3).
    let _held = node.live.hold(&version);
    let remaps = turn.remaps.clone();
    drop(turn);
    statement.proposal.settle(&state.view(&remaps, None)).map(|()| false).map_err(|error| (seq, error))
}

fn take_turn(
    node: &Node,
    turn: &mut Turn,
    statement: &mut Statement<'_>,
    permit: Admitted<'_>,
    caller: Caller,
) -> Result<Outcome> {
    let tail = {
        let tail = node.tail.lock();
        tail.check_open()?;
        statement.tail_state(&tail)?
    };
    statement.adopt(&tail.table.schema)?;
    turn.remaps.trim(node.live.oldest_seq());
    let mut applied = statement.proposal.decide(&tail.view(&turn.remaps, Some(&turn.journal)))?;
    let mut commit = answer(&mut applied, &tail, caller.keep)?;
    if let Some(last_word) = caller.last_word {
        commit.rows = last_word(commit.rows)?;
    }
    if applied.decision.is_empty() && applied.staged.as_ref().is_none_or(StagedPart::is_empty) {
        return Ok(Outcome::Nothing(Commit { seq: tail.seq, ..commit }));
    }
    apply(node, turn, &tail, applied, permit, (commit, caller.asked_at))
        .map(|(ticket, seq)| Outcome::Sequenced(ticket, seq))
}

/// The answer to a decision, but for its place in the order.
fn answer(applied: &mut Applied, tail: &TailState, keep: Keep) -> Result<Commit> {
    let mut outcomes = std::mem::take(&mut applied.staged_outcomes);
    if keep == Keep::Rows && outcomes.list.is_none() {
        outcomes.list = Some(Vec::new());
    }
    applied.decision.outcomes.iter().for_each(|outcome| outcomes.add(*outcome));
    let mut rows = AppliedRows::default();
    if keep == Keep::Rows {
        if let Some(staged) = &applied.staged {
            let mut after = ShardState::clone(&tail.state);
            after.install(&[], staged.segments.clone())?;
            let after = TableSnapshot::of_state(Arc::clone(&tail.table.schema), after, tail.seq);
            rows.push_stored(after, applied.returning_staged.clone());
        }
        let before = TableSnapshot::of_state(Arc::clone(&tail.table.schema), ShardState::clone(&tail.state), tail.seq);
        rows.push_stored(before.clone(), applied.returning_deleted.clone());
        rows.append(AppliedRows::of_decision(&applied.decision, &before));
    }
    Ok(Commit {
        seq: CommitSeq::ZERO,
        inserted: outcomes.inserted,
        updated: outcomes.updated,
        deleted: outcomes.deleted,
        rows,
        outcomes: outcomes.list.unwrap_or_default(),
    })
}

/// Applies a decision to the tail and puts its record in the group.
fn apply(
    node: &Node,
    turn: &mut Turn,
    seen: &TailState,
    applied: Applied,
    permit: Admitted<'_>,
    (commit, asked_at): (Commit, Duration),
) -> Result<(Arc<Ticket>, CommitSeq)> {
    let Applied { decision, staged, .. } = applied;
    let (schema, state) = (&seen.table.schema, &seen.state);
    let mut next = ShardState::clone(state);
    next.delete(&decision.victims())?;
    let mut changes = Vec::with_capacity(2);
    let mut staged_rows = None;
    if let Some(StagedPart { segments, victims, record, keys }) = staged {
        next.delete_all(&victims)?;
        changes.push(Change::Staged(record));
        staged_rows = Some((segments, keys));
    }
    let (mut rows, mut row_keys) = (None, Vec::new());
    if !decision.is_empty() {
        let encoded = encode_rows(schema, &decision)?;
        let Decision { rows: batch, row_keys: keys, ops, .. } = decision;
        changes.push(Change::Rows(RowChange {
            table: schema.id,
            shard: ShardId::new(0),
            schema_version: schema.version,
            generation: next.open_unit(),
            first_row: RowOrdinal::new(next.open_rows()),
            rows: encoded,
            row_count: crate::write::row_count(&batch)?,
            ops,
        }));
        (rows, row_keys) = (Some(batch), keys);
    }
    // Everything that the record will hold is asked for here: after this it cannot be refused any more (W9).
    let needed = bytes_max(&changes);
    if needed > RECORD_BYTES_MAX {
        return Err(Error::new(Condition::ProgramLimitExceeded, "a statement changes too many rows at once")
            .with_detail(format!("Its log record would have {needed} bytes.")));
    }
    let Admitted { permit, memory, .. } = permit.for_at_least(node, needed)?;

    let mut tail = node.tail.lock();
    tail.check_open()?;
    let seq = tail.next_seq()?;
    if let Some((segments, keys)) = staged_rows {
        next.install(&[], with_commit(node, segments, seq)?)?;
        turn.journal.record(seq, &keys);
        node.merge_signal.notify();
        node.flush_signal.notify();
    }
    if let Some(rows) = rows {
        append_rows(&mut next, rows, &row_keys, seq, turn)?;
    }
    node.pressure.resize(state.memtable_bytes(), next.memtable_bytes());
    drop(memory);
    note_open_rows(node, turn, &mut next);
    let version = with_shard(tail.version(), schema, next, seq);
    tail.push(Sequenced { version, changes, permit }, &*node.env.clock);
    let ticket = Ticket::new();
    tail.answer(Answer::of_statement(&ticket, Ok(Commit { seq, ..commit }), asked_at));
    Ok((ticket, seq))
}

/// Staged segments, now that their commit has its number.
fn with_commit(node: &Node, segments: Vec<NewSegment>, seq: CommitSeq) -> Result<Vec<NewSegment>> {
    segments
        .into_iter()
        .map(|new| {
            let meta = SegmentMeta { min_seq: seq, max_seq: seq, ..new.segment.meta().clone() };
            let segment = Segment::open(&node.env, SEGMENT_DIR, Arc::new(meta), &node.cache)?;
            Ok(NewSegment { segment, ..new })
        })
        .collect()
}

/// Puts new rows in the open generation and their keys in the index.
fn append_rows(
    next: &mut ShardState,
    rows: RecordBatch,
    row_keys: &[KeyHash],
    seq: CommitSeq,
    turn: &mut Turn,
) -> Result<()> {
    if rows.num_rows() == 0 {
        return Ok(());
    }
    let generation = next.open_unit();
    let first_row = next.append(rows, seq)?;
    if let Some(keys) = next.keys() {
        keys.insert(row_keys, generation, first_row, seq);
        turn.journal.record(seq, row_keys);
    }
    Ok(())
}

/// Seals the open generation when it is large enough; otherwise remembers since when it has rows.
fn note_open_rows(node: &Node, turn: &mut Turn, next: &mut ShardState) {
    if next.open_rows() == 0 {
        return;
    }
    let bytes = next.generations().last().map_or(0, |open| open.bytes);
    if next.open_rows() >= node.options.flush_rows_max || bytes >= node.options.flush_bytes_max {
        next.seal(node.ids.unit());
        turn.open_since = None;
        node.flush_signal.notify();
    } else if turn.open_since.is_none() {
        turn.open_since = Some(node.env.clock.monotonic());
    }
}

/// `version` with another state of one table's shard, as commit `seq`.
pub(crate) fn with_shard(version: &Version, schema: &Arc<TableSchema>, state: ShardState, seq: CommitSeq) -> Version {
    let tables = version.tables.update(schema.id, one_shard(schema, state));
    Version::new(seq, Arc::clone(&version.catalog), tables, Arc::clone(&version.feeds))
}

/// A table of one shard.
pub(crate) fn one_shard(schema: &Arc<TableSchema>, state: ShardState) -> Arc<TableState> {
    Arc::new(TableState { schema: Arc::clone(schema), shards: vec![Arc::new(state)] })
}

fn encode_rows(schema: &TableSchema, decision: &Decision) -> Result<Bytes> {
    if decision.rows.num_rows() == 0 {
        return Ok(Bytes::new());
    }
    let columns: Vec<ColumnId> = schema.columns.iter().map(|column| column.id).collect();
    let mut bytes = Vec::new();
    encode_batch(&decision.rows, &columns, &mut bytes)?;
    Ok(Bytes::from(bytes))
}

/// Rounds of Q7 outside of the turn; the third and last one is inside.
const ROUNDS_OFF_TURN: usize = 2;

/// Largest record: a length is stored in 32 bits, and the rest of the record needs some of them.
const RECORD_BYTES_MAX: u64 = 1 << 31;
