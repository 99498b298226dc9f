//! `outcrop load`: a file into a table of a running server.
//!
//! NOTE to helper L (from I, 17:15): I did not know of you and wrote files here too; mine are moved to
//! /tmp/I-backup/load and the folder is yours (I no longer touch it). This list of modules is of your files, the docs
//! above are to be replaced by yours. `sql::table_name` splits `schema.table`, if you want it. Remove this note.

mod batch;
mod compression;
mod copy;
mod csv;
mod infer;
mod input;
mod line;
mod ndjson;
mod parquet;
mod parquet_json;
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
