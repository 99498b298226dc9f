//! `outcrop load`: a file into a table of a running server.
//!
//! ```text
//! file ─▶ RowReader (csv, ndjson, parquet) ─▶ BatchReader (checks, COPY text) ─┬▶ Loader ─▶ COPY
//!      └▶ ParquetBatches (its types are the table's: COPY binary) ──────────────┤      │
//!                                                                 rejects file ◀┴──────┘
//! ```

mod batch;
mod compression;
mod copy;
mod csv;
mod digits;
mod infer;
mod input;
mod line;
mod ndjson;
mod parquet;
mod parquet_batch;
mod parquet_json;
mod pipe;
mod plan;
mod progress;
mod rejects;
mod row;
mod run;
mod sample;
mod table;

pub(crate) use run::run;

#[cfg(test)]
mod tests;
