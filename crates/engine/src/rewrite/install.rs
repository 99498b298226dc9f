//! Putting segments in the place of the units they were made from.

use std::sync::Arc;

use outcrop_env::{kill_point, reached};
use outcrop_format::record::{Change, Expire, Install, InstalledSegment};
use outcrop_log::{Permit, SpaceClass};
use outcrop_segment::DeleteVector;
use outcrop_types::{CommitSeq, Result, RowAddress, RowOrdinal, ShardId, TableId, UnitId};

use super::output::Output;
use crate::commit::{Answer, CommitHandle, RowMap, Sequenced, Ticket, only_shard, with_shard};
use crate::feed::Feeds;
use crate::node::{Node, RetiredSegment};
use crate::snapshot::{NewSegment, ShardState, TableState};
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

/// Installs the outputs of a job in a turn: their delete vectors are the difference of its inputs' since the pin, which
/// includes every record before this one, synced or not (W3): O(deletes), not O(rows). `None` when an input is gone.
pub(crate) fn install(
    node: &Arc<Node>,
    table: TableId,
    inputs: &[Input],
    outputs: Vec<Output>,
) -> Result<Option<Installed>> {
    let deletes_max: u64 = outputs.iter().map(|output| deletes_bytes_max(output.segment.rows())).sum();
    let permit = node.admit(deletes_max + inputs.len() as u64 * UNIT_BYTES, SpaceClass::Reserve)?;
    let Ok(shard) = node.shard(table) else { return Ok(None) };
    let mut turn = shard.turn();
    let Some(seen) = node.tail.lock().table(table).map(Arc::clone) else { return Ok(None) };
    let state = only_shard(&seen)?;
    let Some(moved) = dead_since_pin(&state, inputs) else { return Ok(None) };

    let units: Vec<UnitId> = inputs.iter().map(|input| input.unit).collect();
    let mut record = Install { table, shard: ShardId::new(0), inputs: units.clone(), outputs: Vec::new() };
    let mut segments = Vec::with_capacity(outputs.len());
    for Output { segment, meta_crc, run } in outputs {
        let (unit, rows) = (segment.unit(), segment.rows());
        let mut deletes = DeleteVector::new(rows);
        let dead = moved.iter().filter(|address| address.unit == unit).map(|address| address.row);
        deletes.delete(&dead.collect::<Vec<RowOrdinal>>());
        let encoded = if deletes.deleted() == 0 { Vec::new() } else { deletes.encode() };
        record.outputs.push(InstalledSegment { unit, rows, meta_crc, deletes: encoded });
        segments.push(NewSegment { segment, deletes, run });
    }
    let replaced = !segments.is_empty();
    let step = Replacement { units, segments, change: Change::Install(record), permit };
    let installed = replace_units(node, &seen, &state, step)?;
    if replaced {
        inputs.iter().for_each(|input| turn.remaps.add(input.unit, installed.seq, input.map.clone()));
    }
    drop(turn);
    Ok(Some(installed))
}

/// Retention: takes segments out with all their rows, in a turn. What is not there any more stays out; `None` when nothing is
/// left to do.
pub(crate) fn expire(node: &Arc<Node>, table: TableId, units: &[UnitId]) -> Result<Option<Installed>> {
    let permit = node.admit(units.len() as u64 * UNIT_BYTES, SpaceClass::Reserve)?;
    let Ok(shard) = node.shard(table) else { return Ok(None) };
    let turn = shard.turn();
    let Some(seen) = node.tail.lock().table(table).map(Arc::clone) else { return Ok(None) };
    let state = only_shard(&seen)?;
    let units: Vec<UnitId> = units.iter().copied().filter(|unit| state.segment(*unit).is_some()).collect();
    if units.is_empty() {
        return Ok(None);
    }
    let change = Change::Expire(Expire { table, shard: ShardId::new(0), units: units.clone() });
    reached!("retention.segment_left_whole");
    let installed = replace_units(node, &seen, &state, Replacement { units, segments: Vec::new(), change, permit })?;
    drop(turn);
    Ok(Some(installed))
}

/// Units that leave, what takes their place, and how the log says so.
struct Replacement {
    units: Vec<UnitId>,
    segments: Vec<NewSegment>,
    change: Change,
    permit: Permit,
}

/// Puts segments in the place of units and sequences that. The caller holds the turn of the shard, whose tail is `state`.
fn replace_units(node: &Arc<Node>, seen: &TableState, state: &ShardState, step: Replacement) -> Result<Installed> {
    let Replacement { units, segments, change, permit } = step;
    let mut next = ShardState::clone(state);
    next.install(&units, segments)?;
    let (before, after) = (state.memtable_bytes(), next.memtable_bytes());

    let mut tail = node.tail.lock();
    tail.check_durable()?;
    let seq = tail.next_seq()?;
    node.retire_runs(state, &next, seq);
    let mut version = with_shard(tail.version(), &seen.schema, next, seq);
    if version.feeds.is_followed(seen.schema.id) {
        let mut feeds = Feeds::clone(&version.feeds);
        if matches!(change, Change::Expire(_)) {
            feeds.note_expired(seq, seen.schema.id, state, &units);
        } else {
            feeds.note_units(seq, seen.schema.id, state, &units);
        }
        version.feeds = Arc::new(feeds);
    }
    tail.push(Sequenced { version, changes: vec![change], permit }, &*node.env.clock);
    let ticket = Ticket::new();
    tail.answer(Answer::new(&ticket, Ok(Commit::of_nothing(seq))));
    drop(tail);
    kill_point("install", "sequenced");
    node.pressure.resize(before, after);
    let gone = units.iter().filter_map(|unit| state.segment(*unit)).map(|view| view.segment);
    node.retired.lock().extend(gone.map(|segment| RetiredSegment {
        at: seq,
        unit: segment.unit(),
        segment: Arc::downgrade(segment),
    }));
    if let Some(keys) = state.keys() {
        keys.retire(&units, seq);
    }
    node.log_signal.notify();
    node.merge_signal.notify();
    Ok(Installed { seq, handle: CommitHandle::new(&ticket, &node.env.tasks) })
}

/// The rows of the outputs that died in their inputs since the pin; `None` when an input is gone.
fn dead_since_pin(state: &ShardState, inputs: &[Input]) -> Option<Vec<RowAddress>> {
    let mut moved = Vec::new();
    for Input { unit, map } in inputs {
        moved.extend(map.addresses(state.deletes(*unit)?.difference(map.pinned())));
    }
    if !moved.is_empty() {
        reached!("install.rows_died_since_the_pin");
    }
    Some(moved)
}

/// Most bytes of a delete-vector blob over `rows` rows: a roaring bitmap stores no container larger than a plain one.
pub(super) fn deletes_bytes_max(rows: u32) -> u64 {
    u64::from(rows) / 8 + u64::from(rows) / 1_024 + 1_024
}

/// Most bytes of a unit's id in a record.
pub(super) const UNIT_BYTES: u64 = 10;
