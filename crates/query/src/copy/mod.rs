//! `COPY … FROM STDIN` and `COPY … TO STDOUT`. The bytes are the caller's business; rows pass as batches.

mod input;
mod options;
mod output;
mod statement;

pub use input::CopyIn;
pub(crate) use input::{begin_copy_in, copy_columns};
pub use options::{CopyConflict, CopyFormat, CopyHeader, CopyOptions};
pub use output::CopyOut;
pub(crate) use output::{plan_copy_out, run_copy_out};
pub(crate) use statement::{CopyStatement, parse_copy};

#[cfg(test)]
mod tests;
