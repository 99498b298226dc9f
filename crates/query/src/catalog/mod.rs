//! The system catalogs that clients ask: `pg_catalog` and `information_schema`, made from the snapshot when a statement
//! names them.

mod definition;
mod information_schema;
mod oid;
mod pg_catalog;
mod pg_types;
mod rows;

use datafusion::arrow::array::RecordBatch;
use outcrop_engine::Snapshot;
use outcrop_types::Result;

pub(crate) use definition::{constraint_definition, index_definition, quoted};
pub(crate) use oid::{Objects, index_oid, schema_of_oid, table_oid};
pub(crate) use pg_types::{format_type, type_of_name};

use crate::planning::SessionView;

/// The rows of a system table; `None` if there is no such table.
pub(crate) fn system_table(
    schema: &str,
    table: &str,
    snapshot: Option<&Snapshot>,
    view: &SessionView,
) -> Result<Option<RecordBatch>> {
    let objects = Objects::new(snapshot);
    match schema {
        "pg_catalog" => pg_catalog::table(table, &objects, view),
        "information_schema" => information_schema::table(table, &objects, view),
        _ => Ok(None),
    }
}
