//! `cargo xtask soak`: the long lanes. Each looks for faults until its time is over, and counts what it has looked at.
//!
//! A lane is a command of [`LANES`]. It gets its time and a seed, ends with a line `soak NAME: … explored, … failed`, and names, for
//! what failed, the one-line command that repeats it. In its arguments `{seconds}` and `{seed}` are replaced.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{cache, command, test};

/// How long, and which lanes.
#[derive(Args)]
pub(crate) struct Options {
    /// Time of all lanes together, without what is built.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Only these lanes; may be given several times.
    #[arg(long = "lane", value_name = "NAME")]
    lanes: Vec<String>,
    /// Where random lanes begin; by default another place each time.
    #[arg(long)]
    seed: Option<u64>,
    /// Shows the lanes.
    #[arg(long)]
    list: bool,
}

/// One long test.
struct Lane {
    name: &'static str,
    /// What it looks for.
    about: &'static str,
    program: Program,
    arguments: &'static [&'static str],
}

/// What runs a lane, from the root of the repository.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    /// `outcrop-sim`, with the engine's crates optimised.
    Simulator,
    /// The Python of the client tests; `OUTCROP_BINARY` and `OUTCROP_CACHE` are set.
    Python,
    /// `cargo`.
    Cargo,
}

const LANES: &[Lane] = &[
    Lane {
        name: "explore-log",
        about: "every disk that a power cut may leave of small logs",
        program: Program::Simulator,
        arguments: &["explore-log", "--seconds", "{seconds}", "--seed", "{seed}"],
    },
    Lane {
        name: "explore-engine",
        about: "every disk that a power cut may leave of small databases",
        program: Program::Simulator,
        arguments: &["explore-engine", "--seconds", "{seconds}", "--seed", "{seed}"],
    },
    Lane {
        name: "world",
        about: "lives of the whole engine, with actors and faults",
        program: Program::Simulator,
        arguments: &["world", "--seconds", "{seconds}", "--seed", "{seed}"],
    },
    Lane {
        name: "rot",
        about: "lives whose stored files rot",
        program: Program::Simulator,
        arguments: &["rot", "--seconds", "{seconds}", "--seed", "{seed}"],
    },
    Lane {
        name: "nth",
        about: "each call of the disk fails once",
        program: Program::Simulator,
        arguments: &["nth", "--seconds", "{seconds}", "--seed", "{seed}"],
    },
    Lane {
        name: "damage",
        about: "a small database, damaged in every way at every place (P7)",
        program: Program::Cargo,
        arguments: &[
            "test",
            "--config",
            "env.DAMAGE_SECONDS='{seconds}'",
            "--config",
            "env.DAMAGE_SEED='{seed}'",
            "--package",
            "outcrop-engine",
            "--test",
            "damage",
            "--",
            "--ignored",
            "--nocapture",
            "p7_the_whole_matrix",
        ],
    },
    Lane {
        name: "fuzz",
        about: "hostile bytes for every decoder, under libFuzzer",
        program: Program::Cargo,
        arguments: &["xtask", "fuzz", "--seconds", "{seconds}", "--seed", "{seed}"],
    },
    Lane {
        name: "mutations",
        about: "hostile bytes for every decoder, without libFuzzer",
        program: Program::Cargo,
        arguments: &[
            "test",
            "--config",
            "env.FUZZ_SECONDS='{seconds}'",
            "--config",
            "env.FUZZ_SEED='{seed}'",
            "--package",
            "outcrop-fuzzing",
            "--test",
            "it",
            "--",
            "--ignored",
            "--nocapture",
            "mutations_for_a_long_time",
        ],
    },
    Lane {
        name: "sql_text",
        about: "mutated statements, parsed and planned",
        program: Program::Cargo,
        arguments: &[
            "test",
            "--config",
            "env.FUZZ_SECONDS='{seconds}'",
            "--config",
            "env.FUZZ_SEED='{seed}'",
            "--package",
            "outcrop-query",
            "--test",
            "it",
            "--",
            "--ignored",
            "--nocapture",
            "mutated_statements_for_a_long_time",
        ],
    },
    Lane {
        name: "oracles",
        about: "generated queries against PostgreSQL, and against themselves",
        program: Program::Python,
        arguments: &["tests/clients/run_oracle.py", "--seconds", "{seconds}", "--seed", "{seed}"],
    },
    Lane {
        name: "kill",
        about: "the real server ends at its kill points and at random, under load",
        program: Program::Python,
        arguments: &["tests/clients/soak.py", "kill", "--seconds", "{seconds}", "--seed", "{seed}"],
    },
    Lane {
        name: "power",
        about: "the power fails under the real server on an ext4 image; needs root",
        program: Program::Python,
        arguments: &["tests/clients/soak.py", "power", "--seconds", "{seconds}", "--seed", "{seed}"],
    },
    Lane {
        name: "faults",
        about: "each call of the kernel that the real server makes fails once",
        program: Program::Python,
        arguments: &["tests/clients/soak.py", "faults", "--seconds", "{seconds}", "--seed", "{seed}"],
    },
];

/// Crates that a simulation spends its time in. They are optimised; what is below them is used as it was built for tests.
const OPTIMISED: &[&str] = &[
    "outcrop-types",
    "outcrop-format",
    "outcrop-env",
    "outcrop-log",
    "outcrop-segment",
    "outcrop-engine",
    "outcrop-testkit",
    "outcrop-sim",
    "crc32c",
];

/// Runs the lanes one after the other; the last lines are what they counted.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        LANES.iter().for_each(|lane| println!("{:<12} {}", lane.name, lane.about));
        return Ok(());
    }
    let lanes = chosen(&options.lanes)?;
    let programs = Programs::prepare(&lanes)?;
    let seconds = (options.minutes * 60 / u64::try_from(lanes.len().max(1))?).max(1);
    let seed = match options.seed {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs(),
    };
    let mut counts = Vec::new();
    let mut failed = Vec::new();
    for lane in lanes {
        println!("── {}: {} ({seconds} s)", lane.name, lane.about);
        let mut count = None;
        let mark = format!("soak {}: ", lane.name);
        let outcome = command::run_seen(&mut programs.command(lane, seconds, seed), |line| {
            if line.starts_with(&mark) {
                count = Some(line.to_owned());
            }
        });
        if outcome.is_err() || count.is_none() {
            failed.push(lane.name);
        }
        counts.push(count.unwrap_or_else(|| format!("{mark}no count: it did not come to its end")));
    }
    counts.iter().for_each(|line| println!("{line}"));
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Lane>> {
    if names.is_empty() {
        return Ok(LANES.iter().collect());
    }
    let find = |name: &String| {
        let lane = LANES.iter().find(|lane| lane.name == name);
        lane.with_context(|| format!("there is no lane {name}; --list shows them"))
    };
    names.iter().map(find).collect()
}

/// The programs that the lanes need, built.
struct Programs {
    simulator: PathBuf,
    python: PathBuf,
    server: PathBuf,
}

impl Programs {
    fn prepare(lanes: &[&Lane]) -> Result<Self> {
        let needs = |program| lanes.iter().any(|lane| lane.program == program);
        let simulator =
            if needs(Program::Simulator) { build_simulator(&cache::repository(), 2)? } else { PathBuf::new() };
        let (python, server) =
            if needs(Program::Python) { (cache::python()?, test::built_binary()?) } else { Default::default() };
        Ok(Self { simulator, python, server })
    }

    fn command(&self, lane: &Lane, seconds: u64, seed: u64) -> Command {
        let mut command = match lane.program {
            Program::Simulator => Command::new(&self.simulator),
            Program::Python => Command::new(&self.python),
            Program::Cargo => test::cargo(),
        };
        command.current_dir(cache::repository()).env("OUTCROP_BINARY", &self.server);
        if let Ok(cache) = cache::directory() {
            command.env("OUTCROP_CACHE", cache);
        }
        for argument in lane.arguments {
            let argument = argument.replace("{seconds}", &seconds.to_string()).replace("{seed}", &seed.to_string());
            command.arg(argument);
        }
        command
    }
}

/// Builds the simulator of the sources in `root`, with this level of optimisation, and returns its path.
pub(crate) fn build_simulator(root: &Path, level: u32) -> Result<PathBuf> {
    let target = test::target_directory()?;
    let mut build = test::cargo();
    build.current_dir(root).env("CARGO_TARGET_DIR", &target);
    for name in OPTIMISED {
        build.args(["--config", &format!("profile.dev.package.{name}.opt-level={level}")]);
    }
    // Features of the whole workspace, so that nothing below is compiled a second time.
    command::run(build.args(["build", "--quiet", "--workspace", "--bin", "outcrop-sim"]))?;
    Ok(target.join("debug/outcrop-sim"))
}
