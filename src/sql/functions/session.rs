//! [`session_state`]: a DataFusion session that speaks our SQL.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::{AnalyzerRule, Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;

use super::aggregate::DeltaPlanner;
use super::clock::EpochClock;
use super::extract::ExtractPlanner;
use super::json::JsonOperators;
use super::overflow::ConstantOverflow;
use super::time_number::{TimeArithmetic, TimeComparisons};
use super::{
    aggregate, buffer, clock, date, extract, header, join, json, shift, subquery, text, time_argument, typed,
    window,
};

/// What the plans of a session are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionProfile {
    /// Plans that run again for each epoch, each on one thread of a shard.
    Stream,
    /// Plans that run once over bounded inputs.
    Batch {
        /// On how many threads.
        parallelism: NonZeroUsize,
    },
}

/// Rules of the optimizer that are right for a query that runs once, and wrong for one that goes on.
///
/// - `single_distinct_aggregation_to_group_by` splits one aggregate into two, whose states could not be retracted.
/// - `push_down_limit` puts the limit into the scan, where it would count per epoch.
/// - `eliminate_group_by_constant` makes a grouped aggregate a global one, which has a row even before the first input.
/// - `unions_to_filter` merges the branches of a union, which may have different watermarks.
const NOT_FOR_STREAMS: [&str; 4] = [
    "single_distinct_aggregation_to_group_by",
    "push_down_limit",
    "eliminate_group_by_constant",
    "unions_to_filter",
];

/// Creates a session with our functions, operators and rules, whose `now()` reads `clock`.
pub fn session_state(profile: SessionProfile, clock: &EpochClock) -> SessionState {
    let mut config = SessionConfig::new();
    configure(config.options_mut(), profile);
    config.options_mut().extensions.insert(clock.clone());
    let mut builder = SessionStateBuilder::new()
        .with_config(config)
        .with_expr_planners(expr_planners())
        .with_analyzer_rules(analyzer_rules())
        .with_physical_optimizer_rules(physical_optimizer_rules())
        .with_default_features();
    let defaults = builder.scalar_functions().get_or_insert_default();
    let renamed = text::aliased(|name| defaults.iter().find(|function| function.name() == name));
    let timed = time_argument::functions(|name| defaults.iter().find(|function| function.name() == name));
    defaults.extend(renamed.into_iter().chain(timed));
    let ours = [
        clock::functions(),
        date::functions(),
        json::functions(),
        text::functions(),
        header::functions(),
        window::functions(),
        buffer::functions(),
        join::functions(),
        typed::functions(),
        subquery::functions(),
        vec![extract::date_part_udf()],
    ];
    defaults.extend(ours.into_iter().flatten());
    builder.aggregate_functions().get_or_insert_default().extend(aggregate::functions());
    match profile {
        SessionProfile::Stream => builder = builder.with_optimizer_rules(stream_optimizer_rules()),
        SessionProfile::Batch { .. } => {
            builder.window_functions().get_or_insert_default().extend(shift::functions());
        }
    }
    builder.build()
}

fn configure(options: &mut ConfigOptions, profile: SessionProfile) {
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.collect_spans = true;
    match profile {
        SessionProfile::Batch { parallelism } => options.execution.target_partitions = parallelism.get(),
        SessionProfile::Stream => {
            options.execution.target_partitions = 1;
            options.execution.collect_statistics = false;
            let optimizer = &mut options.optimizer;
            optimizer.enable_round_robin_repartition = false;
            optimizer.repartition_aggregations = false;
            optimizer.repartition_joins = false;
            optimizer.repartition_windows = false;
            optimizer.repartition_sorts = false;
            optimizer.enable_dynamic_filter_pushdown = false;
            optimizer.enable_topk_aggregation = false;
            // A query in an expression becomes a join, and a join with tables looks rows up.
            optimizer.enable_physical_uncorrelated_scalar_subquery = false;
        }
    }
}

fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(JsonOperators), Arc::new(TimeArithmetic), Arc::new(ExtractPlanner), Arc::new(DeltaPlanner)]
}

fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![
        Arc::new(ResolveGroupingFunction::new()),
        Arc::new(TimeComparisons),
        Arc::new(TypeCoercion::new()),
        Arc::new(ConstantOverflow),
    ]
}

fn stream_optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    Optimizer::new().rules.into_iter().filter(|rule| !NOT_FOR_STREAMS.contains(&rule.name())).collect()
}

/// Returns the rules for physical plans without `FilterPushdown`: it finds columns by their names alone, of which both
/// sides of a join may have the same, and there is no source that would take a filter of it.
fn physical_optimizer_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let rules = PhysicalOptimizer::new().rules.into_iter();
    rules.filter(|rule| !rule.name().starts_with("FilterPushdown")).collect()
}
