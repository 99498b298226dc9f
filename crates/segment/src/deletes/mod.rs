//! Which rows of a unit are dead (architecture W5).
//!
//! [`DeleteVector`] is a two-level copy-on-write bit set: a list of chunks of 16,384 rows, each clean, all dead, a short
//! sorted list or a bitmap. A commit copies the list and the chunks it touches and shares the rest, so a reader keeps the
//! vector of its version for the price of a pointer, and the difference between two versions costs only the chunks that
//! are not the same allocation.

mod chunk;
mod vector;

pub use vector::DeleteVector;

#[cfg(test)]
mod tests;
