//! Changes of the catalog, judged and sequenced like any commit.

use std::collections::BTreeSet;
use std::sync::Arc;

use outcrop_format::record::{Change, DdlChange};
use outcrop_log::{Permit, SpaceClass};
use outcrop_types::{CommitSeq, Error, KeySecret, Result, TableId, TableName, TableSchema};

use super::shard::Shard;
use super::tail::{Answer, Sequenced, Tail};
use super::ticket::{CommitHandle, Ticket};
use super::turn::{one_shard, only_shard};
use crate::Ddl;
use crate::catalog::{Catalog, define_table};
use crate::node::{Node, RetiredRun, RetiredSegment};
use crate::snapshot::{ShardState, TableState, Version};
use crate::write::{AppliedRows, Commit};

impl Node {
    /// Changes the catalog. Existence is judged against the tail, under the turns of the tables that go.
    pub(crate) fn commit_ddl(&self, change: &Ddl) -> CommitHandle {
        match self.sequence_ddl(change) {
            Ok(ticket) => {
                self.log_signal.notify();
                CommitHandle::new(&ticket, &self.env.tasks)
            }
            Err(Refused { seq, error }) => self.answer_after(seq, Err(error)),
        }
    }

    fn sequence_ddl(&self, change: &Ddl) -> std::result::Result<Arc<Ticket>, Refused> {
        let schema = match change {
            Ddl::CreateTable(new) => Some(define_table(new, TableId::new(0))?),
            Ddl::CreateSchema(_) | Ddl::DropSchema(_) | Ddl::DropTable(_) | Ddl::Truncate(_) => None,
        };
        let bytes = schema.as_ref().map_or(0, schema_bytes) + DDL_BYTES;
        let permit = self.admit(bytes, SpaceClass::Reserve)?;
        loop {
            let shards = self.shards_of(change)?;
            let mut turns: Vec<_> = shards.iter().map(|shard| shard.turn()).collect();
            let mut tail = self.tail.lock();
            let seq = tail.version().seq;
            let refused = |error| Refused { seq, error };
            tail.check_open().map_err(refused)?;
            change.check(&tail.version().catalog).map_err(refused)?;
            let ids = affected(change, &tail.version().catalog);
            if ids.iter().ne(shards.iter().map(|shard| shard.table()).collect::<BTreeSet<_>>().iter()) {
                // Another statement dropped or created one of the tables before their turns were ours.
                continue;
            }
            for turn in &mut turns {
                turn.remaps = super::Remaps::default();
                turn.open_since = None;
            }
            return self.push_ddl(&mut tail, change, schema, &ids, permit).map_err(refused);
        }
    }

    /// The shards whose tables go, by `TableId`.
    fn shards_of(&self, change: &Ddl) -> std::result::Result<Vec<Arc<Shard>>, Refused> {
        let (seq, ids) = {
            let tail = self.tail.lock();
            (tail.version().seq, affected(change, &tail.version().catalog))
        };
        ids.into_iter().map(|id| self.shard(id)).collect::<Result<_>>().map_err(|error| Refused { seq, error })
    }

    fn push_ddl(
        &self,
        tail: &mut Tail,
        change: &Ddl,
        schema: Option<TableSchema>,
        ids: &BTreeSet<TableId>,
        permit: Permit,
    ) -> Result<Arc<Ticket>> {
        let seq = tail.next_seq()?;
        let old = tail.version();
        let mut catalog = Catalog::clone(&old.catalog);
        let mut tables = old.tables.clone();
        let mut changes = Vec::new();
        match change {
            Ddl::CreateSchema(name) => {
                catalog.put_schema(name);
                changes.push(DdlChange::CreateSchema { name: name.clone() });
            }
            Ddl::DropSchema(name) => {
                catalog.drop_schema(name);
                changes.push(DdlChange::DropSchema { name: name.clone() });
            }
            Ddl::CreateTable(_) => {
                let mut schema = schema.ok_or_else(|| Error::internal("a new table without schema"))?;
                schema.id = self.ids.table();
                for key in &mut schema.keys {
                    let mut secret = [0; 16];
                    self.env.rng.fill(&mut secret);
                    key.secret = KeySecret::from_bytes(secret);
                }
                changes.push(DdlChange::PutTable(schema.clone()));
                let schema = Arc::new(schema);
                catalog.put_table(Arc::clone(&schema));
                tables.insert(schema.id, self.empty_table(&schema));
                self.shards.write().insert(schema.id, Arc::new(Shard::new(schema.id)));
            }
            Ddl::DropTable(_) => {
                for id in ids {
                    catalog.drop_table(*id);
                    if let Some(table) = tables.remove(id) {
                        self.retire_table(&table, seq)?;
                    }
                    changes.push(DdlChange::DropTable { table: *id });
                }
            }
            Ddl::Truncate(_) => {
                for id in ids {
                    if let Some(table) = tables.get(id) {
                        let empty = self.empty_table(&table.schema);
                        self.retire_table(table, seq)?;
                        tables.insert(*id, empty);
                    }
                    changes.push(DdlChange::Truncate { table: *id });
                }
            }
        }
        let version = Version::new(seq, Arc::new(catalog), tables);
        let changes = changes.into_iter().map(Change::Ddl).collect();
        tail.push(Sequenced { version, changes, permit }, self.env.clock.wall_us());
        let ticket = Ticket::new();
        let commit =
            Commit { seq, inserted: 0, updated: 0, deleted: 0, outcomes: Vec::new(), rows: AppliedRows::default() };
        tail.answer(Answer::new(&ticket, Ok(commit)));
        Ok(ticket)
    }

    /// A table without rows.
    pub(crate) fn empty_table(&self, schema: &Arc<TableSchema>) -> Arc<TableState> {
        let shard = ShardState::new(schema, self.log_id, &self.live, self.ids.unit());
        one_shard(schema, shard)
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

/// The tables whose rows go.
fn affected(change: &Ddl, catalog: &Catalog) -> BTreeSet<TableId> {
    let names: &[TableName] = match change {
        Ddl::DropTable(name) => std::slice::from_ref(name),
        Ddl::Truncate(names) => names,
        Ddl::CreateSchema(_) | Ddl::DropSchema(_) | Ddl::CreateTable(_) => &[],
    };
    names.iter().filter_map(|name| catalog.table(name)).map(|schema| schema.id).collect()
}

/// About the bytes of a schema in a record; names and defaults may be long.
fn schema_bytes(schema: &TableSchema) -> u64 {
    let columns = schema.columns.iter().map(|column| {
        let default = column.write_default.as_ref().map_or(0, String::len);
        column.name.len() + default + column.initial_default.to_string().len() + COLUMN_BYTES
    });
    columns.sum::<usize>() as u64
}

const COLUMN_BYTES: usize = 64;
const DDL_BYTES: u64 = 4_096;
