//! The server over real sockets: tokio-postgres, psql, and bytes by hand.

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

mod auth;
mod copy;
mod extended;
mod fuzz;
mod http;
mod lifecycle;
mod psql;
mod raw;
mod simple;
mod slt;
mod support;
mod types;
mod value;
