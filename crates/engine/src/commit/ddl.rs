//! Changes of the catalog, judged and sequenced like any commit.

use std::sync::Arc;

use outcrop_format::record::{Change, DdlChange};
use outcrop_log::{Permit, SpaceClass};
use outcrop_types::{CommitSeq, Error, KeySecret, Result, TableSchema};

use super::seen_rows::SeenRows;
use super::shard::Shard;
use super::tail::{Answer, Sequenced, Tail};
use super::ticket::{CommitHandle, Ticket};
use super::turn::{one_shard, only_shard};
use crate::Ddl;
use crate::catalog::{Plan, Step, WithoutNulls, plan};
use crate::feed::Feeds;
use crate::node::{Node, RetiredRun, RetiredSegment};
use crate::snapshot::{ShardState, TableState, Version};
use crate::write::Commit;

impl Node {
    /// Changes the catalog: all of `changes`, or none of them. Existence is judged against the tail, under the turns of the
    /// tables that go.
    pub(crate) fn commit_ddl(&self, changes: &[Ddl]) -> CommitHandle {
        match self.sequence_ddl(changes) {
            Ok(ticket) => {
                self.log_signal.notify();
                CommitHandle::new(&ticket, &self.env.tasks)
            }
            Err(Refused { seq, error }) => self.answer_after(seq, Err(error)),
        }
    }

    fn sequence_ddl(&self, changes: &[Ddl]) -> std::result::Result<Arc<Ticket>, Refused> {
        let plan_on = |tail: &Tail| {
            let (seq, catalog) = (tail.version().seq, &tail.version().catalog);
            plan(changes, catalog, self.ids.next_table(), &mut || self.new_secret())
                .map_err(|error| Refused { seq, error })
        };
        let mut planned = plan_on(&self.tail.lock())?;
        let mut seen = SeenRows::default();
        for column in &planned.without_nulls {
            self.look_off_turn(column, &mut seen)?;
        }
        let permit = self.admit(record_bytes(&planned), SpaceClass::Reserve)?;
        loop {
            let shards: Result<Vec<Arc<Shard>>> = planned.affected.iter().map(|id| self.shard(*id)).collect();
            let Ok(shards) = shards else {
                // Another statement dropped one of the tables since.
                planned = plan_on(&self.tail.lock())?;
                continue;
            };
            let mut turns: Vec<_> = shards.iter().map(|shard| shard.turn()).collect();
            // Their rows stay as they are from here on, so they are looked at before the tail is locked for good.
            for column in &planned.without_nulls {
                let (seq, table) = {
                    let tail = self.tail.lock();
                    (tail.version().seq, tail.table(column.schema.id).map(Arc::clone))
                };
                let looked = table.map_or(Ok(()), |table| seen.look(column, &*only_shard(&table)?, seq));
                looked.map_err(|error| Refused { seq, error })?;
            }
            let mut tail = self.tail.lock();
            let seq = tail.version().seq;
            let refused = |error| Refused { seq, error };
            tail.check_open().map_err(refused)?;
            let now = plan_on(&tail)?;
            if !now.is_about_the_same(&planned) {
                // Another statement changed or dropped one of the tables before their turns were ours.
                planned = now;
                continue;
            }
            for (id, turn) in now.affected.iter().zip(&mut turns) {
                if now.emptied.contains(id) {
                    turn.remaps = super::Remaps::default();
                    turn.open_since = None;
                }
            }
            return self.push_ddl(&mut tail, now, permit).map_err(refused);
        }
    }

    /// Most rows are looked at before the writers of their table wait.
    fn look_off_turn(&self, column: &WithoutNulls, seen: &mut SeenRows) -> std::result::Result<(), Refused> {
        let Ok(shard) = self.shard(column.schema.id) else { return Ok(()) };
        let turn = shard.turn();
        let version = self.tail.lock().version().clone();
        let _held = self.live.hold(&version);
        drop(turn);
        let Some(table) = version.tables.get(&column.schema.id) else { return Ok(()) };
        let looked = only_shard(table).and_then(|state| seen.look(column, &state, version.seq));
        looked.map_err(|error| Refused { seq: version.seq, error })
    }

    /// A secret for the long keys of an index.
    fn new_secret(&self) -> KeySecret {
        let mut secret = [0; 16];
        self.env.rng.fill(&mut secret);
        KeySecret::from_bytes(secret)
    }

    fn push_ddl(&self, tail: &mut Tail, plan: Plan, permit: Permit) -> Result<Arc<Ticket>> {
        let seq = tail.next_seq()?;
        let mut tables = tail.version().tables.clone();
        let mut feeds = Feeds::clone(&tail.version().feeds);
        let mut changes = Vec::with_capacity(plan.steps.len());
        for step in plan.steps {
            changes.push(Change::Ddl(match step {
                Step::CreateSchema(name) => DdlChange::CreateSchema { name },
                Step::DropSchema(name) => DdlChange::DropSchema { name },
                Step::CreateTable(schema) => {
                    self.ids.claim_table(schema.id);
                    tables.insert(schema.id, self.empty_table(&schema));
                    self.shards.write().insert(schema.id, Arc::new(Shard::new(None)));
                    DdlChange::PutTable(TableSchema::clone(&schema))
                }
                Step::AlterTable(schema) => {
                    if let Some(table) = tables.get(&schema.id).map(Arc::clone) {
                        feeds.note_schema(seq, &table.schema);
                        tables.insert(schema.id, self.altered_table(&table, &schema)?);
                    }
                    DdlChange::PutTable(TableSchema::clone(&schema))
                }
                Step::DropTable(id) => {
                    if let Some(table) = tables.remove(&id) {
                        self.retire_table(&table, seq)?;
                        feeds.note_emptied(seq, &table);
                        feeds.note_schema(seq, &table.schema);
                    }
                    DdlChange::DropTable { table: id }
                }
                Step::Truncate(id) => {
                    if let Some(table) = tables.get(&id).map(Arc::clone) {
                        self.retire_table(&table, seq)?;
                        feeds.note_emptied(seq, &table);
                        tables.insert(id, self.empty_table(&table.schema));
                    }
                    DdlChange::Truncate { table: id }
                }
            }));
        }
        let version = Version::new(seq, Arc::new(plan.catalog), tables, Arc::new(feeds));
        tail.push(Sequenced { version, changes, permit }, &*self.env.clock);
        let ticket = Ticket::new();
        tail.answer(Answer::new(&ticket, Ok(Commit::of_nothing(seq))));
        Ok(ticket)
    }

    /// A table without rows.
    pub(crate) fn empty_table(&self, schema: &Arc<TableSchema>) -> Arc<TableState> {
        let shard = ShardState::new(schema, self.log_id, &self.live, self.ids.unit());
        one_shard(schema, shard)
    }

    /// A table with the rows that it has, under a new schema.
    fn altered_table(&self, table: &TableState, schema: &Arc<TableSchema>) -> Result<Arc<TableState>> {
        let mut state = ShardState::clone(&*only_shard(table)?);
        if state.alter(schema, self.ids.unit()) {
            self.flush_signal.notify();
        }
        Ok(one_shard(schema, state))
    }

    /// The rows of a table are gone with commit `at`.
    fn retire_table(&self, table: &TableState, at: CommitSeq) -> Result<()> {
        let state = only_shard(table)?;
        self.pressure.resize(state.memtable_bytes(), 0);
        let mut retired = self.retired.lock();
        retired.extend(state.segments().map(|view| RetiredSegment {
            at,
            unit: view.segment.unit(),
            segment: Arc::downgrade(view.segment),
        }));
        drop(retired);
        let runs = state.runs().map(|run| RetiredRun { at, unit: run.unit(), run: Arc::downgrade(run) });
        self.retired_runs.lock().extend(runs);
        Ok(())
    }
}

/// A refusal, and the commit it depends on.
struct Refused {
    seq: CommitSeq,
    error: Error,
}

/// Refusals that depend on nothing but the statement.
impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { seq: CommitSeq::ZERO, error }
    }
}

/// About the bytes of a record.
fn record_bytes(plan: &Plan) -> u64 {
    let schemas = plan.steps.iter().map(|step| match step {
        Step::CreateTable(schema) | Step::AlterTable(schema) => schema_bytes(schema),
        Step::CreateSchema(_) | Step::DropSchema(_) | Step::DropTable(_) | Step::Truncate(_) => STEP_BYTES,
    });
    DDL_BYTES + schemas.sum::<u64>()
}

/// About the bytes of a schema in a record; names and defaults may be long.
fn schema_bytes(schema: &TableSchema) -> u64 {
    let columns = schema.columns.iter().map(|column| {
        let default = column.write_default.as_ref().map_or(0, String::len);
        column.name.len() + default + column.initial_default.to_string().len() + COLUMN_BYTES
    });
    let comments = schema.comments.columns.values().chain(&schema.comments.table);
    (columns.sum::<usize>() + comments.map(|text| text.len() + COLUMN_BYTES).sum::<usize>()) as u64
}

const COLUMN_BYTES: usize = 64;
/// A step without a schema: a tag, an id or a name.
const STEP_BYTES: u64 = 192;
const DDL_BYTES: u64 = 4_096;
