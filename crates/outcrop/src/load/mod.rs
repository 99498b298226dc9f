//! `outcrop load`: a file into a table of a running server.
//!
//! ```text
//! file ─▶ source (gzip, zstd) ─▶ rows (csv | ndjson | parquet) ─▶ Record ─▶ batch of COPY lines ─▶ send
//!                                     └ sample ─▶ infer ─▶ target (CREATE TABLE)        rejected rows ─▶ FILE.rejects
//! ```
//!
//! Each batch (4 MiB of text) is one COPY of its own, so memory is bounded and what was loaded stays loaded when a later
//! batch fails. A batch with a bad row is sent again without it (O2).

mod batch;
mod csv_rows;
mod infer;
mod json_rows;
mod parquet_rows;
mod progress;
mod record;
mod rejects;
mod rows;
mod run;
mod send;
mod source;
mod target;

pub(crate) use run::run;

#[cfg(test)]
mod tests;
