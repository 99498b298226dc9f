//! Finds the subqueries that are left, after DataFusion's rules.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::{Aggregate, Expr, Filter, LogicalPlan, Projection, Sort, Subquery};
use datafusion::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};

use super::function::{Applied, Question};
use super::guard::{GuardedPushDown, PUSH_DOWN};
use super::lateral;
use super::outer::{argument, outer_columns};
use super::three_valued::ThreeValued;

/// DataFusion's rules that make joins of subqueries.
const JOINING_RULES: &[&str] =
    &["decorrelate_predicate_subquery", "scalar_subquery_to_join", "decorrelate_lateral_join"];

/// DataFusion's rules with ours among them: before those that make joins, what they would get wrong; after them, before
/// those that move filters, which do not look into subqueries, what they leave.
pub(crate) fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    for rule in &mut rules {
        if rule.name() == PUSH_DOWN {
            *rule = Arc::new(GuardedPushDown(Arc::clone(rule)));
        }
    }
    let before = rules.iter().position(|rule| JOINING_RULES.contains(&rule.name())).unwrap_or_default();
    rules.insert(before, Arc::new(ThreeValued));
    let after = rules.iter().rposition(|rule| JOINING_RULES.contains(&rule.name())).map_or(rules.len(), |at| at + 1);
    rules.insert(after, Arc::new(ApplySubqueries));
    rules
}

/// Turns subqueries that stayed into calls.
#[derive(Debug)]
struct ApplySubqueries;

impl OptimizerRule for ApplySubqueries {
    fn name(&self) -> &'static str {
        "apply_subqueries"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Projection(projection) if projection.expr.iter().any(has_subquery) => {
                of_projection(projection).map(Transformed::yes)
            }
            LogicalPlan::Filter(filter) if has_subquery(&filter.predicate) => {
                let predicate = applied(filter.predicate, filter.input.schema())?.data;
                Filter::try_new(predicate, filter.input).map(|filter| Transformed::yes(LogicalPlan::Filter(filter)))
            }
            LogicalPlan::Aggregate(aggregate)
                if aggregate.group_expr.iter().chain(&aggregate.aggr_expr).any(has_subquery) =>
            {
                of_aggregate(aggregate).map(Transformed::yes)
            }
            LogicalPlan::Sort(sort) if sort.expr.iter().any(|order| has_subquery(&order.expr)) => {
                of_sort(sort).map(Transformed::yes)
            }
            LogicalPlan::Join(join) => lateral::join(join),
            other => Ok(Transformed::no(other)),
        }
    }
}

/// Whether there is a subquery inside that only a call can answer. Scalar ones that name nothing outside run once by
/// themselves.
fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(question(expr).is_some())).unwrap_or(false)
}

fn question(expr: &Expr) -> Option<(Question, &Subquery)> {
    match expr {
        Expr::ScalarSubquery(subquery) if !subquery.outer_ref_columns.is_empty() => Some((Question::Value, subquery)),
        Expr::Exists(exists) => Some((Question::Exists { negated: exists.negated }, &exists.subquery)),
        Expr::InSubquery(list) => Some((Question::In { negated: list.negated }, &list.subquery)),
        _ => None,
    }
}

/// The expression with calls in the places of subqueries.
pub(super) fn applied(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        let Some((question, subquery)) = question(&expr) else {
            return Ok(Transformed::no(expr));
        };
        let tested = match &expr {
            Expr::InSubquery(list) => Some(list.expr.as_ref().clone()),
            _ => None,
        };
        let outer = outer_columns(&subquery.subquery)?;
        let arguments = outer.iter().map(|column| argument(column, schema)).collect();
        Applied::call(question, Arc::clone(&subquery.subquery), &outer, arguments, tested).map(Transformed::yes)
    })
}

fn of_projection(projection: Projection) -> Result<LogicalPlan> {
    let schema = Arc::clone(projection.input.schema());
    let expressions = projection
        .expr
        .into_iter()
        .map(|expr| {
            let name = expr.qualified_name();
            let call = applied(expr, &schema)?;
            Ok(if call.transformed { call.data.alias_qualified(name.0, name.1) } else { call.data })
        })
        .collect::<Result<Vec<_>>>()?;
    Projection::try_new(expressions, projection.input).map(LogicalPlan::Projection)
}

/// Calls are computed below the node; the node reads them as columns.
struct Below {
    input: Arc<LogicalPlan>,
    calls: Vec<Expr>,
}

impl Below {
    fn new(input: Arc<LogicalPlan>) -> Self {
        Self { input, calls: Vec::new() }
    }

    /// The expression with columns in the places of subqueries.
    fn read(&mut self, expr: Expr) -> Result<Expr> {
        let schema: DFSchemaRef = Arc::clone(self.input.schema());
        let read = expr.transform_up(|expr| {
            if question(&expr).is_none() {
                return Ok(Transformed::no(expr));
            }
            let name = format!("__subquery{}", self.calls.len());
            self.calls.push(applied(expr, &schema)?.data.alias(&name));
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name))))
        })?;
        Ok(read.data)
    }

    fn build(self) -> Result<LogicalPlan> {
        let mut expressions: Vec<Expr> = self.input.schema().columns().into_iter().map(Expr::Column).collect();
        expressions.extend(self.calls);
        Projection::try_new(expressions, self.input).map(LogicalPlan::Projection)
    }
}

fn of_aggregate(aggregate: Aggregate) -> Result<LogicalPlan> {
    let schema = Arc::clone(&aggregate.schema);
    let mut below = Below::new(aggregate.input);
    let mut read =
        |expressions: Vec<Expr>| expressions.into_iter().map(|expr| below.read(expr)).collect::<Result<Vec<_>>>();
    let (groups, aggregates) = (read(aggregate.group_expr)?, read(aggregate.aggr_expr)?);
    let plan = Aggregate::try_new(Arc::new(below.build()?), groups, aggregates).map(LogicalPlan::Aggregate)?;
    // The names of before, which the nodes above use.
    let expressions: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(schema.iter())
        .map(|(column, (qualifier, field))| {
            if column.relation.as_ref() == qualifier && column.name == *field.name() {
                return Expr::Column(column);
            }
            Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
        })
        .collect();
    Projection::try_new(expressions, Arc::new(plan)).map(LogicalPlan::Projection)
}

fn of_sort(sort: Sort) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = sort.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut below = Below::new(sort.input);
    let mut orders = Vec::with_capacity(sort.expr.len());
    for mut order in sort.expr {
        order.expr = below.read(order.expr)?;
        orders.push(order);
    }
    let sorted = LogicalPlan::Sort(Sort { expr: orders, input: Arc::new(below.build()?), fetch: sort.fetch });
    Projection::try_new(columns, Arc::new(sorted)).map(LogicalPlan::Projection)
}
