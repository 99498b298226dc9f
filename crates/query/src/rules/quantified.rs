//! `x = ANY (array)` where NULL is not the same as false. DataFusion's `array_has` is false if NULL is among the items,
//! which is right where a condition takes NULL for false: under AND and OR.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

use crate::functions::quantified;

/// Makes `array_has` know three values where they are asked for.
#[derive(Debug)]
pub(super) struct QuantifiedItems;

impl AnalyzerRule for QuantifiedItems {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let judged = plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            let is_condition = matches!(plan, LogicalPlan::Filter(_));
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let judged = if is_condition { condition(expr)? } else { everywhere(expr)? };
                Ok(judged.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(judged.data)
    }

    fn name(&self) -> &'static str {
        "quantified_items"
    }
}

fn condition(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let (left, right) = (condition(*left)?, condition(*right)?);
            let changed = left.transformed || right.transformed;
            let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left.data), op, Box::new(right.data)));
            Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        }
        ref call if array_of(call).is_some() => Ok(Transformed::no(expr)),
        other => everywhere(other),
    }
}

fn everywhere(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| match array_of(&expr).cloned() {
        Some(array) => Ok(Transformed::yes(quantified(expr, array))),
        None => Ok(Transformed::no(expr)),
    })
}

/// The array of a call of `array_has`.
fn array_of(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == "array_has" => call.args.first(),
        _ => None,
    }
}
