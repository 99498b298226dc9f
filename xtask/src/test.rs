//! `cargo xtask test`: every check, in the order in which a failure is cheapest.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{cache, command, tidy};

/// What to check.
#[derive(Args)]
pub(crate) struct Options {
    /// Only the checks that need no client, server or data: fmt, tidy, clippy, cargo test.
    #[arg(long)]
    quick: bool,
}

/// Tests that a runner reported.
#[derive(Clone, Copy, Default)]
struct Count {
    passed: u64,
    failed: u64,
}

/// Runs all checks; the last line is the sum of what the runners counted.
pub(crate) fn run(options: &Options) -> Result<()> {
    step("fmt", || command::run(cargo().args(["fmt", "--all", "--check"])))?;
    step("tidy", tidy::run)?;
    // The allocator is built with make.
    cache::need_programs(&[("make", "make")])?;
    step("clippy", || {
        command::run(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
    })?;
    let mut count = Count::default();
    step("unit, SQL and protocol tests", || cargo_tests(&mut count))?;
    if !options.quick {
        cache::need_programs(&[("psql", "postgresql-client"), ("curl", "curl")])?;
        let python = cache::python()?;
        let binary = built_binary()?;
        step("client tests", || python_tests(&python, &binary, &mut count))?;
    }
    println!("{} passed, {} failed", count.passed, count.failed);
    if count.failed > 0 || count.passed == 0 {
        bail!("{} tests failed, {} passed", count.failed, count.passed);
    }
    Ok(())
}

fn step(name: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("── {name}");
    let start = Instant::now();
    action().with_context(|| name.to_owned())?;
    println!("── {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Cargo, as it runs us, at the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(cache::repository());
    command
}

/// Runs all tests of the workspace, also after a failing binary, and adds up what libtest counted.
fn cargo_tests(count: &mut Count) -> Result<()> {
    let before = count.failed;
    let outcome = command::run_seen(cargo().args(["test", "--workspace", "--no-fail-fast", "--quiet"]), |line| {
        if let Some(summary) = line.strip_prefix("test result: ") {
            count.passed += number_before(summary, " passed");
            count.failed += number_before(summary, " failed");
        }
    });
    // A binary that died counts nothing, so cargo's own verdict decides.
    if outcome.is_err() && count.failed == before {
        count.failed += 1;
    }
    outcome
}

/// Runs the tests in `tests/clients` against the built server and adds up what pytest counted.
fn python_tests(python: &Path, binary: &Path, count: &mut Count) -> Result<()> {
    let before = count.failed;
    let outcome = command::run_seen(
        Command::new(python)
            .current_dir(cache::repository())
            .env("OUTCROP_BINARY", binary)
            .env("OUTCROP_CACHE", cache::directory()?)
            .args(["-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "--durations=10", "tests/clients"]),
        |line| {
            if line.contains(" in ") && (line.contains(" passed") || line.contains(" failed")) {
                count.passed += number_before(line, " passed");
                count.failed += number_before(line, " failed");
            }
        },
    );
    if outcome.is_err() && count.failed == before {
        count.failed += 1;
    }
    outcome
}

/// The number that stands right before `word`, or 0.
fn number_before(line: &str, word: &str) -> u64 {
    let Some((before, _)) = line.split_once(word) else { return 0 };
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Builds the server in the profile of the tests and returns its path.
pub(crate) fn built_binary() -> Result<PathBuf> {
    // The whole workspace, so that features unify as in `cargo test` and no dependency is compiled a second time.
    command::run(cargo().args(["build", "--workspace", "--quiet"]))?;
    Ok(target_directory()?.join("debug/outcrop"))
}

/// Where Cargo puts what it builds.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = command::output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).context("read cargo metadata")?;
    let target =
        metadata.get("target_directory").and_then(|dir| dir.as_str()).context("cargo metadata: target_directory")?;
    Ok(PathBuf::from(target))
}
