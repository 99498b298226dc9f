//! PostgreSQL's meaning where DataFusion's differs (architecture Q9): operators as they are planned, constants before
//! types are coerced, casts after.

mod casts;
mod common_type;
mod constants;
mod list;
mod operators;

pub(crate) use list::{after_coercion, before_coercion, expr_planners};
