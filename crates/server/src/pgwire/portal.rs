//! Portals: statements with their parameters, executed once, read in pieces.

use arrow_array::RecordBatch;
use outcrop_query::{CommandTag, Prepared, RowStream};
use outcrop_types::Value;
use outcrop_wire::Format;

/// A bound statement.
#[derive(Debug)]
pub(super) struct Portal {
    /// `None` for a statement without text.
    pub(super) prepared: Option<Prepared>,
    pub(super) formats: Vec<Format>,
    pub(super) state: PortalState,
}

/// How far a portal is.
#[derive(Debug)]
pub(super) enum PortalState {
    /// Not executed yet.
    Bound(Vec<Value>),
    /// Rows are left.
    Suspended(Box<Reading>),
    /// Executed to its end.
    Done(Option<CommandTag>),
}

/// A result that is being read, with the batch that was begun.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) rows: RowStream,
    pub(super) batch: Option<RecordBatch>,
    /// The first row of `batch` that was not sent.
    pub(super) next_row: usize,
}

impl Portal {
    /// What it keeps in memory, beside what the memory pool of queries counts.
    pub(super) fn bytes(&self) -> usize {
        match &self.state {
            PortalState::Bound(parameters) => parameters.iter().map(value_bytes).sum(),
            PortalState::Suspended(reading) => reading.batch.as_ref().map_or(0, RecordBatch::get_array_memory_size),
            PortalState::Done(_) => 0,
        }
    }
}

fn value_bytes(value: &Value) -> usize {
    let outside = match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(items) => items.iter().map(value_bytes).sum(),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(..)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Timestamp(_)
        | Value::TimestampTz(_)
        | Value::Uuid(_) => 0,
    };
    size_of::<Value>() + outside
}

impl Reading {
    pub(super) fn new(rows: RowStream) -> Self {
        Self { rows, batch: None, next_row: 0 }
    }
}
