//! The database that sessions share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outcrop_engine::Engine;
use outcrop_env::Env;
use outcrop_types::{CommitSeq, Result};
use tokio::runtime::Handle;

use crate::context::{QueryRuntime, RuntimeLimits};
use crate::session::{Position, Published, Session, SessionInfo};

/// Limits of queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseOptions {
    /// Memory that all queries share; beyond it they spill, then fail with 53200. Default 1 GiB.
    pub memory_bytes: u64,
    /// Where queries spill; `None` refuses to.
    pub spill_dir: Option<PathBuf>,
    /// Most bytes of spill files at once. Default 64 GiB.
    pub spill_bytes_max: u64,
    /// Threads that one query may use; 0, the default, means one per processor.
    pub target_partitions: usize,
    /// Longest that a statement may run where the session does not say. Default: for ever.
    pub statement_timeout: Option<Duration>,
    /// Memory for the statements that one session keeps by `PREPARE`, estimated. Default 256 MiB.
    pub session_bytes_max: usize,
    /// What `server_version` reports. Default `15.0 (Outcrop <version>)`.
    pub server_version: String,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            spill_dir: None,
            spill_bytes_max: 64 << 30,
            target_partitions: 0,
            statement_timeout: None,
            session_bytes_max: 256 << 20,
            server_version: concat!("15.0 (Outcrop ", env!("CARGO_PKG_VERSION"), ")").to_owned(),
        }
    }
}

/// An engine with SQL on top. Cheap to clone; all sessions share its memory limit.
#[derive(Clone, Debug)]
pub struct Database {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    env: Env,
    options: DatabaseOptions,
    /// Queries run here, apart from commits and network (Q6).
    queries: Handle,
    runtime: QueryRuntime,
    published: Arc<Published>,
}

impl Database {
    /// SQL over `engine`; queries run on the runtime of `queries`.
    ///
    /// # Errors
    /// `IoError` if the spill directory cannot be used.
    pub fn new(engine: Engine, env: Env, options: DatabaseOptions, queries: Handle) -> Result<Self> {
        let runtime = QueryRuntime::new(
            engine.clone(),
            env.clone(),
            &RuntimeLimits {
                memory_bytes: options.memory_bytes,
                spill_dir: options.spill_dir.as_deref(),
                spill_bytes_max: options.spill_bytes_max,
                target_partitions: match options.target_partitions {
                    0 => env.tasks.parallelism(),
                    partitions => partitions,
                },
            },
        )?;
        Ok(Self { shared: Arc::new(Shared { engine, env, options, queries, runtime, published: Published::new() }) })
    }

    /// The engine below.
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    pub(crate) fn published(&self) -> &Arc<Published> {
        &self.shared.published
    }

    pub(crate) fn env(&self) -> &Env {
        &self.shared.env
    }

    pub(crate) fn options(&self) -> &DatabaseOptions {
        &self.shared.options
    }

    pub(crate) fn queries(&self) -> &Handle {
        &self.shared.queries
    }

    pub(crate) fn runtime(&self) -> &QueryRuntime {
        &self.shared.runtime
    }

    /// The position of a commit that was made through [`Database::engine`], as clients see it.
    pub fn position(&self, seq: CommitSeq) -> Position {
        Position::new(self.shared.engine.log_id(), seq)
    }

    /// Begins a session.
    pub fn session(&self, info: SessionInfo) -> Session {
        Session::new(self.clone(), info)
    }
}
