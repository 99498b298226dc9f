//! The catalog: which schemas and tables exist at one `CommitSeq`, and how they change.

mod alter;
mod ddl;
mod define;
mod plan;
mod view;

pub use ddl::{AlterAction, Ddl, NewColumn, NewTable};
pub(crate) use define::{check_name, undefined_table};
pub(crate) use plan::{Plan, Step, WithoutNulls, plan};
pub use view::Catalog;
