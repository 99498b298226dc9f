//! `outcrop demo`: the processes of this machine, in tables that follow them.
//!
//! ```text
//! /proc ─▶ processes ─▶ table: one upsert, one delete, one append a second ─▶ the server in this process
//!                                   freshness: asks for each change until another session sees it ◀─┤
//!                                   queries: three of them, every second                          ◀─┘
//! all of it ─▶ state ─▶ screen (terminal) or plain lines ─▶ summary
//! ```
//! Everything goes through the PostgreSQL protocol, as a user's own program would.

mod freshness;
mod histogram;
mod place;
mod processes;
mod queries;
mod run;
mod screen;
mod state;
mod summary;
mod table;

pub(crate) use run::run;

#[cfg(test)]
mod tests;
