//! SQL in process: `tests/sql/**/*.slt` and what needs more than one connection or a stream.

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
    clippy::print_stdout,
    reason = "an integration test is test code as a whole"
)]

mod blocks;
mod cancelled_writes;
mod complexity;
mod copy;
mod fairness;
mod feeds;
mod fuzz;
mod literals;
mod lookup;
mod parameters;
mod prepared;
mod refused_space;
mod slt;
mod support;
mod top_k;
mod writes;
