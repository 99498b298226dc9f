//! Definitions: tables and schemas come, change and go.

mod alter_table;
mod column;
mod create_table;
mod drop;
mod schema;
mod table_options;

pub(crate) use alter_table::{alter_table, comment};
pub(crate) use create_table::create_table;
pub(crate) use drop::{drop_objects, truncate};
pub(crate) use schema::create_schema;
pub(crate) use table_options::shown_options;
