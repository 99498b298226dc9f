//! Putting a segment in the place of the units it was made from.

use std::sync::Arc;

use outcrop_format::record::{Change, Install, InstalledSegment};
use outcrop_log::SpaceClass;
use outcrop_segment::DeleteVector;
use outcrop_types::{CommitSeq, Result, RowOrdinal, ShardId, TableId, UnitId};

use super::output::Output;
use crate::commit::{Answer, CommitHandle, RowMap, Sequenced, Ticket, only_shard, with_shard};
use crate::feed::Feeds;
use crate::node::{Node, RetiredSegment};
use crate::snapshot::{NewSegment, ShardState};
use crate::write::Commit;

/// An install that has its place in the log.
pub(crate) struct Installed {
    pub(crate) seq: CommitSeq,
    pub(crate) handle: CommitHandle,
}

/// A unit that was rewritten, and where its rows went.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) unit: UnitId,
    pub(crate) map: RowMap,
}

/// Installs the output of a job in a turn: its delete vector is the difference of its inputs' since the pin, which includes
/// every record before this one, synced or not (W3): O(deletes), not O(rows). `None` when an input is gone.
pub(crate) fn install(
    node: &Arc<Node>,
    table: TableId,
    inputs: &[Input],
    output: Option<Output>,
) -> Result<Option<Installed>> {
    let rows = output.as_ref().map_or(0, |output| output.segment.rows());
    let permit = node.admit(deletes_bytes_max(rows) + inputs.len() as u64 * UNIT_BYTES, SpaceClass::Reserve)?;
    let Ok(shard) = node.shard(table) else { return Ok(None) };
    let mut turn = shard.turn();
    let Some(seen) = node.tail.lock().table(table).map(Arc::clone) else { return Ok(None) };
    let state = only_shard(&seen)?;
    let Some(moved) = dead_since_pin(&state, inputs) else { return Ok(None) };

    let units: Vec<UnitId> = inputs.iter().map(|input| input.unit).collect();
    let mut output_deletes = DeleteVector::new(rows);
    output_deletes.delete(&moved);
    let mut next = ShardState::clone(&state);
    let mut record = Install { table, shard: ShardId::new(0), inputs: units.clone(), outputs: Vec::new() };
    let mut outputs = Vec::new();
    if let Some(Output { segment, meta_crc, run }) = output {
        let deletes = if moved.is_empty() { Vec::new() } else { output_deletes.encode() };
        record.outputs.push(InstalledSegment { unit: segment.unit(), rows, meta_crc, deletes });
        outputs.push(NewSegment { segment, deletes: output_deletes, run });
    }
    next.install(&units, outputs)?;
    let (before, after) = (state.memtable_bytes(), next.memtable_bytes());

    let mut tail = node.tail.lock();
    tail.check_durable()?;
    let seq = tail.next_seq()?;
    node.retire_runs(&state, &next, seq);
    let mut version = with_shard(tail.version(), &seen.schema, next, seq);
    if version.feeds.is_followed(table) {
        let mut feeds = Feeds::clone(&version.feeds);
        feeds.note_units(seq, table, &state, &units);
        version.feeds = Arc::new(feeds);
    }
    tail.push(Sequenced { version, changes: vec![Change::Install(record)], permit }, &*node.env.clock);
    let ticket = Ticket::new();
    tail.answer(Answer::new(&ticket, Ok(Commit::of_nothing(seq))));
    drop(tail);
    if rows > 0 {
        inputs.iter().for_each(|input| turn.remaps.add(input.unit, seq, input.map.clone()));
    }
    node.pressure.resize(before, after);
    let segments = units.iter().filter_map(|unit| state.segment(*unit)).map(|view| view.segment);
    node.retired.lock().extend(segments.map(|segment| RetiredSegment {
        at: seq,
        unit: segment.unit(),
        segment: Arc::downgrade(segment),
    }));
    if let Some(keys) = state.keys() {
        keys.retire(&units, seq);
    }
    drop(turn);
    node.log_signal.notify();
    node.merge_signal.notify();
    Ok(Some(Installed { seq, handle: CommitHandle::new(&ticket, &node.env.tasks) }))
}

/// The rows of the output that died in its inputs since the pin; `None` when an input is gone.
fn dead_since_pin(state: &ShardState, inputs: &[Input]) -> Option<Vec<RowOrdinal>> {
    let mut moved = Vec::new();
    for Input { unit, map } in inputs {
        moved.extend(state.deletes(*unit)?.difference(map.pinned()).filter_map(|row| map.row(row)));
    }
    Some(moved)
}

/// Most bytes of a delete-vector blob over `rows` rows: a roaring bitmap stores no container larger than a plain one.
pub(super) fn deletes_bytes_max(rows: u32) -> u64 {
    u64::from(rows) / 8 + u64::from(rows) / 1_024 + 1_024
}

/// Most bytes of a unit's id in a record.
pub(super) const UNIT_BYTES: u64 = 10;
