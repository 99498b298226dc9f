//! PostgreSQL's binary format of every type, both ways, and the numbers (oids) by which clients know types.

mod decode;
mod encode;
mod numeric;
pub mod oid;

pub use decode::decode;
pub(crate) use decode::{date, fixed, invalid_utf8, timestamp, utf8};
pub use encode::write_sized;
pub(crate) use numeric::numeric_to_decimal128;
pub use numeric::numeric_to_text;

#[cfg(test)]
mod tests;
