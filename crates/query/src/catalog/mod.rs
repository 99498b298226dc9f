//! The system catalogs that clients ask, `pg_catalog` and `information_schema`, and our own views in `outcrop`, made from the snapshot when a statement
//! names them.

mod definition;
mod empty_tables;
mod information_schema;
mod oid;
mod outcrop;
mod pg_catalog;
mod pg_types;
mod rows;
mod system;

pub(crate) use definition::{constraint_definition, index_definition, quoted};
pub(crate) use oid::{Objects, column_number, index_oid, schema_of_oid, table_oid};
pub(crate) use pg_types::{format_type, type_of_name};
pub(crate) use system::{SYSTEM_SCHEMAS, system_table};
