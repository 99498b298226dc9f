//! The commit feed in SQL: `SELECT * FROM outcrop.read_feed('cursor', max_rows)`.
//!
//! The call is a query of the table `outcrop.feed_changes` ([`FeedTable`]), which cannot be read as a whole: its hidden columns `cursor` and
//! `max_rows` are the arguments ([`of_call`]). So arguments may be parameters, and rows come as they are read from the log.

mod call;
mod json;
mod rows;
mod table;

pub(crate) use call::of_call;
pub(crate) use table::FeedTable;
