//! Development commands: the same verbs for a person and for CI.
//!
//! # What it is not
//! Nothing that ships. It builds, checks, tests and measures; it never changes sources.
//!
//! # Flow
//! ```text
//! cargo xtask test ─▶ fmt ─▶ tidy ─▶ clippy ─▶ cargo test ─▶ client, flights and crash tests ─▶ one count
//! ```
//!
//! # Invariants
//! - X1. CI runs `cargo xtask test` and nothing else.
//! - X2. Whatever a verb needs it installs itself, into the cache folder where that is possible.
//!
//! # Start reading at
//! [`test`], then [`tidy`].

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks on its standard streams")]

mod bench;
mod cache;
mod command;
mod fuzz;
mod mutate;
mod soak;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development commands of Outcrop.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Everything CI checks: fmt, tidy, clippy, unit, SQL, client, flights and crash tests.
    Test(test::Options),
    /// Checks layers, names, lengths, headings and other habits of the repository itself.
    Tidy,
    /// The long lanes: looks for lost and wrong data until its time is over, and counts what it has looked at.
    Soak(soak::Options),
    /// Runs the fuzz targets under libFuzzer.
    Fuzz(fuzz::Options),
    /// Breaks the database on purpose, in a copy, and says which lane finds it.
    Mutate(mutate::Options),
    /// Measures Outcrop beside PostgreSQL and DuckDB on the same data in the same run.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Test(options) => test::run(&options),
        Verb::Tidy => tidy::run(),
        Verb::Fuzz(options) => fuzz::run(&options),
        Verb::Mutate(options) => mutate::run(&options),
        Verb::Soak(options) => soak::run(&options),
        Verb::Bench(options) => bench::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
