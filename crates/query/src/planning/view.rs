//! What planning and functions see of a session.

use std::collections::HashMap;
use std::sync::Arc;

use crate::session::Position;

/// How rows of tables are found (`SET outcrop.access_path`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AccessPath {
    /// The cheapest by exact counts.
    #[default]
    Auto,
    /// Always a pruned scan.
    Scan,
    /// Key look-up; 0A000 for a table read without a condition on its whole primary key.
    Key,
}

impl AccessPath {
    /// Whether rows may be looked up by key.
    pub(crate) fn looks_up(self) -> bool {
        self != Self::Scan
    }
}

/// What planning and functions see of a session. Made by the session for each statement.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionView {
    /// The text that positions in the statement's syntax tree refer to; empty if there is none.
    pub(crate) sql: Arc<str>,
    /// `current_user`, `session_user`.
    pub(crate) user: String,
    /// `current_database()`.
    pub(crate) database: String,
    /// `application_name`.
    pub(crate) application_name: String,
    /// Schemas in which unqualified names are looked up, in order; empty means `commons`.
    pub(crate) search_path: Vec<String>,
    /// `TimeZone`, as set.
    pub(crate) time_zone: String,
    /// `outcrop.access_path`.
    pub(crate) access_path: AccessPath,
    /// `statement_timestamp()`, µs since 1970.
    pub(crate) statement_time_us: i64,
    /// `now()`: begin of the transaction, µs since 1970.
    pub(crate) transaction_time_us: i64,
    /// `pg_backend_pid()`.
    pub(crate) process_id: i32,
    /// Settings by lower-case name, for `current_setting` and `pg_settings`; the position may be old.
    pub(crate) settings: Arc<HashMap<String, String>>,
    /// The newest commit that the session made or saw before the statement.
    pub(crate) position: Option<Position>,
    /// Server version such as `15.8`, as `SHOW server_version` tells it.
    pub(crate) server_version: String,
}

impl SessionView {
    /// The value of a setting, by its name in lower case.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        match &self.position {
            Some(position) if name == "outcrop.commit_seq" => Some(position.to_string()),
            _ => self.settings.get(name).cloned(),
        }
    }
}
