//! Expressions in grouping sets become columns: DataFusion loses their names when it coerces types, and plans only columns.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan, Projection};
use datafusion::optimizer::AnalyzerRule;

/// Computes what ROLLUP, CUBE and GROUPING SETS group by below the node that groups.
#[derive(Debug)]
pub(super) struct NamedGroups;

impl AnalyzerRule for NamedGroups {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let named = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Aggregate(aggregate) if needs_names(&aggregate) => named(aggregate).map(Transformed::yes),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(named.data)
    }

    fn name(&self) -> &'static str {
        "named_groups"
    }
}

fn needs_names(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.iter().any(|expr| match expr {
        Expr::GroupingSet(set) => set.distinct_expr().into_iter().any(|expr| !matches!(expr, Expr::Column(_))),
        _ => false,
    })
}

fn named(aggregate: Aggregate) -> Result<LogicalPlan> {
    let mut columns: Vec<Expr> = aggregate.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut made: Vec<String> = Vec::new();
    let mut column = |expr: Expr| {
        if matches!(expr, Expr::Column(_)) {
            return expr;
        }
        // The name that the column of the result has without this rule.
        let name = expr.schema_name().to_string();
        if !made.contains(&name) {
            columns.push(expr.alias(&name));
            made.push(name.clone());
        }
        Expr::Column(Column::new_unqualified(name))
    };
    let mut all = |exprs: Vec<Expr>| exprs.into_iter().map(&mut column).collect::<Vec<_>>();
    let groups = aggregate
        .group_expr
        .into_iter()
        .map(|expr| match expr {
            Expr::GroupingSet(GroupingSet::Rollup(exprs)) => Expr::GroupingSet(GroupingSet::Rollup(all(exprs))),
            Expr::GroupingSet(GroupingSet::Cube(exprs)) => Expr::GroupingSet(GroupingSet::Cube(all(exprs))),
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                Expr::GroupingSet(GroupingSet::GroupingSets(sets.into_iter().map(&mut all).collect()))
            }
            other => other,
        })
        .collect();
    let input = Projection::try_new(columns, aggregate.input).map(LogicalPlan::Projection)?;
    Aggregate::try_new(Arc::new(input), groups, aggregate.aggr_expr).map(LogicalPlan::Aggregate)
}
