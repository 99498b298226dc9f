//! Outer columns of a subquery: which there are, and values in their places.

use std::collections::HashMap;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

/// The columns of outer queries that a plan names, also in queries inside of it; each once.
pub(super) fn outer_columns(plan: &LogicalPlan) -> Result<Vec<Expr>> {
    let mut found: Vec<Expr> = Vec::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if matches!(expr, Expr::OuterReferenceColumn(..)) && !found.contains(expr) {
                    found.push(expr.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// An outer column as the argument of a call over rows of `schema`: it stays an outer column if those rows have none such.
pub(super) fn argument(outer: &Expr, schema: &DFSchema) -> Expr {
    match outer {
        Expr::OuterReferenceColumn(_, column) if schema.has_column(column) => Expr::Column(column.clone()),
        other => other.clone(),
    }
}

/// The plan with values in the places of outer columns.
pub(super) fn with_values(plan: &LogicalPlan, values: &HashMap<Column, ScalarValue>) -> Result<LogicalPlan> {
    if values.is_empty() {
        return Ok(plan.clone());
    }
    let replaced = plan.clone().transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|expr| {
                Ok(match expr {
                    Expr::OuterReferenceColumn(field, column) => match values.get(&column) {
                        Some(value) => Transformed::yes(Expr::Literal(value.clone(), None)),
                        None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                    },
                    Expr::ScalarSubquery(subquery) => known(subquery, values).update_data(Expr::ScalarSubquery),
                    Expr::Exists(Exists { subquery, negated }) => {
                        known(subquery, values).update_data(|subquery| Expr::Exists(Exists::new(subquery, negated)))
                    }
                    Expr::InSubquery(InSubquery { expr, subquery, negated }) => known(subquery, values)
                        .update_data(|subquery| Expr::InSubquery(InSubquery::new(expr, subquery, negated))),
                    other => Transformed::no(other),
                })
            })
        })
    })?;
    Ok(replaced.data)
}

/// The subquery without the outer columns that have values now.
fn known(mut subquery: Subquery, values: &HashMap<Column, ScalarValue>) -> Transformed<Subquery> {
    let before = subquery.outer_ref_columns.len();
    subquery
        .outer_ref_columns
        .retain(|outer| !matches!(outer, Expr::OuterReferenceColumn(_, column) if values.contains_key(column)));
    let changed = before != subquery.outer_ref_columns.len();
    Transformed::new_transformed(subquery, changed)
}
