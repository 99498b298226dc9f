//! PostgreSQL's meaning where DataFusion's differs (architecture Q9): operators as they are planned, constants before
//! types are coerced, casts after.

mod casts;
mod common_type;
mod constants;
mod groups;
mod list;
mod operators;
mod overloads;
mod quantified;
mod windows;

pub(crate) use list::{after_coercion, before_coercion, expr_planners};
