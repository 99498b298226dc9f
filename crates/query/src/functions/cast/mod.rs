//! Casts as PostgreSQL does them.

mod format;
mod function;
mod kernel;
mod parse;

pub(crate) use format::format_scalar;
pub(crate) use function::{CastMode, cast_to, is_arrow_cast};
pub(crate) use parse::parse_constant;
pub(super) use parse::parse_json;
#[cfg(test)]
pub(super) use parse::rescale;
