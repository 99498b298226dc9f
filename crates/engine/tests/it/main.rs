//! The engine through its public interface, on simulated and on real machines.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod basics;
mod concurrent;
mod crash;
mod model;
mod resources;
mod staged;
mod support;
mod turns;
