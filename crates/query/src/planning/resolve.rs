//! Names in SQL: tables of the snapshot, system catalogs, functions.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::catalog::default_table_source::{DefaultTableSource, provider_as_source};
use datafusion::catalog::{TableFunctionArgs, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, DataFusionError, TableReference};
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use outcrop_types::schema::DEFAULT_SCHEMA;
use outcrop_types::{CommitSeq, Condition, Error, TableName, TableSchema};

use super::statement::{StatementContext, TARGET};
use crate::catalog;
use crate::error::{from_arrow, to_datafusion};
use crate::feed::FeedTable;
use crate::provider::{PlannedTable, RowsTable, SnapshotTable};

/// Looks names up for one statement.
pub(super) struct Names<'a> {
    context: &'a StatementContext,
    repeats_rows: bool,
}

impl<'a> Names<'a> {
    pub(super) fn new(context: &'a StatementContext) -> Self {
        Self { context, repeats_rows: false }
    }

    /// For a query in which a row may come several times under its key.
    pub(super) fn repeating_rows(mut self, repeats_rows: bool) -> Self {
        self.repeats_rows = repeats_rows;
        self
    }

    /// The table that a scan of a kept plan meant, at this snapshot; `None` for what is not a table of the engine.
    pub(super) fn rebound(
        &self,
        source: &Arc<dyn TableSource>,
    ) -> datafusion::common::Result<Option<Arc<dyn TableSource>>> {
        let Some(kept) = provider_of::<PlannedTable>(source) else {
            return Ok(None);
        };
        let wanted = kept.table();
        let table = self.context.snapshot.as_ref().and_then(|snapshot| snapshot.table(wanted.id));
        let Some(table) = table.filter(|table| table.schema().version == wanted.version) else {
            return Err(to_datafusion(Error::new(
                Condition::ObjectNotInPrerequisiteState,
                format!("table \"{}\" changed since the statement was prepared", wanted.name.table),
            )));
        };
        Ok(Some(provider_as_source(Arc::new(kept.at(table, self.context.view.access_path)))))
    }

    fn provider(&self, name: &TableReference) -> datafusion::common::Result<Arc<dyn TableProvider>> {
        if let Some(catalog) = name.catalog()
            && catalog != self.context.view.database
            && catalog != "outcrop"
        {
            return Err(to_datafusion(Error::new(
                Condition::FeatureNotSupported,
                format!("cross-database references are not implemented: {name}"),
            )));
        }
        if let Some(schema) = name.schema() {
            if let Some(provider) = self.system_table(schema, name.table())? {
                return Ok(provider);
            }
            return self
                .user_table(schema, name.table())?
                .ok_or_else(|| undefined_table(&format!("{schema}.{}", name.table())));
        }
        if name.table() == TARGET
            && let Some(provider) = self.target()?
        {
            return Ok(provider);
        }
        // As in PostgreSQL, the system catalog comes first unless the search path says otherwise.
        if let Some(provider) = self.system_table("pg_catalog", name.table())? {
            return Ok(provider);
        }
        let default = [DEFAULT_SCHEMA.to_owned()];
        let path = &self.context.view.search_path;
        let path = if path.is_empty() { default.as_slice() } else { path.as_slice() };
        for schema in path {
            if let Some(provider) = self.user_table(schema, name.table())? {
                return Ok(provider);
            }
        }
        Err(undefined_table(name.table()))
    }

    fn system_table(&self, schema: &str, table: &str) -> datafusion::common::Result<Option<Arc<dyn TableProvider>>> {
        let StatementContext { snapshot, engine, view, .. } = self.context;
        if (schema, table) == ("outcrop", "feed_changes") {
            let upto = snapshot.as_ref().map_or(CommitSeq::ZERO, |snapshot| snapshot.commit_seq());
            return Ok(Some(Arc::new(FeedTable::new(engine, upto))));
        }
        let rows = catalog::system_table(schema, table, snapshot.as_ref(), engine, view).map_err(to_datafusion)?;
        Ok(rows.map(|rows| Arc::new(RowsTable::new(rows)) as Arc<dyn TableProvider>))
    }

    fn user_table(&self, schema: &str, table: &str) -> datafusion::common::Result<Option<Arc<dyn TableProvider>>> {
        let Some(snapshot) = self.context.snapshot.as_ref() else {
            return Ok(None);
        };
        let schema = if schema == "public" { DEFAULT_SCHEMA } else { schema };
        let Some(found) = snapshot.catalog().table(&TableName::new(schema, table)) else {
            return Ok(None);
        };
        let Some(table) = snapshot.table(found.id) else {
            return Ok(None);
        };
        let provider = SnapshotTable::new(table, self.context.view.access_path);
        Ok(Some(Arc::new(if self.repeats_rows { provider.without_key() } else { provider })))
    }

    /// What [`TARGET`] means: the given rows of the table, or the table with addresses.
    fn target(&self) -> datafusion::common::Result<Option<Arc<dyn TableProvider>>> {
        let Some(snapshot) = self.context.snapshot.as_ref() else {
            return Ok(None);
        };
        if let Some((id, rows)) = &self.context.rows_of {
            let schema = snapshot.catalog().table_by_id(*id);
            let schema =
                schema.ok_or_else(|| to_datafusion(Error::internal("the target table is not in the snapshot")))?;
            return Ok(Some(Arc::new(RowsTable::new(with_row_numbers(rows, schema)?))));
        }
        let table = self.context.addresses_of.and_then(|id| snapshot.table(id));
        Ok(table.map(|table| {
            let provider = SnapshotTable::with_addresses(table, self.context.view.access_path);
            Arc::new(if self.repeats_rows { provider.without_key() } else { provider }) as Arc<dyn TableProvider>
        }))
    }
}

/// The provider behind a scan, if it is of this kind.
pub(super) fn provider_of<T: TableProvider>(source: &Arc<dyn TableSource>) -> Option<&T> {
    source.downcast_ref::<DefaultTableSource>()?.table_provider.downcast_ref::<T>()
}

/// An argument of a table function, computed; integers as the bigint that such functions take.
fn constant(arg: Expr, state: &SessionState) -> datafusion::common::Result<Expr> {
    let simplifier = ExprSimplifier::new(
        SimplifyContext::builder()
            .with_schema(Arc::new(DFSchema::empty()))
            .with_config_options(Arc::clone(state.config_options()))
            .with_query_execution_start_time(state.execution_props().query_execution_start_time)
            .build(),
    );
    let coerced = simplifier.coerce(arg, &DFSchema::empty())?;
    match simplifier.simplify(coerced)? {
        Expr::Literal(scalar, metadata) => match scalar.data_type() {
            // The series of DataFusion counts nanoseconds.
            ArrowType::Timestamp(TimeUnit::Microsecond, zone) => {
                Ok(Expr::Literal(scalar.cast_to(&ArrowType::Timestamp(TimeUnit::Nanosecond, zone))?, metadata))
            }
            ArrowType::Int16 | ArrowType::Int32 => Ok(Expr::Literal(scalar.cast_to(&ArrowType::Int64)?, metadata)),
            _ => Ok(Expr::Literal(scalar, metadata)),
        },
        other => Ok(other),
    }
}

/// Rows under judgement, with addresses that number them.
fn with_row_numbers(rows: &RecordBatch, schema: &TableSchema) -> datafusion::common::Result<RecordBatch> {
    let count = u32::try_from(rows.num_rows())
        .map_err(|_many| DataFusionError::Internal("more rows than a unit holds".to_owned()))?;
    let mut fields = schema.to_arrow().fields().to_vec();
    let mut columns = rows.columns().to_vec();
    fields.push(Arc::new(Field::new("__unit", ArrowType::UInt64, false)));
    columns.push(Arc::new(UInt64Array::from(vec![0; rows.num_rows()])) as ArrayRef);
    fields.push(Arc::new(Field::new("__row", ArrowType::UInt32, false)));
    columns.push(Arc::new(UInt32Array::from_iter_values(0..count)));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| to_datafusion(from_arrow(error)))
}

fn undefined_table(name: &str) -> DataFusionError {
    to_datafusion(Error::new(Condition::UndefinedTable, format!("relation \"{name}\" does not exist")))
}

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, name: TableReference) -> datafusion::common::Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(self.provider(&name)?))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> datafusion::common::Result<Arc<dyn TableSource>> {
        let function = self.context.state.table_functions().get(name).ok_or_else(|| {
            to_datafusion(Error::new(Condition::UndefinedFunction, format!("function {name} does not exist")))
        })?;
        let args = args
            .into_iter()
            .map(|arg| constant(arg, &self.context.state))
            .collect::<datafusion::common::Result<Vec<_>>>()?;
        let provider =
            function.create_table_provider_with_args(TableFunctionArgs::new(&args, self.context.state.as_ref()))?;
        Ok(provider_as_source(provider))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> datafusion::common::Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.context.state.expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(crate::types::SqlTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.context.state.scalar_functions().get(function_name(name)).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.context.state.higher_order_functions().get(function_name(name)).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.context.state.aggregate_functions().get(function_name(name)).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.context.state.window_functions().get(function_name(name)).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<ArrowType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.context.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.context.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.context.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.context.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.context.state.window_functions().keys().cloned().collect()
    }
}

fn function_name(name: &str) -> &str {
    name.strip_prefix("pg_catalog.").unwrap_or(name)
}
