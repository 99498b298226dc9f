//! Status of the whole engine, now.

use std::sync::atomic::Ordering;

use super::{EngineStatus, TableStatus};
use crate::compaction::{Limits, debt, sizes};
use crate::node::Node;

impl Node {
    /// Counters and gauges.
    pub(crate) fn status(&self) -> EngineStatus {
        let snapshot = self.snapshot();
        let version = snapshot.version();
        let counters = &self.counters;
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let stall_time = counters.stall_time.status();
        let mut status = EngineStatus {
            published: version.seq,
            oldest_pin: self.live.oldest_seq(),
            pins: self.live.count() as u64,
            memtable_bytes: self.pressure.memtable_bytes(),
            log_bytes: count(&counters.log_bytes),
            feed_log_bytes: count(&counters.feed_log_bytes),
            replayed_records: counters.replayed,
            commits: count(&counters.commits),
            groups: count(&counters.groups),
            flushes: count(&counters.flushes),
            compactions: count(&counters.compactions),
            compacted_rows: count(&counters.compacted_rows),
            compacted_bytes: count(&counters.compacted_bytes),
            expired_rows: count(&counters.expired_rows),
            stall_reason: self.pressure.reason(&self.options),
            stalls: stall_time.counts.iter().sum(),
            stall_time,
            poisoned: self.tail.lock().poisoned().map(str::to_owned),
            commit_time: counters.commit_time.status(),
            sync_time: counters.sync_time.status(),
            group_commits: counters.group_commits.status(),
            freshness: counters.freshness.status(),
            ..EngineStatus::default()
        };
        let limits = Limits::background(&self.options);
        for (id, table) in version.tables.iter() {
            let debts = table.shards.iter().map(|shard| debt(&sizes(shard, &table.schema), &limits));
            status.compaction_debt_bytes += debts.sum::<u64>();
            status.add(snapshot.table(*id).map(|table| table.status()));
        }
        status
    }
}

impl EngineStatus {
    fn add(&mut self, table: Option<TableStatus>) {
        let Some(table) = table else { return };
        self.live_rows += table.live_rows;
        self.segments += table.segments;
        self.segment_rows += table.segment_rows;
        self.dead_rows += table.dead_rows;
        self.segment_bytes += table.segment_bytes;
        self.key_runs += table.key_runs;
        self.key_run_bytes += table.key_run_bytes;
        self.key_index_bytes += table.key_index_bytes;
    }
}
