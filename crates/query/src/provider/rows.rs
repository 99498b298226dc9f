//! A few rows in memory under a table's name: system catalogs, and rows that a statement judges again (Q7).

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// One batch as a table, in its order.
#[derive(Debug)]
pub(crate) struct RowsTable {
    schema: SchemaRef,
    rows: RecordBatch,
}

impl RowsTable {
    /// The rows of `rows`.
    pub(crate) fn new(rows: RecordBatch) -> Self {
        Self { schema: rows.schema(), rows }
    }
}

#[async_trait]
impl TableProvider for RowsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let rows = limit.map_or_else(|| self.rows.clone(), |limit| self.rows.slice(0, limit.min(self.rows.num_rows())));
        let plan = MemorySourceConfig::try_new_exec(&[vec![rows]], Arc::clone(&self.schema), projection.cloned())?;
        Ok(plan)
    }
}
