//! The REST interface, in the shape of Rockset's API: queries, documents, collections; metrics beside it.
//!
//! ```text
//! listener ─▶ answer (trace id, errors as JSON) ─▶ guard (Host, Origin, API key) ─▶ route
//!   queries      :named parameters ─▶ $n ─▶ Session ─▶ rows as they are produced
//!   documents    JSON ─▶ ingest::json ─▶ TableWrite (upsert, delete by key) ─▶ one status for each document
//!   collections  the catalog of the newest snapshot
//! ```
//!
//! Every error is a JSON object with at least `message` and `type`; [`failure`] is the table.

#![allow(clippy::result_large_err, reason = "a failure is made once, where the request ends")]

mod body;
mod collections;
mod documents;
mod failure;
mod guard;
mod listener;
mod metrics;
mod queries;
mod service;

pub(crate) use service::{RestLimits, RestServices, serve};

#[cfg(test)]
mod tests;
