//! Statements: parsed, prepared, executed.

mod cluster_by;
mod hints;
mod names;
mod parse;
mod prepared;
mod repeated;
mod run;
mod shape;
mod statement;
mod tables;

pub(crate) use hints::hint_query;
pub(crate) use names::{WrittenName, name_of, new_name, parameter_number, schema_name, search_path, undefined_schema};
pub(crate) use parse::{parse_expression, parse_statements, parse_whole};
pub(crate) use prepared::Plan;
pub use prepared::Prepared;
pub(crate) use repeated::is_volatile;
pub(crate) use run::{Outcome, prepare, prepare_unplanned, pumped, run, run_unplanned, stream};
pub(crate) use statement::Body;
pub use statement::{Statement, StatementKind};

#[cfg(test)]
mod tests;
