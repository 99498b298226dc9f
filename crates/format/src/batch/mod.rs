//! Rows as bytes: the body of a commit record's rows. Small for one row, memory speed for many.
//!
//! | part | bytes |
//! |---|---|
//! | version | 1 |
//! | rows, columns | varints |
//! | each column | varint `ColumnId`, kind byte, varint length of the body, body |
//! | only if there are no columns | one zero bit per row, padded to a byte |
//!
//! The kind byte is the physical type ([`kind`]), plus 0x80 if the column has nulls. A body is, in this order:
//!
//! | part | bytes |
//! |---|---|
//! | decimals only | precision, scale |
//! | columns with nulls only | validity, one bit per row, padded to a byte |
//! | boolean | one bit per row, 0 where null, padded to a byte |
//! | fixed width | the values that are not null, little-endian |
//! | text, bytes | lengths of the values that are not null (varints), then their bytes, one after the other |
//! | list | lengths of the lists that are not null (varints), then kind byte and body of the items |
//!
//! So a column has at least one bit per row, and a row count that its bytes cannot hold is refused before memory is
//! taken (B2).

pub mod constant;
mod decode;
mod encode;
pub mod kind;
mod widen;

pub use constant::constant_array;
pub use decode::{BatchDecoder, batch_rows, decode_batch};
pub use encode::encode_batch;
pub use widen::widen_array;

#[cfg(test)]
mod tests;
