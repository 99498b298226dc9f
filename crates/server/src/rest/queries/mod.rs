//! `POST /v1/orgs/self/queries`: one statement, its parameters, its rows; and queries by their id, whose rows come later.

mod cells;
mod kept;
mod named;
mod pages;
mod parameters;
mod request;
mod results;
mod run;

pub(super) use kept::KeptQueries;
pub(super) use pages::{cancel, info, list, pages};
pub(super) use run::query;

#[cfg(test)]
mod tests;
