//! Status of tables and segments, from their snapshot.

use std::sync::Arc;

use super::{SegmentStatus, TableStatus};
use crate::snapshot::{ShardState, TableSnapshot};

impl TableSnapshot {
    /// Sizes of the table.
    pub fn status(&self) -> TableStatus {
        let mut status = TableStatus {
            table: self.schema().id,
            live_rows: 0,
            memtable_rows: 0,
            memtable_bytes: 0,
            segments: 0,
            segment_rows: 0,
            dead_rows: 0,
            segment_bytes: 0,
            key_runs: 0,
            key_run_bytes: 0,
            key_index_bytes: 0,
        };
        self.shards().for_each(|shard| add(&mut status, shard));
        status
    }

    /// The segments of the table.
    pub fn segments(&self) -> Vec<SegmentStatus> {
        self.shards().flat_map(|shard| segments(shard)).collect()
    }
}

fn add(status: &mut TableStatus, shard: &Arc<ShardState>) {
    status.live_rows += shard.live_rows();
    status.memtable_bytes += shard.memtable_bytes();
    status.memtable_rows += shard.generations().map(|generation| u64::from(generation.rows)).sum::<u64>();
    for view in shard.segments() {
        status.segments += 1;
        status.segment_rows += u64::from(view.segment.rows());
        status.dead_rows += u64::from(view.deletes.deleted());
        status.segment_bytes += view.segment.bytes();
    }
    status.key_index_bytes += shard.keys().map_or(0, |keys| keys.bytes());
    for run in shard.runs() {
        status.key_runs += 1;
        status.key_run_bytes += run.bytes();
        status.key_index_bytes += run.resident_bytes();
    }
}

fn segments(shard: &ShardState) -> Vec<SegmentStatus> {
    let status = |view: crate::snapshot::SegmentView<'_>| {
        let (segment, unit) = (view.segment, view.segment.unit());
        SegmentStatus {
            unit,
            rows: u64::from(segment.rows()),
            dead_rows: u64::from(view.deletes.deleted()),
            bytes: segment.bytes(),
            min_seq: segment.meta().min_seq,
            max_seq: segment.meta().max_seq,
            key_run: shard.runs().find(|run| run.covers(unit)).map(|run| run.unit()),
        }
    };
    shard.segments().map(status).collect()
}
