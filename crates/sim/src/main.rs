//! The simulator as a program: long runs, and the repetition of one seed.
//!
//! # What it is not
//! Nothing that ships. `cargo xtask soak` runs it for a while; each failure prints the command that repeats it.
//!
//! # Flow
//! ```text
//! outcrop-sim explore-log | explore-engine | world | nth  --seconds N --seed S  ─▶ seeds S, S+1, … ─▶ one count
//! outcrop-sim …                                            --only S              ─▶ this one
//! ```
//!
//! # Invariants
//! - One thread does everything; the count of threads is printed, and more than one is a failure.
//!
//! # Start reading at
//! [`main`].

#![expect(clippy::print_stdout, reason = "a command-line program talks on its standard streams")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use outcrop_sim::draw::Draw;
use outcrop_sim::explore::{Budget, Counts, EngineWorkload, LogWorkload, explore};
use outcrop_sim::world::{self, FaultClass, Lives};
use outcrop_sim::{marks, nth};
use outcrop_testkit::seed::message_of;

/// Simulated lives of Outcrop's engine.
#[derive(Parser)]
#[command(name = "outcrop-sim")]
struct Arguments {
    /// What to do with each seed.
    #[arg(value_enum)]
    what: What,
    /// How long.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Ends after so many failures.
    #[arg(long, default_value_t = 5)]
    failures: u64,
    /// This seed alone.
    #[arg(long)]
    only: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Every disk that a power cut may leave at every moment of a small log.
    ExploreLog,
    /// The same for the engine.
    ExploreEngine,
    /// A life of the whole engine.
    World,
    /// A life whose stored files rot.
    Rot,
    /// Each call of the disk fails once; a sample of them for each seed.
    Nth,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::ExploreLog => "explore-log",
            Self::ExploreEngine => "explore-engine",
            Self::World => "world",
            Self::Rot => "rot",
            Self::Nth => "nth",
        }
    }

    fn run(self, seed: u64, total: &mut Total) {
        match self {
            Self::ExploreLog => total.counts += explore(&LogWorkload::new(seed), seed, Budget::default()),
            Self::ExploreEngine => {
                let budget = Budget { disks: 32, again_each: 32, disks_again: 2, live_each: 15 };
                total.counts += explore(&EngineWorkload::new(seed), seed, budget);
            }
            Self::World => total.lives.add(&world::live(seed)),
            Self::Rot => total.lives.add(&world::live_with(seed, Some(FaultClass::Rot))),
            Self::Nth => {
                let calls = nth::calls(seed);
                let mut draw = Draw::new(seed);
                for kind in nth::KINDS {
                    // A whole workload is small; most of its calls are looked at within a few seeds.
                    (0..CALLS_OF_A_SEED).for_each(|_| nth::fail(seed, draw.below(calls), *kind, &mut total.calls));
                }
            }
        }
    }
}

#[derive(Default)]
struct Total {
    seeds: u64,
    failed: u64,
    counts: Counts,
    lives: Lives,
    calls: nth::Counts,
}

impl Total {
    /// The one line of a lane.
    fn line(&self, what: What, seconds: f64) -> String {
        let rate = |count: u64| count as f64 / seconds.max(0.001);
        match what {
            What::ExploreLog | What::ExploreEngine => {
                format!("{}; {:.0} disks/s", self.counts, rate(self.counts.explored()))
            }
            What::World | What::Rot => {
                format!("{} lives explored ({}); {:.1} lives/s", self.seeds, self.lives, rate(self.seeds))
            }
            What::Nth => format!(
                "{} failed calls explored ({} without effect, {} refused a statement, {} stopped the process)",
                self.calls.failed_calls, self.calls.survived, self.calls.refused, self.calls.stopped
            ),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (begin, limit) = (Instant::now(), Duration::from_secs(arguments.seconds));
    let what = arguments.what;
    let mut total = Total::default();
    let mut seed = arguments.only.unwrap_or(arguments.seed);
    // Each failure is told in one piece.
    std::panic::set_hook(Box::new(|_| {}));
    loop {
        total.seeds += 1;
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| what.run(seed, &mut total))) {
            total.failed += 1;
            println!("{}: seed {seed}: {}", what.name(), message_of(&*payload));
            println!("repeat with: cargo run -p outcrop-sim -- {} --only {seed}", what.name());
        }
        seed = seed.wrapping_add(1);
        if arguments.only.is_some() || begin.elapsed() >= limit || total.failed >= arguments.failures {
            break;
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    if matches!(what, What::World) && total.seeds >= SEEDS_FOR_MARKS {
        let (never, unknown) = marks::missing(&total.lives.marks);
        if !never.is_empty() || !unknown.is_empty() {
            total.failed += 1;
            println!("marks that no life reached: {never:?}; marks that no list has: {unknown:?}");
        }
    }
    let threads = procfs::process::Process::myself().and_then(|own| own.stat()).map_or(0, |stat| stat.num_threads);
    println!("soak {}: {}, {threads} thread, {} failed", what.name(), total.line(what, seconds), total.failed);
    if total.failed == 0 && threads == 1 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Failing calls of one kind that one seed tries.
const CALLS_OF_A_SEED: u64 = 10;
/// A batch of so many lives must reach every mark.
const SEEDS_FOR_MARKS: u64 = 500;
