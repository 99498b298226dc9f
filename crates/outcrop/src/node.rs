//! A server in this process: engine, queries, network.

use anyhow::{Context as _, Result};
use outcrop_engine::Engine;
use outcrop_env::Env;
use outcrop_query::{Database, QUERY_STACK_BYTES};
use outcrop_server::{CheckedConfig, RunningServer, Server};
use tokio::runtime::{Builder, Runtime};

use crate::descriptors;
use crate::spill::SpillFolder;

/// A running server with everything below it.
#[derive(Debug)]
pub(crate) struct Node {
    server: RunningServer,
    engine: Engine,
    /// Queries run here, apart from network and commits (architecture Q6).
    queries: Runtime,
    /// Where queries spill, if they may.
    spill: Option<SpillFolder>,
}

impl Node {
    /// Opens the data directory, recovers, and serves. Returns once clients can connect.
    pub(crate) fn start(mut config: CheckedConfig) -> Result<Self> {
        descriptors::fit(&mut config.server)?;
        let data = config.data.display();
        let env = Env::real(&config.data).with_context(|| format!("open the data directory {data}"))?;
        let engine = Engine::open(&env, config.engine).with_context(|| format!("open the database in {data}"))?;
        let mut options = config.database;
        let spill = options.spill_dir.take();
        let spill = spill.map(|parent| SpillFolder::claim(&parent, &config.data, engine.log_id())).transpose()?;
        options.spill_dir = spill.as_ref().map(|spill| spill.path().to_owned());
        let queries = Builder::new_multi_thread()
            .worker_threads(config.query_threads)
            .thread_name("outcrop-query")
            .thread_stack_size(QUERY_STACK_BYTES)
            .enable_all()
            .build()
            .context("start the threads of queries")?;
        let database = Database::new(engine.clone(), env.clone(), options, queries.handle().clone())?;
        let server = Server::start(config.server, database, env)?;
        Ok(Self { server, engine, queries, spill })
    }

    /// The network side.
    pub(crate) fn server(&self) -> &RunningServer {
        &self.server
    }

    /// The storage side.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Lets running statements end, writes what is in memory to segments, so that the next start has nothing to replay, and closes.
    /// Blocks until that is done.
    pub(crate) fn stop(self) -> Result<()> {
        self.server.shutdown();
        self.server.wait();
        self.queries.shutdown_background();
        if let Some(spill) = self.spill {
            spill.leave();
        }
        if let Err(error) = self.engine.flush(None) {
            tracing::warn!(%error, "rows stay in the log, and the next start replays them");
        }
        self.engine.close().context("close the database")
    }
}
