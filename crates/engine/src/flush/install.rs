//! Putting a segment in the place of the units it was made from.

use std::sync::Arc;

use outcrop_format::record::{Change, Install, InstalledSegment};
use outcrop_log::SpaceClass;
use outcrop_segment::DeleteVector;
use outcrop_types::{CommitSeq, Error, Result, RowOrdinal, ShardId, TableId, UnitId};

use super::output::Output;
use crate::commit::{Answer, CommitHandle, RowMap, Sequenced, Ticket, only_shard, with_shard};
use crate::node::Node;
use crate::snapshot::{NewSegment, ShardState, Snapshot};
use crate::write::{AppliedRows, Commit};

/// An install that has its place in the log.
pub(crate) struct Installed {
    pub(crate) seq: CommitSeq,
    pub(crate) handle: CommitHandle,
}

/// Installs the output of a flush in a turn: its delete vector is the difference since the pin, which includes every
/// record before this one, synced or not (W3). `None` when the input is gone.
pub(crate) fn install(
    node: &Arc<Node>,
    table: TableId,
    input: UnitId,
    map: &RowMap,
    output: Option<Output>,
) -> Result<Option<Installed>> {
    let rows = output.as_ref().map_or(0, |output| output.segment.rows());
    let permit = node.admit(deletes_bytes_max(rows), SpaceClass::Reserve)?;
    let Ok(shard) = node.shard(table) else { return Ok(None) };
    let mut turn = shard.turn();
    let Some(seen) = node.tail.lock().table(table).map(Arc::clone) else { return Ok(None) };
    let state = only_shard(&seen)?;
    let Some(deletes) = state.deletes(input) else { return Ok(None) };

    let moved: Vec<RowOrdinal> = deletes.difference(map.pinned()).filter_map(|row| map.row(row)).collect();
    let mut output_deletes = DeleteVector::new(rows);
    output_deletes.delete(&moved);
    let mut next = ShardState::clone(&state);
    let mut record = Install { table, shard: ShardId::new(0), inputs: vec![input], outputs: Vec::new() };
    let mut outputs = Vec::new();
    if let Some(Output { segment, meta_crc, run }) = output {
        let deletes = if moved.is_empty() { Vec::new() } else { output_deletes.encode() };
        record.outputs.push(InstalledSegment { unit: segment.unit(), rows, meta_crc, deletes });
        outputs.push(NewSegment { segment, deletes: output_deletes, run });
    }
    next.install(&[input], outputs)?;
    let before = state.memtable_bytes();
    let after = next.memtable_bytes();

    let mut tail = node.tail.lock();
    tail.check_durable()?;
    let seq = tail.next_seq()?;
    node.retire_runs(&state, &next, seq);
    let version = with_shard(tail.version(), &seen.schema, next, seq);
    tail.push(Sequenced { version, changes: vec![Change::Install(record)], permit }, node.env.clock.wall_us());
    let ticket = Ticket::new();
    let commit =
        Commit { seq, inserted: 0, updated: 0, deleted: 0, outcomes: Vec::new(), rows: AppliedRows::default() };
    tail.answer(Answer::new(&ticket, Ok(commit)));
    drop(tail);
    if rows > 0 {
        turn.remaps.add(input, seq, map.clone());
    }
    node.pressure.resize(before, after);
    if let Some(keys) = state.keys() {
        keys.retire(&[input], seq);
    }
    drop(turn);
    node.log_signal.notify();
    node.merge_signal.notify();
    Ok(Some(Installed { seq, handle: CommitHandle::new(&ticket, &node.env.tasks) }))
}

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

/// Most bytes of a delete-vector blob over `rows` rows: a roaring bitmap stores no container larger than a plain one.
fn deletes_bytes_max(rows: u32) -> u64 {
    u64::from(rows) / 8 + u64::from(rows) / 1_024 + 1_024
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
