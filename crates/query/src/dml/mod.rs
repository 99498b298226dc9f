//! `INSERT`, `UPDATE` and `DELETE`.
//!
//! All of them make batches in the schema of the table and stream them into a [`outcrop_engine::TableWrite`]. `INSERT` of
//! constants needs no plan ([`values`]) and not even a syntax tree of its rows if they are literals ([`crate::literal`]), nor does
//! a change of the row with a key need a plan ([`point`]); everything else is a query over the statement's snapshot. Rows that
//! changed since are judged again by [`recheck`] inside the engine's turn.

mod assignments;
mod bound;
mod change;
mod conflict;
mod describe;
mod insert;
mod point;
mod recheck;
mod returned;
mod returning;
mod rows;
mod syntax;
mod target;
mod values;
mod writer;

pub(crate) use bound::{
    ChangeCache, PARAMETERS, is_timeless, parameter_columns, truth, with_columns, with_parameter_values,
};
pub(crate) use change::{delete, update};
pub(crate) use describe::{describe_delete, describe_insert, describe_update, explained};
pub(crate) use insert::{insert, insert_literals};
pub(crate) use point::{find_row, key_batch, key_expressions};
pub(crate) use rows::RowMaker;
pub(crate) use syntax::{parse_query, table_query};
pub(crate) use target::Target;
#[cfg(test)]
pub(crate) use values::constant;
pub(crate) use values::{number_constant, text_constant};
pub(crate) use writer::{Keep, Writer};

#[cfg(test)]
mod tests;
