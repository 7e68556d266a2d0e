//! What orders the rows of a plan: event time, the bounds of windows, and their place in their source.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::Column;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, SortExpr, cast, lit};

use super::split::trace_window;
use crate::error::{Error, Result};
use crate::sql::functions::{parse_window, window_end_function};
use crate::sql::relation::{RelationTable, SystemColumn};

/// Returns whether `order` begins with the event time of the rows of `input`, ascending.
pub(super) fn is_time_order(order: &[SortExpr], input: &LogicalPlan) -> Result<bool> {
    Ok(order.first().is_some_and(|first| first.asc && is_time(&first.expr, input)))
}

/// Fails unless the rows are ordered by event time first.
pub(super) fn require_time_order(order: &[SortExpr], input: &LogicalPlan) -> Result<()> {
    let hint = "begin with the event time, ascending: ORDER BY ts; or partition by `window_start` or `window_end` of a windowed input; or keep the first rows of each key: QUALIFY row_number() OVER (…) <= 10; over bounded inputs, `--mode batch` takes any order";
    let Some(first) = order.first().filter(|first| !matches!(first.expr, Expr::Literal(..))) else {
        return Err(Error::invalid("`OVER` in a stream needs ORDER BY event time").with_hint(hint));
    };
    let by_time = is_time(&first.expr, input);
    if first.asc && by_time {
        let text = matches!(
            first.expr.get_type(input.schema())?,
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8
        );
        return match text {
            false => Ok(()),
            true => Err(Error::invalid(format!(
                "`OVER` in a stream is ordered by `{}`, which is text",
                first.expr
            ))
            .with_hint("order by `_event_time`, which is the same instant as a TIMESTAMP")),
        };
    }
    let what = if by_time { "the latest row first" } else { "which is not its event time" };
    Err(Error::invalid(format!("`OVER` in a stream is ordered by `{}`, {what}", readable(&first.expr)))
        .with_hint(hint))
}

fn readable(expression: &Expr) -> String {
    match expression {
        Expr::Column(column) => column.name.clone(),
        other => other.to_string(),
    }
}

/// Returns whether `expression` over `plan` rises with the event time of its rows.
fn is_time(expression: &Expr, plan: &LogicalPlan) -> bool {
    if bound_of(expression, plan).is_some_and(|bound| bound.aggregated) {
        return true;
    }
    let column = match expression {
        Expr::Alias(alias) => return is_time(&alias.expr, plan),
        Expr::Column(column) => column,
        _ => return false,
    };
    if column.name == SystemColumn::EventTime.name() || column.name == SystemColumn::Time.name() {
        return true;
    }
    let Some(ordinal) = plan.schema().maybe_index_of_column(column) else { return false };
    let inner = |input: &LogicalPlan, ordinal: usize| {
        let (qualifier, field) = input.schema().qualified_field(ordinal);
        is_time(&Expr::Column(Column::new(qualifier.cloned(), field.name())), input)
    };
    match plan {
        LogicalPlan::Projection(projection) => {
            // A query that declares another event time has left the old one behind.
            let declared = projection.expr.iter().any(|expression| {
                expression.schema_name().to_string() == SystemColumn::Time.name()
                    && !matches!(expression.clone().unalias(), Expr::Column(_))
            });
            !declared && is_time(&projection.expr[ordinal], &projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => inner(&alias.input, ordinal),
        LogicalPlan::Filter(filter) => is_time(expression, &filter.input),
        LogicalPlan::Window(window) => {
            ordinal < window.input.schema().fields().len() && inner(&window.input, ordinal)
        }
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| inner(input, ordinal)),
        LogicalPlan::TableScan(scan) => {
            let Ok(provider) = source_as_provider(&scan.source) else { return false };
            let table = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<RelationTable>();
            table
                .and_then(|table| table.relation.event_time.as_ref())
                .is_some_and(|time| time.column == column.name)
        }
        _ => false,
    }
}

/// The bound of a window that a column holds.
pub(super) struct WindowBound {
    /// The window's text.
    text: String,
    /// Whether the rows are those of an aggregate, which come when their window closes.
    aggregated: bool,
}

impl WindowBound {
    /// Returns the last instant at which a row's window is open, for a row whose time is `time`.
    pub(super) fn open_until(&self, time: &Expr) -> Result<Expr> {
        if self.aggregated {
            return Ok(time.clone());
        }
        let grace_ms = parse_window(&self.text)?.grace_ms;
        let arguments = vec![time.clone(), lit(self.text.clone())];
        let end = Expr::ScalarFunction(ScalarFunction::new_udf(window_end_function(), arguments));
        let instant = DataType::Timestamp(TimeUnit::Millisecond, None);
        Ok(cast(cast(end, DataType::Int64) + lit(grace_ms - 1), instant))
    }
}

/// Finds out whether `expression` over `plan` is the bound of a window, of rows or of an aggregate.
pub(super) fn bound_of(expression: &Expr, plan: &LogicalPlan) -> Option<WindowBound> {
    let column = match expression {
        Expr::Alias(alias) => return bound_of(&alias.expr, plan),
        Expr::Column(column) => column,
        other => return trace_window(other, plan).map(|(_, text)| WindowBound { text, aggregated: false }),
    };
    let ordinal = plan.schema().maybe_index_of_column(column)?;
    let inner = |input: &LogicalPlan| {
        let (qualifier, field) = input.schema().qualified_field(ordinal);
        bound_of(&Expr::Column(Column::new(qualifier.cloned(), field.name())), input)
    };
    match plan {
        LogicalPlan::Projection(projection) => bound_of(&projection.expr[ordinal], &projection.input),
        LogicalPlan::SubqueryAlias(alias) => inner(&alias.input),
        LogicalPlan::Filter(filter) => inner(&filter.input),
        LogicalPlan::Window(window) if ordinal < window.input.schema().fields().len() => inner(&window.input),
        LogicalPlan::Aggregate(aggregate) => {
            let bound = bound_of(aggregate.group_expr.get(ordinal)?, &aggregate.input)?;
            Some(WindowBound { aggregated: true, ..bound })
        }
        _ => None,
    }
}

/// Returns whether partition and offset tell the rows of `plan` apart.
pub(super) fn has_places(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Window(_) => plan.inputs().into_iter().all(has_places),
        _ => false,
    }
}
