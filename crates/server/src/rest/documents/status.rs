//! What became of each document.

use outcrop_engine::RowOutcome;
use outcrop_types::TableName;
use serde_json::{Value as JsonValue, json};

use super::super::failure::Failure;

/// A document's fate.
#[derive(Debug)]
pub(super) enum Status {
    /// It is the nth good document; its outcome is known after the commit.
    Good(usize),
    /// It was refused and nothing of it is stored.
    Bad(Failure),
}

/// Renders `data` of the answer. `ids` are those of the good documents, `bad_ids` are found in the documents themselves.
pub(super) fn render(
    table: &TableName,
    statuses: &[(Option<JsonValue>, Status)],
    ids: &[JsonValue],
    outcomes: &[RowOutcome],
) -> Vec<JsonValue> {
    let collection = table.to_string();
    let good = |n: usize| {
        let name = match outcomes.get(n) {
            Some(RowOutcome::Updated) => "REPLACED",
            Some(RowOutcome::Deleted | RowOutcome::Skipped) => "DELETED",
            Some(RowOutcome::Inserted) | None => "ADDED",
        };
        json!({ "_collection": collection, "_id": ids.get(n), "status": name, "error": null, "patch_id": null })
    };
    let one = |(id, status): &(Option<JsonValue>, Status)| match status {
        Status::Good(n) => good(*n),
        Status::Bad(failure) => json!({
            "_collection": collection,
            "_id": id,
            "status": "ERROR",
            "error": failure.to_json(None),
            "patch_id": null,
        }),
    };
    statuses.iter().map(one).collect()
}
