//! `POST` and `DELETE …/docs`: documents of declared tables, one status for each, in order.

mod add;
mod defaults;
mod delete;
mod key;
mod status;
mod write;

pub(super) use add::add;
pub(super) use delete::delete;
pub(super) use write::find;

#[cfg(test)]
mod tests;
