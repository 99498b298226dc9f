//! LATERAL items of FROM that DataFusion cannot turn into joins.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ExprSchema, JoinType, NullHandling, Result, UnnestOptions};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{Expr, Filter, Join, LogicalPlan, LogicalPlanBuilder, Projection, lit};

use super::function::{Applied, Question, row_schema};
use super::outer::{argument, outer_columns};

/// The list of rows beside an outer row, while it is unnested.
const LATERAL: &str = "__lateral";

/// A join whose right side names columns of its left side.
pub(super) fn join(join: Join) -> Result<Transformed<LogicalPlan>> {
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let left = join.left.schema();
    let is_left = |expr: &Expr| matches!(argument(expr, left), Expr::Column(_));
    if !outer_columns(&join.right)?.iter().any(is_left) {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let on = on.chain(join.filter.clone()).reduce(Expr::and).filter(|on| *on != lit(true));
    let right = without_marks(&join.right)?;
    let joined = match on {
        None => beside(&join, right)?,
        Some(on) if join.join_type == JoinType::Inner => {
            Filter::try_new(on, Arc::new(beside(&join, right)?)).map(LogicalPlan::Filter)?
        }
        // A left row keeps its NULLs if no row on the right fulfils the condition, so that belongs to the right.
        Some(on) => {
            let on = seen_from_inside(on, &join)?;
            of_rows(&join, Filter::try_new(on, Arc::new(right)).map(LogicalPlan::Filter)?)?
        }
    };
    Ok(Transformed::yes(joined))
}

fn beside(join: &Join, right: LogicalPlan) -> Result<LogicalPlan> {
    match of_set(join, &right)? {
        Some(plan) => Ok(plan),
        None => of_rows(join, right),
    }
}

/// A condition of the join as the right side would write it: columns of the left are outer columns there.
fn seen_from_inside(on: Expr, join: &Join) -> Result<Expr> {
    let inside = on.transform_up(|expr| {
        Ok(match expr {
            Expr::Column(column) if !join.right.schema().has_column(&column) => {
                let field = join.left.schema().field_from_column(&column)?;
                Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(inside.data)
}

/// The plan without the nodes that say "here begins a subquery".
fn without_marks(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let stripped = plan.clone().transform_up(|node| {
        Ok(match node {
            LogicalPlan::Subquery(subquery) => Transformed::yes(Arc::unwrap_or_clone(subquery.subquery)),
            other => Transformed::no(other),
        })
    })?;
    Ok(stripped.data)
}

fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

fn unnesting(join_type: JoinType) -> UnnestOptions {
    let null_handling =
        if join_type == JoinType::Left { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
    UnnestOptions { null_handling, recursions: Vec::new() }
}

/// A function of the left row that gives a set, such as `unnest(t.items)`: computed beside the row, without a subquery.
fn of_set(join: &Join, right: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let left_columns = columns(&join.left);
    Ok(match right {
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Some(join.left.as_ref().clone()),
        LogicalPlan::Projection(projection) => {
            let Some(input) = of_set(join, &projection.input)? else {
                return Ok(None);
            };
            let computed = projection.expr.iter().map(|expr| {
                let (qualifier, name) = expr.qualified_name();
                let inner = expr.clone().transform_up(|expr| {
                    let known = argument(&expr, join.left.schema());
                    Ok(if known == expr { Transformed::no(known) } else { Transformed::yes(known) })
                })?;
                Ok(if inner.transformed { inner.data.alias_qualified(qualifier, name) } else { inner.data })
            });
            let all = left_columns.into_iter().map(Ok).chain(computed).collect::<Result<Vec<_>>>()?;
            Some(LogicalPlan::Projection(Projection::try_new(all, Arc::new(input))?))
        }
        LogicalPlan::Unnest(unnest) => {
            let Some(input) = of_set(join, &unnest.input)? else {
                return Ok(None);
            };
            let options = UnnestOptions { recursions: unnest.options.recursions.clone(), ..unnesting(join.join_type) };
            let unnested =
                LogicalPlanBuilder::from(input).unnest_columns_with_options(unnest.exec_columns.clone(), options)?;
            Some(unnested.build()?)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(input) = of_set(join, &alias.input)? else {
                return Ok(None);
            };
            let renamed = alias.input.schema().columns().into_iter().zip(alias.schema.iter());
            let renamed = renamed.map(|(column, (qualifier, field))| {
                Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
            });
            let all = left_columns.into_iter().chain(renamed).collect();
            Some(LogicalPlan::Projection(Projection::try_new(all, Arc::new(input))?))
        }
        _ => None,
    })
}

/// Any other query: a list of its rows beside each left row, then unnested.
fn of_rows(join: &Join, right: LogicalPlan) -> Result<LogicalPlan> {
    let outer = outer_columns(&right)?;
    let arguments = outer.iter().map(|column| argument(column, join.left.schema())).collect();
    let fields = row_schema(&right);
    let rows = Applied::call(Question::Rows, Arc::new(right), &outer, arguments, None)?;
    let left = columns(&join.left);
    let beside = left.iter().cloned().chain([rows.alias(LATERAL)]).collect();
    let beside = Projection::try_new(beside, Arc::clone(&join.left)).map(LogicalPlan::Projection)?;
    let unnested = LogicalPlanBuilder::from(beside)
        .unnest_column_with_options(Column::new_unqualified(LATERAL), unnesting(join.join_type))?
        .build()?;
    let item = Expr::Column(Column::new_unqualified(LATERAL));
    let parts = join.right.schema().iter().zip(fields.fields()).map(|((qualifier, field), held)| {
        get_field(item.clone(), held.name().as_str()).alias_qualified(qualifier.cloned(), field.name())
    });
    let all = left.into_iter().chain(parts).collect();
    Projection::try_new(all, Arc::new(unnested)).map(LogicalPlan::Projection)
}
