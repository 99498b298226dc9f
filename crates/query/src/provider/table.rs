//! A table of a snapshot.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Constraint, Constraints, DataFusionError};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use outcrop_engine::{ScanColumn, TableSnapshot};
use outcrop_types::TableSchema;

use crate::access::TableScanSource;
use crate::planning::AccessPath;

/// Columns that statements of ours may ask for by name and users never see.
const HIDDEN: &[(&str, ScanColumn, ArrowType)] = &[
    ("__unit", ScanColumn::Unit, ArrowType::UInt64),
    ("__row", ScanColumn::Row, ArrowType::UInt32),
    ("__seq", ScanColumn::CommitSeq, ArrowType::UInt64),
];

/// A table at the snapshot of the statement.
#[derive(Debug)]
pub(crate) struct SnapshotTable {
    table: TableSnapshot,
    schema: SchemaRef,
    columns: Vec<ScanColumn>,
    constraints: Constraints,
    access_path: AccessPath,
}

impl SnapshotTable {
    /// The columns that users see.
    pub(crate) fn new(table: TableSnapshot, access_path: AccessPath) -> Self {
        let schema = table.schema().to_arrow();
        let columns = table.schema().columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
        let constraints = key_constraint(table.schema());
        Self { table, schema, columns, constraints, access_path }
    }

    /// Also the hidden columns, last.
    pub(crate) fn with_addresses(table: TableSnapshot, access_path: AccessPath) -> Self {
        let mut this = Self::new(table, access_path);
        let mut fields = this.schema.fields().to_vec();
        for (name, column, arrow) in HIDDEN {
            fields.push(Arc::new(Field::new(*name, arrow.clone(), false)));
            this.columns.push(*column);
        }
        this.schema = Arc::new(Schema::new(fields));
        this
    }

    /// Without telling that the key is unique: DataFusion believes it also of the rows that a set function repeats.
    #[must_use]
    pub(crate) fn without_key(mut self) -> Self {
        self.constraints = Constraints::new_unverified(Vec::new());
        self
    }

    /// The rows.
    pub(crate) fn table(&self) -> &TableSnapshot {
        &self.table
    }

    /// Whether the hidden columns are there.
    pub(crate) fn has_addresses(&self) -> bool {
        self.columns.len() > self.table.schema().columns.len()
    }
}

/// A table in a plan that is kept: what it was planned for, without rows. Holds no snapshot (Q5).
#[derive(Debug)]
pub(crate) struct PlannedTable {
    table: Arc<TableSchema>,
    schema: SchemaRef,
    constraints: Constraints,
    has_addresses: bool,
}

impl PlannedTable {
    /// What is to be kept of a table of a snapshot.
    pub(crate) fn of(table: &SnapshotTable) -> Self {
        Self {
            table: Arc::clone(table.table.schema()),
            schema: Arc::clone(&table.schema),
            constraints: table.constraints.clone(),
            has_addresses: table.has_addresses(),
        }
    }

    /// The table as it was.
    pub(crate) fn table(&self) -> &TableSchema {
        &self.table
    }

    /// The same at a snapshot.
    pub(crate) fn at(&self, table: TableSnapshot, access_path: AccessPath) -> SnapshotTable {
        let provider = if self.has_addresses {
            SnapshotTable::with_addresses(table, access_path)
        } else {
            SnapshotTable::new(table, access_path)
        };
        if self.constraints.is_empty() { provider.without_key() } else { provider }
    }
}

#[async_trait]
impl TableProvider for PlannedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Internal("a kept plan was run without a snapshot".to_owned()))
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let (columns, schema) = match projection {
            None => (self.columns.clone(), Arc::clone(&self.schema)),
            Some(positions) => {
                let columns = positions.iter().map(|at| self.columns.get(*at).copied()).collect::<Option<Vec<_>>>();
                let columns =
                    columns.ok_or_else(|| DataFusionError::Internal("projection outside of the table".to_owned()))?;
                (columns, Arc::new(self.schema.project(positions)?))
            }
        };
        let partitions = state.config().target_partitions().min(crate::access::useful_partitions(&self.table));
        let source = TableScanSource::new(self.table.clone(), columns, schema, self.access_path, partitions);
        Ok(DataSourceExec::from_data_source(source.with_limit(limit)))
    }
}

fn key_constraint(schema: &TableSchema) -> Constraints {
    let positions = schema
        .primary_key()
        .and_then(|key| key.columns.iter().map(|id| schema.position(*id)).collect::<Option<Vec<_>>>());
    Constraints::new_unverified(positions.map(Constraint::PrimaryKey).into_iter().collect())
}
