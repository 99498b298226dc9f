//! `DELETE …/docs`: by key.

use std::sync::Arc;

use arrow_array::RecordBatch;
use axum::Json;
use axum::extract::{Path, Request, State};
use outcrop_engine::RowOutcome;
use outcrop_ingest::Cells;
use outcrop_types::{Result as OutcropResult, TableSchema};
use serde_json::{Value as JsonValue, json};

use super::super::body::receive;
use super::super::failure::{Failure, Result};
use super::super::service::RestServices;
use super::add::decode;
use super::key;
use super::status::render;
use super::write::{commit, find};

/// Deletes documents by their keys: `{"data": [{"_id": …}, …]}`, or with the key columns by name. A key that is not
/// there is deleted already: its status is `DELETED` too.
pub(in crate::rest) async fn delete(
    State(services): State<Arc<RestServices>>,
    Path((workspace, collection)): Path<(String, String)>,
    request: Request,
) -> Result<Json<JsonValue>> {
    let target = find(&services.database, &workspace, &collection)?;
    if target.schema.primary_key().is_none() {
        return Err(Failure::invalid(format!("collection {} has no key to delete by", target.schema.name))
            .with_hint("Delete rows with the SQL statement DELETE."));
    }
    let received = receive(&services, request).await?;
    let keys = Arc::new(key_schema(&target.schema));
    let renamed = key::renamed_id(&target.schema).map(str::to_owned);
    let (decoded, statuses) = decode(received, Arc::clone(&keys), renamed).await?;
    if decoded.rows == 0 {
        return Ok(Json(json!({ "data": render(&target.schema.name, &statuses, &[], &[]) })));
    }
    let batch = decoded.into_batch(&keys)?;
    let ids = ids(&keys, &batch)?;
    let deleted = vec![RowOutcome::Deleted; batch.num_rows()];
    let commit = commit(&services.database, &target, move |write| write.delete_keys(&batch)).await?;
    let position = services.database.position(commit.seq).to_string();
    let data = render(&target.schema.name, &statuses, &ids, &deleted);
    Ok(Json(json!({ "data": data, "last_offset": position, "commit_seq": position })))
}

/// The table with its key columns only, in key order, none of which a document may leave out.
fn key_schema(schema: &TableSchema) -> TableSchema {
    let columns = key::key_columns(schema).into_iter().map(|(_, column)| {
        let mut column = column.clone();
        column.write_default = None;
        column.nullable = false;
        column
    });
    TableSchema { columns: columns.collect(), ..schema.clone() }
}

fn ids(keys: &TableSchema, batch: &RecordBatch) -> OutcropResult<Vec<JsonValue>> {
    let columns = batch.columns().iter().zip(&keys.columns);
    let cells: Vec<Cells<'_>> = columns
        .map(|(array, column)| Cells::of_type(array.as_ref(), &column.data_type))
        .collect::<OutcropResult<_>>()?;
    Ok((0..batch.num_rows()).map(|row| key::id_of(&cells, row)).collect())
}
