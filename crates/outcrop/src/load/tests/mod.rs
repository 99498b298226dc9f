//! Tests of what needs no server.

mod batches;
mod digits;
mod infer;
mod parquet;
mod plans;
mod readers;
