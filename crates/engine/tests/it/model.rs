//! The engine against the model database: random statements, flushes at every moment, crashes at every operation.

use std::sync::Arc;

use std::collections::{BTreeSet, VecDeque};

use outcrop_engine::{
    AlterAction, CommitHandle, Ddl, Engine, EngineOptions, NewColumn, OnConflict, Snapshot, TableWrite, WriteMode,
};
use outcrop_env::{Env, Sim};
use outcrop_testkit::generate::{
    SchemaShape, Step, StepsShape, data_types, from_seed, rows_for, schemas, steps, values_of,
};
use outcrop_testkit::model::key_values;
use outcrop_testkit::seed::for_each_seed;
use outcrop_testkit::{Alteration, Key, Model, Operation, Row, Violation, assert_same_rows};
use outcrop_types::{Column, ColumnId, CommitSeq, Condition, DataType, Error, TableId, TableSchema, Value};

use crate::support::follower::Follower;
use crate::support::*;

/// An engine and a model that take the same steps.
struct World {
    sim: Sim,
    engine: Option<Engine>,
    options: EngineOptions,
    schema: TableSchema,
    model: Model,
    /// Commits whose answer was not waited for.
    pending: VecDeque<(CommitHandle, Operation)>,
    /// Snapshots that readers hold, and the commit they show.
    held: Vec<(Snapshot, CommitSeq)>,
    /// A consumer of the feed, and the commits whose numbers are known.
    follower: Option<Follower>,
    known: BTreeSet<CommitSeq>,
    random: u64,
    /// Columns that were named.
    names: u64,
}

impl World {
    fn new(seed: u64, options: EngineOptions) -> Self {
        let (env, sim) = Env::simulated(seed);
        let (columns, key_columns) = if seed % 8 == 7 { (1..=4, 0..=0) } else { (0..=4, 1..=2) };
        let shape = SchemaShape { table: TableId::new(1), columns, key_columns };
        let mut schema = from_seed(&schemas(shape), seed);
        if seed.is_multiple_of(3) {
            // The last columns first, so that the order is not that of the key.
            let sortable = |column: &&Column| match column.data_type {
                DataType::Numeric { precision, .. } => precision <= 38,
                _ => column.data_type.is_key_type(),
            };
            schema.options.sort_key =
                schema.columns.iter().rev().filter(sortable).take(2).map(|column| column.id).collect();
        }
        let engine = Engine::open(&env, options.clone()).unwrap();
        let commit = engine.ddl(Ddl::CreateTable(definition(&schema))).wait().unwrap();
        let created = engine.snapshot().catalog().table(&schema.name).map(Arc::clone).unwrap();
        assert_eq!((created.id, &created.columns), (schema.id, &schema.columns));
        schema.keys = created.keys.clone();
        let mut model = Model::new();
        model.apply(commit.seq, &Operation::CreateTable(schema.clone())).unwrap();
        Self {
            sim,
            engine: Some(engine),
            options,
            schema,
            model,
            pending: VecDeque::new(),
            held: Vec::new(),
            follower: None,
            known: BTreeSet::new(),
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            names: 0,
        }
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn table(&self) -> TableId {
        self.schema.id
    }

    fn run(&mut self, steps: Vec<Step>) {
        steps.into_iter().for_each(|step| self.step(step));
        self.finish();
    }

    fn step(&mut self, step: Step) {
        let outcome = match step {
            Step::Change(operation) => self.change(operation),
            Step::Flush if self.below(3) == 0 => self.engine().compact().map_err(Stop::from),
            Step::Flush => self.engine().flush(None).map_err(Stop::from),
            Step::Snapshot => self.hold(),
            Step::Crash => Err(Stop),
            Step::Reopen => self.reopen(),
        };
        self.after_step(outcome.is_err());
    }

    fn after_step(&mut self, stopped: bool) {
        if stopped {
            self.crash();
        }
        if self.below(4) == 0 {
            // The power will fail at one of the next changes of the disk.
            let after = self.sim.changes() + self.below(60);
            self.sim.power_off_after(after);
        }
        if self.below(3) == 0 && self.follow().is_err() {
            self.crash();
        }
        let steps = self.below(6);
        (0..steps).for_each(|_| {
            self.sim.step();
        });
    }

    fn finish(&mut self) {
        while self.settle().and_then(|()| self.compare()).and_then(|()| self.follow()).is_err() {
            self.crash();
        }
    }

    /// The consumer of the feed reads on: each commit gives what the model has there, by old rows that were there.
    fn follow(&mut self) -> Result<(), Stop> {
        self.settle()?;
        let Some(mut follower) = self.follower.take() else { return Ok(()) };
        let engine = self.engine().clone();
        let (restarts, stores) = (self.below(4) == 0, self.below(3) == 0);
        if restarts {
            follower.restart(&engine);
        }
        let outcome = follower.follow(&engine, |seq, rows| {
            if self.known.contains(&seq) {
                assert_same_rows(&format!("the feed at {seq}"), &self.model.rows_at(self.table(), seq), rows);
            }
        });
        let outcome = outcome.map(|()| follower.assert_is(&self.model.rows(self.table())));
        let outcome = outcome.and_then(|()| if stores { follower.store(&engine) } else { Ok(()) });
        self.follower = Some(follower);
        Ok(outcome?)
    }

    /// Sends a statement; the answer is waited for now or later.
    fn change(&mut self, operation: Operation) -> Result<(), Stop> {
        let by_address = matches!(operation, Operation::UpdateByKey(..));
        if by_address {
            self.settle()?;
        }
        match self.send(&operation) {
            Ok(Some(handle)) => self.pending.push_back((handle, operation)),
            Ok(None) => {}
            Err(error) => {
                self.settle()?;
                return self.refused(&operation, &error);
            }
        }
        if by_address || self.below(2) == 0 { self.settle() } else { Ok(()) }
    }

    fn send(&mut self, operation: &Operation) -> Result<Option<CommitHandle>, Error> {
        let (engine, table) = (self.engine().clone(), self.table());
        let snapshot = engine.snapshot();
        match operation {
            Operation::Insert(_, rows) => {
                let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error))?;
                for rows in rows.chunks(3) {
                    write.insert(batch_with_nulls(&self.schema, rows))?;
                }
                Ok(Some(write.commit()))
            }
            Operation::Upsert(_, rows) => {
                // Of rows with different keys an overwrite of all columns makes the same.
                let is_overwrite = has_distinct_keys(&self.schema, rows) && self.below(2) == 0;
                let all = self.schema.columns.iter().map(|column| column.id).collect();
                let mode = if is_overwrite { WriteMode::Insert(OnConflict::Overwrite(all)) } else { WriteMode::Upsert };
                let mut write = engine.write(&snapshot, table, mode)?;
                write.insert(batch_with_nulls(&self.schema, rows))?;
                Ok(Some(write.commit()))
            }
            Operation::DeleteByKey(_, keys) => {
                let mut write = engine.write(&snapshot, table, WriteMode::Upsert)?;
                write.delete_keys(&key_batch(&snapshot, table, keys))?;
                Ok(Some(write.commit()))
            }
            Operation::UpdateByKey(_, key, values) => self.send_update(&snapshot, key, values),
            Operation::Truncate(_) => Ok(Some(engine.ddl(Ddl::Truncate(vec![self.schema.name.clone()])))),
            Operation::Alter(_, changes) => {
                let mut schema = self.schema.clone();
                let mut actions = Vec::new();
                for change in changes {
                    actions.push(action(&schema, change));
                    schema = altered(&schema, change);
                }
                let change = Ddl::AlterTable { table: self.schema.name.clone(), actions };
                Ok(Some(engine.ddl(change)))
            }
            Operation::CreateTable(_) | Operation::DropTable(_) => unreachable!("not among the steps"),
        }
    }

    fn send_update(
        &mut self,
        snapshot: &Snapshot,
        key: &Row,
        values: &[(ColumnId, Value)],
    ) -> Result<Option<CommitHandle>, Error> {
        let table = snapshot.table(self.table()).unwrap();
        let keys = key_batch(snapshot, self.table(), std::slice::from_ref(key));
        let Some(address) = table.lookup(&keys)?[0] else { return Ok(None) };
        let mut row = try_scan(snapshot, self.table())?.into_iter().find(|(found, _)| *found == address).unwrap().1;
        for (column, value) in values {
            row[self.schema.position(*column).unwrap()] = value.clone();
        }
        let mut write = self.engine().write(snapshot, self.table(), WriteMode::Change(None))?;
        // Flushes may move the row between the read and the write.
        let steps = self.below(20);
        (0..steps).for_each(|_| {
            self.sim.step();
        });
        write.update(&[address], batch_with_nulls(&self.schema, &[row]))?;
        Ok(Some(write.commit()))
    }

    /// Waits for every answer and compares it with the model's.
    fn settle(&mut self) -> Result<(), Stop> {
        while let Some((handle, operation)) = self.pending.pop_front() {
            match handle.wait() {
                Ok(commit) if commit.seq > self.model.last_seq() => {
                    self.known.insert(commit.seq);
                    let applied = self.model.apply(commit.seq, &operation);
                    let applied = applied.unwrap_or_else(|violation| panic!("{operation:?} should meet {violation:?}"));
                    if !is_ddl(&operation) {
                        let rows = commit.inserted + commit.updated + commit.deleted;
                        let distinct = matches!(operation, Operation::Upsert(..));
                        assert!(rows == applied.rows as u64 || distinct, "{operation:?}: {commit:?}, {applied:?}");
                    }
                }
                Ok(_) => {
                    let seq = next(self.model.last_seq());
                    let applied = self.model.clone().apply(seq, &operation).unwrap();
                    assert_eq!(applied.rows, 0, "{operation:?} changed nothing");
                }
                Err(error) => {
                    if let Err(stop) = self.refused(&operation, &error) {
                        // Whether it happened is unknown, as with everything after it.
                        self.pending.push_front((handle_of_nothing(self.engine()), operation));
                        return Err(stop);
                    }
                }
            }
        }
        Ok(())
    }

    /// A refusal is right if the model refuses too.
    fn refused(&mut self, operation: &Operation, error: &Error) -> Result<(), Stop> {
        let expected = match error.condition() {
            Condition::UniqueViolation => "unique",
            Condition::NotNullViolation => "null",
            _ => return Err(Stop::from(error)),
        };
        let seq = next(self.model.last_seq());
        match self.model.clone().apply(seq, operation) {
            Err(Violation::Unique(_)) if expected == "unique" => Ok(()),
            Err(Violation::NotNull(_)) if expected == "null" => Ok(()),
            other => panic!("{operation:?} was refused with {error}, the model says {other:?}"),
        }
    }

    fn hold(&mut self) -> Result<(), Stop> {
        self.settle()?;
        let snapshot = self.engine().snapshot();
        self.held.push((snapshot, self.model.last_seq()));
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Stop> {
        self.settle()?;
        self.compare()?;
        self.held.clear();
        self.follower.iter_mut().for_each(Follower::disconnect);
        let closed = self.engine().close();
        self.engine = None;
        closed?;
        self.engine = Some(Engine::open(&self.sim.env(), self.options.clone())?);
        self.compare()
    }

    /// The power fails. What was acknowledged must be there, and nothing in part.
    fn crash(&mut self) {
        let acknowledged = self.model.last_seq();
        for (_, operation) in std::mem::take(&mut self.pending) {
            let seq = next(self.model.last_seq());
            // Refused ones, and those without effect, are no commits, in the model as in the engine.
            if self.model.clone().apply(seq, &operation).is_ok_and(|applied| applied.rows > 0 || is_ddl(&operation)) {
                self.model.apply(seq, &operation).unwrap();
            }
        }
        self.held.clear();
        self.follower.iter_mut().for_each(Follower::disconnect);
        let old = self.engine.take();
        let mut env = self.sim.crash();
        drop(old);
        let (engine, scanned) = loop {
            if self.below(3) == 0 {
                let after = self.sim.changes() + self.below(30);
                self.sim.power_off_after(after);
            }
            match Engine::open(&env, self.options.clone()) {
                Ok(engine) => {
                    if let Ok(scanned) = try_scan(&engine.snapshot(), self.table()) {
                        break (engine, scanned);
                    }
                    env = self.sim.crash();
                }
                Err(error) => {
                    assert_eq!(error.condition(), Condition::IoError, "recovery: {error}");
                    env = self.sim.crash();
                }
            }
        };
        let found = [(self.table(), scanned.into_iter().map(|(_, row)| row).collect())].into();
        let mut last = self.model.assert_prefix(&found, acknowledged);
        // An ALTER TABLE may change no row; it is the last statement then.
        let columns = columns_of(engine.snapshot().catalog().table_by_id(self.table()).unwrap());
        if columns_of(self.model.schema_at(self.table(), last).unwrap()) != columns {
            last = self.model.assert_prefix(&found, self.model.last_seq());
        }
        self.model.forget_after(last);
        self.schema = self.model.schema(self.table()).unwrap().clone();
        self.engine = Some(engine);
        self.compare_schema();
    }

    /// Changes columns; sometimes a statement that was begun before gets its place after that.
    fn alter(&mut self, changes: Vec<Alteration>) -> Result<(), Stop> {
        self.settle()?;
        let overtaken = if self.below(2) == 0 { self.begin_insert()? } else { None };
        let operation = Operation::Alter(self.table(), changes);
        match self.send(&operation) {
            Ok(Some(handle)) => self.pending.push_back((handle, operation)),
            Ok(None) => {}
            Err(error) => self.refused(&operation, &error)?,
        }
        self.settle()?;
        let now = self.model.schema(self.table()).unwrap().clone();
        let before = std::mem::replace(&mut self.schema, now);
        self.compare_schema();
        let Some((write, rows)) = overtaken else { return Ok(()) };
        let rows = converted(&before, &self.schema, &rows);
        match (write.commit().wait(), rows) {
            (Err(error), None) if error.condition() == Condition::SerializationFailure => Ok(()),
            (Ok(commit), Some(rows)) => {
                let operation = Operation::Insert(self.table(), rows);
                self.model.apply(commit.seq, &operation).unwrap();
                Ok(())
            }
            (Err(error), Some(rows)) if error.condition() == Condition::UniqueViolation => {
                self.refused(&Operation::Insert(self.table(), rows), &error)
            }
            (Ok(_), None) => panic!("{before:?} is not {:?}", self.schema),
            (Err(error), rows) => {
                let operation = Operation::Insert(self.table(), rows.unwrap_or_default());
                self.pending.push_back((handle_of_nothing(self.engine()), operation));
                Err(Stop::from(error))
            }
        }
    }

    fn compare_schema(&self) {
        let snapshot = self.engine().snapshot();
        let found = snapshot.catalog().table_by_id(self.table()).unwrap();
        assert_eq!(columns_of(found), columns_of(&self.schema));
        assert_eq!(found.free_column_id(), self.schema.free_column_id());
    }

    fn begin_insert(&mut self) -> Result<Option<(TableWrite, Vec<Row>)>, Stop> {
        let seed = self.below(u64::MAX);
        let rows = from_seed(&rows_for(&self.schema, 4), seed);
        let snapshot = self.engine().snapshot();
        let mut write = self.engine().write(&snapshot, self.table(), WriteMode::Insert(OnConflict::Error))?;
        match write.insert(batch_with_nulls(&self.schema, &rows)) {
            Ok(()) if rows.is_empty() => Ok(None),
            Ok(()) => Ok(Some((write, rows))),
            Err(error) if error.condition() == Condition::NotNullViolation => Ok(None),
            // A staged statement looks for keys as its rows arrive.
            Err(error) if error.condition() == Condition::UniqueViolation => Ok(None),
            Err(error) => Err(Stop::from(error)),
        }
    }

    /// Up to two changes that make sense one after the other.
    fn alterations(&mut self) -> Vec<Alteration> {
        let mut schema = self.schema.clone();
        let mut changes = Vec::new();
        for _ in 0..=self.below(2) {
            let Some(change) = self.alteration(&schema) else { continue };
            schema = altered(&schema, &change);
            changes.push(change);
        }
        changes
    }

    fn alteration(&mut self, schema: &TableSchema) -> Option<Alteration> {
        let seed = self.below(u64::MAX);
        let pick = usize::try_from(self.below(schema.columns.len() as u64)).unwrap();
        let column = schema.columns[pick].clone();
        self.names += 1;
        let number = self.names;
        Some(match self.below(6) {
            0 | 1 => {
                let data_type = from_seed(&data_types(), seed);
                let value = canonical(from_seed(&values_of(&data_type), seed));
                Alteration::Add(Column {
                    id: schema.free_column_id().unwrap(),
                    name: format!("n{number}"),
                    data_type,
                    collation: 0,
                    nullable: self.below(4) > 0,
                    initial_default: if self.below(4) == 0 { Value::Null } else { value },
                    write_default: None,
                })
            }
            2 if !is_needed(schema, column.id) && schema.columns.len() > 1 => Alteration::Drop(column.id),
            3 => Alteration::Rename(column.id, format!("r{number}")),
            4 if !schema.is_key_column(column.id) => Alteration::Nullable(column.id, !column.nullable),
            _ => {
                let is_key = schema.is_key_column(column.id);
                let wider = wider_types(&column.data_type)
                    .into_iter()
                    .filter(|wider| !is_key || column.data_type.keeps_keys_as(wider))
                    .filter(|wider| {
                        // Rows cannot be sorted by more digits.
                        !schema.options.needs(column.id) || !matches!(wider, DataType::Numeric { precision: 39.., .. })
                    });
                let wider: Vec<DataType> = wider.collect();
                let wider = wider.get(usize::try_from(number).unwrap() % wider.len().max(1))?.clone();
                Alteration::Widen(column.id, wider)
            }
        })
    }

    fn compare(&self) -> Result<(), Stop> {
        self.compare_snapshot(&self.engine().snapshot(), self.model.last_seq())?;
        self.held.iter().try_for_each(|(held, seq)| self.compare_snapshot(held, *seq))
    }

    fn compare_snapshot(&self, snapshot: &Snapshot, seq: CommitSeq) -> Result<(), Stop> {
        let scanned = try_scan(snapshot, self.table())?;
        let rows: Vec<Row> = scanned.iter().map(|(_, row)| row.clone()).collect();
        assert_same_rows(&format!("at {seq}"), &self.model.rows_at(self.table(), seq), &rows);
        Ok(check_keys_of(snapshot, self.table(), &scanned)?)
    }
}

/// Whether a column cannot be dropped.
fn is_needed(schema: &TableSchema, column: ColumnId) -> bool {
    schema.is_key_column(column) || schema.options.needs(column)
}

/// The machine failed; only a crash goes on from here.
#[derive(Debug)]
struct Stop;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<&Error> for Stop {
    fn from(error: &Error) -> Self {
        let condition = error.condition();
        let failed_machine = matches!(condition, Condition::Poisoned | Condition::IoError | Condition::AdminShutdown);
        assert!(failed_machine, "{condition:?}: {error} {:?}", std::error::Error::source(error));
        Self
    }
}

fn is_ddl(operation: &Operation) -> bool {
    matches!(operation, Operation::Truncate(_) | Operation::Alter(..))
}

/// As text: NaN is not equal to itself.
fn columns_of(schema: &TableSchema) -> String {
    format!("{:?}", schema.columns)
}

/// A schema after one change.
fn altered(schema: &TableSchema, change: &Alteration) -> TableSchema {
    let mut scratch = Model::new();
    let (first, second) = (next(CommitSeq::ZERO), next(next(CommitSeq::ZERO)));
    scratch.apply(first, &Operation::CreateTable(schema.clone())).unwrap();
    scratch.apply(second, &Operation::Alter(schema.id, vec![change.clone()])).unwrap();
    scratch.schema(schema.id).unwrap().clone()
}

/// As it is stored: one NaN, no -0.0.
fn canonical(value: Value) -> Value {
    match value {
        Value::Float(v) => Value::Float(if v.is_nan() { f64::NAN } else { v + 0.0 }),
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        other => other,
    }
}

/// As SQL would say it.
fn action(schema: &TableSchema, change: &Alteration) -> AlterAction {
    let name = |id: &ColumnId| schema.column(*id).unwrap().name.clone();
    match change {
        Alteration::Add(new) => AlterAction::AddColumn {
            column: NewColumn {
                initial_default: new.initial_default.clone(),
                ..column(&new.name, new.data_type.clone(), new.nullable)
            },
            if_not_exists: false,
        },
        Alteration::Drop(id) => AlterAction::DropColumn { name: name(id), if_exists: false },
        Alteration::Rename(id, to) => AlterAction::RenameColumn { from: name(id), to: to.clone() },
        Alteration::Widen(id, data_type) => AlterAction::SetType { column: name(id), data_type: data_type.clone() },
        Alteration::Nullable(id, nullable) => AlterAction::SetNullable { column: name(id), nullable: *nullable },
    }
}

/// Types that hold every value of this one, as far as tests can show them.
fn wider_types(data_type: &DataType) -> Vec<DataType> {
    let numeric = |precision, scale| DataType::Numeric { precision, scale };
    match data_type {
        DataType::Int2 => vec![DataType::Int4, DataType::Int8, numeric(9, 4), numeric(38, 10)],
        DataType::Int4 => vec![DataType::Int8, numeric(10, 0), numeric(38, 10)],
        DataType::Int8 => vec![numeric(19, 0), numeric(38, 10)],
        DataType::Float4 => vec![DataType::Float8],
        DataType::Varchar { length } => vec![DataType::Varchar { length: length + 5 }, DataType::Text],
        DataType::Numeric { precision, scale } if *precision <= 30 => {
            vec![numeric(precision + 1, *scale), numeric(precision + 8, scale + 5)]
        }
        _ => Vec::new(),
    }
}

/// Rows that were made for one schema, in a later one; `None` if they cannot be brought there.
fn converted(before: &TableSchema, after: &TableSchema, rows: &[Row]) -> Option<Vec<Row>> {
    let convert = |row: &Row| {
        let value = |column: &Column| {
            let value = match before.position(column.id) {
                Some(position) => row[position].widened(&column.data_type).unwrap(),
                None => column.initial_default.clone(),
            };
            (column.nullable || value != Value::Null).then_some(value)
        };
        after.columns.iter().map(value).collect::<Option<Row>>()
    };
    // A column that allows no NULL and has no value is refused even if there is no row to fill.
    let missing = |column: &Column| {
        before.column(column.id).is_none() && !column.nullable && column.initial_default == Value::Null
    };
    if before.version != after.version && after.columns.iter().any(missing) {
        return None;
    }
    rows.iter().map(convert).collect()
}

/// Stands for an answer that was taken already.
fn handle_of_nothing(engine: &Engine) -> CommitHandle {
    engine.ddl(Ddl::Truncate(Vec::new()))
}

fn next(seq: CommitSeq) -> CommitSeq {
    seq.next().unwrap()
}

/// A batch that may have NULLs where the schema allows none.
fn batch_with_nulls(schema: &TableSchema, rows: &[Row]) -> arrow_array::RecordBatch {
    let mut lax = schema.clone();
    lax.columns.iter_mut().for_each(|column| column.nullable = true);
    outcrop_testkit::batch_of(&lax, rows)
}

fn run(seed: u64, options: EngineOptions, shape: StepsShape) {
    run_world(World::new(seed, options), seed, shape);
}

/// As [`run`], with a consumer of the feed.
fn run_followed(seed: u64, options: EngineOptions, shape: StepsShape) {
    let mut world = World::new(seed, options);
    world.follower = Some(Follower::new(world.engine(), world.table()));
    run_world(world, seed, shape);
}

fn run_world(mut world: World, seed: u64, shape: StepsShape) {
    let steps = from_seed(&steps(&world.schema, shape), seed);
    world.run(steps);
}

/// As `run`, with changes of the schema between.
fn run_altering(seed: u64, options: EngineOptions, count: u64) {
    let mut world = World::new(seed, options);
    if seed % 2 == 1 {
        world.follower = Some(Follower::new(world.engine(), world.table()));
    }
    for number in 0..count {
        if world.below(3) == 0 {
            let changes = world.alterations();
            let outcome = world.alter(changes);
            world.after_step(outcome.is_err());
        } else {
            let shape = StepsShape { steps_max: 1, rows_max: 6 };
            let steps = from_seed(&steps(&world.schema, shape), seed.wrapping_mul(1_000) + number);
            steps.into_iter().for_each(|step| world.step(step));
        }
    }
    world.finish();
}

#[test]
fn altered_tables_do_what_the_model_does_whatever_fails() {
    for_each_seed("altered_tables_do_what_the_model_does_whatever_fails", 30, |seed| {
        let mut options = tiny();
        if seed.is_multiple_of(3) {
            options.commit_inline_bytes_max = 100;
        }
        run_altering(seed, options, 30);
    });
}

#[test]
fn the_engine_does_what_the_model_does_whatever_fails() {
    for_each_seed("the_engine_does_what_the_model_does_whatever_fails", 60, |seed| {
        run(seed, tiny(), StepsShape { steps_max: 60, rows_max: 8 });
    });
}

#[test]
fn staged_statements_do_what_the_model_does() {
    for_each_seed("staged_statements_do_what_the_model_does", 40, |seed| {
        let mut options = tiny();
        options.commit_inline_bytes_max = 100;
        options.flush_rows_max = 5;
        run(seed, options, StepsShape { steps_max: 40, rows_max: 12 });
    });
}

#[test]
fn statements_in_memory_do_what_the_model_does() {
    for_each_seed("statements_in_memory_do_what_the_model_does", 40, |seed| {
        run(seed, roomy(), StepsShape { steps_max: 60, rows_max: 8 });
    });
}

#[test]
fn a_feed_shows_what_the_model_does_whatever_fails() {
    for_each_seed("a_feed_shows_what_the_model_does_whatever_fails", 30, |seed| {
        run_followed(seed, tiny(), StepsShape { steps_max: 60, rows_max: 8 });
    });
}

#[test]
fn a_feed_shows_staged_statements_as_the_model_does() {
    for_each_seed("a_feed_shows_staged_statements_as_the_model_does", 20, |seed| {
        let mut options = tiny();
        options.commit_inline_bytes_max = 100;
        options.flush_rows_max = 5;
        run_followed(seed, options, StepsShape { steps_max: 40, rows_max: 12 });
    });
}

fn has_distinct_keys(schema: &TableSchema, rows: &[Row]) -> bool {
    let keys: BTreeSet<Key> = rows.iter().map(|row| Key(key_values(schema, row))).collect();
    schema.primary_key().is_some() && keys.len() == rows.len()
}
