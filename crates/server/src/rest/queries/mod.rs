//! `POST /v1/orgs/self/queries`: one statement, its parameters, its rows.

mod cells;
mod named;
mod parameters;
mod request;
mod results;
mod run;

pub(super) use run::query;

#[cfg(test)]
mod tests;
