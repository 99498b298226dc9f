//! What one statement works with, apart from its session.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use outcrop_engine::{AppliedRows, Commit, CommitHandle, Engine, Snapshot, TableWrite};
use outcrop_types::{CommitSeq, DataType, Error, Result, Value};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::planning::{SessionView, StatementContext};
use crate::session::{Cancellation, Database};

/// One statement's snapshot, parameters and rights. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) database: Database,
    pub(crate) snapshot: Snapshot,
    view: Arc<SessionView>,
    /// Made when something must be planned: rows of constants need nothing (Q5).
    context: Arc<OnceLock<StatementContext>>,
    /// Whether something may be planned at all.
    planning: Planning,
    /// Type and value of each `$n`.
    pub(crate) parameters: Arc<[(DataType, Value)]>,
    pub(crate) cancellation: Cancellation,
    pub(crate) newest: Newest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planning {
    Allowed,
    Refused,
}

impl Work {
    pub(crate) fn new(
        database: &Database,
        snapshot: Snapshot,
        view: SessionView,
        cancellation: Cancellation,
        newest: Newest,
    ) -> Self {
        newest.saw(snapshot.commit_seq());
        Self {
            database: database.clone(),
            snapshot,
            view: Arc::new(view),
            context: Arc::default(),
            planning: Planning::Allowed,
            parameters: Arc::new([]),
            cancellation,
            newest,
        }
    }

    /// With parameter values.
    #[must_use]
    pub(crate) fn with_parameters(mut self, types: &[DataType], values: &[Value]) -> Self {
        self.parameters = types.iter().cloned().zip(values.iter().cloned()).collect();
        self
    }

    /// The same, where nothing may be planned: on threads of connections, which are there to wait and have little stack.
    pub(crate) fn without_plans(&self) -> Self {
        Self { planning: Planning::Refused, ..self.clone() }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.database.engine()
    }

    /// What plans and evaluates expressions over the snapshot.
    pub(crate) fn context(&self) -> Result<&StatementContext> {
        if let Some(context) = self.context.get() {
            return Ok(context);
        }
        let made = self.new_context(Some(self.snapshot.clone()))?;
        Ok(self.context.get_or_init(|| made))
    }

    /// What plans expressions that are kept beyond the statement: without a snapshot it pins no files.
    pub(crate) fn lasting_context(&self) -> Result<StatementContext> {
        self.new_context(None)
    }

    fn new_context(&self, snapshot: Option<Snapshot>) -> Result<StatementContext> {
        if self.planning == Planning::Refused {
            return Err(Error::internal("a statement that must not be planned wants a plan"));
        }
        StatementContext::new(self.database.runtime(), snapshot, SessionView::clone(&self.view))
    }

    /// What the statement sees of its session.
    pub(crate) fn view(&self) -> &SessionView {
        &self.view
    }

    /// The schemas of names without schema.
    pub(crate) fn search_path(&self) -> &[String] {
        &self.view.search_path
    }

    /// The values of the parameters.
    pub(crate) fn values(&self) -> Vec<Value> {
        self.parameters.iter().map(|(_, value)| value.clone()).collect()
    }

    /// The types of the parameters, all known.
    pub(crate) fn types(&self) -> Vec<Option<DataType>> {
        self.parameters.iter().map(|(data_type, _)| Some(data_type.clone())).collect()
    }

    /// Commits what has no last word of its own: it cannot be cancelled from the beginning on.
    ///
    /// # Cancel safety
    /// A commit that has begun goes on without its caller.
    pub(crate) async fn commit(&self, begin: impl FnOnce() -> CommitHandle + Send + 'static) -> Result<Commit> {
        let cancellation = self.cancellation.clone();
        self.answer(move || {
            cancellation.commit_begins()?;
            Ok(begin())
        })
        .await
    }

    /// Commits what asks for its last word itself, by [`Cancellation::commit_begins`]; until then it can be cancelled.
    ///
    /// # Cancel safety
    /// A commit that has begun goes on without its caller.
    pub(crate) async fn commit_asking(&self, begin: impl FnOnce() -> CommitHandle + Send + 'static) -> Result<Commit> {
        self.answer(move || Ok(begin())).await
    }

    /// Commits the rows of a statement, after what still waits to be written. `last_word` sees them before anything is applied; until it is through, the
    /// statement can be cancelled.
    ///
    /// # Cancel safety
    /// A commit that has begun goes on without its caller.
    pub(crate) async fn commit_write(
        &self,
        mut write: TableWrite,
        waiting: Option<WriteCall>,
        last_word: impl FnOnce(AppliedRows) -> Result<AppliedRows> + Send + 'static,
    ) -> Result<Commit> {
        let cancellation = self.cancellation.clone();
        self.answer(move || {
            if let Some(call) = waiting {
                call(&mut write)?;
            }
            let write = write.with_last_word(Box::new(move |rows| {
                let rows = last_word(rows)?;
                cancellation.commit_begins()?;
                Ok(rows)
            }));
            Ok(write.commit())
        })
        .await
    }

    /// Commits the rows of a statement that are few and have no last word, on this thread if that has to wait for nothing, after
    /// what still waits to be written.
    ///
    /// # Cancel safety
    /// A commit that has begun goes on without its caller.
    pub(crate) async fn commit_few(&self, mut write: TableWrite, waiting: Option<WriteCall>) -> Result<Commit> {
        if let Some(call) = waiting {
            call(&mut write)?;
        }
        let cancellation = self.cancellation.clone();
        let write = write.with_last_word(Box::new(move |rows| cancellation.commit_begins().map(|()| rows)));
        match write.commit_at_once() {
            Ok(handle) => {
                let (done, answer) = oneshot::channel();
                send_when_done(handle, done);
                self.answered(answer).await
            }
            Err(ready) => self.answer(move || Ok(ready.commit())).await,
        }
    }

    /// Begins off the query threads and waits until the answer may leave.
    async fn answer(&self, begin: impl FnOnce() -> Result<CommitHandle> + Send + 'static) -> Result<Commit> {
        let (done, answer) = oneshot::channel();
        blocking_on(self.database.queries(), move || {
            send_when_done(begin()?, done);
            Ok(())
        })
        .await?;
        self.answered(answer).await
    }

    async fn answered(&self, answer: oneshot::Receiver<Result<Commit>>) -> Result<Commit> {
        let commit = answer.await.map_err(|error| Error::internal("a commit was lost").with_source(error))??;
        self.newest.saw(commit.seq);
        Ok(commit)
    }
}

/// Nobody waits any more when the client went away.
fn send_when_done(handle: CommitHandle, done: oneshot::Sender<Result<Commit>>) {
    handle.on_done(move |result| drop(done.send(result)));
}

/// Something that is done with a write, and may block.
pub(crate) type WriteCall = Box<dyn FnOnce(&mut TableWrite) -> Result<()> + Send>;

/// Runs what may block on a thread made for it.
///
/// # Cancel safety
/// Dropped, the work goes on to its end and its result is dropped.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(joined)?
}

/// The same, from outside of the query runtime.
pub(crate) async fn blocking_on<T: Send + 'static>(
    runtime: &tokio::runtime::Handle,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    runtime.spawn_blocking(work).await.map_err(joined)?
}

/// A task of the query runtime that ends when its owner drops it.
pub(crate) struct Owned<T>(JoinHandle<T>);

impl<T: Send + 'static> Owned<T> {
    pub(crate) fn spawn(runtime: &tokio::runtime::Handle, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(runtime.spawn(work))
    }

    pub(crate) async fn join(mut self) -> Result<T> {
        (&mut self.0).await.map_err(joined)
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn joined(error: tokio::task::JoinError) -> Error {
    if error.is_cancelled() {
        return Error::new(outcrop_types::Condition::AdminShutdown, "terminating because the server is stopping");
    }
    Error::internal("a task of this statement failed").with_source(error)
}

/// The newest commit that a session made or saw; shared with its streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Newest(Arc<AtomicU64>);

impl Newest {
    pub(crate) fn saw(&self, seq: CommitSeq) {
        self.0.fetch_max(seq.get(), Ordering::AcqRel);
    }

    pub(crate) fn get(&self) -> CommitSeq {
        CommitSeq::new(self.0.load(Ordering::Acquire))
    }
}
