//! Sequences of steps for the engine and the model to take side by side.

use outcrop_types::{Column, ColumnId, TableSchema, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::values::{key_of, keys_for, rows_for, values_of};
use crate::model::Operation;

/// One step of a test.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A client's change.
    Change(Operation),
    /// The memtable becomes a segment.
    Flush,
    /// A reader takes a snapshot and keeps it.
    Snapshot,
    /// The process and everything not synced are gone; recovery follows.
    Crash,
    /// The database is closed in good order and opened again.
    Reopen,
}

/// How long sequences are.
#[derive(Clone, Copy, Debug)]
pub struct StepsShape {
    /// Most steps.
    pub steps_max: usize,
    /// Most rows or keys of one change.
    pub rows_max: usize,
}

impl Default for StepsShape {
    fn default() -> Self {
        Self { steps_max: 40, rows_max: 8 }
    }
}

/// Sequences over one table, which exists already. Changes by key need a primary key; without one only rows are added.
pub fn steps(schema: &TableSchema, shape: StepsShape) -> BoxedStrategy<Vec<Step>> {
    let housekeeping = prop_oneof![
        4 => Just(Step::Flush),
        2 => Just(Step::Snapshot),
        2 => Just(Step::Crash),
        1 => Just(Step::Reopen),
        1 => Just(Step::Change(Operation::Truncate(schema.id))),
    ];
    let changes = changes(schema, shape.rows_max).prop_map(Step::Change);
    vec(prop_oneof![4 => changes, 1 => housekeeping], 1..=shape.steps_max.max(1)).boxed()
}

fn changes(schema: &TableSchema, rows_max: usize) -> BoxedStrategy<Operation> {
    let table = schema.id;
    let insert = rows_for(schema, rows_max).prop_map(move |rows| Operation::Insert(table, rows));
    if schema.primary_key().is_none() {
        return insert.boxed();
    }
    let upsert = rows_for(schema, rows_max).prop_map(move |rows| Operation::Upsert(table, rows));
    let delete = vec(keys_for(schema), 0..=rows_max).prop_map(move |keys| Operation::DeleteByKey(table, keys));
    let update = (keys_for(schema), assignments(schema))
        .prop_map(move |(key, values)| Operation::UpdateByKey(table, key, values));
    prop_oneof![2 => insert, 3 => upsert, 2 => delete, 2 => update].boxed()
}

/// Up to three columns with new values; sometimes of the key, and sometimes NULL where that is not allowed.
fn assignments(schema: &TableSchema) -> BoxedStrategy<Vec<(ColumnId, Value)>> {
    let key = schema.primary_key().map(|key| key.columns.clone()).unwrap_or_default();
    let assignment = select(schema.columns.clone()).prop_flat_map(move |Column { id, data_type, .. }| {
        let values = if key.contains(&id) { key_of(&data_type) } else { values_of(&data_type) };
        (Just(id), prop_oneof![9 => values, 1 => Just(Value::Null)])
    });
    vec(assignment, 0..=3).boxed()
}
