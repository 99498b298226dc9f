//! The table `outcrop.feed_changes`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use outcrop_engine::Engine;
use outcrop_types::{CommitSeq, Condition, Error};

use super::rows::{Shown, schema};
use crate::error::to_datafusion;
use crate::session::Position;

/// The changes behind cursors. It can only be read for one cursor.
#[derive(Clone, Debug)]
pub(crate) struct FeedTable {
    schema: SchemaRef,
    engine: Engine,
    /// The commit of the statement's snapshot: what comes later is not shown (Q1).
    upto: CommitSeq,
}

impl FeedTable {
    pub(crate) fn new(engine: &Engine, upto: CommitSeq) -> Self {
        Self { schema: schema(), engine: engine.clone(), upto }
    }
}

/// What a filter says of an argument, if it is one.
enum Argument {
    Cursor(String),
    MaxRows(i64),
}

fn argument(filter: &Expr) -> Option<Argument> {
    let Expr::BinaryExpr(equal) = filter else { return None };
    if equal.op != Operator::Eq {
        return None;
    }
    let (column, value) = match (equal.left.as_ref(), equal.right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(column)) => {
            (column, value)
        }
        _ => return None,
    };
    match (column.name.as_str(), value) {
        ("cursor", value) => Some(Argument::Cursor(value.try_as_str()??.to_owned())),
        ("max_rows", ScalarValue::Int64(Some(rows))) => Some(Argument::MaxRows(*rows)),
        _ => None,
    }
}

#[async_trait]
impl TableProvider for FeedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match argument(filter) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (mut cursor, mut max_rows) = (None, None);
        for argument in filters.iter().filter_map(argument) {
            match argument {
                Argument::Cursor(name) => cursor = Some(name),
                Argument::MaxRows(rows) => max_rows = Some(rows),
            }
        }
        let Some(cursor) = cursor else {
            let message = "outcrop.feed_changes can only be read for one cursor";
            return Err(to_datafusion(
                Error::new(Condition::FeatureNotSupported, message)
                    .with_hint("Write SELECT * FROM outcrop.read_feed('cursor')."),
            ));
        };
        let reader = Reader { table: self.clone(), cursor, max_rows: max_rows.unwrap_or(i64::MAX) };
        let schema = Arc::clone(&self.schema);
        let plan = StreamingTableExec::try_new(schema, vec![Arc::new(reader)], projection, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// One call.
#[derive(Clone, Debug)]
struct Reader {
    table: FeedTable,
    cursor: String,
    max_rows: i64,
}

impl PartitionStream for Reader {
    fn schema(&self) -> &SchemaRef {
        &self.table.schema
    }

    /// Reads on a thread of its own, as far ahead as the channel lets it; it ends when nobody wants the rest.
    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.table.schema), BATCHES_AHEAD);
        let (reader, rows) = (self.clone(), stream.tx());
        stream.spawn_blocking(move || {
            reader.read(&mut |batch| rows.blocking_send(Ok(batch)).is_ok()).map_err(to_datafusion)
        });
        stream.build()
    }
}

impl Reader {
    /// Gives whole commits, until they have as many rows as are wanted, or until `show` wants no more.
    fn read(&self, show: &mut dyn FnMut(RecordBatch) -> bool) -> outcrop_types::Result<()> {
        let Self { table, cursor, max_rows } = self;
        let mut feed = table.engine.feed(cursor, None)?;
        let mut rows = 0;
        while rows < *max_rows {
            let Some(mut commit) = feed.next_commit(Duration::ZERO)? else { return Ok(()) };
            if commit.seq() > table.upto {
                return Ok(());
            }
            let position = Position::new(table.engine.log_id(), commit.seq()).to_string();
            let shown = Shown { position: &position, wall_us: commit.wall_us(), cursor, max_rows: *max_rows };
            while let Some(event) = commit.next_event()? {
                let batch = shown.rows(&table.schema, &event)?;
                rows = rows.saturating_add(i64::try_from(batch.num_rows()).unwrap_or(i64::MAX));
                if !show(batch) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Batches that wait for the query at most.
const BATCHES_AHEAD: usize = 2;
