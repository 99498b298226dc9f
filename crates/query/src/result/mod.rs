//! What a statement answers: described columns, streams of batches, command tags.

mod columns;
mod execution;
mod rows;

pub use columns::{CatalogType, ResultColumn, ResultType};
pub(crate) use columns::{changed_result, same_result};
pub use execution::{CommandTag, Execution};
pub use rows::RowStream;
