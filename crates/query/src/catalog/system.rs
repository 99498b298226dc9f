//! System tables by name.

use datafusion::arrow::array::RecordBatch;
use outcrop_engine::{Engine, Snapshot};
use outcrop_types::Result;

use super::{Objects, information_schema, outcrop, pg_catalog};
use crate::planning::SessionView;

/// Schemas whose tables nobody can change.
pub(crate) const SYSTEM_SCHEMAS: [&str; 3] = ["information_schema", "outcrop", "pg_catalog"];

/// The rows of a system table; `None` if there is no such table.
pub(crate) fn system_table(
    schema: &str,
    table: &str,
    snapshot: Option<&Snapshot>,
    engine: &Engine,
    view: &SessionView,
) -> Result<Option<RecordBatch>> {
    let objects = Objects::new(snapshot);
    match schema {
        "pg_catalog" => pg_catalog::table(table, &objects, view),
        "information_schema" => information_schema::table(table, &objects, view),
        "outcrop" => outcrop::table(table, snapshot, engine),
        _ => Ok(None),
    }
}
