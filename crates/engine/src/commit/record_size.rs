//! How large a record may become, known before it has its place in the log.

use outcrop_format::record::{Change, InstalledSegment, Ops, Victims};

/// At least the bytes of these changes in a record. Changes of the catalog and of feed cursors are judged by
/// their statements.
pub(super) fn bytes_max(changes: &[Change]) -> u64 {
    changes.iter().map(change_bytes_max).sum()
}

fn change_bytes_max(change: &Change) -> u64 {
    CHANGE_BYTES
        + match change {
            Change::Rows(change) => change.rows.len() as u64 + ops_bytes_max(&change.ops),
            Change::Staged(change) => segments_bytes_max(&change.segments) + victims_bytes_max(&change.victims),
            Change::Install(change) => segments_bytes_max(&change.outputs) + change.inputs.len() as u64 * VICTIM_BYTES,
            Change::Expire(change) => change.units.len() as u64 * VICTIM_BYTES,
            Change::Ddl(_) | Change::Feed(_) => 0,
        }
}

fn ops_bytes_max(ops: &Ops) -> u64 {
    match ops {
        Ops::AllInserts { .. } => 0,
        // In the worst case each operation is a run of its own.
        Ops::List(list) => list.len() as u64 + ops.victims().count() as u64 * VICTIM_BYTES,
    }
}

fn victims_bytes_max(victims: &Victims) -> u64 {
    match victims {
        Victims::Inline(victims) => victims.len() as u64 * VICTIM_BYTES,
        Victims::File { name, .. } => name.len() as u64 + CHANGE_BYTES,
    }
}

fn segments_bytes_max(segments: &[InstalledSegment]) -> u64 {
    segments.iter().map(|segment| segment.deletes.len() as u64 + SEGMENT_BYTES).sum()
}

/// Most bytes that a victim takes in a record: a unit's number and a row's.
pub(crate) const VICTIM_BYTES: u64 = 16;
/// Ids, counts and lengths of a change.
const CHANGE_BYTES: u64 = 64;
/// Numbers, lengths and checksum of a segment in a record.
const SEGMENT_BYTES: u64 = 48;
