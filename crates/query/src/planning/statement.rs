//! Planning one statement.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::Transformed;
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use outcrop_engine::{Engine, Snapshot};
use outcrop_types::{Condition, DataType, Error, Result, TableId};

use super::columns::{assign_columns, result_columns};
use super::resolve::{Names, provider_of};
use super::view::SessionView;
use crate::context::{QueryRuntime, SessionExtension};
use crate::dialect;
use crate::error::from_datafusion;
use crate::feed::FeedTable;
use crate::provider::{PlannedTable, RowsTable, SnapshotTable};
use crate::result::ResultColumn;
use crate::types::data_type_of_field;

/// The name by which the plan of an `UPDATE` or `DELETE` reads the rows that it changes.
pub(crate) const TARGET: &str = "__target";

/// What one statement is planned and run in: one snapshot, one view of the session.
#[derive(Clone, Debug)]
pub(crate) struct StatementContext {
    pub(super) state: Arc<SessionState>,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) engine: Engine,
    pub(super) view: Arc<SessionView>,
    pub(super) addresses_of: Option<TableId>,
    pub(super) rows_of: Option<(TableId, RecordBatch)>,
}

/// A planned query over the tables of one snapshot, or kept without any.
#[derive(Clone, Debug)]
pub(crate) struct PlannedQuery {
    /// Analyzed, not optimized: holds no statistics and no parameter value (Q5).
    pub(crate) plan: LogicalPlan,
    /// What clients see of its rows.
    pub(crate) columns: Vec<ResultColumn>,
    /// Types of `$1`, `$2`, …: given or inferred.
    pub(crate) parameters: Vec<DataType>,
}

/// A planned query that waits for executions. Holds no snapshot (Q5).
#[derive(Clone, Debug)]
pub(crate) struct KeptQuery {
    planned: PlannedQuery,
    /// What else its names and constants depend on.
    search_path: Vec<String>,
    time_zone: String,
}

impl StatementContext {
    /// A context over `snapshot`; without one there are no tables, only constant expressions.
    pub(crate) fn new(runtime: &QueryRuntime, snapshot: Option<Snapshot>, view: SessionView) -> Result<Self> {
        let view = Arc::new(view);
        Ok(Self {
            state: Arc::new(runtime.state_for(&view, snapshot.as_ref())?),
            snapshot,
            engine: runtime.engine().clone(),
            view,
            addresses_of: None,
            rows_of: None,
        })
    }

    /// The context of a statement that runs, for a subquery inside of it.
    pub(crate) fn of_extension(session: &SessionExtension) -> Result<Self> {
        Self::new(&session.runtime, session.snapshot.clone(), SessionView::clone(&session.view))
    }

    /// Lets [`TARGET`] name this table with `__unit`, `__row` and `__seq`. Other references to it stay as they are.
    #[must_use]
    pub(crate) fn with_addresses_of(mut self, table: TableId) -> Self {
        self.addresses_of = Some(table);
        self
    }

    /// Lets [`TARGET`] name `rows`, which have the columns of this table, for rows judged again (Q7). `__unit` is 0 and
    /// `__row` the number of the row in `rows`. Other references to the table read the snapshot.
    #[must_use]
    pub(crate) fn with_rows_of(mut self, table: TableId, rows: RecordBatch) -> Self {
        self.rows_of = Some((table, rows));
        self
    }

    /// Plans a query. `parameters` gives the types that the client named; the rest is inferred, and what nothing tells is
    /// text.
    ///
    /// # Errors
    /// All that names and types can do wrong, with the position where the parser kept it.
    pub(crate) fn plan_query(&self, query: &ast::Query, parameters: &[Option<DataType>]) -> Result<PlannedQuery> {
        let query = dialect::rewrite_query(query.clone(), &|name| self.is_aggregate(name))?;
        let mut types = parameters.to_vec();
        types.resize(dialect::parameter_count(&query).max(types.len()), None);
        let mut plan = self.plan_rewritten(&query, &types)?;
        if types.iter().any(Option::is_none) {
            let inferred = inferred_types(&plan)?;
            for (at, data_type) in types.iter_mut().enumerate() {
                if data_type.is_none() {
                    let found = inferred.get(&(at + 1)).cloned().flatten();
                    if found.is_none() && !dialect::is_valued(&query, at + 1) {
                        return Err(Error::new(
                            Condition::IndeterminateDatatype,
                            format!("could not determine data type of parameter ${}", at + 1),
                        ));
                    }
                    *data_type = Some(found.unwrap_or(DataType::Text));
                }
            }
            plan = self.plan_rewritten(&query, &types)?;
        }
        self.planned(plan, types.into_iter().flatten().collect())
    }

    /// Casts the columns of a query to those of a table, by position, as `INSERT` and `UPDATE` do. The `leading` columns
    /// stay as they are.
    pub(crate) fn coerce_assignment(
        &self,
        planned: &PlannedQuery,
        leading: usize,
        columns: &[(String, DataType)],
    ) -> Result<PlannedQuery> {
        let plan = assign_columns(planned.plan.clone(), leading, columns)?;
        self.planned(plan, planned.parameters.clone())
    }

    /// What a prepared statement keeps of a query; `None` if it reads a system catalog, whose rows are made as it is
    /// planned.
    pub(crate) fn keep(&self, planned: &PlannedQuery) -> Result<Option<KeptQuery>> {
        let mut rows_inside = false;
        let plan = planned
            .plan
            .clone()
            .transform_down_with_subqueries(|plan| match plan {
                LogicalPlan::TableScan(mut scan) => {
                    rows_inside |= provider_of::<RowsTable>(&scan.source).is_some()
                        || provider_of::<FeedTable>(&scan.source).is_some();
                    let Some(table) = provider_of::<SnapshotTable>(&scan.source).map(PlannedTable::of) else {
                        return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
                    };
                    scan.source = provider_as_source(Arc::new(table));
                    Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
                }
                other => Ok(Transformed::no(other)),
            })
            .map_err(|error| self.located(error))?
            .data;
        if rows_inside {
            return Ok(None);
        }
        Ok(Some(KeptQuery {
            planned: PlannedQuery { plan, ..planned.clone() },
            search_path: self.view.search_path.clone(),
            time_zone: self.view.time_zone.clone(),
        }))
    }

    /// A kept query over this context's snapshot.
    ///
    /// # Errors
    /// `ObjectNotInPrerequisiteState` if it must be planned again: a table or what names mean has changed.
    pub(crate) fn rebind(&self, kept: &KeptQuery) -> Result<PlannedQuery> {
        if kept.search_path != self.view.search_path || kept.time_zone != self.view.time_zone {
            return Err(Error::new(
                Condition::ObjectNotInPrerequisiteState,
                "settings changed since the statement was prepared",
            ));
        }
        let names = Names::new(self);
        let plan = kept
            .planned
            .plan
            .clone()
            .transform_down_with_subqueries(|plan| match plan {
                LogicalPlan::TableScan(mut scan) => match names.rebound(&scan.source)? {
                    Some(source) => {
                        scan.source = source;
                        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
                    }
                    None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
                },
                other => Ok(Transformed::no(other)),
            })
            .map_err(|error| self.located(error))?
            .data;
        Ok(PlannedQuery { plan, ..kept.planned.clone() })
    }

    /// Memory and spill files of queries.
    pub(crate) fn runtime(&self) -> Arc<RuntimeEnv> {
        Arc::clone(self.state.runtime_env())
    }

    fn plan_rewritten(&self, query: &ast::Query, parameters: &[Option<DataType>]) -> Result<LogicalPlan> {
        let names = Names::new(self).repeating_rows(dialect::repeats_rows(query));
        let planner = SqlToRel::new_with_options(&names, self.parser_options());
        let fields: Vec<Option<FieldRef>> = parameters
            .iter()
            .map(|data_type| data_type.as_ref().map(|data_type| Arc::new(data_type.to_field("", true))))
            .collect();
        let mut context = PlannerContext::new().with_prepare_param_data_types(fields);
        let statement = ast::Statement::Query(Box::new(query.clone()));
        planner.sql_statement_to_plan_with_context(statement, &mut context).map_err(|error| self.located(error))
    }

    fn planned(&self, plan: LogicalPlan, parameters: Vec<DataType>) -> Result<PlannedQuery> {
        let options = self.state.config_options();
        let plan =
            self.state.analyzer().execute_and_check(plan, options, |_, _| {}).map_err(|error| self.located(error))?;
        let columns = result_columns(&plan);
        Ok(PlannedQuery { plan, columns, parameters })
    }

    pub(super) fn is_aggregate(&self, function: &str) -> bool {
        self.state.aggregate_functions().contains_key(function)
    }

    pub(super) fn parser_options(&self) -> ParserOptions {
        ParserOptions::from(&self.state.config_options().sql_parser)
    }

    /// Our error, with its place in the text where DataFusion knows it.
    pub(super) fn located(&self, error: datafusion::common::DataFusionError) -> Error {
        let start = error.iter().find_map(|error| match error {
            datafusion::common::DataFusionError::Diagnostic(diagnostic, _) => diagnostic.span.map(|span| span.start),
            _ => None,
        });
        let error = from_datafusion(error);
        match start.and_then(|start| dialect::character_position(&self.view.sql, start.line, start.column)) {
            Some(position) if error.position().is_none() => error.with_position(position),
            _ => error,
        }
    }
}

fn inferred_types(plan: &LogicalPlan) -> Result<HashMap<usize, Option<DataType>>> {
    let fields = plan.get_parameter_fields().map_err(from_datafusion)?;
    Ok(fields
        .into_iter()
        .filter_map(|(id, field)| {
            let number = id.trim_start_matches('$').parse().ok()?;
            Some((number, field.and_then(|field| data_type_of_field(&field))))
        })
        .collect())
}
