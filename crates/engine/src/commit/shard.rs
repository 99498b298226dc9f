//! A shard's single writer.

use std::time::Duration;

use outcrop_types::CommitSeq;
use parking_lot::{Mutex, MutexGuard};

use super::remap::Remaps;
use crate::key_index::KeyHash;

/// The actor of one shard (W2): whoever holds its turn is the only one that changes the shard's tail.
#[derive(Debug)]
pub(crate) struct Shard {
    turn: Mutex<Turn>,
}

/// What only the holder of the turn may touch.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Row maps of recent installs.
    pub(crate) remaps: Remaps,
    /// Keys written while statements with staged rows are open (W10).
    pub(crate) journal: Journal,
    /// When the open generation got its first row, on the monotonic clock.
    pub(crate) open_since: Option<Duration>,
}

impl Shard {
    /// The writer of a shard whose open generation has rows since `open_since`.
    pub(crate) fn new(open_since: Option<Duration>) -> Self {
        Self { turn: Mutex::new(Turn { open_since, ..Turn::default() }) }
    }

    /// Waits for the turn.
    pub(crate) fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock()
    }

    /// The turn, if nobody has it.
    pub(crate) fn turn_at_once(&self) -> Option<MutexGuard<'_, Turn>> {
        self.turn.try_lock()
    }
}

/// The keys of rows written since the oldest staged statement resolved its own keys.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    open: usize,
    keys: Vec<(CommitSeq, KeyHash)>,
}

impl Journal {
    /// A staged statement is about to resolve its keys: from now on keys are kept.
    pub(crate) fn open(&mut self) {
        self.open += 1;
    }

    /// It is done with them.
    pub(crate) fn close(&mut self) {
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.keys = Vec::new();
        }
    }

    /// Whether other statements than the one that asks want to know its keys.
    pub(crate) fn has_others(&self) -> bool {
        self.open > 1
    }

    /// A commit wrote rows with these keys.
    pub(crate) fn record(&mut self, seq: CommitSeq, keys: &[KeyHash]) {
        if self.open > 0 {
            self.keys.extend(keys.iter().map(|key| (seq, *key)));
        }
    }

    /// Keys written after commit `seq`.
    pub(crate) fn since(&self, seq: CommitSeq) -> impl Iterator<Item = KeyHash> + '_ {
        self.keys.iter().filter(move |(at, _)| *at > seq).map(|(_, key)| *key)
    }
}
