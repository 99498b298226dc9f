//! The engine against the model database: random statements, flushes at every moment, crashes at every operation.

use std::sync::Arc;

use std::collections::VecDeque;

use outcrop_engine::{CommitHandle, Ddl, Engine, EngineOptions, OnConflict, Snapshot, WriteMode};
use outcrop_env::{Env, Sim};
use outcrop_testkit::generate::{SchemaShape, Step, StepsShape, from_seed, schemas, steps};
use outcrop_testkit::seed::for_each_seed;
use outcrop_testkit::{Model, Operation, Row, Violation, assert_same_rows};
use outcrop_types::{ColumnId, CommitSeq, Condition, Error, TableId, TableSchema, Value};

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
    random: u64,
}

impl World {
    fn new(seed: u64, options: EngineOptions) -> Self {
        let (env, sim) = Env::simulated(seed);
        let (columns, key_columns) = if seed % 8 == 7 { (1..=4, 0..=0) } else { (0..=4, 1..=2) };
        let shape = SchemaShape { table: TableId::new(1), columns, key_columns };
        let mut schema = from_seed(&schemas(shape), seed);
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
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
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
        for step in steps {
            let outcome = match step {
                Step::Change(operation) => self.change(operation),
                Step::Flush if self.below(3) == 0 => self.engine().compact().map_err(Stop::from),
                Step::Flush => self.engine().flush(None).map_err(Stop::from),
                Step::Snapshot => self.hold(),
                Step::Crash => Err(Stop),
                Step::Reopen => self.reopen(),
            };
            if outcome.is_err() {
                self.crash();
            }
            if self.below(4) == 0 {
                // The power will fail at one of the next changes of the disk.
                let after = self.sim.changes() + self.below(60);
                self.sim.power_off_after(after);
            }
            let steps = self.below(6);
            (0..steps).for_each(|_| {
                self.sim.step();
            });
        }
        while self.settle().and_then(|()| self.compare()).is_err() {
            self.crash();
        }
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
                    let applied = self.model.apply(commit.seq, &operation);
                    let applied = applied.unwrap_or_else(|violation| panic!("{operation:?} should meet {violation:?}"));
                    if !matches!(operation, Operation::Truncate(_)) {
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
        let last = self.model.assert_prefix(&found, acknowledged);
        self.model.forget_after(last);
        self.engine = Some(engine);
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
    matches!(operation, Operation::Truncate(_))
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
    let mut world = World::new(seed, options);
    let steps = from_seed(&steps(&world.schema, shape), seed);
    world.run(steps);
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

fn has_distinct_keys(schema: &TableSchema, rows: &[Row]) -> bool {
    let keys: BTreeSet<Key> = rows.iter().map(|row| Key(key_values(schema, row))).collect();
    schema.primary_key().is_some() && keys.len() == rows.len()
}
