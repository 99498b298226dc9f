//! Sessions: what one connection may do, one statement at a time.

mod cancel;
mod control;
mod database;
mod notice;
mod position;
mod published;
mod session;
mod sql_prepare;
mod transaction;
mod work;

pub use cancel::CancellationHandle;
pub(crate) use cancel::{Cancellation, StatementGuard};
pub(crate) use control::{text_rows, unsupported};
pub use database::{Database, DatabaseOptions};
pub use notice::{Notice, Severity};
pub use position::Position;
pub(crate) use published::Published;
pub use session::{ExecuteOptions, Session, SessionInfo};
pub(crate) use sql_prepare::{one_row, rows_without_columns};
pub(crate) use transaction::Transaction;
pub use transaction::TransactionStatus;
pub(crate) use work::{Newest, Owned, Work, WriteCall, blocking, blocking_on};
