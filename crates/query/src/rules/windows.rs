//! Windows that DataFusion does not plan, as others that mean the same.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType as ArrowType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;

use super::constants::rewrite_expressions;

/// Frames over types without distances, and `bool_and` and `bool_or` over frames whose start moves.
#[derive(Debug)]
pub(super) struct PlannedWindows;

impl AnalyzerRule for PlannedWindows {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| match expr {
            Expr::WindowFunction(window) => planned(*window, schema),
            other => Ok(Transformed::no(other)),
        })
    }

    fn name(&self) -> &'static str {
        "planned_windows"
    }
}

fn planned(mut window: WindowFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut changed = false;
    let frame = &window.params.window_frame;
    if let Some(first) = window.params.order_by.first()
        && frame.units == WindowFrameUnits::Range
        && !has_distance(&first.expr.get_type(schema)?)
        && is_plain(&frame.start_bound)
        && is_plain(&frame.end_bound)
    {
        // Without offsets both count peers.
        let (start, end) = (frame.start_bound.clone(), frame.end_bound.clone());
        window.params.window_frame = WindowFrame::new_bounds(WindowFrameUnits::Groups, start, end);
        changed = true;
    }
    if !is_unbounded(&window.params.window_frame.start_bound) {
        // False is less than true, and only the least and the greatest forget what left the frame.
        let same = match window.fun.name() {
            "bool_and" => Some(min_udaf()),
            "bool_or" => Some(max_udaf()),
            _ => None,
        };
        if let Some(same) = same {
            window.fun = WindowFunctionDefinition::AggregateUDF(Arc::clone(&same));
            changed = true;
        }
    }
    let expr = Expr::WindowFunction(Box::new(window));
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

/// Whether DataFusion can find the ends of a RANGE among values of the type.
fn has_distance(arrow: &ArrowType) -> bool {
    !matches!(
        arrow,
        ArrowType::FixedSizeBinary(_)
            | ArrowType::Binary
            | ArrowType::LargeBinary
            | ArrowType::BinaryView
            | ArrowType::Time64(_)
            | ArrowType::Interval(_)
    )
}

fn is_unbounded(bound: &WindowFrameBound) -> bool {
    matches!(bound, WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value) if value.is_null())
}

fn is_plain(bound: &WindowFrameBound) -> bool {
    matches!(bound, WindowFrameBound::CurrentRow) || is_unbounded(bound)
}
