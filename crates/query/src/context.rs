//! The DataFusion session that all statements start from: functions, rules, limits.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder, SessionStateDefaults};
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::prelude::SessionConfig;
use outcrop_engine::{Engine, Snapshot};
use outcrop_env::Env;
use outcrop_types::{Condition, Error, Result};

use crate::apply;
use crate::error::from_datafusion;
use crate::functions;
use crate::pacing::FairTurns;
use crate::planning::SessionView;
use crate::rules;
use crate::types::SqlTypes;

/// Consumers named in an out-of-memory error.
const MEMORY_CONSUMERS_NAMED: usize = 5;
/// Most build-side keys that a join hands to the scan of its other side as a list.
const JOIN_KEYS_MAX: usize = 10_000;
/// Most bytes of such a list.
const JOIN_KEY_BYTES_MAX: usize = 1 << 20;

/// Limits of the query side, from the database's options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuntimeLimits<'a> {
    /// Memory of all queries together.
    pub(crate) memory_bytes: u64,
    /// Where queries spill; `None` refuses to.
    pub(crate) spill_dir: Option<&'a Path>,
    /// Most bytes of spill files.
    pub(crate) spill_bytes_max: u64,
    /// Threads of one query.
    pub(crate) target_partitions: usize,
}

/// What all statements of a database share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct QueryRuntime {
    state: Arc<SessionState>,
    engine: Engine,
    env: Env,
}

impl fmt::Debug for QueryRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryRuntime").finish_non_exhaustive()
    }
}

impl QueryRuntime {
    /// Builds functions, rules and the memory pool.
    ///
    /// # Errors
    /// `IoError` if the spill directory cannot be used.
    pub(crate) fn new(engine: Engine, env: Env, limits: &RuntimeLimits<'_>) -> Result<Self> {
        let memory = usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX);
        let named = std::num::NonZeroUsize::new(MEMORY_CONSUMERS_NAMED).unwrap_or(std::num::NonZeroUsize::MIN);
        let disk = match limits.spill_dir {
            Some(dir) => DiskManagerBuilder::default()
                .with_mode(DiskManagerMode::Directories(vec![dir.to_owned()]))
                .with_max_temp_directory_size(limits.spill_bytes_max),
            None => DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        };
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(FairSpillPool::new(memory), named)))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|error| Error::new(Condition::IoError, "cannot use the spill directory").with_source(error))?;
        let mut state = SessionStateBuilder::new()
            .with_config(session_config(limits.target_partitions))
            .with_runtime_env(runtime)
            .with_type_planner(Arc::new(SqlTypes))
            .with_expr_planners(expr_planners())
            .with_analyzer_rules(analyzer_rules())
            .with_scalar_functions(SessionStateDefaults::default_scalar_functions())
            .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
            .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
            .with_window_functions(SessionStateDefaults::default_window_functions())
            .with_optimizer_rules(apply::optimizer_rules())
            .with_physical_optimizer_rule(Arc::new(FairTurns::new(Arc::clone(&env.clock))))
            .with_table_function_list(SessionStateDefaults::default_table_functions())
            .build();
        functions::register(&mut state, &engine).map_err(from_datafusion)?;
        Ok(Self { state: Arc::new(state), engine, env })
    }

    /// The engine below.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The state that plans statements of a session.
    pub(crate) fn state_for(&self, view: &Arc<SessionView>, snapshot: Option<&Snapshot>) -> Result<SessionState> {
        let mut state = (*self.state).clone();
        let start = chrono::DateTime::from_timestamp_micros(view.transaction_time_us)
            .ok_or_else(|| Error::internal("the clock is out of range"))?;
        state.execution_props_mut().query_execution_start_time = Some(start);
        let options = state.config_mut().options_mut();
        options.execution.time_zone = Some(view.time_zone.clone());
        options.extensions.insert(SessionExtension {
            view: Arc::clone(view),
            env: self.env.clone(),
            snapshot: snapshot.cloned(),
            runtime: self.clone(),
        });
        // Physical expressions take their options from here, not from the session.
        let options = Arc::clone(state.config_options());
        state.execution_props_mut().config_options = Some(options);
        Ok(state)
    }
}

/// Carries the [`SessionView`] to functions, which see the options of the execution and nothing of the plan's making.
#[derive(Clone, Debug)]
pub(crate) struct SessionExtension {
    /// The session.
    pub(crate) view: Arc<SessionView>,
    /// Chance, for random UUIDs.
    pub(crate) env: Env,
    /// The catalog that functions such as `format_type` and `pg_table_is_visible` look in.
    pub(crate) snapshot: Option<Snapshot>,
    /// What subqueries are planned with that run for each row.
    pub(crate) runtime: QueryRuntime,
}

impl ConfigExtension for SessionExtension {
    const PREFIX: &'static str = "outcrop";
}

impl ExtensionOptions for SessionExtension {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn std::any::Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> datafusion::common::Result<()> {
        Err(DataFusionError::Configuration(format!("outcrop.{key} is a setting of the session")))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

fn session_config(target_partitions: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(target_partitions.max(1))
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema("outcrop", outcrop_types::schema::DEFAULT_SCHEMA);
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.collect_spans = true;
    options.sql_parser.map_string_types_to_utf8view = true;
    // Scans share their morsels among partitions; spreading a small one costs more than it gains.
    options.optimizer.enable_round_robin_repartition = false;
    options.optimizer.hash_join_inlist_pushdown_max_distinct_values = JOIN_KEYS_MAX;
    options.optimizer.hash_join_inlist_pushdown_max_size = JOIN_KEY_BYTES_MAX;
    config
}

/// Ours first: a planner that answers keeps the later ones from being asked.
fn expr_planners() -> Vec<Arc<dyn datafusion::logical_expr::planner::ExprPlanner>> {
    let mut planners = rules::expr_planners();
    planners.extend(SessionStateDefaults::default_expr_planners());
    planners
}

/// Constants get their types before DataFusion coerces, casts get PostgreSQL's meaning after.
fn analyzer_rules() -> Vec<Arc<dyn datafusion::optimizer::AnalyzerRule + Send + Sync>> {
    let mut analyzer_rules = rules::before_coercion();
    analyzer_rules.extend(Analyzer::new().rules);
    analyzer_rules.extend(rules::after_coercion());
    analyzer_rules
}
