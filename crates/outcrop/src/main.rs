//! The `outcrop` program.
//!
//! # What it is not
//! It holds no logic of the database: it wires the crates together and talks to a running server like any other client.
//!
//! # Flow
//! ```text
//! serve, demo ─▶ configuration ─▶ Engine ─▶ Database ─▶ Server
//! sql, load, the queries of demo ─▶ PostgreSQL protocol ─▶ a running server
//! backup ─▶ SQL on a running server, or an engine on a data directory
//! check, user, restore ─▶ files of a data directory or of a backup
//! ```
//!
//! # Invariants
//! - O1. `serve` prints its ready line only when both listeners take connections.
//! - O2. `load` drops no row silently: each is stored, or is in the rejects file with its line and reason.
//! - O3. An error is printed once, with its causes, on standard error; the exit code is then not 0.
//!
//! # Start reading at
//! [`cli`], then the module of the command.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "enums of tokio-postgres, Arrow and rustyline grow with their releases"
)]

mod backup;
mod check;
mod cli;
mod client;
mod demo;
mod descriptors;
mod load;
mod logging;
mod node;
mod report;
mod restore;
mod serve;
mod spill;
mod sql;
mod terminal;
mod tls;
mod user;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

/// Gives freed memory back to the system, also when nothing runs (docs/adr/0006-allocator.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Sql(arguments) => sql::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::User(arguments) => user::run(&arguments),
    };
    ended.unwrap_or_else(|error| {
        report::print_error(&error);
        ExitCode::FAILURE
    })
}
