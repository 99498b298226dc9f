//! Workspaces and collections: the schemas and tables of the newest snapshot.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use outcrop_engine::Snapshot;
use outcrop_types::TableSchema;
use serde_json::{Value as JsonValue, json};

use super::failure::{Failure, Result};
use super::service::RestServices;

/// `GET /v1/orgs/self/ws`
pub(super) async fn list_workspaces(State(services): State<Arc<RestServices>>) -> Json<JsonValue> {
    let snapshot = services.database.engine().snapshot();
    let catalog = snapshot.catalog();
    let workspaces = catalog.schemas().map(|name| {
        let count = catalog.tables().filter(|table| table.name.schema == name).count();
        json!({ "name": name, "collection_count": count })
    });
    Json(json!({ "data": workspaces.collect::<Vec<_>>() }))
}

/// `GET /v1/orgs/self/collections`
pub(super) async fn list_all(State(services): State<Arc<RestServices>>) -> Json<JsonValue> {
    let snapshot = services.database.engine().snapshot();
    let tables = snapshot.catalog().tables().map(|table| render(&snapshot, table));
    Json(json!({ "data": tables.collect::<Vec<_>>() }))
}

/// `GET /v1/orgs/self/ws/{workspace}/collections`
pub(super) async fn list(
    State(services): State<Arc<RestServices>>,
    Path(workspace): Path<String>,
) -> Result<Json<JsonValue>> {
    let snapshot = services.database.engine().snapshot();
    if !snapshot.catalog().has_schema(&workspace) {
        return Err(Failure::not_found(format!("workspace {workspace} does not exist")));
    }
    let tables = snapshot.catalog().tables().filter(|table| table.name.schema == workspace);
    Ok(Json(json!({ "data": tables.map(|table| render(&snapshot, table)).collect::<Vec<_>>() })))
}

/// `GET /v1/orgs/self/ws/{workspace}/collections/{collection}`
pub(super) async fn describe(
    State(services): State<Arc<RestServices>>,
    Path((workspace, collection)): Path<(String, String)>,
) -> Result<Json<JsonValue>> {
    let target = super::documents::find(&services.database, &workspace, &collection)?;
    Ok(Json(json!({ "data": render(&target.snapshot, &target.schema) })))
}

/// Rockset's `Collection`; `fields` and `primary_key` are ours, for tables have declared columns.
fn render(snapshot: &Snapshot, schema: &TableSchema) -> JsonValue {
    let table = snapshot.table(schema.id);
    let rows = table.as_ref().map_or(0, |table| table.live_rows());
    let row_bytes = table.as_ref().map_or(0, |table| table.row_bytes());
    let fields = schema.columns.iter().map(
        |column| json!({ "name": column.name, "type": column.data_type.to_string(), "nullable": column.nullable }),
    );
    let key = schema.primary_key().map(|key| {
        let names = key.columns.iter().filter_map(|id| schema.column(*id)).map(|column| column.name.as_str());
        names.collect::<Vec<_>>()
    });
    json!({
        "name": schema.name.table,
        "workspace": schema.name.schema,
        "status": "READY",
        "read_only": false,
        "fields": fields.collect::<Vec<_>>(),
        "primary_key": key.unwrap_or_default(),
        "stats": { "doc_count": rows, "total_size": rows.saturating_mul(row_bytes) },
    })
}
