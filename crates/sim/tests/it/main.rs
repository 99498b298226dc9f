//! The fast lane: some seeds of everything. The long ones are lanes of `cargo xtask soak`.

#![allow(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "an integration test is test code as a whole"
)]

mod explore;
mod world;
