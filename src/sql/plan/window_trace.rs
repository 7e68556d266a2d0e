//! Following a column back to the window that it is a bound of.

use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Window};

use super::row_numbers::is_row_aggregate;
use super::stream_plan::{GivenClose, WindowPlan};
use super::window_rows::WINDOW;
use crate::error::{Error, Result};
use crate::sql::functions::{
    DURATION_FIELD, END_FIELD, START_FIELD, session_duration_function, session_function, settled_function,
    window_end_function, window_start_function, windows_function,
};
use crate::sql::relation::{Relation, RelationTable, WindowColumn, WindowPart};
use crate::sql::window_spec::WindowSpec;

/// A column that says something of a window.
#[derive(Debug, Clone)]
pub(super) struct TracedWindow {
    pub(super) part: WindowPart,
    pub(super) spec: WindowSpec,
    /// Whether a windowed aggregate is between: its rows come when their windows have closed.
    pub(super) aggregated: bool,
    /// Whether the rows of a window come all at once, when it has closed.
    pub(super) at_once: bool,
    /// The time and the watermark of rows, where the expression itself is the call that places them.
    pub(super) call: Option<(Expr, Expr)>,
}

/// Finds out whether `expression` over `plan` is part of a window, through renames, subqueries and aggregates.
pub(super) fn trace_window(expression: &Expr, plan: &LogicalPlan) -> Option<TracedWindow> {
    match expression {
        Expr::Alias(alias) => trace_window(&alias.expr, plan),
        Expr::ScalarFunction(call) if call.func.name() == settled_function().name() => {
            trace_window(call.args.first()?, plan)
        }
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => {
            let [Expr::Column(list), Expr::Literal(field, _)] = call.args.as_slice() else { return None };
            let part = match field.try_as_str().flatten()? {
                START_FIELD => WindowPart::Start,
                END_FIELD => WindowPart::End,
                DURATION_FIELD => WindowPart::Duration,
                _ => return None,
            };
            let (spec, at_once) = trace_list(list, plan)?;
            Some(TracedWindow { part, spec, aggregated: false, at_once, call: None })
        }
        Expr::ScalarFunction(call) => {
            let part = part_of(call.func.name())?;
            let [time, watermark, _] = call.args.as_slice() else { return None };
            let call = Some((time.clone(), watermark.clone()));
            let spec = spec_of(expression)?;
            Some(TracedWindow { part, spec, aggregated: false, at_once: false, call })
        }
        Expr::Column(column) => {
            if let LogicalPlan::TableScan(scan) = plan {
                let relation = relation_of(scan)?;
                let known = relation.windows.iter().find(|known| known.column == column.name)?;
                let spec = known.spec.clone();
                let part = known.part;
                return Some(TracedWindow { part, spec, aggregated: true, at_once: false, call: None });
            }
            let (origin, input) = below(column, plan)?;
            let traced = trace_window(&origin, input)?;
            let aggregated = traced.aggregated || is_aggregated(plan);
            let at_once = traced.at_once && gives_at_once(plan);
            Some(TracedWindow { aggregated, at_once, call: None, ..traced })
        }
        _ => None,
    }
}

fn is_aggregated(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Aggregate(aggregate) if !is_row_aggregate(aggregate))
}

/// Returns what `column` of `plan` is in terms of the plan's input.
pub(super) fn below<'a>(column: &Column, plan: &'a LogicalPlan) -> Option<(Expr, &'a LogicalPlan)> {
    let ordinal = plan.schema().maybe_index_of_column(column)?;
    let same = |input: &'a LogicalPlan, ordinal: usize| {
        let (qualifier, field) = input.schema().qualified_field(ordinal);
        (Expr::Column(Column::new(qualifier.cloned(), field.name())), input)
    };
    Some(match plan {
        LogicalPlan::Projection(projection) => (projection.expr[ordinal].clone(), &projection.input),
        LogicalPlan::Aggregate(aggregate) => (aggregate.group_expr.get(ordinal)?.clone(), &aggregate.input),
        LogicalPlan::SubqueryAlias(alias) => same(&alias.input, ordinal),
        LogicalPlan::Filter(filter) => same(&filter.input, ordinal),
        LogicalPlan::Sort(sort) => same(&sort.input, ordinal),
        LogicalPlan::Limit(limit) => same(&limit.input, ordinal),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match (join.join_type, ordinal.checked_sub(left)) {
                (JoinType::RightSemi | JoinType::RightAnti, _) => same(&join.right, ordinal),
                (_, None) => same(&join.left, ordinal),
                (JoinType::LeftMark | JoinType::RightMark, Some(_)) => return None,
                (_, Some(ordinal)) => same(&join.right, ordinal),
            }
        }
        LogicalPlan::Window(window) if ordinal < window.input.schema().fields().len() => {
            same(&window.input, ordinal)
        }
        LogicalPlan::Unnest(unnest) => {
            let input = unnest.input.schema().maybe_index_of_column(column)?;
            same(&unnest.input, input)
        }
        _ => return None,
    })
}

/// Returns the stream that is scanned.
pub(super) fn relation_of(scan: &TableScan) -> Option<Arc<Relation>> {
    let provider = source_as_provider(&scan.source).ok()?;
    let table = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<RelationTable>()?;
    Some(Arc::clone(&table.relation))
}

/// Returns the columns of a plan's result that are parts of windows.
pub fn window_columns(plan: &LogicalPlan) -> Vec<WindowColumn> {
    let columns = plan.schema().iter().filter_map(|(qualifier, field)| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let TracedWindow { part, spec, .. } =
            trace_window(&column, plan).filter(|traced| traced.aggregated)?;
        Some(WindowColumn { column: field.name().clone(), part, spec })
    });
    columns.collect()
}

/// Returns the window that the rows already have, if one of its bounds is among the keys.
pub(super) fn given_window(keys: &[(TracedWindow, Expr)]) -> Result<Option<WindowPlan>> {
    let of = |part| keys.iter().find(|(traced, _)| traced.part == part);
    let Some((traced, bound)) = of(WindowPart::End).or_else(|| of(WindowPart::Start)) else {
        return Ok(None);
    };
    if traced.part == WindowPart::Start && traced.spec.session().is_some() {
        return Err(Error::not_yet("GROUP BY the start of sessions without their end")
            .with_hint("add `window_end`: it says when no more rows of a group come"));
    }
    let closes = match traced.spec.session() {
        _ if traced.aggregated => GivenClose::AtEnd,
        Some(_) if traced.at_once => GivenClose::OnArrival,
        _ => GivenClose::AfterGrace,
    };
    Ok(Some(WindowPlan::Given { bound: bound.clone(), part: traced.part, spec: traced.spec.clone(), closes }))
}

/// Returns the windows of which rows have one each, if they do.
pub(super) fn windows_of_rows(plan: &LogicalPlan) -> Option<WindowSpec> {
    trace_list(&Column::from_name(WINDOW), plan).map(|(spec, _)| spec)
}

/// Returns whether rows that come to `plan` at once leave it at once.
fn gives_at_once(plan: &LogicalPlan) -> bool {
    let in_session = |window: &Window, function: &Expr| {
        let Expr::WindowFunction(call) = function.clone().unalias() else { return false };
        let mut keys = call.params.partition_by.iter().filter_map(|key| trace_window(key, &window.input));
        call.fun.name() == session_function().name() || keys.any(|traced| traced.at_once)
    };
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => true,
        LogicalPlan::Window(window) => window.window_expr.iter().all(|function| in_session(window, function)),
        _ => false,
    }
}

/// Returns the windows that `list`, a column of a row's windows, was made of, and whether the rows of one come at once.
fn trace_list(list: &Column, plan: &LogicalPlan) -> Option<(WindowSpec, bool)> {
    let mut at = (Expr::Column(list.clone()), plan);
    let mut at_once = true;
    loop {
        match at.0.clone().unalias() {
            Expr::ScalarFunction(call) if call.func.name() == windows_function().name() => {
                return Some((spec_of(&Expr::ScalarFunction(call))?, false));
            }
            Expr::WindowFunction(call) if call.fun.name() == session_function().name() => {
                return Some((call.params.args.last().and_then(literal_spec)?, at_once));
            }
            Expr::Column(column) => {
                if let LogicalPlan::Window(window) = at.1
                    && let Some(ordinal) = plan_ordinal(&column, at.1)
                    && let Some(function) = ordinal.checked_sub(window.input.schema().fields().len())
                {
                    at = (window.window_expr.get(function)?.clone(), &window.input);
                    continue;
                }
                at_once &= gives_at_once(at.1);
                at = below(&column, at.1)?;
            }
            _ => return None,
        }
    }
}

fn plan_ordinal(column: &Column, plan: &LogicalPlan) -> Option<usize> {
    plan.schema().maybe_index_of_column(column)
}

fn part_of(function: &str) -> Option<WindowPart> {
    if function == window_start_function().name() {
        Some(WindowPart::Start)
    } else if function == window_end_function().name() {
        Some(WindowPart::End)
    } else if function == session_duration_function().name() {
        Some(WindowPart::Duration)
    } else {
        None
    }
}

fn spec_of(expression: &Expr) -> Option<WindowSpec> {
    let Expr::ScalarFunction(ScalarFunction { args, .. }) = expression else { return None };
    args.last().and_then(literal_spec)
}

fn literal_spec(expression: &Expr) -> Option<WindowSpec> {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = expression else { return None };
    text.parse().ok()
}
