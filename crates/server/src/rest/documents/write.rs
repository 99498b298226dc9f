//! Writing documents through the engine.

use std::sync::Arc;

use outcrop_engine::{Commit, OnConflict, Snapshot, TableWrite, WriteMode};
use outcrop_query::Database;
use outcrop_types::{Condition, Error, Result as OutcropResult, TableName, TableSchema};
use tokio::sync::oneshot;

use super::super::failure::{Failure, Result};

/// A table and the snapshot in which it was found.
pub(in crate::rest) struct Target {
    pub(in crate::rest) snapshot: Snapshot,
    pub(in crate::rest) schema: Arc<TableSchema>,
}

/// Most of a workspace or collection name that an error repeats.
const NAME_CHARS_MAX: usize = 128;

/// Finds the table of a collection; `public` is the default schema here too.
pub(in crate::rest) fn find(database: &Database, workspace: &str, collection: &str) -> Result<Target> {
    let snapshot = database.engine().snapshot();
    let workspace = if workspace == "public" { outcrop_types::schema::DEFAULT_SCHEMA } else { workspace };
    let name = TableName::new(workspace, collection);
    let Some(schema) = snapshot.catalog().table(&name).map(Arc::clone) else {
        let shown: String = name.to_string().chars().take(NAME_CHARS_MAX).collect();
        return Err(Failure::not_found(format!("collection {shown} does not exist"))
            .with_hint("Create it with CREATE TABLE: documents go into declared tables."));
    };
    Ok(Target { snapshot, schema })
}

/// Runs one atomic write. `fill` gives the rows; it runs on a thread that may wait.
///
/// # Cancel safety
/// A write that was begun goes on when the future is dropped: it is committed whole or not at all.
pub(super) async fn commit(
    database: &Database,
    target: &Target,
    fill: impl FnOnce(&mut TableWrite) -> OutcropResult<()> + Send + 'static,
) -> Result<Commit> {
    let (engine, snapshot) = (database.engine().clone(), target.snapshot.clone());
    let schema = Arc::clone(&target.schema);
    let (send, receive) = oneshot::channel();
    let work = move || -> OutcropResult<()> {
        let mode = match schema.primary_key() {
            Some(_) => WriteMode::Upsert,
            // Without a key every document is a new row.
            None => WriteMode::Insert(OnConflict::Error),
        };
        let mut write = engine.write(&snapshot, schema.id, mode)?.keep_rows();
        fill(&mut write)?;
        // Nobody is there for the answer only if the client went away.
        write.commit().on_done(move |done| send.send(done).map_err(drop).unwrap_or_default());
        Ok(())
    };
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|panic| Error::internal("a write panicked").with_source(panic))??;
    let commit = receive.await.map_err(|_dropped| Error::new(Condition::AdminShutdown, "the server is stopping"))??;
    Ok(commit)
}
