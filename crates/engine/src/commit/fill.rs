//! `ALTER TABLE … ADD COLUMN … DEFAULT` with a value of its own for each row: the schema and the rows change in one commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use outcrop_env::marks::reached;
use outcrop_format::record::{Change, DdlChange, Install, InstalledSegment};
use outcrop_log::SpaceClass;
use outcrop_segment::DeleteVector;
use outcrop_types::{CommitSeq, Condition, Error, Result, ShardId, TableName, TableSchema, UnitId};

use super::shard::Turn;
use super::tail::{Answer, Sequenced};
use super::ticket::{CommitHandle, Ticket};
use super::turn::{one_shard, only_shard};
use crate::catalog::{Plan, Step, plan};
use crate::feed::Feeds;
use crate::node::{Node, RetiredSegment};
use crate::rewrite::{Fill, FilledUnit, FilledUnits};
use crate::snapshot::{NewSegment, ShardState, Version};
use crate::write::{Commit, altered};
use crate::{AlterAction, Ddl};

impl Node {
    /// Changes a table and writes all its rows anew, with values for new columns. Most rows are written before the writers of
    /// the table wait; what they changed since, and what is in memory, while they do.
    pub(crate) fn commit_filling(
        self: &Arc<Self>,
        table: &TableName,
        actions: &[AlterAction],
        fill: Fill,
    ) -> CommitHandle {
        match self.sequence_filling(table, actions, fill) {
            Ok(ticket) => {
                self.log_signal.notify();
                CommitHandle::new(&ticket, &self.env.tasks)
            }
            Err((seq, error)) => {
                if error.condition() == Condition::IoError {
                    self.poison(error.message());
                }
                self.answer_after(seq, Err(error))
            }
        }
    }

    fn sequence_filling(
        self: &Arc<Self>,
        table: &TableName,
        actions: &[AlterAction],
        fill: Fill,
    ) -> std::result::Result<Arc<Ticket>, (CommitSeq, Error)> {
        let change = [Ddl::AlterTable { table: table.clone(), actions: actions.to_vec() }];
        let plan_on = |version: &Version| {
            plan(&change, &version.catalog, self.ids.next_table(), &mut outcrop_types::KeySecret::default)
                .map_err(|error| (version.seq, error))
        };
        let pin = self.snapshot();
        let pinned = pin.version();
        let newest = self.tail.lock().version().clone();
        let schema = altered_schema(&plan_on(&newest)?).map_err(|error| (newest.seq, error))?;
        let at_pin = |error| (pinned.seq, error);
        // Created since, and so small.
        let nothing = || ShardState::new(&schema, self.log_id, &self.live, self.ids.unit());
        let state = pinned.tables.get(&schema.id).map(|table| only_shard(table)).transpose().map_err(at_pin)?;
        let state = state.map_or_else(nothing, |state| ShardState::clone(&state));
        let positions = new_positions(&schema, newest.catalog.table_by_id(schema.id), &fill.columns);
        let mut filled = FilledUnits::new(self, &schema, &state, positions, fill.values);
        let segments: Vec<UnitId> = state.segments().map(|view| view.segment.unit()).collect();
        for unit in segments {
            filled.write(&state, unit, pinned.seq).map_err(at_pin)?;
        }
        let permit = self.admit(RECORD_BYTES, SpaceClass::Ordinary).map_err(at_pin)?;
        drop(permit);

        let shard = self.shard(schema.id).map_err(at_pin)?;
        let mut turn = shard.turn();
        let version = self.tail.lock().version().clone();
        let refused = |error| (version.seq, error);
        let now = altered_schema(&plan_on(&version)?).map_err(refused)?;
        if (now.id, now.version) != (schema.id, schema.version) {
            return Err(refused(altered(&now)));
        }
        let table = version.tables.get(&schema.id).ok_or_else(|| refused(altered(&schema)))?;
        let state = only_shard(table).map_err(refused)?;
        let units = units_of(&state);
        filled.keep_only(|unit, rows| units.get(&unit) == Some(&rows));
        for (unit, rows) in &units {
            if !filled.has(*unit, *rows) {
                filled.write(&state, *unit, version.seq).map_err(refused)?;
            }
        }
        filled.last_word().map_err(refused)?;
        self.install_filled(&mut turn, &state, &schema, filled, plan_on).map_err(refused)
    }

    /// One record: the table has another schema, and other segments have its rows.
    fn install_filled(
        &self,
        turn: &mut Turn,
        state: &ShardState,
        schema: &Arc<TableSchema>,
        filled: FilledUnits,
        plan_on: impl Fn(&Version) -> std::result::Result<Plan, (CommitSeq, Error)>,
    ) -> Result<Arc<Ticket>> {
        let bytes = filled.record_bytes() + RECORD_BYTES;
        let permit = self.admit(bytes, SpaceClass::Ordinary)?;
        let mut next = ShardState::clone(state);
        next.alter(schema, self.ids.unit());
        let mut tail = self.tail.lock();
        tail.check_open()?;
        let seq = tail.next_seq()?;
        let plan = plan_on(tail.version()).map_err(|(_, error)| error)?;
        let filled = filled.take();
        let mut record = Install {
            table: schema.id,
            shard: ShardId::new(0),
            inputs: filled.iter().map(|unit| unit.input.unit).collect(),
            outputs: Vec::new(),
        };
        let mut outputs = Vec::new();
        for FilledUnit { input, output } in &filled {
            let Some(output) = output else { continue };
            let mut deletes = DeleteVector::new(output.segment.rows());
            let now = state.deletes(input.unit).ok_or_else(|| Error::internal("a unit went in its turn"))?;
            let dead: Vec<_> = now
                .difference(input.map.pinned())
                .filter_map(|row| input.map.address(row))
                .map(|address| address.row)
                .collect();
            deletes.delete(&dead);
            record.outputs.push(InstalledSegment {
                unit: output.segment.unit(),
                rows: output.segment.rows(),
                meta_crc: output.meta_crc,
                deletes: if dead.is_empty() { Vec::new() } else { deletes.encode() },
            });
            let (segment, run) = (Arc::clone(&output.segment), output.run.as_ref().map(Arc::clone));
            outputs.push(NewSegment { segment, deletes, run });
        }
        next.install(&record.inputs, outputs)?;
        self.retire_runs(state, &next, seq);
        let inputs = record.inputs.clone();
        let changes = vec![Change::Ddl(DdlChange::PutTable(TableSchema::clone(schema))), Change::Install(record)];
        let (before, after) = (state.memtable_bytes(), next.memtable_bytes());
        let tables = tail.version().tables.update(schema.id, one_shard(schema, next));
        let mut feeds = Feeds::clone(&tail.version().feeds);
        if let Some(table) = tail.table(schema.id) {
            feeds.note_schema(seq, &table.schema);
        }
        feeds.note_units(seq, schema.id, state, &inputs);
        let version = Version::new(seq, Arc::new(plan.catalog), tables, Arc::new(feeds));
        tail.push(Sequenced { version, changes, permit }, &*self.env.clock);
        let ticket = Ticket::new();
        tail.answer(Answer::new(&ticket, Ok(Commit::of_nothing(seq))));
        drop(tail);
        reached("fill", "sequenced");
        filled.iter().for_each(|unit| turn.remaps.add(unit.input.unit, seq, unit.input.map.clone()));
        self.pressure.resize(before, after);
        let segments = inputs.iter().filter_map(|unit| state.segment(*unit)).map(|view| view.segment);
        self.retired.lock().extend(segments.map(|segment| RetiredSegment {
            at: seq,
            unit: segment.unit(),
            segment: Arc::downgrade(segment),
        }));
        if let Some(keys) = state.keys() {
            keys.retire(&inputs, seq);
        }
        turn.open_since = None;
        self.note_install(seq);
        self.merge_signal.notify();
        Ok(ticket)
    }
}

/// The table that a plan changes.
fn altered_schema(plan: &Plan) -> Result<Arc<TableSchema>> {
    match plan.steps.as_slice() {
        [Step::AlterTable(schema)] => Ok(Arc::clone(schema)),
        _ => Err(Error::internal("ALTER TABLE is another step")),
    }
}

/// Where the columns are that have no values yet. One that is there already keeps what it has.
fn new_positions(schema: &TableSchema, before: Option<&Arc<TableSchema>>, names: &[String]) -> Vec<Option<usize>> {
    let position = |name: &String| {
        let id = schema.column_named(name)?.id;
        let is_new = before.is_none_or(|before| before.column(id).is_none());
        schema.position(id).filter(|_| is_new)
    };
    names.iter().map(position).collect()
}

/// The units that have rows, and how many.
fn units_of(state: &ShardState) -> BTreeMap<UnitId, u32> {
    let generations = state.generations().map(|generation| (generation.unit, generation.rows));
    let segments = state.segments().map(|view| (view.segment.unit(), view.segment.rows()));
    generations.filter(|(_, rows)| *rows > 0).chain(segments).collect()
}

/// The schema in a record, with room to spare.
const RECORD_BYTES: u64 = 256 << 10;
