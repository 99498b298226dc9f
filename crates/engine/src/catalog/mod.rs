//! The catalog: which schemas and tables exist at one `CommitSeq`, and how they change.

mod ddl;
mod define;
mod plan;
mod view;

pub use ddl::{Ddl, NewColumn, NewTable};
pub(crate) use define::{check_name, undefined_table};
pub(crate) use plan::{Plan, Step, plan};
pub use view::Catalog;
