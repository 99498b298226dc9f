//! Functions that PostgreSQL has and DataFusion lacks, or means otherwise.

mod arithmetic;
mod array_items;
mod arrays;
mod backup;
mod bytes;
mod cast;
mod catalog;
mod date_trunc;
mod dates;
mod feeds;
mod intervals;
mod json;
mod maintenance;
mod percentiles;
mod register;
mod rounding;
mod session;
mod simple;
mod single_row;
mod sums;
#[cfg(test)]
mod tests;
mod zone;
mod zoned;

pub(crate) use arithmetic::{ArithmeticOp, arithmetic};
pub(crate) use array_items::{QUANTIFIED, contained, quantified};
pub(crate) use bytes::octet_length;
pub(crate) use cast::{CastMode, cast_to, format_scalar, is_arrow_cast, parse_constant};
pub(crate) use dates::extract;
pub(crate) use json::{document, json_operator};
pub(crate) use register::register;
pub(crate) use zoned::moved_moment;
