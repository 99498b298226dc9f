//! The rules, in the order in which they run.

use std::sync::Arc;

use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::optimizer::AnalyzerRule;

use super::casts::PostgresCasts;
use super::common_type::CommonTypes;
use super::constants::UntypedConstants;
use super::operators::Operators;

/// Planners of operators; asked before DataFusion's own.
pub(crate) fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(Operators)]
}

/// Rules that run before DataFusion's type coercion.
pub(crate) fn before_coercion() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![Arc::new(UntypedConstants), Arc::new(CommonTypes)]
}

/// Rules that run after it.
pub(crate) fn after_coercion() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![Arc::new(PostgresCasts)]
}
