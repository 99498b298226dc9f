//! Who does something in a life: each is one short action, chosen by weight.

use std::time::Duration;

use outcrop_engine::{Ddl, OnConflict, WriteMode};
use outcrop_testkit::{Operation, Row};
use outcrop_types::{TableId, TableSchema, Value};

use super::faults::Verdict;
use super::life::Life;
use crate::statements::{keyed, keys, name, row, scan, send, send_delete};

type Act = fn(&mut Life) -> Result<(), Verdict>;

/// A writer that waits for nothing, one that does; readers; DDL; the keeper; the consumer; time.
const ALL: [Act; 14] = [
    Life::insert,
    Life::upsert,
    Life::upsert,
    Life::delete,
    Life::update,
    Life::ddl,
    Life::flush,
    Life::compact,
    Life::checkpoint,
    Life::hold,
    Life::compare,
    Life::consume,
    Life::pass_time,
    Life::stop,
];

/// How many actors there are.
pub(super) const ACTORS: usize = ALL.len();

impl Life {
    /// One actor does one thing.
    pub(super) fn act(&mut self) -> Result<(), Verdict> {
        let mut number = self.draw.below(self.weights.iter().sum());
        for (act, weight) in ALL.iter().zip(self.weights.clone()) {
            if number < weight {
                return act(self);
            }
            number -= weight;
        }
        Ok(())
    }

    /// A table to write to; `None` if there is none and none could be made.
    fn some_table(&mut self) -> Result<Option<TableId>, Verdict> {
        if self.tables.is_empty() {
            self.create()?;
        }
        let tables: Vec<TableId> = self.tables.keys().copied().collect();
        Ok(if tables.is_empty() { None } else { Some(self.draw.pick(&tables)) })
    }

    fn some_rows(&mut self) -> Vec<Row> {
        let count = if self.draw.chance(10) { 60 } else { 1 + self.draw.below(8) };
        let length = self.draw.pick(&[1, 5, 40, 200]);
        let mut ids: Vec<i64> = (0..count).map(|_| i64::try_from(self.draw.below(120)).unwrap_or(0)).collect();
        ids.sort_unstable();
        ids.dedup();
        let letter = char::from(b'a' + u8::try_from(self.draw.below(26)).unwrap_or(0));
        ids.into_iter().map(|id| row(id, &letter.to_string().repeat(length))).collect()
    }

    fn insert(&mut self) -> Result<(), Verdict> {
        let Some(table) = self.some_table()? else { return Ok(()) };
        let mut rows = self.some_rows();
        if self.draw.chance(60) {
            let shift = 1_000 + i64::try_from(self.draw.below(10_000)).unwrap_or(0) * 1_000;
            rows.iter_mut().for_each(|row| row[0] = Value::Int(crate::statements::id_of(row) + shift));
        }
        self.write(Operation::Insert(table, rows))
    }

    fn upsert(&mut self) -> Result<(), Verdict> {
        let Some(table) = self.some_table()? else { return Ok(()) };
        let rows = self.some_rows();
        self.write(Operation::Upsert(table, rows))
    }

    fn delete(&mut self) -> Result<(), Verdict> {
        let Some(table) = self.some_table()? else { return Ok(()) };
        let from = i64::try_from(self.draw.below(120)).unwrap_or(0);
        let count = i64::try_from(1 + self.draw.below(40)).unwrap_or(1);
        self.write(Operation::DeleteByKey(table, (from..from + count).map(|id| vec![Value::Int(id)]).collect()))
    }

    /// Changes rows by address; flushes and compactions may move them between the read and the write.
    fn update(&mut self) -> Result<(), Verdict> {
        let Some(table) = self.some_table()? else { return Ok(()) };
        self.settle()?;
        let key = i64::try_from(self.draw.below(120)).unwrap_or(0);
        let engine = self.engine().clone();
        let snapshot = engine.snapshot();
        let Some(found) = snapshot.table(table) else { return Ok(()) };
        let column = self.tables[&table].columns[1].id;
        let operation =
            Operation::UpdateByKey(table, vec![Value::Int(key)], vec![(column, Value::Text("updated".to_owned()))]);
        let addresses = found.lookup(&keys(&snapshot, table, &[key]));
        let addresses = addresses.map_err(|error| self.judge("a look-up", &error))?;
        let Some(address) = addresses.first().copied().flatten() else { return Ok(()) };
        let outcome = engine.write(&snapshot, table, WriteMode::Change(None)).and_then(|mut write| {
            for _ in 0..self.draw.below(20) {
                self.sim.step();
            }
            write.update(&[address], crate::statements::batch(&snapshot, table, &[row(key, "updated")]))?;
            Ok(write.commit())
        });
        match outcome {
            Ok(handle) => {
                self.pending.push_back((handle, operation));
                self.settle()
            }
            Err(error) => self.refused(operation, &error),
        }
    }

    /// Sends a statement; its answer is waited for now or later.
    fn write(&mut self, operation: Operation) -> Result<(), Verdict> {
        let engine = self.engine().clone();
        let sent = match &operation {
            Operation::Insert(table, rows) => send(&engine, *table, WriteMode::Insert(OnConflict::Error), rows),
            Operation::Upsert(table, rows) => send(&engine, *table, WriteMode::Upsert, rows),
            Operation::DeleteByKey(table, keys) => {
                send_delete(&engine, *table, &keys.iter().map(crate::statements::id_of).collect::<Vec<_>>())
            }
            other => unreachable!("{other:?} is sent by others"),
        };
        match sent {
            Ok(handle) => self.pending.push_back((handle, operation)),
            Err(error) => {
                self.settle()?;
                return self.refused(operation, &error);
            }
        }
        if self.draw.chance(40) { self.settle() } else { Ok(()) }
    }

    fn ddl(&mut self) -> Result<(), Verdict> {
        match self.draw.below(5) {
            0 | 1 if self.tables.len() < 4 => self.create(),
            2 if self.tables.len() > 1 => {
                let Some(table) = self.some_table()? else { return Ok(()) };
                self.settle()?;
                let handle = self.engine().ddl(Ddl::DropTable(self.tables[&table].name.clone()));
                self.pending.push_back((handle, Operation::DropTable(table)));
                self.settle()
            }
            _ => {
                let Some(table) = self.some_table()? else { return Ok(()) };
                let handle = self.engine().ddl(Ddl::Truncate(vec![self.tables[&table].name.clone()]));
                self.pending.push_back((handle, Operation::Truncate(table)));
                Ok(())
            }
        }
    }

    fn create(&mut self) -> Result<(), Verdict> {
        self.settle()?;
        self.names += 1;
        let table = format!("t{}", self.names);
        match self.engine().ddl(Ddl::CreateTable(keyed(&table))).wait() {
            Ok(commit) => {
                let snapshot = self.engine().snapshot();
                let schema = snapshot.catalog().table(&name(&table)).expect("it was created");
                let schema = TableSchema::clone(schema);
                self.known.insert(commit.seq);
                self.model.apply(commit.seq, &Operation::CreateTable(schema.clone())).expect("a new table");
                self.tables.insert(schema.id, schema);
                Ok(())
            }
            Err(error) => match self.judge("CREATE TABLE", &error) {
                Verdict::Refused => Ok(()),
                Verdict::Stopped => {
                    self.creating = Some(table);
                    Err(Verdict::Stopped)
                }
            },
        }
    }

    fn flush(&mut self) -> Result<(), Verdict> {
        let outcome = self.engine().flush(None);
        outcome.map_err(|error| self.judge("a flush", &error))
    }

    fn compact(&mut self) -> Result<(), Verdict> {
        let outcome = self.engine().compact();
        outcome.map_err(|error| self.judge("a compaction", &error))
    }

    fn checkpoint(&mut self) -> Result<(), Verdict> {
        let outcome = self.engine().checkpoint();
        outcome.map_err(|error| self.judge("a checkpoint", &error))
    }

    /// A reader takes a snapshot and keeps it, or lets one go.
    fn hold(&mut self) -> Result<(), Verdict> {
        self.settle()?;
        if self.held.len() >= 3 || self.draw.chance(30) {
            if !self.held.is_empty() {
                let gone = self.draw.below(self.held.len() as u64);
                drop(self.held.swap_remove(usize::try_from(gone).unwrap_or(0)));
            }
            return Ok(());
        }
        let snapshot = self.engine().snapshot();
        self.held.push((snapshot, self.model.last_seq()));
        Ok(())
    }

    /// Time passes, workers run; rows grow old.
    fn pass_time(&mut self) -> Result<(), Verdict> {
        let seconds = self.draw.pick(&[0, 1, 61, 700]);
        self.sim.advance(Duration::from_secs(seconds));
        let steps = self.draw.below(60);
        self.sim.run_until_idle(usize::try_from(steps).unwrap_or(0));
        let Some(mut aging) = self.aging.take() else { return Ok(()) };
        let engine = self.engine().clone();
        let outcome = aging.write(&engine, &self.sim, &mut self.draw);
        drop(engine);
        self.aging = Some(aging);
        outcome.map_err(|error| self.judge("a write of aging rows", &error))
    }

    /// The process ends, in good order, by a kill, or by a power cut.
    fn stop(&mut self) -> Result<(), Verdict> {
        match self.draw.below(6) {
            0 | 1 => self.reopen(),
            2 | 3 => {
                self.restart(true);
                Ok(())
            }
            4 => {
                self.restart(false);
                Ok(())
            }
            _ => {
                let Some(table) = self.some_table()? else { return Ok(()) };
                let snapshot = self.engine().snapshot();
                let rows = scan(&snapshot, table).map_err(|error| self.judge("a scan", &error))?;
                self.note(&rows.len());
                Ok(())
            }
        }
    }
}
