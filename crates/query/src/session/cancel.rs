//! Cancellation: by the user from another connection, by a deadline, by a reader that goes away.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use outcrop_types::{Condition, Error, Result};
use parking_lot::Mutex;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Cancels what a session runs, from anywhere. Cheap to clone; outlives the session without harm.
#[derive(Clone, Debug, Default)]
pub struct CancellationHandle {
    current: Arc<Mutex<CancellationToken>>,
}

impl CancellationHandle {
    /// Ends the running statement with 57014; without one it does nothing.
    pub fn cancel(&self) {
        self.current.lock().cancel();
    }

    /// A new statement begins: earlier requests to cancel do not touch it.
    pub(crate) fn begin(&self, timeout: Option<Duration>) -> Cancellation {
        let token = CancellationToken::new();
        *self.current.lock() = token.clone();
        Cancellation { token, deadline: timeout.map(|timeout| tokio::time::Instant::now() + timeout) }
    }
}

/// The right of others to end one statement.
#[derive(Clone, Debug)]
pub(crate) struct Cancellation {
    token: CancellationToken,
    deadline: Option<tokio::time::Instant>,
}

impl Cancellation {
    /// Runs `work` unless the statement is cancelled first; then `work` is dropped.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            error = self.cancelled() => Err(error),
            result = work => result,
        }
    }

    /// Ends streams that outlive the call that made them.
    pub(crate) fn guard(&self) -> StatementGuard {
        StatementGuard {
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

/// Watches for cancellation inside a stream.
pub(crate) struct StatementGuard {
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl StatementGuard {
    /// Ready with the reason once the statement must end.
    pub(crate) fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
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
