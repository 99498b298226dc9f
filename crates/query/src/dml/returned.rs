//! Rows of a `RETURNING` that wait for the commit of their statement.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::spill::spill_pool::{SpillPoolSink, spsc_channel};
use datafusion::physical_plan::spill::{SpillManager, get_record_batch_memory_size};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use outcrop_types::Result;

use crate::error::from_datafusion;

/// Most bytes that one statement keeps in memory; the rest goes to spill files.
const MEMORY_MAX: usize = 8 << 20;
/// Size of a spill file; it is removed once it has been read.
const FILE_BYTES: usize = 64 << 20;

/// Rows computed before the commit and handed out after it: the first in memory, the rest in spill files.
pub(super) struct ReturnedRows {
    runtime: Arc<RuntimeEnv>,
    reservation: MemoryReservation,
    memory: Vec<RecordBatch>,
    spilled: Option<(SpillPoolSink, SendableRecordBatchStream)>,
}

impl ReturnedRows {
    pub(super) fn new(runtime: Arc<RuntimeEnv>) -> Self {
        let reservation = MemoryConsumer::new("RETURNING").with_can_spill(true).register(&runtime.memory_pool);
        Self { runtime, reservation, memory: Vec::new(), spilled: None }
    }

    /// Keeps rows behind those that are there.
    ///
    /// # Errors
    /// `OutOfMemory` where they need a spill file and there is no place for one.
    pub(super) fn push(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let bytes = get_record_batch_memory_size(&rows);
        let fits = self.spilled.is_none() && self.reservation.size().saturating_add(bytes) <= MEMORY_MAX;
        if fits && self.reservation.try_grow(bytes).is_ok() {
            self.memory.push(rows);
            return Ok(());
        }
        let (sink, _) = self.spilled.get_or_insert_with(|| {
            let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
            let manager = SpillManager::new(Arc::clone(&self.runtime), metrics, rows.schema());
            spsc_channel(FILE_BYTES, Arc::new(manager))
        });
        sink.push_batch(&rows).map_err(from_datafusion)
    }

    /// All rows, in order.
    pub(super) fn into_stream(self) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { reservation, memory, spilled, .. } = self;
        let memory = futures::stream::iter(memory).map(move |rows| {
            reservation.shrink(get_record_batch_memory_size(&rows).min(reservation.size()));
            Ok(rows)
        });
        match spilled {
            Some((sink, stream)) => {
                drop(sink);
                memory.chain(stream.map_err(from_datafusion)).boxed()
            }
            None => memory.boxed(),
        }
    }
}

impl fmt::Debug for ReturnedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReturnedRows")
            .field("in_memory", &self.reservation.size())
            .field("spilled", &self.spilled.is_some())
            .finish_non_exhaustive()
    }
}
