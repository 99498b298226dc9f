//! PostgreSQL's SQL as DataFusion's: rewriting of syntax trees before planning.
//!
//! [`rewrite`] drives one pass over a query; [`names`] gives output columns PostgreSQL's names, [`numbers`] gives integer
//! constants their types, [`subqueries`] writes some as aggregates, [`pg_catalog`] translates what `psql` and drivers ask of the system catalogs.

mod clock;
mod names;
mod numbers;
mod pg_catalog;
mod position;
mod quantified;
mod rewrite;
mod subqueries;
#[cfg(test)]
mod tests;
mod windows;

pub(crate) use clock::spelled_out;
pub(crate) use names::{output_name, shown_name};
pub(crate) use position::character_position;
pub(crate) use rewrite::{is_valued, parameter_count, repeats_rows, rewrite_expr, rewrite_query};
