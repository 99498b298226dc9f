//! P7: a small database with everything in it, damaged in every way at every place. Each damage is an error that names the file, or
//! changes nothing that anybody reads; `outcrop check` finds what is no longer readable. Never other rows, a panic or a hang.

#![allow(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "an integration test is test code as a whole"
)]

mod contents;
mod database;
mod faults;
mod golden;
mod matrix;
mod older;
