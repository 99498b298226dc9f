//! How rows of tables are found: the data source that DataFusion reads (architecture Q2, Q3).
//!
//! [`source`] is the leaf of a physical plan; [`queue`] hands its work out, morsel by morsel, to all partitions;
//! [`predicate`] translates conditions for storage; [`key`] finds key look-ups in them; [`order`] is where a top-k query begins.

mod key;
mod order;
mod predicate;
mod queue;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use source::{TableScanSource, useful_partitions};
