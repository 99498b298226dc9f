//! One life: what it knows, and its course.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use outcrop_engine::{CommitHandle, Ddl, Engine, EngineOptions, Snapshot};
use outcrop_env::{Env, Sim, reached};
use outcrop_testkit::{Model, Operation, assert_same_rows};
use outcrop_types::{CommitSeq, Condition, Error, TableId, TableSchema};

use super::aging::Aging;
use super::consumer::Consumer;
use super::faults::{FaultClass, Trouble, Verdict};
use crate::draw::Draw;
use crate::statements::{check_index, keyed, name, scan, tiny};

/// What a life did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// A hash of every call of the disk.
    pub trace: u64,
    /// A hash of every answer.
    pub answers: u64,
    /// Answered commits.
    pub commits: u64,
    /// Refused statements.
    pub refused: u64,
    /// Whole comparisons with the model.
    pub compared: u64,
    /// Starts after a kill or a power cut.
    pub restarts: u64,
    /// Faults by class.
    pub faults: BTreeMap<FaultClass, u64>,
    /// Marks in the code that were reached.
    pub marks: BTreeMap<&'static str, u64>,
}

/// What many lives did together.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    commits: u64,
    refused: u64,
    compared: u64,
    restarts: u64,
    faults: BTreeMap<FaultClass, u64>,
    /// Marks that were reached.
    pub marks: BTreeMap<&'static str, u64>,
}

impl Lives {
    /// Adds one.
    pub fn add(&mut self, report: &Report) {
        self.commits += report.commits;
        self.refused += report.refused;
        self.compared += report.compared;
        self.restarts += report.restarts;
        report.faults.iter().for_each(|(class, count)| *self.faults.entry(*class).or_default() += count);
        report.marks.iter().for_each(|(mark, count)| *self.marks.entry(mark).or_default() += count);
    }
}

impl fmt::Display for Lives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} commits, {} refused, {} comparisons, {} starts; faults {:?}; {} marks reached",
            self.commits,
            self.refused,
            self.compared,
            self.restarts,
            self.faults,
            self.marks.len()
        )
    }
}

/// Lives the life of a seed.
///
/// # Panics
/// When anything is lost, wrong or unexplained.
pub fn live(seed: u64) -> Report {
    live_with(seed, None)
}

/// As [`live`], with one class of faults, often.
///
/// # Panics
/// As [`live`].
pub fn live_with(seed: u64, only: Option<FaultClass>) -> Report {
    reached::take();
    let mut life = Life::new(seed);
    if let Some(class) = only {
        (life.classes, life.strike_percent) = (vec![class], 30);
    }
    for _ in 0..life.turns {
        life.turn();
    }
    life.end();
    let mut report = life.report;
    report.trace = life.sim.trace_hash();
    report.answers = life.answers.finish();
    report.marks = reached::take();
    report
}

pub(super) struct Life {
    pub(super) sim: Sim,
    pub(super) engine: Option<Engine>,
    pub(super) options: EngineOptions,
    pub(super) draw: Draw,
    pub(super) trouble: Trouble,
    classes: Vec<FaultClass>,
    /// How often one strikes, of a hundred turns.
    strike_percent: u64,
    turns: u64,
    /// How often each actor comes, in the order of `actors`.
    pub(super) weights: Vec<u64>,
    pub(super) model: Model,
    pub(super) tables: BTreeMap<TableId, TableSchema>,
    /// Sent, and not answered yet.
    pub(super) pending: VecDeque<(CommitHandle, Operation)>,
    /// Sent, and answered with an error that leaves open what became of them.
    pub(super) unknown: Vec<Operation>,
    /// A table whose creation was not answered.
    pub(super) creating: Option<String>,
    pub(super) held: Vec<(Snapshot, CommitSeq)>,
    pub(super) consumer: Option<Consumer>,
    /// Commits whose numbers were told.
    pub(super) known: BTreeSet<CommitSeq>,
    pub(super) aging: Option<Aging>,
    pub(super) names: u64,
    /// No more faults.
    pub(super) is_ending: bool,
    pub(super) report: Report,
    answers: DefaultHasher,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let (env, sim) = Env::simulated(seed);
        let options = limits(&mut draw);
        let mut classes = FaultClass::ALL.to_vec();
        while classes.len() as u64 > seed % 3 {
            let gone = draw.below(classes.len() as u64);
            classes.remove(usize::try_from(gone).unwrap_or(0));
        }
        let engine = Engine::open(&env, options.clone()).expect("a sound disk");
        let weights = (0..super::actors::ACTORS).map(|_| draw.pick(&[1, 2, 2, 4])).collect();
        let mut life = Self {
            sim,
            engine: Some(engine),
            options,
            trouble: Trouble::default(),
            classes,
            strike_percent: 8,
            turns: 20 + draw.below(80),
            weights,
            model: Model::new(),
            tables: BTreeMap::new(),
            pending: VecDeque::new(),
            unknown: Vec::new(),
            creating: None,
            held: Vec::new(),
            consumer: None,
            known: BTreeSet::new(),
            aging: None,
            names: 0,
            is_ending: false,
            report: Report::default(),
            answers: DefaultHasher::new(),
            draw,
        };
        if life.draw.chance(40) {
            life.aging = Some(Aging::create(life.engine(), &life.sim));
        }
        life
    }

    pub(super) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it was started")
    }

    fn turn(&mut self) {
        if let Err(Verdict::Stopped) = self.act() {
            let kill = self.draw.chance(50);
            self.restart(kill);
        }
        if !self.classes.is_empty() && self.draw.chance(self.strike_percent) {
            let class = self.draw.pick(&self.classes);
            if self.trouble.strike(class, &self.sim, &mut self.draw) {
                *self.report.faults.entry(class).or_default() += 1;
                if class == FaultClass::Rot && self.draw.chance(70) {
                    self.read_rot();
                }
            }
        }
        if self.trouble.is_any() && self.draw.chance(15) {
            self.relieve();
        }
        for _ in 0..self.draw.below(8) {
            self.sim.step();
        }
    }

    /// A process that remembers nothing reads everything. What the rot hits is refused, with the name of its file.
    fn read_rot(&mut self) {
        self.restart(true);
        if self.compare() == Err(Verdict::Stopped) {
            self.restart(true);
        }
    }

    /// What lasts is over. A process that has read rotten bytes is started again: it may remember them.
    fn relieve(&mut self) {
        self.trouble.lift(&self.sim);
        // Answers that are on their way may still speak of it, and workers may still wait because of it.
        let answered = self.settle();
        self.sim.advance(Duration::from_secs(2));
        self.sim.run_until_idle(1_000);
        let flushed = self.engine().flush(None).map_err(|error| self.judge("a flush", &error));
        if self.trouble.heal_rot(&self.sim) || answered.and(flushed) == Err(Verdict::Stopped) {
            self.restart(true);
        }
        self.trouble.forget();
    }

    /// An error is explained by the trouble of the moment, or it is a bug.
    pub(super) fn judge(&mut self, what: &str, error: &Error) -> Verdict {
        self.note(&error.condition().sqlstate());
        let verdict = self.trouble.judge(what, error);
        self.report.refused += u64::from(verdict == Verdict::Refused);
        verdict
    }

    pub(super) fn note(&mut self, answer: &impl Hash) {
        answer.hash(&mut self.answers);
    }

    /// Everything there is, as the model has it; and what readers hold.
    pub(super) fn compare(&mut self) -> Result<(), Verdict> {
        self.settle()?;
        let snapshot = self.engine().snapshot();
        let seq = self.model.last_seq();
        let outcome = self.compare_at(&snapshot, seq);
        outcome.map_err(|error| self.judge("a read", &error))?;
        for number in 0..self.held.len() {
            let (snapshot, seq) = self.held[number].clone();
            let outcome = self.compare_at(&snapshot, seq);
            outcome.map_err(|error| self.judge("a read of a held snapshot", &error))?;
        }
        if let Some(aging) = &mut self.aging {
            let outcome = aging.check(&snapshot, &self.sim);
            outcome.map_err(|error| self.judge("a read of aging rows", &error))?;
        }
        self.check_bounds();
        self.report.compared += 1;
        Ok(())
    }

    fn compare_at(&self, snapshot: &Snapshot, seq: CommitSeq) -> Result<(), Error> {
        let model = self.model.at(seq);
        for (table, wanted) in &model {
            let rows = scan(snapshot, *table)?;
            let found: Vec<_> = rows.iter().map(|(_, row)| row.clone()).collect();
            assert_same_rows(&format!("table {table} at {seq}"), wanted, &found);
            check_index(snapshot, *table, &rows)?;
        }
        let found = snapshot.catalog().tables().filter(|table| !Aging::is(table)).count();
        assert_eq!(found, model.len(), "tables at {seq}");
        Ok(())
    }

    /// P12: memory and files stay within their limits.
    fn check_bounds(&self) {
        let status = self.engine().status();
        let most = self.options.memtable_bytes_max + STATEMENT_BYTES_MAX;
        assert!(status.memtable_bytes <= most, "memtables hold {} of {most} bytes", status.memtable_bytes);
        let handles = self.options.open_files_max + HANDLES_BESIDE;
        assert!(self.sim.handles() <= handles, "{} of {handles} files are open", self.sim.handles());
    }

    /// Faults are over. Everything comes to rest, is compared, and nothing is left over.
    fn end(&mut self) {
        self.trouble.lift(&self.sim);
        self.trouble.heal_rot(&self.sim);
        self.is_ending = true;
        let kill = self.draw.chance(50);
        self.restart(kill);
        self.trouble.forget();
        assert!(!self.trouble.is_any());
        self.compare().expect("no faults");
        self.held.clear();
        self.end_consumer();
        self.sim.advance(Duration::from_secs(2));
        self.sim.run_until_idle(10_000);
        for number in 0..3 {
            self.engine().ddl(Ddl::CreateTable(keyed(&format!("end{number}")))).wait().expect("no faults");
            self.engine().checkpoint().expect("no faults");
            let schema = self.engine().snapshot().catalog().table(&name(&format!("end{number}"))).cloned();
            let schema = TableSchema::clone(&schema.expect("it was created"));
            let seq = self.engine().snapshot().commit_seq();
            self.model
                .apply(seq.max(next(self.model.last_seq())), &Operation::CreateTable(schema))
                .expect("a new table");
        }
        self.sim.run_until_idle(10_000);
        let status = self.engine().status();
        let env = self.sim.env();
        let files = env.disk.list("segments").expect("a sound disk");
        assert_eq!(files.len() as u64, 2 * status.segments + status.key_runs, "{files:?}, {status:?}");
        assert_eq!(env.disk.list("staged").expect("a sound disk"), [], "victims that nobody needs");
        assert!(env.disk.list("manifest").expect("a sound disk").len() <= 2);
        assert_eq!(status.poisoned, None);
        self.compare().expect("no faults");
        self.engine().close().expect("no faults");
        self.engine = None;
        assert_eq!(self.sim.handles(), 0, "files are open after the end");
        let report = outcrop_engine::check::check(&env).expect("a sound disk");
        assert_eq!((report.problems, report.leftovers), (vec![], vec![]));
    }

    /// Waits for every answer and compares it with the model's.
    pub(super) fn settle(&mut self) -> Result<(), Verdict> {
        while let Some((handle, operation)) = self.pending.pop_front() {
            match handle.wait() {
                Ok(commit) if commit.seq > self.model.last_seq() => {
                    self.known.insert(commit.seq);
                    let applied = self.model.apply(commit.seq, &operation);
                    let applied = applied.unwrap_or_else(|violation| panic!("{operation:?} should meet {violation:?}"));
                    let rows = commit.inserted + commit.updated + commit.deleted;
                    self.note(&(commit.seq.get(), rows));
                    self.report.commits += 1;
                    let is_ddl = matches!(operation, Operation::Truncate(_) | Operation::DropTable(_));
                    assert!(is_ddl || rows == applied.rows as u64, "{operation:?}: {commit:?}, {applied:?}");
                    if let Operation::DropTable(table) = operation {
                        self.tables.remove(&table);
                    }
                }
                Ok(_) => {
                    let applied = self.model.clone().apply(next(self.model.last_seq()), &operation);
                    assert_eq!(applied.map(|applied| applied.rows), Ok(0), "{operation:?} changed nothing");
                }
                Err(error) => self.refused(operation, &error)?,
            }
        }
        Ok(())
    }

    /// A refusal is right if the model refuses too, or the trouble explains it.
    pub(super) fn refused(&mut self, operation: Operation, error: &Error) -> Result<(), Verdict> {
        if error.condition() == Condition::UniqueViolation {
            self.note(&"23505");
            let outcome = self.model.clone().apply(next(self.model.last_seq()), &operation);
            assert!(
                matches!(outcome, Err(outcrop_testkit::Violation::Unique(_))),
                "{operation:?} was refused with {error}, the model says {outcome:?}"
            );
            return Ok(());
        }
        match self.judge(&format!("{operation:?}"), error) {
            Verdict::Refused => Ok(()),
            Verdict::Stopped => {
                self.unknown.extend(is_open(error).then_some(operation));
                Err(Verdict::Stopped)
            }
        }
    }
}

/// Whether an error leaves open what became of a commit. A failed call of the disk comes before the commit has its place, and is a
/// refusal; after that it stops all writes, and says so.
pub(super) fn is_open(error: &Error) -> bool {
    matches!(error.condition(), Condition::Poisoned | Condition::AdminShutdown)
}

/// Small limits, other ones in each life.
fn limits(draw: &mut Draw) -> EngineOptions {
    let mut options = tiny();
    options.commit_inline_bytes_max = draw.pick(&[200, 1_000, 8_000]);
    options.flush_rows_max = draw.pick(&[4, 12, 50]);
    options.flush_bytes_max = draw.pick(&[2 << 10, 64 << 10]);
    options.memtable_bytes_max = draw.pick(&[16 << 10, 256 << 10]);
    options.log_bytes_max = draw.pick(&[64 << 10, 128 << 10]);
    options.log_file_bytes = draw.pick(&[16 << 10, 32 << 10]);
    options.stall_max = Duration::from_millis(draw.pick(&[1, 200, 10_000]));
    options.compaction_in_background = draw.chance(70);
    options.compaction_bytes_target = draw.pick(&[4 << 10, 64 << 10, 256 << 20]);
    options.compaction_dead_percent = draw.pick(&[5, 30, 90]);
    options.feed_retain_bytes = draw.pick(&[64 << 10, 4 << 30]);
    options.open_files_max = usize::try_from(draw.pick(&[2, 8, 256])).unwrap_or(8);
    options.page_cache_bytes = draw.pick(&[0, 64 << 10, 1 << 20]);
    options.snapshot_age_max = Duration::ZERO;
    options
}

pub(super) fn next(seq: CommitSeq) -> CommitSeq {
    seq.next().expect("far from the last commit")
}

/// A statement may pass as long as the limit is not reached, and is then over it.
const STATEMENT_BYTES_MAX: u64 = 64 << 10;
/// Files beside those of segments: the log's, one to write, one of a feed.
const HANDLES_BESIDE: usize = 40;
