//! Starts: what was acknowledged is there, in whole commits, without gaps (P1, P2, P3).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outcrop_engine::{CommitHandle, Engine};
use outcrop_testkit::{Operation, Tables};
use outcrop_types::{Condition, Error, TableSchema};

use super::aging::Aging;
use super::faults::Verdict;
use super::life::{Life, is_open, next};
use crate::statements::{name, scan};

impl Life {
    /// Closed in good order and opened again.
    pub(super) fn reopen(&mut self) -> Result<(), Verdict> {
        self.compare()?;
        self.held.clear();
        self.consumer.iter_mut().for_each(super::consumer::Consumer::disconnect);
        let closed = self.engine().close();
        if let Err(error) = closed {
            // A full disk keeps the last checkpoint from being written, no more.
            if self.judge("the end", &error) == Verdict::Stopped {
                return Err(Verdict::Stopped);
            }
        }
        self.engine = None;
        match Engine::open(&self.sim.env(), self.options.clone()) {
            Ok(engine) => self.engine = Some(engine),
            Err(error) => {
                self.judge("a start", &error);
                self.restart(true);
            }
        }
        self.compare()
    }

    /// The process is killed, or the power fails; then it is started until it runs.
    pub(super) fn restart(&mut self, kill: bool) {
        let acknowledged = self.model.last_seq();
        let pending = std::mem::take(&mut self.pending).into_iter();
        let unanswered = pending.filter_map(|(handle, operation)| (!is_refused(handle)).then_some(operation));
        let unknown: Vec<Operation> = std::mem::take(&mut self.unknown).into_iter().chain(unanswered).collect();
        for operation in unknown {
            let seq = next(self.model.last_seq());
            let is_ddl = matches!(operation, Operation::Truncate(_) | Operation::DropTable(_));
            // Refused ones, and those without effect, are no commits, in the model as in the engine.
            if self.model.clone().apply(seq, &operation).is_ok_and(|applied| applied.rows > 0 || is_ddl) {
                self.model.apply(seq, &operation).expect("it was tried");
            }
        }
        self.held.clear();
        self.consumer.iter_mut().for_each(super::consumer::Consumer::disconnect);
        let old = self.engine.take();
        self.end_process(kill);
        drop(old);
        self.report.restarts += 1;
        let (engine, found) = self.start();
        self.adopt(&engine);
        let last = self.model.assert_prefix(&found, acknowledged);
        self.model.forget_after(last);
        self.known.retain(|seq| *seq <= last);
        self.tables.retain(|table, _| self.model.schema(*table).is_some());
        self.engine = Some(engine);
        self.resume_consumer();
    }

    fn end_process(&mut self, kill: bool) {
        if kill {
            self.sim.kill();
        } else {
            self.sim.crash();
        }
        self.trouble.restarted(&self.sim);
    }

    /// Starts until it runs and everything can be read. The power may fail again, and what lasts may keep it from starting.
    fn start(&mut self) -> (Engine, Tables) {
        for attempt in 0.. {
            if attempt < 3 && !self.is_ending && self.draw.chance(20) {
                self.trouble.may_break();
                self.sim.power_off_after(self.sim.changes() + self.draw.below(40));
            }
            let outcome = Engine::open(&self.sim.env(), self.options.clone());
            let outcome = outcome.and_then(|engine| {
                let tables = self.read_all(&engine)?;
                Ok((engine, tables))
            });
            match outcome {
                Ok(started) => return started,
                Err(error) => {
                    assert!(attempt < 8, "it never starts: {error}");
                    self.note(&error.condition().sqlstate());
                    if self.trouble.judge("a start", &error) == Verdict::Refused {
                        self.trouble.lift(&self.sim);
                        self.trouble.heal_rot(&self.sim);
                    }
                    let kill = error.condition() != Condition::IoError;
                    self.end_process(kill);
                }
            }
        }
        unreachable!("attempts have no end")
    }

    fn read_all(&self, engine: &Engine) -> Result<Tables, Error> {
        let snapshot = engine.snapshot();
        let mut found = Tables::new();
        for table in snapshot.catalog().tables().filter(|table| !Aging::is(table)) {
            found.insert(table.id, scan(&snapshot, table.id)?.into_iter().map(|(_, row)| row).collect());
        }
        Ok(found)
    }

    /// A table whose creation was not answered may be there.
    fn adopt(&mut self, engine: &Engine) {
        let Some(table) = self.creating.take() else { return };
        if let Some(schema) = engine.snapshot().catalog().table(&name(&table)) {
            let schema = TableSchema::clone(schema);
            let seq = next(self.model.last_seq());
            self.model.apply(seq, &Operation::CreateTable(schema.clone())).expect("a new table");
            self.tables.insert(schema.id, schema);
        }
    }

    /// The cursor of a consumer is where it was, unless it was ended.
    fn resume_consumer(&mut self) {
        let there = self.engine().feed_cursors().iter().any(|cursor| cursor.ended.is_none());
        if !there {
            self.consumer = None;
        }
    }
}

/// Whether a commit that nobody waited for was answered, with an error that leaves nothing open.
fn is_refused(handle: CommitHandle) -> bool {
    let refused = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&refused);
    handle.on_done(move |outcome| told.store(outcome.is_err_and(|error| !is_open(&error)), Ordering::Release));
    refused.load(Ordering::Acquire)
}
