//! Cancellation: by the user from another connection, by a deadline, by a reader that goes away.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use outcrop_types::{Condition, Error, Result};
use parking_lot::Mutex;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Cancels what a session runs, from anywhere. Cheap to clone; outlives the session without harm.
#[derive(Clone, Debug, Default)]
pub struct CancellationHandle {
    /// Parent of the tokens of everything that runs: a portal may be open while later statements run.
    running: Arc<Mutex<CancellationToken>>,
}

impl CancellationHandle {
    /// Ends every running statement of the session with 57014, open portals among them; without any it does nothing.
    pub fn cancel(&self) {
        std::mem::take(&mut *self.running.lock()).cancel();
    }

    /// A new statement begins: earlier requests to cancel do not touch it.
    pub(crate) fn begin(&self, timeout: Option<Duration>) -> Cancellation {
        let token = self.running.lock().child_token();
        let deadline = timeout.map(|timeout| tokio::time::Instant::now() + timeout);
        Cancellation { token, deadline, fate: Arc::default() }
    }
}

/// The right of others to end one statement, until it commits: 57014 says that nothing was changed.
#[derive(Clone, Debug)]
pub(crate) struct Cancellation {
    token: CancellationToken,
    deadline: Option<tokio::time::Instant>,
    fate: Arc<Fate>,
}

impl Cancellation {
    /// Runs `work` unless the statement is cancelled first; then `work` is dropped. Once the commit has begun, it waits
    /// for the outcome.
    ///
    /// # Cancel safety
    /// Dropping it cancels the statement: what still runs on other threads ends before its commit.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut left = Left { cancellation: self, armed: true };
        let result = self.unless_cancelled(work).await;
        left.armed = false;
        result
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            error = self.cancelled(), if !self.fate.commits() => if self.fate.cancel() {
                return Err(error);
            },
            result = &mut work => return result,
        }
        work.await
    }

    /// The point of no return: whoever asks to cancel later is not heard.
    ///
    /// # Errors
    /// `QueryCanceled` if the statement has been cancelled before.
    pub(crate) fn commit_begins(&self) -> Result<()> {
        self.check()?;
        if self.fate.commit() { Ok(()) } else { Err(user_request()) }
    }

    /// For work that does not wait and so cannot be dropped.
    ///
    /// # Errors
    /// `QueryCanceled` if the statement has been cancelled.
    pub(crate) fn check(&self) -> Result<()> {
        if self.fate.commits() {
            return Ok(());
        }
        if self.deadline.is_some_and(|deadline| tokio::time::Instant::now() >= deadline) {
            return Err(timed_out());
        }
        if self.token.is_cancelled() { Err(user_request()) } else { Ok(()) }
    }

    /// Ends streams that outlive the call that made them; not those of a write, which has happened.
    pub(crate) fn guard(&self) -> StatementGuard {
        StatementGuard {
            fate: Arc::clone(&self.fate),
            cancelled: Box::pin(self.token.clone().cancelled_owned()),
            deadline: self.deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline))),
        }
    }

    /// Ready with the reason once the statement must end.
    pub(crate) async fn cancelled(&self) -> Error {
        match self.deadline {
            Some(deadline) => tokio::select! {
                () = self.token.cancelled() => user_request(),
                () = tokio::time::sleep_until(deadline) => timed_out(),
            },
            None => {
                self.token.cancelled().await;
                user_request()
            }
        }
    }
}

/// Cancels a statement whose caller is gone.
struct Left<'a> {
    cancellation: &'a Cancellation,
    armed: bool,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if self.armed && self.cancellation.fate.cancel() {
            self.cancellation.token.cancel();
        }
    }
}

/// How a statement ends is decided once: by its commit or by who cancels it.
#[derive(Debug, Default)]
struct Fate(AtomicU8);

const OPEN: u8 = 0;
const COMMITS: u8 = 1;
const CANCELLED: u8 = 2;

impl Fate {
    /// Whether it may commit from now on.
    fn commit(&self) -> bool {
        self.decide(COMMITS)
    }

    /// Whether it is over.
    fn cancel(&self) -> bool {
        self.decide(CANCELLED)
    }

    fn commits(&self) -> bool {
        self.0.load(Ordering::Acquire) == COMMITS
    }

    fn decide(&self, fate: u8) -> bool {
        match self.0.compare_exchange(OPEN, fate, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(decided) => decided == fate,
        }
    }
}

/// Watches for cancellation inside a stream.
pub(crate) struct StatementGuard {
    fate: Arc<Fate>,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl StatementGuard {
    /// Counts the time limit from now.
    pub(crate) fn restart(&mut self, timeout: Option<Duration>) {
        self.deadline = timeout.map(|timeout| Box::pin(tokio::time::sleep(timeout)));
    }

    /// Ready with the reason once the statement must end.
    pub(crate) fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.fate.commits() {
            return Poll::Pending;
        }
        if self.cancelled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(user_request());
        }
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(cx).map(|()| timed_out()),
            None => Poll::Pending,
        }
    }
}

fn user_request() -> Error {
    Error::new(Condition::QueryCanceled, "canceling statement due to user request")
}

fn timed_out() -> Error {
    Error::new(Condition::QueryCanceled, "canceling statement due to statement timeout")
}
