//! The whole engine: one table with a key, a feed cursor, other tables that come and go, flushes, compactions, checkpoints.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use outcrop_engine::{Ddl, Engine, EngineOptions, FeedTables, OnConflict, WriteMode};
use outcrop_env::{Env, Sim};
use outcrop_types::{CommitSeq, Result, TableId};

use super::driver::Workload;
use crate::draw::Draw;
use crate::statements::{Pairs, check_index, keyed, name, pairs, row, scan, send, send_delete, tiny};

/// A short life of an engine, made from a seed.
#[derive(Debug)]
pub struct EngineWorkload {
    steps: Vec<Step>,
    /// What is there after each number of steps, by a model.
    states: Vec<Shown>,
    options: EngineOptions,
    /// Positions of the cursor after each step, where there is one; filled by the run.
    cursor: RefCell<Vec<Option<CommitSeq>>>,
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<i64>),
    Upsert(Vec<i64>, &'static str),
    Delete(Vec<i64>),
    Truncate,
    CreateOther(String),
    DropOther(String),
    Flush,
    Compact,
    Checkpoint,
    /// Makes the cursor, or moves it to the newest commit.
    Cursor,
    /// Workers run.
    Idle(usize),
}

/// What a start shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Rows of the table, if it is there.
    rows: Option<Pairs>,
    others: BTreeSet<String>,
}

impl EngineWorkload {
    /// The life of a seed.
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let mut options = tiny();
        options.compaction_in_background = draw.below(3) == 0;
        options.commit_inline_bytes_max = if draw.below(3) == 0 { 200 } else { 4_000 };
        options.flush_rows_max = draw.pick(&[5, 20, 50]);
        let (mut steps, mut states) = (Vec::new(), vec![Shown::default()]);
        let mut state = Shown { rows: Some(Pairs::new()), ..Shown::default() };
        states.push(state.clone());
        for _ in 0..3 + draw.below(9) {
            let step = step(&mut draw, &state);
            apply(&step, &mut state);
            steps.push(step);
            states.push(state.clone());
        }
        Self { steps, states, options, cursor: RefCell::default() }
    }

    fn take(&self, engine: &Engine, sim: &Sim, table: TableId, step: &Step) -> Result<()> {
        let rows = |ids: &[i64], value: &str| ids.iter().map(|id| row(*id, value)).collect::<Vec<_>>();
        match step {
            Step::Insert(ids) => {
                send(engine, table, WriteMode::Insert(OnConflict::Error), &rows(ids, "new"))?.wait().map(drop)
            }
            Step::Upsert(ids, value) => send(engine, table, WriteMode::Upsert, &rows(ids, value))?.wait().map(drop),
            Step::Delete(ids) => send_delete(engine, table, ids)?.wait().map(drop),
            Step::Truncate => engine.ddl(Ddl::Truncate(vec![name("t")])).wait().map(drop),
            Step::CreateOther(other) => engine.ddl(Ddl::CreateTable(keyed(other))).wait().map(drop),
            Step::DropOther(other) => engine.ddl(Ddl::DropTable(name(other))).wait().map(drop),
            Step::Flush => engine.flush(None),
            Step::Compact => engine.compact(),
            Step::Checkpoint => engine.checkpoint(),
            Step::Cursor if engine.feed_cursors().is_empty() => {
                engine.create_feed_cursor("c", FeedTables::Some([table].into())).wait().map(drop)
            }
            Step::Cursor => engine.advance_feed_cursor("c", engine.snapshot().commit_seq()).wait().map(drop),
            Step::Idle(steps) => {
                sim.run_until_idle(*steps);
                Ok(())
            }
        }
    }

    /// Runs on a machine that may fail, to the first error. Says how many steps were acknowledged, or are visible. After an error reads go on, and
    /// `after_error` sees the engine.
    ///
    /// # Errors
    /// The first one.
    pub fn attempt(&self, env: &Env, sim: &Sim, after_error: impl FnOnce(&Engine)) -> (usize, Result<()>) {
        self.cursor.borrow_mut().clear();
        let engine = match Engine::open(env, self.options.clone()) {
            Ok(engine) => engine,
            Err(error) => return (0, Err(error)),
        };
        let mut acknowledged = 0;
        let mut run = || -> Result<()> {
            engine.ddl(Ddl::CreateTable(keyed("t"))).wait()?;
            let table = engine.snapshot().catalog().table(&name("t")).expect("it was created").id;
            acknowledged += 1;
            self.cursor.borrow_mut().push(None);
            for step in &self.steps {
                self.take(&engine, sim, table, step)?;
                acknowledged += 1;
                self.cursor.borrow_mut().push(engine.feed_cursors().first().map(|cursor| cursor.position));
            }
            Ok(())
        };
        let outcome = run();
        if outcome.is_err() {
            after_error(&engine);
            let shown = shown(&engine);
            let mut possible = self.states.iter().skip(acknowledged).take(2);
            assert!(possible.any(|state| *state == shown), "{:?} is not read: {shown:?}", self.states[acknowledged]);
            // What is visible is durable (E1), answered or not.
            acknowledged += usize::from(shown != self.states[acknowledged]);
        }
        let outcome = outcome.and_then(|()| engine.close());
        (acknowledged, outcome)
    }

    fn open_and_check(&self, env: &Env, acknowledged: usize) -> (Engine, Shown) {
        let engine = Engine::open(env, self.options.clone()).unwrap_or_else(|error| panic!("no start: {error}"));
        let shown = shown(&engine);
        let mut possible = self.states.iter().skip(acknowledged).take(2);
        assert!(possible.any(|state| *state == shown), "{:?} is not there: {shown:?}", self.states.get(acknowledged));
        let known = acknowledged.checked_sub(1).and_then(|last| self.cursor.borrow().get(last).copied().flatten());
        if let Some(position) = known {
            let cursors = engine.feed_cursors();
            assert!(cursors.iter().any(|cursor| cursor.position >= position), "cursor at {position}: {cursors:?}");
        }
        (engine, shown)
    }
}

fn step(draw: &mut Draw, state: &Shown) -> Step {
    let rows = state.rows.clone().unwrap_or_default();
    let some = |draw: &mut Draw, most: u64| {
        let count = 1 + draw.below(most);
        (0..count).map(|_| i64::try_from(draw.below(40)).unwrap_or(0)).collect::<BTreeSet<i64>>()
    };
    match draw.below(16) {
        0..=2 => {
            let ids: Vec<i64> = some(draw, 8).into_iter().filter(|id| !rows.contains_key(id)).collect();
            if ids.is_empty() { Step::Flush } else { Step::Insert(ids) }
        }
        3..=5 => Step::Upsert(some(draw, 8).into_iter().collect(), draw.pick(&["a", "b", "longer than the others"])),
        6 => Step::Upsert((0..30).collect(), "many"),
        7 | 8 => Step::Delete(some(draw, 12).into_iter().collect()),
        9 => Step::Truncate,
        10 => {
            let other = format!("o{}", draw.below(3));
            if state.others.contains(&other) { Step::DropOther(other) } else { Step::CreateOther(other) }
        }
        11 => Step::Compact,
        12 => Step::Checkpoint,
        13 => Step::Cursor,
        14 => Step::Idle(1 + usize::try_from(draw.below(30)).unwrap_or(0)),
        _ => Step::Flush,
    }
}

/// What a step does, by the model.
fn apply(step: &Step, state: &mut Shown) {
    let Some(rows) = &mut state.rows else { return };
    match step {
        Step::Insert(ids) => rows.extend(ids.iter().map(|id| (*id, "new".to_owned()))),
        Step::Upsert(ids, value) => rows.extend(ids.iter().map(|id| (*id, (*value).to_owned()))),
        Step::Delete(ids) => rows.retain(|id, _| !ids.contains(id)),
        Step::Truncate => rows.clear(),
        Step::CreateOther(other) => {
            state.others.insert(other.clone());
        }
        Step::DropOther(other) => {
            state.others.remove(other);
        }
        Step::Flush | Step::Compact | Step::Checkpoint | Step::Cursor | Step::Idle(_) => {}
    }
}

/// Everything in the database; scan, key path and addresses agree.
fn shown(engine: &Engine) -> Shown {
    let snapshot = engine.snapshot();
    let mut shown = Shown::default();
    for other in ["o0", "o1", "o2"] {
        if snapshot.catalog().table(&name(other)).is_some() {
            shown.others.insert(other.to_owned());
        }
    }
    if let Some(table) = snapshot.catalog().table(&name("t")) {
        let rows = scan(&snapshot, table.id).unwrap_or_else(|error| panic!("scan: {error}"));
        check_index(&snapshot, table.id, &rows).unwrap_or_else(|error| panic!("look-up: {error}"));
        shown.rows = Some(pairs(&rows));
    }
    shown
}

impl Workload for EngineWorkload {
    type Shown = Shown;

    fn run(&self, env: &Env, sim: &Sim, acknowledged: &mut dyn FnMut()) {
        let engine = Engine::open(env, self.options.clone()).expect("a sound disk");
        engine.ddl(Ddl::CreateTable(keyed("t"))).wait().expect("a sound disk");
        let table = engine.snapshot().catalog().table(&name("t")).expect("it was created").id;
        let mut acknowledge = || {
            self.cursor.borrow_mut().push(engine.feed_cursors().first().map(|cursor| cursor.position));
            acknowledged();
        };
        acknowledge();
        for (number, step) in self.steps.iter().enumerate() {
            self.take(&engine, sim, table, step).unwrap_or_else(|error| panic!("{step:?}: {error}"));
            assert_eq!(shown(&engine), self.states[number + 2], "after {step:?}");
            acknowledge();
        }
        engine.close().expect("a sound disk");
    }

    fn start(&self, env: &Env, _sim: &Sim, acknowledged: usize) -> Shown {
        let (engine, shown) = self.open_and_check(env, acknowledged);
        drop(engine);
        shown
    }

    fn live_on(&self, env: &Env, sim: &Sim, acknowledged: usize) {
        let (engine, mut wanted) = self.open_and_check(env, acknowledged);
        let found = engine.snapshot().catalog().table(&name("t")).map(|table| table.id);
        if let (Some(table), Some(rows)) = (found, &mut wanted.rows) {
            send(&engine, table, WriteMode::Upsert, &[row(3, "after"), row(1_000, "after")])
                .and_then(|handle| handle.wait())
                .expect("a sound disk");
            rows.extend([(3, "after".to_owned()), (1_000, "after".to_owned())]);
        }
        engine.flush(None).expect("a sound disk");
        assert_eq!(shown(&engine), wanted);
        engine.close().expect("a sound disk");
        drop(engine);
        let report = outcrop_engine::check::check(&sim.env()).expect("a sound disk");
        assert_eq!(report.problems, [], "check finds nothing");
        let engine = Engine::open(&sim.kill(), self.options.clone()).expect("a sound disk");
        assert_eq!(shown(&engine), wanted);
        for other in ["one", "two", "three"] {
            engine.ddl(Ddl::CreateTable(keyed(other))).wait().expect("a sound disk");
            engine.checkpoint().expect("a sound disk");
        }
        // Workers that are in the middle of something end it, and idle ones give space back.
        sim.advance(Duration::from_secs(2));
        sim.run_until_idle(10_000);
        if engine.feed_cursors().is_empty() {
            let files = sim.env().disk.list("segments").expect("a sound disk").len() as u64;
            let status = engine.status();
            assert_eq!(files, 2 * status.segments + status.key_runs, "files that nobody needs are gone");
        }
    }
}
