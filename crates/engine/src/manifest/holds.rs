//! From which manifest on files and log are kept, for recovery and for backups that are being taken.

use std::sync::Arc;

use outcrop_env::{FileName, Signal};
use parking_lot::Mutex;

use super::checkpoints::Kept;
use super::deletes::deletes_file_name;

/// What must stay on the disk. Shared by the flush worker, which removes files, and by backups, which copy them.
#[derive(Debug)]
pub(crate) struct Holds {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The older of the manifests that recovery could start from.
    oldest: Kept,
    /// Manifests from which backups are being taken, by the number of the backup.
    held: Vec<(u64, Kept)>,
    backups: u64,
}

/// While it lives, everything that recovery from its manifest needs stays.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) kept: Kept,
    number: u64,
    state: Arc<Mutex<State>>,
    /// Wakes the worker that removes what was kept.
    flush_signal: Arc<Signal>,
}

impl Holds {
    pub(crate) fn new(oldest: Kept) -> Self {
        Self { state: Arc::new(Mutex::new(State { oldest, held: Vec::new(), backups: 0 })) }
    }

    /// Recovery needs nothing from before `oldest` any more. Gives back what something else needs still: nothing that is held later
    /// begins before it.
    pub(crate) fn advance(&self, oldest: &Kept) -> Kept {
        let mut state = self.state.lock();
        state.oldest = oldest.clone();
        let held = state.held.iter().map(|(_, kept)| kept);
        held.fold(oldest, |a, b| if b.checkpoint < a.checkpoint { b } else { a }).clone()
    }

    /// Whether a backup reads this manifest, or this file of dead rows.
    pub(crate) fn has(&self, name: &FileName) -> bool {
        let names = |number: &u64| deletes_file_name(*number).is_ok_and(|deletes| deletes == *name);
        let state = self.state.lock();
        state.held.iter().any(|(_, kept)| kept.name == *name || kept.deletes_files.iter().any(names))
    }

    /// Keeps what recovery could start from now.
    pub(crate) fn hold(&self, flush_signal: &Arc<Signal>) -> Hold {
        let mut state = self.state.lock();
        let (kept, number) = (state.oldest.clone(), state.backups);
        state.backups += 1;
        state.held.push((number, kept.clone()));
        Hold { kept, number, state: Arc::clone(&self.state), flush_signal: Arc::clone(flush_signal) }
    }

    /// How many backups are being taken.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().held.len()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.state.lock().held.retain(|(number, _)| *number != self.number);
        self.flush_signal.notify();
    }
}
