//! The leaf of every plan that reads a table.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, DataFusionError, Statistics};
use datafusion::datasource::source::{DataSource, OpenArgs};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::SchedulingType;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use futures::stream;
use outcrop_engine::{Morsel, ScanColumn, TableSnapshot};
use outcrop_types::{Condition, Error, Predicate, Result};
use parking_lot::Mutex;

use super::key::KeySet;
use super::order::ScanOrder;
use super::predicate::{Translator, Wanted};
use super::queue::{Piece, ScanQueue, Work};
use crate::error::{from_arrow, to_datafusion};
use crate::planning::AccessPath;
use crate::types::value_to_scalar;

/// Rows of a morsel: large enough to pay for a task, small enough to share out and to re-prune.
const MORSEL_ROWS: u32 = 65_536;
/// Rows of a morsel where a top-k query reads the best first: of a block, so that it reads little before it knows much.
const TOP_K_ROWS: u32 = 8_192;
/// So few keys are always looked up.
const KEYS_ALWAYS: usize = 16;
/// Beyond that, keys are looked up where a scan would read at least this many rows for each.
const ROWS_PER_KEY: u64 = 32;

/// Reads one table at one snapshot: live rows only, by key or by pruned scan (Q2, Q3).
#[derive(Clone, Debug)]
pub(crate) struct TableScanSource {
    table: TableSnapshot,
    columns: Arc<[ScanColumn]>,
    schema: SchemaRef,
    access_path: AccessPath,
    /// Conditions that filters and joins above check as well; some change while the query runs.
    conditions: Vec<Arc<dyn PhysicalExpr>>,
    limit: Option<usize>,
    /// What a sort above sorts by.
    order: Option<ScanOrder>,
    partitions: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl TableScanSource {
    /// Reads `columns`, which `schema` describes, with `partitions` streams.
    pub(crate) fn new(
        table: TableSnapshot,
        columns: Vec<ScanColumn>,
        schema: SchemaRef,
        access_path: AccessPath,
        partitions: usize,
    ) -> Self {
        Self {
            table,
            columns: columns.into(),
            schema,
            access_path,
            conditions: Vec::new(),
            limit: None,
            order: None,
            partitions: partitions.max(1),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// Reads at most `limit` rows.
    #[must_use]
    pub(crate) fn with_limit(mut self, limit: Option<usize>) -> Self {
        self.limit = limit;
        self
    }

    fn wanted(&self) -> Wanted {
        Translator { schema: self.table.schema(), columns: &self.columns }.conjunction(&self.conditions)
    }

    /// The keys to look up, if that is the path to take.
    fn key_path(&self, wanted: &Wanted) -> Option<KeySet> {
        let Wanted::Where(predicate) = wanted else {
            return None;
        };
        let keys = || KeySet::of_predicate(self.table.schema(), predicate);
        match self.access_path {
            AccessPath::Scan => None,
            AccessPath::Key => keys(),
            AccessPath::Auto => keys().filter(|keys| {
                let rows_for_keys = u64::try_from(keys.len()).unwrap_or(u64::MAX).saturating_mul(ROWS_PER_KEY);
                keys.len() <= KEYS_ALWAYS || rows_for_keys <= self.table.live_rows()
            }),
        }
    }

    fn plan_work(&self) -> Result<Work> {
        let wanted = self.wanted();
        if wanted == Wanted::None {
            return Ok(Work::Morsels(Vec::new()));
        }
        match self.key_path(&wanted) {
            Some(keys) => Ok(Work::Rows(keys.addresses(&self.table)?)),
            None if self.access_path == AccessPath::Key => Err(Error::new(
                Condition::FeatureNotSupported,
                format!("table \"{}\" cannot be read by key here", self.table.schema().name.table),
            )
            .with_hint("The condition does not fix every column of the primary key; set outcrop.access_path to auto.")),
            None => Ok(Work::Morsels(match self.top_k_order() {
                Some(order) => order.sort(&self.table, self.table.morsels(TOP_K_ROWS)),
                None => self.table.morsels(MORSEL_ROWS),
            })),
        }
    }

    /// The order to read in: that of the sort above, if it excludes rows as it goes.
    fn top_k_order(&self) -> Option<&ScanOrder> {
        let is_dynamic = |condition: &Arc<dyn PhysicalExpr>| condition.is::<DynamicFilterPhysicalExpr>();
        self.order.as_ref().filter(|_| self.conditions.iter().any(is_dynamic))
    }

    fn path_name(&self) -> String {
        match self.key_path(&self.wanted()) {
            Some(keys) if keys.len() == 1 => "key (1 key)".to_owned(),
            Some(keys) => format!("key ({} keys)", keys.len()),
            None => "scan".to_owned(),
        }
    }

    fn statistics(&self) -> Statistics {
        let live = usize::try_from(self.table.live_rows()).unwrap_or(usize::MAX);
        let mut rows = if self.conditions.is_empty() { Precision::Exact(live) } else { Precision::Inexact(live) };
        if let Some(limit) = self.limit.filter(|limit| *limit < live) {
            rows = Precision::Inexact(limit);
        }
        let row_bytes = usize::try_from(self.table.row_bytes()).unwrap_or(usize::MAX);
        Statistics {
            num_rows: rows,
            total_byte_size: Precision::Inexact(live.saturating_mul(row_bytes)),
            column_statistics: self.columns.iter().map(|column| self.column_statistics(*column)).collect(),
        }
    }

    /// Bounds are never exact: rows die and bounds do not shrink (Q4).
    fn column_statistics(&self, column: ScanColumn) -> ColumnStatistics {
        let mut statistics = ColumnStatistics::new_unknown();
        let ScanColumn::Column(id) = column else {
            return statistics;
        };
        let (Some(known), Some(column)) = (self.table.column_statistics(id), self.table.schema().column(id)) else {
            return statistics;
        };
        let bound = |value: Option<outcrop_types::Value>| {
            value
                .and_then(|value| value_to_scalar(&value, &column.data_type).ok())
                .filter(|scalar| !scalar.is_null())
                .map_or(Precision::Absent, Precision::Inexact)
        };
        statistics.min_value = bound(known.min);
        statistics.max_value = bound(known.max);
        statistics.null_count = known
            .null_count
            .and_then(|count| usize::try_from(count).ok())
            .map_or(Precision::Absent, Precision::Inexact);
        if self.table.schema().primary_key().is_some_and(|key| key.columns == [id]) {
            statistics.distinct_count =
                Precision::Inexact(usize::try_from(self.table.live_rows()).unwrap_or(usize::MAX));
        }
        statistics
    }

    fn open_with_queue(&self, partition: usize, queue: Arc<ScanQueue>) -> SendableRecordBatchStream {
        let reader = PartitionReader {
            counts: ScanCounts::new(&self.metrics, partition),
            baseline: BaselineMetrics::new(&self.metrics, partition),
            source: self.clone(),
            queue,
            rest: Mutex::default(),
        };
        // A piece is read on a thread that may block; the stream only waits, so a dropped stream reads at most one more.
        let batches = stream::try_unfold(Arc::new(reader), |reader| async move {
            let worker = Arc::clone(&reader);
            let batch = SpawnedTask::spawn_blocking(move || worker.next_batch())
                .await
                .map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
                .map_err(to_datafusion)?;
            Ok(batch.map(|batch| (batch, reader)))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

impl DataSource for TableScanSource {
    fn open(
        &self,
        partition: usize,
        _context: Arc<TaskContext>,
    ) -> datafusion::common::Result<SendableRecordBatchStream> {
        if self.partitions > 1 {
            return Err(to_datafusion(Error::internal("partitions of a scan were opened without shared work")));
        }
        Ok(self.open_with_queue(partition, Arc::default()))
    }

    fn open_with_args(&self, args: OpenArgs) -> datafusion::common::Result<SendableRecordBatchStream> {
        match args.sibling_state.and_then(|state| state.downcast::<ScanQueue>().ok()) {
            Some(queue) => Ok(self.open_with_queue(args.partition, queue)),
            None => self.open(args.partition, args.context),
        }
    }

    fn create_sibling_state(&self, _config: &ConfigOptions) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::new(ScanQueue::default()))
    }

    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table={}, path={}", self.table.schema().name, self.path_name())?;
        write!(f, ", rows={}", self.table.live_rows())?;
        let columns: Vec<_> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, ", columns=[{}]", columns.join(", "))?;
        if !self.conditions.is_empty() {
            let conditions: Vec<_> = self.conditions.iter().map(ToString::to_string).collect();
            write!(f, ", prune=[{}]", conditions.join(" AND "))?;
        }
        if let Some(order) = self.top_k_order() {
            write!(f, ", first={order}")?;
        }
        match self.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        _repartition_file_min_size: usize,
        output_ordering: Option<datafusion::physical_expr::LexOrdering>,
    ) -> datafusion::common::Result<Option<Arc<dyn DataSource>>> {
        if output_ordering.is_some() || target_partitions <= self.partitions {
            return Ok(None);
        }
        let partitions = target_partitions.min(useful_partitions(&self.table));
        Ok((partitions > self.partitions).then(|| Arc::new(Self { partitions, ..self.clone() }) as Arc<dyn DataSource>))
    }

    fn output_partitioning(&self) -> Partitioning {
        Partitioning::UnknownPartitioning(self.partitions)
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        EquivalenceProperties::new(Arc::clone(&self.schema))
    }

    fn scheduling_type(&self) -> SchedulingType {
        // Every batch is awaited from another task, which gives the scheduler its turn.
        SchedulingType::Cooperative
    }

    fn partition_statistics(&self, partition: Option<usize>) -> datafusion::common::Result<Arc<Statistics>> {
        if partition.is_some() && self.partitions > 1 {
            return Ok(Arc::new(Statistics::new_unknown(&self.schema)));
        }
        Ok(Arc::new(self.statistics()))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        Some(Arc::new(self.clone().with_limit(limit)))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.metrics.clone()
    }

    fn try_swapping_with_projection(
        &self,
        _projection: &ProjectionExprs,
    ) -> datafusion::common::Result<Option<Arc<dyn DataSource>>> {
        // Columns were chosen by the logical plan already.
        Ok(None)
    }

    /// Takes every condition as a hint and promises none: the nodes above keep checking.
    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> datafusion::common::Result<FilterPushdownPropagation<Arc<dyn DataSource>>> {
        let answers = vec![PushedDown::No; filters.len()];
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(answers);
        // Under a limit a hint would change which rows are the first ones.
        if filters.is_empty() || self.limit.is_some() {
            return Ok(answer);
        }
        let mut source = self.clone();
        source.conditions.extend(filters);
        Ok(answer.with_updated_node(Arc::new(source)))
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
    ) -> datafusion::common::Result<SortOrderPushdownResult<Arc<dyn DataSource>>> {
        let found = ScanOrder::of(order, &self.columns).filter(|_| self.limit.is_none());
        Ok(match found {
            Some(order) => {
                SortOrderPushdownResult::Inexact { inner: Arc::new(Self { order: Some(order), ..self.clone() }) }
            }
            None => SortOrderPushdownResult::Unsupported,
        })
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> datafusion::common::Result<TreeNodeRecursion>,
    ) -> datafusion::common::Result<TreeNodeRecursion> {
        for condition in &self.conditions {
            if f(condition)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }
}

/// How many partitions can have work: one for each morsel.
pub(crate) fn useful_partitions(table: &TableSnapshot) -> usize {
    table.morsels(MORSEL_ROWS).len().max(1)
}

/// One partition of a running scan.
#[derive(Debug)]
struct PartitionReader {
    source: TableScanSource,
    queue: Arc<ScanQueue>,
    baseline: BaselineMetrics,
    counts: ScanCounts,
    /// What is left of a morsel whose rows are too large to be read at once.
    rest: Mutex<VecDeque<Morsel>>,
}

/// What `EXPLAIN ANALYZE` tells of a scan.
#[derive(Debug)]
struct ScanCounts {
    morsels_read: Count,
    morsels_pruned: Count,
    /// Dead rows that a scan came across and left out.
    rows_masked: Count,
    rows_by_key: Count,
}

impl ScanCounts {
    fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            morsels_read: MetricBuilder::new(metrics).counter("morsels_read", partition),
            morsels_pruned: MetricBuilder::new(metrics).counter("morsels_pruned", partition),
            rows_masked: MetricBuilder::new(metrics).counter("rows_masked", partition),
            rows_by_key: MetricBuilder::new(metrics).counter("rows_by_key", partition),
        }
    }
}

impl PartitionReader {
    /// The next batch with rows. Blocks.
    fn next_batch(&self) -> Result<Option<RecordBatch>> {
        let _timer = self.baseline.elapsed_compute().timer();
        let work = self.queue.work(|| self.source.plan_work())?;
        while !self.queue.is_satisfied(self.source.limit) {
            let rest = self.rest.lock().pop_front().map(Piece::Morsel);
            let Some(piece) = rest.or_else(|| self.queue.take(&work)) else {
                return Ok(None);
            };
            let Some(batch) = self.read(&work, &piece)?.filter(|batch| batch.num_rows() > 0) else {
                continue;
            };
            let granted = self.queue.grant(batch.num_rows(), self.source.limit);
            if granted == 0 {
                return Ok(None);
            }
            self.baseline.record_output(granted);
            return self.in_schema(&batch.slice(0, granted)).map(Some);
        }
        Ok(None)
    }

    fn read(&self, work: &Work, piece: &Piece) -> Result<Option<RecordBatch>> {
        let source = &self.source;
        match (piece, work) {
            (Piece::Rows(range), Work::Rows(rows)) => {
                let rows = rows.get(range.clone()).unwrap_or_default();
                self.counts.rows_by_key.add(rows.len());
                source.table.fetch(rows, &source.columns).map(Some)
            }
            (Piece::Morsel(morsel), _) => {
                // Read again for each morsel: a join or a top-k above may know more by now.
                let predicate: Option<Predicate> = match source.wanted() {
                    Wanted::All => None,
                    Wanted::None => return Ok(None),
                    Wanted::Where(predicate) => Some(predicate),
                };
                if predicate.as_ref().is_some_and(|predicate| !source.table.may_match(morsel, predicate)) {
                    self.counts.morsels_pruned.add(1);
                    return Ok(None);
                }
                let Some(first) = self.split(morsel) else { return Ok(None) };
                self.counts.morsels_read.add(1);
                let rows = first.rows.end - first.rows.start;
                self.counts.rows_masked.add(usize::try_from(rows - first.live).unwrap_or_default());
                let batch = source.table.scan(&first, &source.columns, predicate.as_ref())?;
                self.queue.note_width(batch.get_array_memory_size(), first.rows.len());
                Ok(Some(batch))
            }
            (Piece::Rows(_), Work::Morsels(_)) => Err(Error::internal("rows by key in a scan of morsels")),
        }
    }

    /// As much of a morsel as is to be read at once; the rest comes next.
    fn split(&self, morsel: &Morsel) -> Option<Morsel> {
        let rows_max = self.queue.rows_of_batch(self.source.table.row_bytes());
        if morsel.rows.end - morsel.rows.start <= rows_max {
            return Some(morsel.clone());
        }
        let mut parts: VecDeque<Morsel> = self.source.table.cut(morsel, rows_max).into();
        let first = parts.pop_front();
        let mut rest = self.rest.lock();
        parts.append(&mut rest);
        *rest = parts;
        first
    }

    /// The same columns under the schema of the plan.
    fn in_schema(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.source.schema), batch.columns().to_vec(), &options)
            .map_err(from_arrow)
    }
}
