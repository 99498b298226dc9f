//! The promise of an answer: done when the answer may leave (W3).

use std::fmt;
use std::sync::Arc;

use outcrop_env::{Signal, Tasks};
use outcrop_types::Result;
use parking_lot::Mutex;

use crate::write::Commit;

/// A commit, or a refusal, on its way to durability. Dropping it does not undo the commit.
#[must_use]
pub struct CommitHandle {
    ticket: Arc<Ticket>,
    tasks: Arc<dyn Tasks>,
}

impl CommitHandle {
    pub(crate) fn new(ticket: &Arc<Ticket>, tasks: &Arc<dyn Tasks>) -> Self {
        Self { ticket: Arc::clone(ticket), tasks: Arc::clone(tasks) }
    }

    /// A handle whose answer waits for nothing.
    pub(crate) fn ready(answer: Result<Commit>, tasks: &Arc<dyn Tasks>) -> Self {
        let ticket = Ticket::new();
        ticket.complete(answer);
        Self::new(&ticket, tasks)
    }

    /// Waits until the answer may leave. Blocks the calling thread.
    ///
    /// # Errors
    /// The statement's own error; `Poisoned` when its durability is unknown.
    pub fn wait(self) -> Result<Commit> {
        let mut answer = None;
        self.tasks.wait_until(&self.ticket.signal, None, &mut || {
            answer = self.ticket.take();
            answer.is_some()
        });
        answer.unwrap_or_else(|| Err(outcrop_types::Error::internal("a commit was answered twice")))
    }

    /// Calls `done` once, from an engine thread or at once, when the answer may leave. `done` must not block.
    pub fn on_done(self, done: impl FnOnce(Result<Commit>) + Send + 'static) {
        let mut state = self.ticket.state.lock();
        match std::mem::replace(&mut *state, TicketState::Taken) {
            TicketState::Done(answer) => {
                drop(state);
                done(answer);
            }
            TicketState::Waiting | TicketState::Called(_) | TicketState::Taken => {
                *state = TicketState::Called(Box::new(done));
            }
        }
    }
}

impl fmt::Debug for CommitHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitHandle").field("state", &*self.ticket.state.lock()).finish_non_exhaustive()
    }
}

/// The engine's end of a [`CommitHandle`].
pub(crate) struct Ticket {
    signal: Signal,
    state: Mutex<TicketState>,
}

enum TicketState {
    Waiting,
    Called(Box<dyn FnOnce(Result<Commit>) + Send>),
    Done(Result<Commit>),
    Taken,
}

impl Ticket {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { signal: Signal::new(), state: Mutex::new(TicketState::Waiting) })
    }

    /// Gives the answer: once, and never while a lock of the engine is held, because it may call the user.
    pub(crate) fn complete(&self, answer: Result<Commit>) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, TicketState::Taken) {
            TicketState::Called(done) => {
                drop(state);
                done(answer);
            }
            TicketState::Waiting | TicketState::Done(_) | TicketState::Taken => {
                *state = TicketState::Done(answer);
                drop(state);
                self.signal.notify();
            }
        }
    }

    fn take(&self) -> Option<Result<Commit>> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, TicketState::Taken) {
            TicketState::Done(answer) => Some(answer),
            other @ (TicketState::Waiting | TicketState::Called(_) | TicketState::Taken) => {
                *state = other;
                None
            }
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.lock().fmt(f)
    }
}

impl fmt::Debug for TicketState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "Waiting",
            Self::Called(_) => "Called",
            Self::Done(Ok(_)) => "Done",
            Self::Done(Err(_)) => "Refused",
            Self::Taken => "Taken",
        })
    }
}
