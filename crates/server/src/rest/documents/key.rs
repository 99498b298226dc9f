//! Keys of documents: `_id` beside the key columns.

use arrow_array::RecordBatch;
use outcrop_ingest::{Cells, TextSettings};
use outcrop_types::{Column, Result as OutcropResult, TableSchema};
use serde_json::Value as JsonValue;
use serde_json::value::RawValue;

/// What Rockset calls the key of a document.
const ID: &str = "_id";

/// Key columns with their positions, in key order; empty for a table without key.
pub(super) fn key_columns(schema: &TableSchema) -> Vec<(usize, &Column)> {
    let key = schema.primary_key();
    let ids = key.map(|key| key.columns.as_slice()).unwrap_or_default();
    ids.iter().filter_map(|id| Some((schema.position(*id)?, schema.column(*id)?))).collect()
}

/// The name that `_id` stands for: the key column, where there is one and it has another name.
pub(super) fn renamed_id(schema: &TableSchema) -> Option<&str> {
    let keys = key_columns(schema);
    match keys.as_slice() {
        [(_, column)] if schema.column_named(ID).is_none() => Some(&column.name),
        _ => None,
    }
}

/// The document with `_id` under the name of the key column; `None` if it needs no change.
pub(super) fn rename_id(document: &RawValue, key: &str) -> Option<String> {
    if !document.get().contains("\"_id\"") {
        return None;
    }
    let parsed: Members<'_> = serde_json::from_str(document.get()).ok()?;
    if parsed.0.iter().any(|(name, _)| name == key) || !parsed.0.iter().any(|(name, _)| name == ID) {
        return None;
    }
    let mut out = String::with_capacity(document.get().len() + key.len());
    out.push('{');
    for (position, (name, value)) in parsed.0.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        out.push_str(&JsonValue::from(if name == ID { key } else { name }).to_string());
        out.push(':');
        out.push_str(value.get());
    }
    out.push('}');
    Some(out)
}

/// The id that a refused document seems to have, to find it again in the answer.
pub(super) fn apparent_id(document: &RawValue, renamed: Option<&str>, schema: &TableSchema) -> Option<JsonValue> {
    let members: Members<'_> = serde_json::from_str(document.get()).ok()?;
    let named = |name: &str| members.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value);
    let own = match key_columns(schema).as_slice() {
        [(_, column)] => named(&column.name),
        _ => None,
    };
    let raw = own.or_else(|| renamed.and_then(named)).or_else(|| named(ID))?;
    match serde_json::from_str(raw.get()).ok()? {
        JsonValue::String(text) => Some(text.into()),
        JsonValue::Number(number) => Some(number.to_string().into()),
        JsonValue::Null | JsonValue::Bool(_) | JsonValue::Array(_) | JsonValue::Object(_) => None,
    }
}

/// Ids of rows as text: the value of a single key column, `(a,b)` of several, null without a key.
pub(super) fn ids(schema: &TableSchema, batch: &RecordBatch) -> OutcropResult<Vec<JsonValue>> {
    let keys = key_columns(schema);
    let cells = keys.iter().filter_map(|(position, column)| Some((batch.columns().get(*position)?, column)));
    let cells: Vec<Cells<'_>> =
        cells.map(|(array, column)| Cells::of_type(array.as_ref(), &column.data_type)).collect::<OutcropResult<_>>()?;
    Ok((0..batch.num_rows()).map(|row| id_of(&cells, row)).collect())
}

/// The id of one row, from the cells of its key.
pub(super) fn id_of(cells: &[Cells<'_>], row: usize) -> JsonValue {
    let settings = TextSettings::default();
    let text = |cell: &Cells<'_>| {
        let mut text = Vec::new();
        cell.write_text(row, &settings, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    };
    match cells {
        [] => JsonValue::Null,
        [cell] => text(cell).into(),
        cells => format!("({})", cells.iter().map(text).collect::<Vec<_>>().join(",")).into(),
    }
}

/// Members of an object in order, values unread.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
