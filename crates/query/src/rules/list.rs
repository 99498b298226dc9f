//! The rules, in the order in which they run.

use std::sync::Arc;

use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::optimizer::AnalyzerRule;

use super::casts::PostgresCasts;
use super::common_type::CommonTypes;
use super::constants::UntypedConstants;
use super::groups::NamedGroups;
use super::operators::Operators;
use super::overloads::Overloads;
use super::quantified::QuantifiedItems;
use super::windows::PlannedWindows;

/// Planners of operators; asked before DataFusion's own.
pub(crate) fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(Operators)]
}

/// Rules that run before DataFusion's type coercion.
pub(crate) fn before_coercion() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![
        Arc::new(NamedGroups),
        Arc::new(UntypedConstants),
        Arc::new(QuantifiedItems),
        Arc::new(Overloads),
        Arc::new(CommonTypes),
        Arc::new(PlannedWindows),
    ]
}

/// Rules that run after it.
pub(crate) fn after_coercion() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![Arc::new(PostgresCasts)]
}
