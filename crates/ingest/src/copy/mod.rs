//! COPY's text and CSV formats: bytes to batches, line by line, and rows to bytes.

mod csv;
mod decoder;
mod encoder;
mod layout;
mod lines;
mod text;

pub use decoder::{CopyDecoder, LINE_BYTES_MAX};
pub use encoder::CopyEncoder;
pub use layout::{Header, Layout, Style};

#[cfg(test)]
mod tests;
