//! The engine through its public interface, on simulated and on real machines.

#![allow(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::large_futures,
    reason = "an integration test is test code as a whole"
)]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod alter;
mod backup;
mod basics;
mod budget;
mod checkpoints;
mod clustering;
mod compaction;
mod concurrent;
mod contention;
mod crash;
mod creation;
mod feed;
mod key_runs;
mod memory;
mod model;
mod resources;
mod restarts;
mod retention;
mod settling;
mod staged;
mod status;
mod support;
mod turns;
