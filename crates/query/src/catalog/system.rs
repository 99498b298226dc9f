//! System tables by name.

use datafusion::arrow::array::RecordBatch;
use outcrop_engine::Snapshot;
use outcrop_types::Result;

use super::{Objects, information_schema, pg_catalog};
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
