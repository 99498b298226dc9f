//! What the planner sees of tables: one snapshot for the whole statement (architecture Q1).

mod rows;
mod table;

pub(crate) use rows::RowsTable;
pub(crate) use table::{PlannedTable, SnapshotTable};
