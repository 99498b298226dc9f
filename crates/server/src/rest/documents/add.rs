//! `POST …/docs`: add or replace.

use std::sync::Arc;

use arrow_array::RecordBatch;
use axum::extract::{Path, Request, State};
use axum::{Extension, Json};
use outcrop_ingest::TextSettings;
use outcrop_ingest::json::{DecodedDocuments, DocumentDecoder};
use outcrop_types::{Error, TableSchema};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as JsonValue, json};

use super::super::body::{Received, parse, receive};
use super::super::failure::{Failure, Result};
use super::super::guard::Caller;
use super::super::service::RestServices;
use super::status::{Status, render};
use super::write::{commit, find};
use super::{defaults, key};

/// `{"data": [document, …]}`
#[derive(Debug, Deserialize)]
struct Documents<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

/// Adds documents, or replaces those with the same key; of two in one request the last one stays. All good documents are
/// committed at once; bad ones have their error in the answer.
pub(in crate::rest) async fn add(
    State(services): State<Arc<RestServices>>,
    Extension(caller): Extension<Caller>,
    Path((workspace, collection)): Path<(String, String)>,
    request: Request,
) -> Result<Json<JsonValue>> {
    let target = find(&services.database, &workspace, &collection)?;
    let received = receive(&services, request).await?;
    let schema = Arc::clone(&target.schema);
    let renamed = key::renamed_id(&target.schema).map(str::to_owned);
    let (mut decoded, statuses) = decode(received, schema, renamed).await?;
    if decoded.rows == 0 {
        let data = render(&target.schema.name, &statuses, &[], &[]);
        return Ok(Json(json!({ "data": data })));
    }
    let mut session = services.database.session(caller.session_info());
    defaults::fill(&mut session, &target.schema, &mut decoded).await?;
    let batch: RecordBatch = decoded.into_batch(&target.schema)?;
    let ids = key::ids(&target.schema, &batch)?;
    let commit = commit(&services.database, &target, move |write| write.insert(batch)).await?;
    let position = services.database.position(commit.seq).to_string();
    let data = render(&target.schema.name, &statuses, &ids, &commit.outcomes);
    Ok(Json(json!({ "data": data, "last_offset": position, "commit_seq": position })))
}

/// What a request's documents are, in order.
pub(super) type Statuses = Vec<(Option<JsonValue>, Status)>;

/// Reads all documents as rows of `schema`, apart from the network's threads. One that is refused leaves no row. In
/// documents without the column `renamed`, `_id` stands for it.
pub(super) async fn decode(
    received: Received,
    schema: Arc<TableSchema>,
    renamed: Option<String>,
) -> Result<(DecodedDocuments, Statuses)> {
    let work = move || {
        let documents: Documents<'_> = parse(&received)?;
        let mut decoder = DocumentDecoder::new(Arc::clone(&schema), TextSettings::default());
        let mut good = 0;
        let mut statuses = Vec::with_capacity(documents.data.len());
        for document in &documents.data {
            let rewritten = renamed.as_deref().and_then(|key| key::rename_id(document, key));
            match decoder.push(rewritten.as_deref().unwrap_or_else(|| document.get())) {
                Ok(()) => {
                    statuses.push((None, Status::Good(good)));
                    good += 1;
                }
                Err(error) => {
                    let id = key::apparent_id(document, renamed.as_deref(), &schema);
                    statuses.push((id, Status::Bad(Failure::from(error))));
                }
            }
        }
        Ok((decoder.finish()?, statuses))
    };
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|panic| Failure::from(Error::internal("decoding documents panicked").with_source(panic)))?
}
