//! The catalog: which schemas and tables exist at one `CommitSeq`, and how they change.

mod ddl;
mod define;
mod view;

pub use ddl::{Ddl, NewColumn, NewTable};
pub(crate) use define::{define_table, undefined_table};
pub use view::Catalog;
