//! From sealed generations to segments, and from installs to checkpoints.
//!
//! The flush worker seals generations that are large, old, or hold the log; writes one sealed generation at a time as a
//! segment of the rows alive at a pinned version; installs it in a turn with only the *difference* of the delete vectors
//! since the pin (W7); and writes a manifest once the install is durable.

mod generations;
mod plan;
mod state;
mod worker;

#[cfg(test)]
pub(crate) use generations::is_published;
pub(crate) use generations::{seal, sealed_generations, still_there};
pub(crate) use state::Requests;
pub(crate) use worker::FlushWorker;
