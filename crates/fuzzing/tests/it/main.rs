//! What fuzzing found stays found, and a little of it runs on every machine.

#![allow(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::large_futures,
    reason = "an integration test is test code as a whole"
)]

mod replay;
mod seeds;
