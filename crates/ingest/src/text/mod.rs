//! PostgreSQL's text format of every type, both ways.

pub mod array;
pub mod bytea;
pub mod calendar;
pub mod datetime;
pub mod interval;
pub mod number;
mod parse;
mod settings;

pub use parse::parse;
pub(crate) use parse::{invalid_text, parse_bool, parse_text, parse_uuid};
pub use settings::{ByteaOutput, DateOrder, TextSettings, TimeZone};

#[cfg(test)]
pub(crate) mod tests;
