//! Functions that PostgreSQL has and DataFusion lacks, or means otherwise.

mod arithmetic;
mod arrays;
mod backup;
mod cast;
mod catalog;
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
pub(crate) use cast::{CastMode, cast_to, format_scalar, is_arrow_cast, parse_constant};
pub(crate) use dates::extract;
pub(crate) use json::json_operator;
pub(crate) use register::register;
pub(crate) use zoned::moved_moment;
