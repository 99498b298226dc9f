//! Definitions: tables and schemas come and go.

mod create_table;
mod drop;
mod schema;
mod table_options;

pub(crate) use create_table::create_table;
pub(crate) use drop::{drop_objects, truncate};
pub(crate) use schema::create_schema;
pub(crate) use table_options::shown_options;
