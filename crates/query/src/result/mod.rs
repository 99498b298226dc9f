//! What a statement answers: described columns, streams of batches, command tags.

mod columns;
mod execution;
mod rows;

pub use columns::{CatalogType, ResultColumn, ResultType};
pub use execution::{CommandTag, Execution};
pub use rows::RowStream;
