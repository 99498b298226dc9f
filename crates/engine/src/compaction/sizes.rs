//! What plans know of the segments of a table.

use std::cmp::Ordering;

use outcrop_types::{TableSchema, Value};

use super::plan::{KeyRange, SegmentSize};
use crate::rewrite::sort_key;
use crate::snapshot::ShardState;

/// The segments of a shard.
pub(crate) fn sizes(state: &ShardState, schema: &TableSchema) -> Vec<SegmentSize> {
    let key = sort_key(schema);
    let bounds: Vec<Option<(Value, Value)>> = state
        .segments()
        .map(|view| {
            let column = view.segment.meta().column(*key.first()?)?;
            Some((compared(column.min.as_ref()?), compared(column.max.as_ref()?)))
        })
        .collect();
    let ranges = ranges(&bounds);
    let sizes = state.segments().zip(ranges).map(|(view, range)| SegmentSize {
        unit: view.segment.unit(),
        rows: view.segment.rows(),
        live: view.deletes.live(),
        bytes: view.segment.bytes(),
        sorted: view.segment.meta().sorted_by.starts_with(&key),
        range,
    });
    sizes.collect()
}

/// Bounds as ranks among all of them.
fn ranges(bounds: &[Option<(Value, Value)>]) -> Vec<Option<KeyRange>> {
    let compare = |a: &Value, b: &Value| a.compare(b).unwrap_or(Ordering::Equal);
    let mut all: Vec<&Value> = bounds.iter().flatten().flat_map(|(min, max)| [min, max]).collect();
    all.sort_by(|a, b| compare(a, b));
    all.dedup_by(|a, b| compare(a, b).is_eq());
    let rank = |value: &Value| {
        let below = all.partition_point(|other| compare(other, value).is_lt());
        u32::try_from(below).unwrap_or(u32::MAX)
    };
    let range = |(min, max): &(Value, Value)| KeyRange { first: rank(min), last: rank(max) };
    bounds.iter().map(|bounds| bounds.as_ref().map(range)).collect()
}

/// What of a bound is compared: not more than what always decides the order of rows. Otherwise segments that cannot be told
/// apart would be taken for overlapping again and again.
fn compared(bound: &Value) -> Value {
    match bound {
        Value::Text(text) => Value::Bytes(text.as_bytes().get(..TEXT_BYTES).unwrap_or(text.as_bytes()).to_vec()),
        Value::Bytes(bytes) => Value::Bytes(bytes.get(..TEXT_BYTES).unwrap_or(bytes).to_vec()),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(..)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Timestamp(_)
        | Value::TimestampTz(_)
        | Value::Uuid(_)
        | Value::Array(_) => bound.clone(),
    }
}

/// Bytes of a text at the beginning of a sort key that are always compared.
const TEXT_BYTES: usize = 24;

#[cfg(test)]
mod tests;
