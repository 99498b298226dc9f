//! Every damage, one at a time.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outcrop_engine::{CheckReport, Engine, check::check};
use outcrop_env::{DiskImage, FileName, Sim};
use outcrop_types::{Condition, Error, Result};

use crate::contents::Contents;
use crate::database::{Built, EVERYTHING, WITH_VICTIMS, options};
use crate::faults::{Fault, all};

/// What a damage came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// An error, which `outcrop check` has too.
    Refused,
    /// Everything is read as it was; `outcrop check` sees the damage.
    HarmlessAndFound,
    /// Everything is read as it was: what was damaged means nothing.
    Harmless,
    /// The last group of a killed process went: nothing says that it was durable.
    TakenForTheEnd,
}

/// A sound disk, and what may be read of it.
pub(crate) struct Case<'a> {
    pub(crate) sound: &'a DiskImage,
    pub(crate) earlier: &'a [DiskImage],
    /// What it holds; then what a process that was killed may have held.
    pub(crate) contents: &'a [Contents],
}

impl Case<'_> {
    /// Damages the disk, checks it and reads it.
    pub(crate) fn judge(&self, fault: &Fault) -> Option<Outcome> {
        let image = fault.apply(self.sound, self.earlier)?;
        Some(self.judge_image(&image, Some(fault)))
    }

    pub(crate) fn judge_image(&self, image: &DiskImage, fault: Option<&Fault>) -> Outcome {
        let (env, _sim) = Sim::from_image(image, 1);
        let checked = check(&env);
        let found = is_found(&checked);
        let names = |error: &Error| assert_honest(error, fault.map(Fault::file));
        if let Err(error) = &checked {
            names(error);
        }
        let (env, sim) = Sim::from_image(image, 1);
        let contents = Engine::open(&env, options()).and_then(|engine| {
            let contents = Contents::read(&engine)?;
            let poisoned = engine.status().poisoned;
            assert_eq!(poisoned, None);
            Ok((contents, engine))
        });
        let (contents, engine) = match contents {
            Ok(contents) => contents,
            Err(error) => {
                names(&error);
                assert!(found, "`outcrop check` does not find: {error}");
                return Outcome::Refused;
            }
        };
        let state = self.contents.iter().position(|allowed| *allowed == contents);
        let Some(state) = state else {
            let expected = &self.contents[0];
            panic!("OTHER ROWS: {}", first_difference(&format!("{expected:?}"), &format!("{contents:?}")));
        };
        self.reopen(&sim, engine, &contents, found);
        match (state, found) {
            (0, true) => Outcome::HarmlessAndFound,
            (0, false) => Outcome::Harmless,
            _ => Outcome::TakenForTheEnd,
        }
    }

    /// What was read is read again after a stop and a start, and by `outcrop check`; or the stop says that it cannot.
    fn reopen(&self, sim: &Sim, engine: Engine, contents: &Contents, found: bool) {
        let closed = engine.close();
        drop(engine);
        let (env, _sim) = Sim::from_image(&sim.image(), 2);
        let again = Engine::open(&env, options()).and_then(|engine| Contents::read(&engine));
        match (closed, again) {
            (_, Ok(again)) => assert!(again == *contents, "OTHER ROWS after another start"),
            (closed, Err(error)) => {
                assert!(found, "not found, and refused after another start: {error}; closed: {closed:?}");
            }
        }
    }
}

/// Whether `outcrop check` says that something is wrong.
fn is_found(checked: &Result<CheckReport>) -> bool {
    checked.as_ref().map_or(true, |report| !report.problems.is_empty())
}

/// The error is one of damage, and names the file.
fn assert_honest(error: &Error, file: Option<&FileName>) {
    let condition = error.condition();
    let message = error.message();
    let is_of_damage = matches!(
        condition,
        Condition::DataCorrupted | Condition::UnsupportedVersion | Condition::ObjectNotInPrerequisiteState
    );
    assert!(is_of_damage, "{condition:?}: {error}");
    assert!(
        condition != Condition::DataCorrupted || message.contains("offset") || message.contains("belongs"),
        "no offset: {error}"
    );
    if let Some(file) = file {
        let text = format!("{message} {}", error.detail().unwrap_or_default());
        assert!(text.contains(file.base()), "does not name {file}: {text}");
    }
}

fn first_difference(a: &str, b: &str) -> String {
    let at = a.bytes().zip(b.bytes()).position(|(a, b)| a != b).unwrap_or_else(|| a.len().min(b.len()));
    let part = |text: &str| text.chars().skip(at.saturating_sub(80)).take(200).collect::<String>();
    format!("…{}… is now …{}…", part(a), part(b))
}

/// What a run of the matrix came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    outcomes: BTreeMap<Outcome, u64>,
    failures: Vec<String>,
}

impl Tally {
    /// Judges faults and keeps what failed.
    fn run<'f>(
        &mut self,
        name: &str,
        case: &Case<'_>,
        faults: impl Iterator<Item = &'f Fault>,
        until: Option<Instant>,
    ) {
        for fault in faults {
            if until.is_some_and(|until| Instant::now() > until) {
                break;
            }
            WATCHED.store(WATCHED.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            match catch_unwind(AssertUnwindSafe(|| case.judge(fault))) {
                Ok(None) => {}
                Ok(Some(outcome)) => *self.outcomes.entry(outcome).or_default() += 1,
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().cloned();
                    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                    self.failures.push(format!("{name}: {fault}: {}", text.unwrap_or_default()));
                }
            }
        }
    }

    fn count(&self) -> u64 {
        self.outcomes.values().sum::<u64>() + self.failures.len() as u64
    }

    #[track_caller]
    fn assert_clean(&self) {
        assert!(
            self.failures.is_empty(),
            "{} of {}:\n{}",
            self.failures.len(),
            self.count(),
            self.failures[..self.failures.len().min(40)].join("\n")
        );
    }
}

/// The disks, with a name for messages.
fn cases() -> [(&'static str, Case<'static>); 4] {
    fn stopped(built: &Built) -> Case<'_> {
        Case { sound: &built.stopped, earlier: &built.earlier, contents: std::slice::from_ref(&built.contents) }
    }
    // An older copy of the live log file cannot be told from a process that was killed earlier.
    fn killed(built: &Built) -> Case<'_> {
        Case { sound: &built.killed, earlier: &[], contents: &built.killed_contents }
    }
    [
        ("stopped", stopped(&EVERYTHING)),
        ("killed", killed(&EVERYTHING)),
        ("stopped, victims", stopped(&WITH_VICTIMS)),
        ("killed, victims", killed(&WITH_VICTIMS)),
    ]
}

/// The faults of a case. Those of large tables only for the files that they are there for.
fn faults_of(name: &str, case: &Case<'_>) -> Vec<Fault> {
    let only_staged = name.ends_with("victims");
    all(case.sound, case.earlier, |file| !only_staged || file.dir() == "staged")
}

/// Every so manieth fault: a little of each kind and place.
#[test]
fn p7_damage_is_an_error_that_names_the_file_or_changes_nothing() {
    const SAMPLE: usize = 120;
    let mut tally = Tally::default();
    for (name, case) in cases() {
        let faults = faults_of(name, &case);
        let share = if name.ends_with("victims") { SAMPLE / 6 } else { SAMPLE };
        let step = (faults.len() / share).max(1);
        // Not a multiple of eight: each bit has its turn.
        tally.run(name, &case, faults.iter().step_by(step | 1), None);
    }
    tally.assert_clean();
    assert!(tally.outcomes[&Outcome::Refused] > 100, "{tally:?}");
    assert!(tally.outcomes[&Outcome::Harmless] > 10, "{tally:?}");
}

/// All of it, or as much as `DAMAGE_SECONDS` allow, from the place that `DAMAGE_SEED` says: a lane of `cargo xtask soak`.
#[test]
#[ignore = "takes an hour: a lane of `cargo xtask soak`"]
fn p7_the_whole_matrix() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let until = number("DAMAGE_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seed = usize::try_from(number("DAMAGE_SEED").unwrap_or(0)).unwrap();
    let _watch = Watch::start();
    let mut tally = Tally::default();
    let cases = cases();
    let lists: Vec<Vec<Fault>> = cases.iter().map(|(name, case)| faults_of(name, case)).collect();
    let total: usize = lists.iter().map(Vec::len).sum();
    // In an order in which any part is a sample of the whole.
    const STRIDE: usize = 7_919;
    for start in 0..STRIDE {
        let start = (start + seed) % STRIDE;
        for ((name, case), faults) in cases.iter().zip(&lists) {
            tally.run(name, case, faults.iter().skip(start).step_by(STRIDE), until);
        }
        if until.is_some_and(|until| Instant::now() > until) {
            break;
        }
    }
    for failure in &tally.failures {
        println!("{failure}");
    }
    let (count, failed) = (tally.count(), tally.failures.len());
    println!("soak damage: {count} of {total} damages explored, {:?}, {failed} failed", tally.outcomes);
    tally.assert_clean();
}

/// Ends the process when one damage takes minutes: a hang is a failure, and must say where.
struct Watch(std::sync::Arc<AtomicBool>);

static WATCHED: AtomicU64 = AtomicU64::new(0);

impl Watch {
    fn start() -> Self {
        let ended = std::sync::Arc::new(AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&ended);
        std::thread::spawn(move || {
            let mut last = 0;
            while !seen.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_secs(300));
                let now = WATCHED.load(Ordering::Relaxed);
                if now == last && !seen.load(Ordering::Relaxed) {
                    println!("soak damage: hangs at damage {now}");
                    std::process::abort();
                }
                last = now;
            }
        });
        Self(ended)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_databases_have_files_of_every_kind_and_are_small() {
    let sizes = |image: &DiskImage| -> BTreeMap<String, (usize, usize)> {
        let mut sizes = BTreeMap::new();
        for (file, bytes) in &image.files {
            let suffix = file.base().rsplit_once('.').map_or("", |(_, suffix)| suffix);
            let entry: &mut (usize, usize) = sizes.entry(format!("{} {suffix}", file.dir())).or_default();
            *entry = (entry.0 + 1, entry.1 + bytes.len());
        }
        sizes
    };
    let found = sizes(&EVERYTHING.stopped);
    println!("{found:?}");
    println!("{:?}", sizes(&WITH_VICTIMS.stopped));
    for kind in ["log log", "segments vortex", "segments meta", "segments keys", "manifest manifest"] {
        assert!(found[kind].0 >= 2, "{kind}: {found:?}");
    }
    assert!(sizes(&WITH_VICTIMS.stopped).contains_key("staged victims"));
    let bytes: usize = EVERYTHING.stopped.files.values().map(Vec::len).sum();
    assert!(bytes < 350_000, "{bytes}");
    assert!(EVERYTHING.contents.rows("commons.wide") == 16 && EVERYTHING.contents.events() > 5);
    for (name, case) in cases() {
        assert_eq!(case.judge_image(case.sound, None), Outcome::Harmless, "{name}");
    }
}
