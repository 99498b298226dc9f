//! Where turns are ended: the last rule over a physical plan.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec, SymmetricHashJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary};
use outcrop_env::Clock;

use super::node::{PacedExec, Turns};

/// Paces every operator that can make many rows of few.
pub(crate) struct FairTurns {
    clock: Arc<dyn Clock>,
}

impl FairTurns {
    /// Measures turns with `clock`.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    fn paced(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
        if !multiplies(plan.as_ref()) {
            return Ok(Transformed::no(plan));
        }
        let turns = Arc::new(Turns::new(Arc::clone(&self.clock), plan.output_partitioning().partition_count()));
        let plan = if probes(plan.as_ref()) { with_sliced_probe(plan, &turns)? } else { plan };
        Ok(Transformed::yes(Arc::new(PacedExec::output(plan, turns))))
    }
}

impl fmt::Debug for FairTurns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairTurns").finish_non_exhaustive()
    }
}

impl PhysicalOptimizerRule for FairTurns {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| self.paced(plan)).data()
    }

    fn name(&self) -> &str {
        "fair_turns"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn multiplies(plan: &dyn ExecutionPlan) -> bool {
    probes(plan)
        || plan.downcast_ref::<CrossJoinExec>().is_some()
        || plan.downcast_ref::<SortMergeJoinExec>().is_some()
        || plan.downcast_ref::<SymmetricHashJoinExec>().is_some()
        || plan.downcast_ref::<UnnestExec>().is_some()
}

/// Whether one batch of the second input may be compared with any number of rows before a row comes out.
fn probes(plan: &dyn ExecutionPlan) -> bool {
    plan.downcast_ref::<HashJoinExec>().is_some() || plan.downcast_ref::<NestedLoopJoinExec>().is_some()
}

fn with_sliced_probe(join: Arc<dyn ExecutionPlan>, turns: &Arc<Turns>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut children: Vec<_> = join.children().into_iter().cloned().collect();
    let Some(probe) = children.pop() else {
        return Ok(join);
    };
    children.push(Arc::new(PacedExec::probe(probe, Arc::clone(turns))));
    replace_children_if_necessary(join, children)
}
