//! Types between SQL, Arrow and DataFusion: names in SQL text, the types of results, and constants.

mod field;
mod literal;
mod names;

pub(crate) use field::{data_type_of_arrow, data_type_of_field, is_text, result_type_of_field};
pub(crate) use literal::{INTERVAL, TIMESTAMP, scalar_to_value, value_to_scalar};
pub(crate) use names::{SqlTypes, catalog_field, sql_data_type};
