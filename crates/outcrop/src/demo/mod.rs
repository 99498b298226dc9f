//! `outcrop demo`: this machine's own processes, kept current in a database and asked about while they change.
//!
//! ```text
//! /proc ─▶ machine ─▶ writer (upsert, delete, append) ─▶ server in this process
//!             └ probe (own process, 10 a second) ─▶ when is it visible? ─▶ freshness
//! questions (three queries, again and again) ─▶ board ─▶ screen | lines
//! ```
//!
//! Writer, probe and questions are clients over the PostgreSQL protocol, each with a connection of its own.

mod board;
mod machine;
mod probe;
mod questions;
mod run;
mod screen;
mod writer;

pub(crate) use run::run;

#[cfg(test)]
mod tests;
