//! Attaching time: rows carry their event time through a plan, and windows are computed from it.
//!
//! SQL names no time column in `WINDOW TUMBLING(1m)`. The front end leaves placeholders, `__window_start('…')`, in the
//! `GROUP BY`; this pass makes every scan give the hidden time columns, passes them through projections, and replaces
//! the placeholders by functions of those columns. What nobody uses, the optimiser prunes again.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::catalog::default_table_source::{provider_as_source, source_as_provider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, LogicalPlan, Projection, SubqueryAlias, TableScan, TableScanBuilder, Union,
    Unnest, Window, cast, lit,
};

use super::attach_join::{attach_join, join_needs_time};
use super::attach_queries::{attach_stream_queries, is_stream_query};
use super::buffered::is_buffered;
use super::over::attach_over;
use super::ties::{ORDERED_FUNCTIONS, over_in_order, partition_in_union};
use super::window_place::{Placing, is_placeholder};
use super::window_rows::call;
use super::window_trace::trace_window;
use crate::error::Error;
use crate::sql::functions::{
    required_time_function, session_duration_function, settled_function, window_end_function,
};
use crate::sql::relation::{RelationTable, SystemColumn, WindowPart};
use crate::sql::window_spec::{WindowKind, WindowSpec};
use crate::time::LateRule;

/// Whether late rows are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lateness {
    /// A stream, where no aggregate is above yet: a row may be in a window that has closed.
    AboveAggregates,
    /// A stream below an aggregate: a row is late once the watermark has passed the end of its window.
    ByWatermark,
    /// A batch knows its whole input: nothing is late.
    Never,
}

/// How windows treat the time of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeRules {
    /// Whether late rows are told apart.
    pub(super) lateness: Lateness,
    /// How long windows take rows after their end unless they say it themselves, in milliseconds.
    pub(super) grace_ms: i64,
    /// The time zone of windows that name none.
    pub(super) zone: chrono_tz::Tz,
    /// How long a running aggregate keeps a key that nobody touches, in milliseconds of event time.
    pub(super) ttl_ms: Option<i64>,
    /// What becomes of late rows.
    pub(super) late: LateRule,
}

impl TimeRules {
    fn below_aggregate(self) -> Self {
        let lateness = match self.lateness {
            Lateness::AboveAggregates | Lateness::ByWatermark => Lateness::ByWatermark,
            Lateness::Never => Lateness::Never,
        };
        Self { lateness, ..self }
    }
}

/// Returns whether `plan` has use for the time of its rows.
pub(super) fn needs_time(plan: &LogicalPlan) -> DataFusionResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node
            && join_needs_time(join)
        {
            found = true;
            return Ok(TreeNodeRecursion::Stop);
        }
        node.apply_expressions(|expression| {
            expression.apply(|expression| {
                found |= match expression {
                    Expr::ScalarFunction(call) => is_placeholder(call),
                    Expr::AggregateFunction(call) => depends_on_order(call),
                    query if is_stream_query(query) => true,
                    _ => false,
                };
                Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        })
    })?;
    Ok(found)
}

/// Makes rows carry their time, and replaces the window placeholders.
pub(super) fn attach_time(plan: LogicalPlan, rules: TimeRules) -> DataFusionResult<LogicalPlan> {
    match plan {
        LogicalPlan::TableScan(scan) => attach_scan(scan, rules),
        LogicalPlan::SubqueryAlias(alias) => {
            let input = attach_time(Arc::unwrap_or_clone(alias.input), rules)?;
            Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias)?))
        }
        LogicalPlan::Filter(filter) => {
            let input = attach_time(Arc::unwrap_or_clone(filter.input), rules)?;
            let predicate = attach_stream_queries(filter.predicate, &input, rules)?;
            let (mut filled, input) = Placing::new(input, rules).rows(vec![predicate])?;
            let predicate = filled.pop().unwrap_or_else(|| lit(true));
            Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?))
        }
        LogicalPlan::Projection(projection) => attach_projection(projection, rules),
        LogicalPlan::Aggregate(aggregate) => attach_aggregate(aggregate, rules),
        LogicalPlan::Union(union) => attach_union(union, rules),
        LogicalPlan::Window(window) => attach_window(window, rules),
        LogicalPlan::Join(join) => attach_join(join, rules),
        LogicalPlan::Unnest(unnest) => {
            let input = attach_time(Arc::unwrap_or_clone(unnest.input), rules)?;
            Ok(LogicalPlan::Unnest(Unnest::try_new(Arc::new(input), unnest.exec_columns, unnest.options)?))
        }
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
            let inputs = plan.inputs().into_iter().cloned().map(|input| attach_time(input, rules));
            let inputs = inputs.collect::<DataFusionResult<Vec<_>>>()?;
            plan.with_new_exprs(plan.expressions(), inputs)
        }
        other => {
            let inputs = other.inputs().into_iter().cloned();
            let inputs = inputs.map(|input| without_hidden(attach_time(input, rules)?));
            let inputs = inputs.collect::<DataFusionResult<Vec<_>>>()?;
            if !inputs.is_empty() {
                let expressions = other.expressions();
                return other.with_new_exprs(expressions, inputs);
            }
            Ok(other)
        }
    }
}

/// Returns the plan's column of that system column, if rows carry it.
pub(super) fn carried(plan: &LogicalPlan, column: SystemColumn) -> Option<Expr> {
    let (qualifier, field) = plan.schema().iter().find(|(_, field)| field.name() == column.name())?;
    Some(Expr::Column(Column::new(qualifier.cloned(), field.name())))
}

/// Drops the hidden columns from what `plan` gives.
pub(super) fn without_hidden(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let hidden = |name: &str| SystemColumn::HIDDEN.iter().any(|column| column.name() == name);
    if !plan.schema().fields().iter().any(|field| hidden(field.name())) {
        return Ok(plan);
    }
    let visible = plan.schema().iter().filter(|(_, field)| !hidden(field.name()));
    let visible =
        visible.map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())));
    let visible = visible.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(visible, Arc::new(plan))?))
}

fn attach_scan(scan: TableScan, rules: TimeRules) -> DataFusionResult<LogicalPlan> {
    let provider = source_as_provider(&scan.source)?;
    let Some(table) = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<RelationTable>() else {
        return Ok(LogicalPlan::TableScan(scan));
    };
    // The rows of a table that is followed have no time.
    if table.relation.table.is_some() && rules.lateness != Lateness::Never {
        return Ok(LogicalPlan::TableScan(scan));
    }
    if table.relation.changelog {
        return attach_changes(scan, table);
    }
    // The rows of another query that have lost their time must not get that of their arrival instead.
    let relation = &table.relation;
    let has_time = relation.event_time.is_some() || relation.carried.contains(&SystemColumn::Time);
    if !has_time && !relation.source.stamps_arrival() {
        return Ok(LogicalPlan::TableScan(scan));
    }
    let source = provider_as_source(Arc::new(table.with_hidden(&SystemColumn::HIDDEN)));
    Ok(LogicalPlan::TableScan(TableScanBuilder::new(scan.table_name, source).build()?))
}

/// Makes the changes of another job carry the time of their rows, if they have one.
///
/// Whatever is late or on time, a row must be the same when it is withdrawn: so only what it brings with it counts, and
/// not when or where its changes are read. Rows of which nobody knows how far time was are never late.
fn attach_changes(scan: TableScan, table: &RelationTable) -> DataFusionResult<LogicalPlan> {
    let carried_columns = &table.relation.carried;
    if !carried_columns.contains(&SystemColumn::Time) {
        return Ok(LogicalPlan::TableScan(scan));
    }
    let source = provider_as_source(Arc::new(table.with_hidden(carried_columns)));
    let plan = LogicalPlan::TableScan(TableScanBuilder::new(scan.table_name, source).build()?);
    let columns = plan.schema().iter();
    let mut columns: Vec<Expr> = columns
        .map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())))
        .collect();
    if !carried_columns.contains(&SystemColumn::Watermark) {
        let never_late = ScalarValue::TimestampMillisecond(Some(i64::MIN), None);
        columns.push(lit(never_late).alias(SystemColumn::Watermark.name()));
    }
    columns.push(lit(0_i32).alias(SystemColumn::TiePartition.name()));
    columns.push(lit(0_i64).alias(SystemColumn::TieOffset.name()));
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

fn attach_projection(projection: Projection, rules: TimeRules) -> DataFusionResult<LogicalPlan> {
    let input = attach_time(Arc::unwrap_or_clone(projection.input), rules)?;
    let (mut expressions, input) = Placing::new(input, rules).rows(projection.expr)?;
    let declared =
        expressions.iter().find(|expression| expression.schema_name().to_string() == "_event_time");
    let declared = declared.cloned().filter(|expression| !matches!(expression, Expr::Column(_)));
    for column in SystemColumn::HIDDEN {
        let carried = carried(&input, column);
        let declared = declared.clone().filter(|_| column == SystemColumn::Time);
        match (declared, carried) {
            (Some(expression), carried) => {
                let instant = DataType::Timestamp(TimeUnit::Millisecond, None);
                let time = cast(expression.unalias(), instant);
                // What an aggregate gives may have no time yet: it is in no window until it has.
                let time = match carried {
                    Some(_) => {
                        Expr::ScalarFunction(ScalarFunction::new_udf(required_time_function(), vec![time]))
                    }
                    None => time,
                };
                expressions.push(time.alias(column.name()));
            }
            (None, Some(carried)) => expressions.push(carried),
            (None, None) => {}
        }
    }
    Ok(LogicalPlan::Projection(Projection::try_new(expressions, Arc::new(input))?))
}

fn attach_aggregate(aggregate: Aggregate, rules: TimeRules) -> DataFusionResult<LogicalPlan> {
    let rules = rules.below_aggregate();
    let input = attach_time(Arc::unwrap_or_clone(aggregate.input), rules)?;
    let (groups, input) = Placing::new(input, rules).groups(aggregate.group_expr)?;
    let functions = aggregate.aggr_expr.into_iter().map(|function| order_by_time(function, &input));
    let functions = functions.collect::<DataFusionResult<Vec<_>>>()?;
    if let (Some(ttl_ms), false) = (rules.ttl_ms, rules.lateness == Lateness::Never)
        && !groups.is_empty()
        && groups.iter().all(|group| trace_window(group, &input).is_none())
    {
        return forgetting(input, groups, functions, ttl_ms);
    }
    with_window_time(Aggregate::try_new(Arc::new(input), groups, functions)?)
}

/// Forgets keys that nobody touches for `ttl_ms` of event time.
///
/// What is kept of a key is a session with that gap: so what is forgotten depends on the time of rows and the watermark
/// of their own partition, and not on when an epoch ends.
fn forgetting(
    input: LogicalPlan,
    mut groups: Vec<Expr>,
    functions: Vec<Expr>,
    ttl_ms: i64,
) -> DataFusionResult<LogicalPlan> {
    let (Some(time), Some(watermark)) =
        (carried(&input, SystemColumn::Time), carried(&input, SystemColumn::Watermark))
    else {
        return Err(DataFusionError::External(Box::new(
            Error::invalid("`state.ttl` needs rows with an event time, and these have none")
                .with_hint("leave it out, or give the inner aggregate a WINDOW"),
        )));
    };
    let mut spec = WindowSpec::new(WindowKind::Session { gap_ms: ttl_ms, max_ms: None });
    spec.late = LateRule::Correct;
    let kept = groups.len();
    groups.push(call(session_duration_function(), time, watermark, &spec).alias(KEPT));
    let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, functions)?);
    let columns = plan.schema().iter().enumerate().filter(|(ordinal, _)| *ordinal != kept);
    let columns =
        columns.map(|(_, (qualifier, field))| Expr::Column(Column::new(qualifier.cloned(), field.name())));
    let columns = columns.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// The group column that says how long a key is kept.
pub(super) const KEPT: &str = "__kept";

/// Gives the rows of a windowed aggregate the last instant of their window as event time.
///
/// They come when the watermark has passed that instant, and no window above takes them for late.
fn with_window_time(aggregate: Aggregate) -> DataFusionResult<LogicalPlan> {
    let traced = aggregate
        .group_expr
        .iter()
        .enumerate()
        .filter_map(|(ordinal, expression)| Some((ordinal, trace_window(expression, &aggregate.input)?)));
    let traced: Vec<_> = traced.collect();
    let of = |part| traced.iter().find(|(_, traced)| traced.part == part).cloned();
    let plan = LogicalPlan::Aggregate(aggregate);
    let column = |ordinal: usize| {
        let (qualifier, field) = plan.schema().qualified_field(ordinal);
        Expr::Column(Column::new(qualifier.cloned(), field.name()))
    };
    let never_late = ScalarValue::TimestampMillisecond(Some(i64::MIN), None);
    let end = match (of(WindowPart::End), of(WindowPart::Start)) {
        (Some((end, _)), _) => column(end),
        (None, Some((start, traced))) if traced.spec.session().is_none() => {
            let no_watermark = lit(ScalarValue::TimestampMillisecond(None, None));
            call(window_end_function(), column(start), no_watermark, &traced.spec)
        }
        _ => return Ok(plan),
    };
    let instant = DataType::Timestamp(TimeUnit::Millisecond, None);
    let last = cast(cast(end, DataType::Int64) - lit(1_i64), instant);
    let settled = |value| Expr::ScalarFunction(ScalarFunction::new_udf(settled_function(), vec![value]));
    let is_bound = |ordinal: usize| traced.iter().any(|(bound, _)| *bound == ordinal);
    let own = plan.schema().iter().enumerate().map(|(ordinal, (qualifier, field))| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        if is_bound(ordinal) {
            settled(column).alias_qualified(qualifier.cloned(), field.name())
        } else {
            column
        }
    });
    let mut columns: Vec<Expr> = own.collect();
    for (column, value) in [
        (SystemColumn::Time, settled(last)),
        (SystemColumn::Watermark, lit(never_late)),
        (SystemColumn::TiePartition, lit(0_i32)),
        (SystemColumn::TieOffset, lit(0_i64)),
    ] {
        columns.push(value.alias(column.name()));
    }
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

fn attach_union(union: Union, rules: TimeRules) -> DataFusionResult<LogicalPlan> {
    let inputs = inputs_of(&union).into_iter().map(|input| attach_time(input.clone(), rules));
    let inputs = inputs.collect::<DataFusionResult<Vec<_>>>()?;
    let all = |column| inputs.iter().all(|input| carried(input, column).is_some());
    let carry = SystemColumn::HIDDEN.into_iter().all(all);
    let count = inputs.len();
    let inputs = inputs.into_iter().enumerate().map(|(ordinal, input)| {
        let hidden = SystemColumn::HIDDEN.into_iter().filter_map(|column| match column {
            SystemColumn::TiePartition => Some(partition_in_union(carried(&input, column)?, ordinal, count)),
            _ => carried(&input, column),
        });
        let hidden: Vec<Expr> = hidden.collect();
        let visible = without_hidden(input.clone())?;
        let names: Vec<Expr> = visible
            .schema()
            .iter()
            .map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())))
            .chain(if carry { hidden } else { vec![] })
            .collect();
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(names, Arc::new(input))?)))
    });
    let inputs = inputs.collect::<DataFusionResult<Vec<_>>>()?;
    Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?))
}

/// Returns the inputs of a union and of those it is written after, `a UNION ALL b UNION ALL c`, in their order.
fn inputs_of(union: &Union) -> Vec<&LogicalPlan> {
    let inputs = union.inputs.iter().flat_map(|input| match input.as_ref() {
        LogicalPlan::Union(earlier) => inputs_of(earlier),
        other => vec![other],
    });
    inputs.collect()
}

fn attach_window(window: Window, rules: TimeRules) -> DataFusionResult<LogicalPlan> {
    let input = attach_time(Arc::unwrap_or_clone(window.input), rules)?;
    let (functions, input) = Placing::new(input, rules).rows(window.window_expr)?;
    match rules.lateness {
        Lateness::Never if !functions.iter().any(is_buffered) => over_in_order(functions, input),
        _ => attach_over(functions, input),
    }
}

/// Functions whose answer depends on which row comes first; without ORDER BY that is event time, then the place.
fn depends_on_order(call: &AggregateFunction) -> bool {
    call.params.order_by.is_empty() && !call.params.distinct && ORDERED_FUNCTIONS.contains(&call.func.name())
}

fn order_by_time(function: Expr, input: &LogicalPlan) -> DataFusionResult<Expr> {
    let name = function.schema_name().to_string();
    let ordered = function.transform_up(|expression| match expression {
        Expr::AggregateFunction(mut call) if depends_on_order(&call) => {
            let order = [SystemColumn::Time, SystemColumn::TiePartition, SystemColumn::TieOffset];
            let order = order.into_iter().filter_map(|column| carried(input, column));
            call.params.order_by = order.map(|column| column.sort(true, false)).collect();
            let changed = !call.params.order_by.is_empty();
            Ok(Transformed::new_transformed(Expr::AggregateFunction(call), changed))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(if ordered.transformed { ordered.data.alias_if_changed(name)? } else { ordered.data })
}
