//! JSON documents to rows of a declared table, and rows to JSON.

mod decoder;
mod encoder;

pub use decoder::{DecodedDocuments, DocumentDecoder};
pub use encoder::RowEncoder;

#[cfg(test)]
mod tests;
