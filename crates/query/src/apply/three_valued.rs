//! `IN (SELECT …)` where NULL is not the same as false.
//!
//! DataFusion joins the subquery of an IN inside of a condition with a mark that knows only true and false. That is right
//! where the condition takes NULL for false: under AND and OR. Everywhere else, such as `NOT IN` beside OR, below NOT or in
//! a CASE, the IN becomes a call that knows all three.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::rule::applied;

/// Turns such an IN into a call, before DataFusion makes joins.
#[derive(Debug)]
pub(super) struct ThreeValued;

impl OptimizerRule for ThreeValued {
    fn name(&self) -> &'static str {
        "three_valued_in"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else {
            return Ok(Transformed::no(plan));
        };
        let predicate = conjunct(filter.predicate, filter.input.schema())?;
        let changed = predicate.transformed;
        let plan = LogicalPlan::Filter(Filter::try_new(predicate.data, filter.input)?);
        Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
    }
}

/// A whole condition, or a part that AND joins: an IN that stands alone becomes a semi or anti join.
fn conjunct(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            both(*left, Operator::And, *right, schema, conjunct)
        }
        Expr::InSubquery(_) => Ok(Transformed::no(expr)),
        Expr::Not(ref inner) if matches!(inner.as_ref(), Expr::InSubquery(_)) => Ok(Transformed::no(expr)),
        other => alternative(other, schema),
    }
}

/// A part of a condition that takes NULL for false.
fn alternative(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            both(*left, op, *right, schema, alternative)
        }
        Expr::InSubquery(InSubquery { negated: false, .. }) => Ok(Transformed::no(expr)),
        other => other.transform_up(|expr| match &expr {
            Expr::InSubquery(list) if is_unknown_possible(list, schema)? => applied(expr, schema),
            _ => Ok(Transformed::no(expr)),
        }),
    }
}

type Part = fn(Expr, &DFSchema) -> Result<Transformed<Expr>>;

fn both(left: Expr, op: Operator, right: Expr, schema: &DFSchema, part: Part) -> Result<Transformed<Expr>> {
    let (left, right) = (part(left, schema)?, part(right, schema)?);
    let changed = left.transformed || right.transformed;
    let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left.data), op, Box::new(right.data)));
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn is_unknown_possible(list: &InSubquery, schema: &DFSchema) -> Result<bool> {
    let values = list.subquery.subquery.schema().fields().first();
    Ok(values.is_none_or(|field| field.is_nullable()) || list.expr.nullable(schema)?)
}
