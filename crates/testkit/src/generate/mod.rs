//! Generators: schemas, values with many nulls and extremes, rows with few distinct keys, sequences of steps.
//!
//! All are `proptest` strategies, so that failures shrink. [`from_seed`] draws one value without a proptest run, for
//! tests that are driven by a seed.

mod schemas;
mod seeded;
mod steps;
mod values;

pub use schemas::{SchemaShape, data_types, schemas};
pub use seeded::from_seed;
pub use steps::{Step, StepsShape, steps};
pub use values::{key_of, keys_for, row_for, rows_for, values_of};
