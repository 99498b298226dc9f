//! PostgreSQL's meaning where DataFusion's differs (architecture Q9): operators as they are planned, constants before
//! types are coerced, casts after.

mod casts;
mod constants;
mod operators;

use std::sync::Arc;

use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::optimizer::AnalyzerRule;

/// Planners of operators; asked before DataFusion's own.
pub(crate) fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(operators::Operators)]
}

/// Rules that run before DataFusion's type coercion.
pub(crate) fn before_coercion() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![Arc::new(constants::UntypedConstants)]
}

/// Rules that run after it.
pub(crate) fn after_coercion() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![Arc::new(casts::PostgresCasts)]
}
