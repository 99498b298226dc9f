//! SQL in process: `tests/sql/**/*.slt` and what needs more than one connection or a stream.

mod blocks;
mod copy;
mod parameters;
mod slt;
mod support;
mod writes;
