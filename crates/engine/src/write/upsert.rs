//! Documents: replace by key, delete by key, in the order given; the last one wins.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use outcrop_format::record::Op;
use outcrop_types::{Result, RowAddress};

use super::api::RowOutcome;
use super::decision::{Decision, gather, insert_all, ops_from};
use super::tail::TailView;
use crate::key_index::KeyHash;

/// One row of an `Upsert` statement: the key, and the row that is to be stored, or none to delete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UpsertItem {
    pub(crate) key: KeyHash,
    /// Row of the statement's batch.
    pub(crate) row: Option<u32>,
}

/// What the items before one did to its key.
#[derive(Clone, Copy)]
struct KeyFate {
    /// The row there before the statement.
    victim: Option<RowAddress>,
    /// Whether the key exists after the items so far.
    exists: bool,
    /// The last item.
    last: usize,
}

/// Judges an `Upsert` whose rows are in memory.
pub(crate) fn decide_upsert(view: &TailView<'_>, rows: &RecordBatch, items: &[UpsertItem]) -> Result<Decision> {
    if view.keys().is_none() {
        return insert_all(rows.clone(), Vec::new());
    }
    let keys: Vec<KeyHash> = items.iter().map(|item| item.key).collect();
    let mut fates: HashMap<KeyHash, KeyFate> = HashMap::with_capacity(items.len());
    let mut outcomes = Vec::with_capacity(items.len());
    for (index, (item, victim)) in items.iter().zip(view.lookup(&keys)?).enumerate() {
        let fate = fates.entry(item.key).or_insert_with(|| KeyFate { victim, exists: victim.is_some(), last: index });
        outcomes.push(match (item.row, fate.exists) {
            (Some(_), false) => RowOutcome::Inserted,
            (Some(_), true) => RowOutcome::Updated,
            (None, true) => RowOutcome::Deleted,
            (None, false) => RowOutcome::Skipped,
        });
        fate.exists = item.row.is_some();
        fate.last = index;
    }
    let mut list = Vec::with_capacity(items.len());
    let mut picks = Vec::with_capacity(items.len());
    let mut row_keys = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Some(fate) = fates.get(&item.key).filter(|fate| fate.last == index) else { continue };
        match (item.row, fate.victim) {
            (Some(row), victim) => {
                list.push(victim.map_or(Op::Insert, Op::Update));
                picks.push((0, usize::try_from(row).unwrap_or(usize::MAX)));
                row_keys.push(item.key);
            }
            (None, Some(victim)) => list.push(Op::Delete(victim)),
            (None, None) => {}
        }
    }
    let whole = picks.len() == rows.num_rows();
    let rows = if whole { rows.clone() } else { gather(view.schema, std::slice::from_ref(rows), &picks)? };
    Ok(Decision { rows, row_keys, ops: ops_from(list)?, outcomes })
}
