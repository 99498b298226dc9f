//! Running a planned query.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{StreamExt, TryStreamExt};
use outcrop_types::{Condition, Error, Result, Value};

use super::statement::{PlannedQuery, StatementContext};
use crate::error::from_datafusion;
use crate::result::{ResultColumn, ResultType};
use crate::types::{data_type_of_arrow, value_to_scalar};

/// Rows of a query. Batches hold [`outcrop_types::DataType::to_arrow`] of each column's type, intervals as
/// `Interval(MonthDayNano)`, catalog types as `Int64` or `Utf8View`, unknown ones as `Utf8View`.
pub(crate) struct QueryRows {
    /// What clients see of the rows.
    pub(crate) columns: Vec<ResultColumn>,
    /// The rows. Dropping it stops the query.
    pub(crate) stream: SendableRecordBatchStream,
}

impl fmt::Debug for QueryRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryRows").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// What `EXPLAIN` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExplainOptions {
    /// Run the query and count.
    pub(crate) analyze: bool,
    /// Show everything.
    pub(crate) verbose: bool,
}

impl StatementContext {
    /// Starts a query. Must run inside the runtime of queries: its tasks are spawned there.
    ///
    /// # Cancel safety
    /// Nothing is left behind: plans read only.
    pub(crate) async fn execute(&self, planned: &PlannedQuery, parameters: &[Value]) -> Result<QueryRows> {
        let physical = self.physical_plan(planned, parameters).await?;
        let stream = execute_stream(physical, self.task_context()).map_err(|error| self.located(error))?;
        Ok(QueryRows { columns: planned.columns.clone(), stream: in_result_types(stream, &planned.columns) })
    }

    /// The plan as lines of text; with `analyze` the query runs and its counts are shown.
    pub(crate) async fn explain(
        &self,
        planned: &PlannedQuery,
        parameters: &[Value],
        options: ExplainOptions,
    ) -> Result<Vec<String>> {
        let physical = self.physical_plan(planned, parameters).await?;
        let text = if options.analyze {
            let mut stream =
                execute_stream(Arc::clone(&physical), self.task_context()).map_err(|error| self.located(error))?;
            while stream.try_next().await.map_err(|error| self.located(error))?.is_some() {}
            let display = DisplayableExecutionPlan::with_metrics(physical.as_ref());
            display.set_show_statistics(options.verbose).indent(options.verbose).to_string()
        } else {
            let display = DisplayableExecutionPlan::new(physical.as_ref());
            display.set_show_statistics(options.verbose).indent(options.verbose).to_string()
        };
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Starts a plan without parameters, as it is.
    pub(crate) async fn run_plan(&self, plan: &LogicalPlan) -> Result<SendableRecordBatchStream> {
        let physical = self.state.create_physical_plan(plan).await.map_err(|error| self.located(error))?;
        execute_stream(physical, self.task_context()).map_err(|error| self.located(error))
    }

    async fn physical_plan(&self, planned: &PlannedQuery, parameters: &[Value]) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = with_parameters(planned, parameters)?;
        self.state.create_physical_plan(&plan).await.map_err(|error| self.located(error))
    }

    fn task_context(&self) -> Arc<TaskContext> {
        // Physical plans hold their functions; the registries are for plans that arrive serialized.
        Arc::new(TaskContext::new(
            None,
            self.state.session_id().to_owned(),
            self.state.config().clone(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            Arc::clone(self.state.runtime_env()),
        ))
    }
}

/// The plan with values in the place of `$n`.
pub(super) fn with_parameters(planned: &PlannedQuery, parameters: &[Value]) -> Result<LogicalPlan> {
    if parameters.len() != planned.parameters.len() {
        return Err(Error::new(
            Condition::ProtocolViolation,
            format!("the statement needs {} parameters, {} were given", planned.parameters.len(), parameters.len()),
        ));
    }
    if parameters.is_empty() {
        return Ok(planned.plan.clone());
    }
    let values = parameters
        .iter()
        .zip(&planned.parameters)
        .map(|(value, data_type)| Ok(ScalarAndMetadata::new(value_to_scalar(value, data_type)?, None)))
        .collect::<Result<Vec<_>>>()?;
    planned.plan.clone().replace_params_with_values(&ParamValues::List(values)).map_err(from_datafusion)
}

/// Casts each batch to the types that `columns` promise. What already has them passes untouched.
fn in_result_types(stream: SendableRecordBatchStream, columns: &[ResultColumn]) -> SendableRecordBatchStream {
    let from = stream.schema();
    let fields: Vec<Field> = from
        .fields()
        .iter()
        .zip(columns)
        .map(|(field, column)| {
            Field::new(&column.name, result_arrow_type(&column.data_type, field.data_type()), true)
                .with_metadata(field.metadata().clone())
        })
        .collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let target = Arc::clone(&schema);
    let batches = stream.map(move |batch| in_schema(&batch?, &target));
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

fn in_schema(batch: &RecordBatch, schema: &SchemaRef) -> datafusion::common::Result<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(Arc::clone(column));
            }
            cast_with_options(column, field.data_type(), &options)
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows)?)
}

/// Computed columns as a result batch of the types that `columns` promise.
pub(crate) fn result_batch(columns: &[ResultColumn], values: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for (column, value) in columns.iter().zip(values) {
        let arrow = result_arrow_type(&column.data_type, value.data_type());
        let value = if *value.data_type() == arrow {
            value
        } else {
            cast_with_options(&value, &arrow, &options).map_err(crate::error::from_arrow)?
        };
        fields.push(Field::new(&column.name, arrow, true));
        arrays.push(value);
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &rows).map_err(crate::error::from_arrow)
}

/// How result batches hold a type.
fn result_arrow_type(data_type: &ResultType, produced: &ArrowType) -> ArrowType {
    match data_type {
        ResultType::Data(data_type) => data_type.to_arrow(),
        ResultType::Interval => crate::types::INTERVAL,
        ResultType::Unknown => ArrowType::Utf8View,
        ResultType::Catalog(_) => match data_type_of_arrow(produced) {
            Some(held) if held.to_arrow().is_integer() => ArrowType::Int64,
            _ => ArrowType::Utf8View,
        },
    }
}
