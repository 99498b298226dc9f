//! From sealed generations to segments, and from installs to checkpoints.
//!
//! The flush worker seals generations that are large, old, or hold the log; writes one sealed generation at a time as a
//! segment of the rows alive at a pinned version; installs it in a turn with only the *difference* of the delete vectors
//! since the pin (W7); and writes a manifest once the install is durable.

mod install;
mod job;
mod plan;
mod state;
mod worker;

#[cfg(test)]
pub(crate) use install::is_published;
pub(crate) use install::{seal, sealed_generations, still_there};
#[cfg(test)]
pub(crate) use job::FlushJob;
pub(crate) use job::{is_harmless, open_finished};
pub(crate) use state::FlushState;
pub(crate) use worker::FlushWorker;
