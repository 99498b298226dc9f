//! The state of a session's transaction block.

use std::time::Duration;

use outcrop_engine::Snapshot;

/// What ReadyForQuery reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Not in a block.
    Idle,
    /// In a block.
    InBlock,
    /// In a block that an error ended; only ROLLBACK helps.
    Failed,
}

/// A transaction block. Blocks read: their first statement takes the snapshot that all of them use (Q1).
#[derive(Clone, Debug, Default)]
pub(crate) enum Transaction {
    /// No block: each statement has its own snapshot.
    #[default]
    Idle,
    /// Between BEGIN and its end.
    Block {
        /// What every statement of the block reads; taken by the first that reads.
        snapshot: Option<Snapshot>,
        /// `now()` in the block, µs since 1970.
        started_us: i64,
    },
    /// In a block whose snapshot was given back because it was held for too long: its next statement is told so.
    Expired {
        /// The longest that it may be held.
        age_max: Duration,
    },
    /// After an error in a block.
    Failed,
}

impl Transaction {
    pub(crate) fn status(&self) -> TransactionStatus {
        match self {
            Self::Idle => TransactionStatus::Idle,
            Self::Block { .. } | Self::Expired { .. } => TransactionStatus::InBlock,
            Self::Failed => TransactionStatus::Failed,
        }
    }
}
