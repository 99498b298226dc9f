//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, one after the other.
//!
//! They are built with the toolchain of the repository: coverage is a pass of LLVM that stable compilers have, and without a sanitizer
//! nothing of nightly is needed. (`cargo +nightly fuzz run TARGET` works too.) What grows is kept in the cache folder; what breaks a
//! promise is put into `tests/fuzz/TARGET`, where the tests replay it until it is mended.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{cache, command, test};

/// How long, and which targets.
#[derive(Args)]
pub(crate) struct Options {
    /// Time of all targets together, without what is built.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these targets; may be given several times.
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
    /// Puts the inputs that add something to what the tests keep into `tests/fuzz`, as few as possible.
    #[arg(long)]
    keep: bool,
}

/// What counts edges, and what tells libFuzzer of comparisons.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Build scripts must not be instrumented, so a platform is named.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Builds and runs them; the last line is what they counted.
pub(crate) fn run(options: &Options) -> Result<()> {
    let home = cache::directory()?.join("fuzz");
    let programs = build(&home)?;
    let all = names()?;
    let targets: Vec<&String> =
        all.iter().filter(|name| options.targets.is_empty() || options.targets.contains(name)).collect();
    if targets.is_empty() {
        bail!("there is no such target; there are {}", all.join(", "));
    }
    let seconds = (options.seconds / u64::try_from(targets.len())?).max(1);
    let (mut executions, mut failed) = (0, Vec::new());
    for target in targets {
        let corpus = home.join("corpus").join(target);
        std::fs::create_dir_all(&corpus).with_context(|| format!("create {}", corpus.display()))?;
        let outcome = fuzz(&programs.join(target), target, &corpus, seconds, options.seed)?;
        println!("{target}: {} executions in {seconds} s, {}", outcome.executions, outcome.end());
        executions += outcome.executions;
        if !outcome.is_clean {
            failed.push(target.as_str());
        } else if options.keep {
            keep(&programs.join(target), target, &corpus)?;
        }
    }
    println!("soak fuzz: {executions} executions explored, {} failed", failed.len());
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

/// What a target came to.
struct Outcome {
    executions: u64,
    is_clean: bool,
}

impl Outcome {
    fn end(&self) -> &'static str {
        if self.is_clean { "clean" } else { "FAILED: the input is in tests/fuzz" }
    }
}

/// Builds all targets; where they are.
fn build(home: &Path) -> Result<PathBuf> {
    let build = &mut test::cargo();
    build.current_dir(cache::repository().join("fuzz")).env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", home);
    command::run(build.args(["build", "--release", "--bins", "--all-features", "--target", PLATFORM]))?;
    Ok(home.join(PLATFORM).join("release"))
}

/// The targets: the folders of `tests/fuzz`.
fn names() -> Result<Vec<String>> {
    let folder = cache::repository().join("tests/fuzz");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn fuzz(program: &Path, target: &str, corpus: &Path, seconds: u64, seed: u64) -> Result<Outcome> {
    let kept = cache::repository().join("tests/fuzz").join(target);
    let mut run = Command::new(program);
    run.arg(corpus).arg(&kept).arg(format!("-artifact_prefix={}/", kept.display()));
    run.args([format!("-max_total_time={seconds}"), format!("-seed={seed}")]);
    run.args(["-max_len=16384", "-timeout=25", "-rss_limit_mb=2048", "-malloc_limit_mb=512", "-print_final_stats=1"]);
    let mut child = run.stderr(Stdio::piped()).spawn().with_context(|| format!("start {}", program.display()))?;
    let mut executions = 0;
    if let Some(output) = child.stderr.take() {
        for line in BufReader::new(output).lines() {
            let line = line.with_context(|| format!("read the output of {target}"))?;
            if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
                executions = count.trim().parse().unwrap_or(0);
            }
            // The status lines begin with the number of the execution.
            if !line.starts_with('#') && !line.starts_with("stat::") && !line.starts_with("INFO") {
                println!("{line}");
            }
        }
    }
    let status = child.wait().with_context(|| format!("wait for {target}"))?;
    Ok(Outcome { executions, is_clean: status.success() })
}

/// Adds to the kept inputs those that reach something new.
fn keep(program: &Path, target: &str, corpus: &Path) -> Result<()> {
    let kept = cache::repository().join("tests/fuzz").join(target);
    let mut merge = Command::new(program);
    merge.args(["-merge=1", "-max_len=4096"]).arg(&kept).arg(corpus);
    command::run(merge.stderr(Stdio::null()))
}
