//! COPY's formats: bytes to batches, row by row, and rows to bytes.

mod binary;
mod csv;
mod decoder;
mod encoder;
mod layout;
mod lines;
mod text;

pub use binary::Fields;
pub use decoder::{CopyDecoder, LINE_BYTES_MAX};
pub use encoder::CopyEncoder;
pub use layout::{Header, Layout, Style};

#[cfg(test)]
mod tests;
