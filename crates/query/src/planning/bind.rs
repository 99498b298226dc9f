//! Expressions over given rows: defaults, `SET`, `WHERE` of a conflict, `RETURNING`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::{DFSchema, TableReference};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use outcrop_types::{Condition, DataType, Error, Result, TableSchema, Value};

use super::columns::result_columns;
use super::execute::with_parameters;
use super::resolve::Names;
use super::statement::{PlannedQuery, StatementContext};
use crate::dialect;
use crate::error::from_datafusion;
use crate::functions::{CastMode, cast_to};

/// An expression to bind.
#[derive(Clone, Debug)]
pub(crate) struct BindExpression {
    /// As parsed.
    pub(crate) expr: ast::Expr,
    /// The type that its value is assigned to, if it is.
    pub(crate) target: Option<DataType>,
}

/// Rows that expressions may name.
#[derive(Clone, Debug)]
pub(crate) struct Relation<'a> {
    /// The name or alias, such as `excluded`.
    pub(crate) name: String,
    /// Its columns.
    pub(crate) schema: &'a TableSchema,
}

/// Expressions ready to run over batches.
#[derive(Clone, Debug)]
pub(crate) struct BoundExpressions {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
}

impl BoundExpressions {
    /// One array for each expression. `batch` holds the columns of the relations one after the other.
    pub(crate) fn evaluate(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.expressions
            .iter()
            .map(|expr| {
                expr.evaluate(batch).and_then(|value| value.into_array(batch.num_rows())).map_err(from_datafusion)
            })
            .collect()
    }
}

impl StatementContext {
    /// Binds expressions to the columns of `relations`. Subqueries are refused: plan a query over
    /// [`StatementContext::with_rows_of`] for those.
    ///
    /// # Errors
    /// Names and types that do not fit; `FeatureNotSupported` for subqueries, aggregates and windows.
    pub(crate) fn bind(
        &self,
        expressions: &[BindExpression],
        relations: &[Relation<'_>],
        parameters: &[(DataType, Value)],
    ) -> Result<BoundExpressions> {
        let schema = Arc::new(joined_schema(relations)?);
        let planned = self.bound_plan(expressions, &schema, parameters)?;
        let values: Vec<Value> = parameters.iter().map(|(_, value)| value.clone()).collect();
        let plan = with_parameters(&planned, &values)?;
        let LogicalPlan::Projection(projection) = plan else {
            return Err(Error::internal("bound expressions are not a projection"));
        };
        // Some functions exist for the simplifier only, and constants are computed once.
        let simplifier = ExprSimplifier::new(
            SimplifyContext::builder()
                .with_schema(Arc::clone(&schema))
                .with_config_options(Arc::clone(self.state.config_options()))
                .with_query_execution_start_time(self.state.execution_props().query_execution_start_time)
                .build(),
        );
        let expressions = projection
            .expr
            .into_iter()
            .map(|expr| {
                let simple = simplifier.simplify(expr.unalias());
                simple
                    .and_then(|expr| self.state.create_physical_expr(expr, &schema))
                    .map_err(|error| self.located(error))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(BoundExpressions { expressions })
    }

    fn bound_plan(
        &self,
        expressions: &[BindExpression],
        schema: &Arc<DFSchema>,
        parameters: &[(DataType, Value)],
    ) -> Result<PlannedQuery> {
        let names = Names::new(self);
        let planner = SqlToRel::new_with_options(&names, self.parser_options());
        let fields = parameters.iter().map(|(data_type, _)| Some(Arc::new(data_type.to_field("", true)))).collect();
        let mut context = PlannerContext::new().with_prepare_param_data_types(fields);
        let mut bound = Vec::with_capacity(expressions.len());
        for (at, expression) in expressions.iter().enumerate() {
            let rewritten = dialect::rewrite_expr(expression.expr.clone(), &|name| self.is_aggregate(name))?;
            let expr = planner.sql_to_expr(rewritten, schema, &mut context).map_err(|error| self.located(error))?;
            refuse_beyond_row(&expr)?;
            let expr = match &expression.target {
                Some(target) => cast_to(expr, target, CastMode::Assignment),
                None => expr,
            };
            bound.push(expr.alias(format!("column{}", at + 1)));
        }
        let empty = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::clone(schema) });
        let plan = LogicalPlanBuilder::from(empty)
            .project(bound)
            .and_then(LogicalPlanBuilder::build)
            .and_then(|plan| self.state.analyzer().execute_and_check(plan, self.state.config_options(), |_, _| {}))
            .map_err(|error| self.located(error))?;
        let columns = result_columns(&plan);
        Ok(PlannedQuery {
            plan,
            columns,
            parameters: parameters.iter().map(|(data_type, _)| data_type.clone()).collect(),
        })
    }
}

fn refuse_beyond_row(expr: &Expr) -> Result<()> {
    use datafusion::common::tree_node::TreeNode;
    let beyond = expr
        .exists(|expr| {
            Ok(matches!(
                expr,
                Expr::ScalarSubquery(_)
                    | Expr::InSubquery(_)
                    | Expr::Exists(_)
                    | Expr::AggregateFunction(_)
                    | Expr::WindowFunction(_)
            ))
        })
        .map_err(from_datafusion)?;
    if beyond {
        return Err(Error::new(
            Condition::FeatureNotSupported,
            "subqueries, aggregates and window functions are not allowed in this expression",
        ));
    }
    Ok(())
}

fn joined_schema(relations: &[Relation<'_>]) -> Result<DFSchema> {
    let mut fields = Vec::new();
    for relation in relations {
        let qualifier = TableReference::bare(relation.name.as_str());
        for column in &relation.schema.columns {
            let field: Field = column.data_type.to_field(&column.name, column.nullable);
            fields.push((Some(qualifier.clone()), Arc::new(field)));
        }
    }
    if fields.is_empty() {
        return DFSchema::try_from(Schema::empty()).map_err(from_datafusion);
    }
    DFSchema::new_with_metadata(fields, std::collections::HashMap::new()).map_err(from_datafusion)
}
