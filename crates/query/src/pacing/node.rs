//! The node that ends turns.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, SchedulingType};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions};
use futures::{Stream, StreamExt};
use outcrop_env::Clock;
use outcrop_types::Error;

use crate::error::to_datafusion;

/// How long an operator may keep its thread. A cancelled query ends, and another one runs, after about this time.
const TURN: Duration = Duration::from_millis(5);
/// Most rows of a slice of a probe side: those of a morsel.
const SLICE_ROWS_MAX: usize = 65_536;

/// When the turns of an operator began, for each of its partitions. The node above it and the one below share it.
#[derive(Debug)]
pub(super) struct Turns {
    clock: Arc<dyn Clock>,
    /// Nanoseconds of the monotonic clock at which the operator was polled last.
    polled: Vec<AtomicU64>,
}

impl Turns {
    pub(super) fn new(clock: Arc<dyn Clock>, partitions: usize) -> Self {
        Self { clock, polled: (0..partitions).map(|_| AtomicU64::new(0)).collect() }
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn polled(&self, partition: usize) {
        if let Some(polled) = self.polled.get(partition) {
            polled.store(u64::try_from(self.now().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    fn last_polled(&self, partition: usize) -> Duration {
        let nanos = self.polled.get(partition).map_or(0, |polled| polled.load(Ordering::Relaxed));
        Duration::from_nanos(nanos)
    }
}

/// On which side of the operator a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Above it: passes its rows on, turn by turn.
    Output,
    /// Below its probe side: hands rows out in slices that the operator works off within a turn.
    Probe,
}

/// Passes rows through and ends turns.
#[derive(Clone, Debug)]
pub(super) struct PacedExec {
    input: Arc<dyn ExecutionPlan>,
    side: Side,
    turns: Arc<Turns>,
    properties: Arc<PlanProperties>,
}

impl PacedExec {
    /// Above an operator.
    pub(super) fn output(input: Arc<dyn ExecutionPlan>, turns: Arc<Turns>) -> Self {
        Self::new(input, Side::Output, turns)
    }

    /// Below it.
    pub(super) fn probe(input: Arc<dyn ExecutionPlan>, turns: Arc<Turns>) -> Self {
        Self::new(input, Side::Probe, turns)
    }

    fn new(input: Arc<dyn ExecutionPlan>, side: Side, turns: Arc<Turns>) -> Self {
        let properties = PlanProperties::clone(input.properties()).with_scheduling_type(SchedulingType::Cooperative);
        Self { input, side, turns, properties: Arc::new(properties) }
    }
}

impl DisplayAs for PacedExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.side {
            Side::Output => f.write_str("PacedExec"),
            Side::Probe => f.write_str("PacedExec: slices"),
        }
    }
}

impl ExecutionPlan for PacedExec {
    fn name(&self) -> &str {
        "PacedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return Err(to_datafusion(Error::internal("a paced node has one input")));
        };
        Ok(Arc::new(Self::new(input, self.side, Arc::clone(&self.turns))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::ChildrenPropertiesMode;
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let turns = Arc::clone(&self.turns);
        Ok(match self.side {
            Side::Output => Box::pin(Output { input, turns, partition, since: None }),
            Side::Probe => Box::pin(Probe { input, turns, partition, rest: None, rows: 1, given: None }),
        })
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let input = inputs.first().ok_or_else(|| to_datafusion(Error::internal("a paced node has one input")))?;
        Ok(Arc::clone(input))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

/// Rows of an operator, until its turn is over.
struct Output {
    input: SendableRecordBatchStream,
    turns: Arc<Turns>,
    partition: usize,
    /// When the turn began; `None` after it ended.
    since: Option<Duration>,
}

impl Stream for Output {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let now = self.turns.now();
        if now.saturating_sub(*self.since.get_or_insert(now)) >= TURN {
            self.since = None;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.turns.polled(self.partition);
        let item = self.input.poll_next_unpin(cx);
        if item.is_pending() {
            self.since = None;
        }
        item
    }
}

impl RecordBatchStream for Output {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

/// Rows for the probe side of a join, in slices that grow while the join is quick with them and shrink when it is not.
struct Probe {
    input: SendableRecordBatchStream,
    turns: Arc<Turns>,
    partition: usize,
    /// What is left of the batch.
    rest: Option<RecordBatch>,
    /// Rows of the next slice.
    rows: usize,
    /// When the join got its last slice.
    given: Option<Duration>,
}

impl Probe {
    /// Learns from the time that the join took for the last slice; whether its turn is over.
    fn judge(&mut self, now: Duration) -> bool {
        let polled = self.turns.last_polled(self.partition);
        if let Some(given) = self.given.take() {
            // A join that gave rows out in between was not kept by this slice alone.
            let taken = now.saturating_sub(given.max(polled));
            if taken >= TURN {
                self.rows = (self.rows / 2).max(1);
            } else if taken < TURN / 4 {
                self.rows = (self.rows * 2).min(SLICE_ROWS_MAX);
            }
        }
        now.saturating_sub(polled) >= TURN
    }

    fn slice(&mut self, batch: &RecordBatch) -> RecordBatch {
        let rows = self.rows.min(batch.num_rows());
        self.rest = (rows < batch.num_rows()).then(|| batch.slice(rows, batch.num_rows() - rows));
        batch.slice(0, rows)
    }
}

impl Stream for Probe {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let now = self.turns.now();
        if self.judge(now) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match ready!(self.input.poll_next_unpin(cx)) {
                Some(Ok(batch)) => batch,
                end => return Poll::Ready(end),
            },
        };
        self.given = Some(now);
        Poll::Ready(Some(Ok(self.slice(&batch))))
    }
}

impl RecordBatchStream for Probe {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
