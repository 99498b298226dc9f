//! Generations on their way to a flush: sealing them, and which wait.

use std::sync::Arc;

use outcrop_types::{CommitSeq, Error, Result, TableId, UnitId};

use crate::commit::only_shard;
use crate::node::Node;
use crate::snapshot::{ShardState, Snapshot};

/// Seals the open generation of a table, if it has rows, so that it can be flushed. The next record names the new one.
pub(crate) fn seal(node: &Node, table: TableId) -> Result<()> {
    let Ok(shard) = node.shard(table) else { return Ok(()) };
    let mut turn = shard.turn();
    let mut tail = node.tail.lock();
    let Some(seen) = tail.table(table).map(Arc::clone) else { return Ok(()) };
    let state = only_shard(&seen)?;
    if state.open_rows() == 0 {
        return Ok(());
    }
    let mut next = ShardState::clone(&state);
    next.seal(node.ids.unit());
    tail.replace_table(crate::commit::one_shard(&seen.schema, next));
    drop(tail);
    turn.open_since = None;
    Ok(())
}

/// The sealed generations of the tail with their rows, oldest first.
pub(crate) fn sealed_generations(node: &Node, table: Option<TableId>) -> Vec<Sealed> {
    let tail = node.tail.lock();
    let mut sealed = Vec::new();
    for (id, state) in tail.version().tables.iter() {
        if table.is_some_and(|wanted| wanted != *id) {
            continue;
        }
        for shard in &state.shards {
            let open = shard.open_unit();
            sealed.extend(shard.generations().filter(|generation| generation.unit != open).map(|generation| Sealed {
                table: *id,
                unit: generation.unit,
                rows: generation.rows,
                first_seq: generation.first_seq.unwrap_or_default(),
            }));
        }
    }
    sealed.sort_unstable_by_key(|sealed| sealed.first_seq);
    sealed
}

/// A generation that waits for its flush.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    pub(crate) table: TableId,
    pub(crate) unit: UnitId,
    pub(crate) rows: u32,
    pub(crate) first_seq: CommitSeq,
}

/// A generation cannot be flushed by two.
pub(crate) fn still_there(node: &Node, sealed: &Sealed) -> bool {
    let version = node.published.load();
    version.tables.get(&sealed.table).is_some_and(|table| table.shards.iter().any(|shard| shard.has_unit(sealed.unit)))
}

/// Whether a published version has all rows of a sealed generation.
pub(crate) fn is_published(pin: &Snapshot, sealed: &Sealed) -> Result<bool> {
    let Some(table) = pin.version().tables.get(&sealed.table) else { return Ok(false) };
    let state = only_shard(table)?;
    match state.deletes(sealed.unit) {
        Some(deletes) if deletes.rows() > sealed.rows => {
            Err(Error::internal(format!("sealed generation {} grew", sealed.unit)))
        }
        Some(deletes) => Ok(deletes.rows() == sealed.rows),
        None => Ok(false),
    }
}
