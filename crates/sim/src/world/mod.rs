//! Seeded lives of the whole engine: actors, faults and a model.
//!
//! Everything runs on one thread: an actor does something, then some workers take a step each, then the next actor. Which ones, with
//! which limits and which faults, comes from the seed. A life has at most two classes of faults, so that one does not hide what another
//! would show.

mod actors;
mod aging;
mod consumer;
mod faults;
mod life;
mod recovery;

pub use faults::FaultClass;
pub use life::{Lives, Report, live, live_with};
