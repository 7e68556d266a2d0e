//! What orders the rows of a plan: event time, the bounds of windows, and their place in their source.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, SortExpr, cast, lit};

use super::time_bound::time_lag;
use super::window_rows::call;
use super::window_trace::{TracedWindow, trace_window};
use crate::error::{Error, Result};
use crate::sql::functions::window_end_function;
use crate::sql::relation::{SystemColumn, WindowPart};
use crate::sql::window_spec::WindowKind;
use crate::time::{AlignedWindow, LateRule, SessionWindow};

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
    if bound_of(expression, plan).is_some_and(|bound| bound.window.aggregated) {
        return true;
    }
    let system = [SystemColumn::EventTime, SystemColumn::Time];
    let is_system = |column: &Column| system.iter().any(|system| system.name() == column.name);
    match expression {
        Expr::Alias(alias) => is_time(&alias.expr, plan),
        Expr::Column(column) => is_system(column) || time_lag(expression, plan) == Some(0),
        _ => false,
    }
}

/// The bound of a window that an expression holds.
pub(super) struct WindowBound {
    expression: Expr,
    window: TracedWindow,
}

impl WindowBound {
    /// Returns the last instant at which a row's window is open, for a row whose time is `time`.
    pub(super) fn open_until(&self, time: &Expr) -> Result<Expr> {
        let TracedWindow { part, spec, aggregated, .. } = &self.window;
        if *aggregated {
            return Ok(time.clone());
        }
        if let Some(windows) = spec.session() {
            return self.session_open_until(&windows);
        }
        // A row that is counted in a later window than its own has only that one's bounds.
        let own_window = matches!(spec.kind, WindowKind::Tumbling { .. }) && spec.late != LateRule::NextOpen;
        let within = if own_window { time } else { &self.expression };
        let end = match part {
            WindowPart::End if !own_window => within.clone(),
            _ => {
                let no_watermark = lit(ScalarValue::TimestampMillisecond(None, None));
                call(window_end_function(), within.clone(), no_watermark, spec)
            }
        };
        let instant = DataType::Timestamp(TimeUnit::Millisecond, None);
        Ok(cast(cast(end, DataType::Int64) + lit(spec.grace_ms.unwrap_or(0) - 1), instant))
    }

    /// Returns the last instant at which rows of a row's session may still come.
    fn session_open_until(&self, windows: &SessionWindow) -> Result<Expr> {
        match self.window.part {
            WindowPart::End if self.window.at_once => {
                Ok(lit(ScalarValue::TimestampMillisecond(Some(i64::MIN), None)))
            }
            WindowPart::End => {
                let after_end = windows.closes_at(0).saturating_sub(windows.end(0));
                let instant = DataType::Timestamp(TimeUnit::Millisecond, None);
                let end = cast(self.expression.clone(), DataType::Int64);
                Ok(cast(end + lit(after_end - 1), instant))
            }
            _ => Err(Error::not_yet("`OVER` by the start of sessions without their end")
                .with_hint("add `window_end` to PARTITION BY: it says when no more rows come")),
        }
    }

    /// Returns the windows, if each row is in one, which its time says.
    pub(super) fn aligned(&self) -> Option<AlignedWindow> {
        let TracedWindow { spec, aggregated, .. } = &self.window;
        let is_one = !aggregated && matches!(spec.kind, WindowKind::Tumbling { .. });
        if is_one { spec.aligned().ok().flatten() } else { None }
    }

    /// Returns whether the rows are in sessions, among which none is late any more.
    pub(super) fn is_of_sessions(&self) -> bool {
        !self.window.aggregated && self.window.spec.session().is_some()
    }

    /// Returns whether it is the end of a window.
    pub(super) fn is_end(&self) -> bool {
        self.window.part == WindowPart::End
    }
}

/// Finds out whether `expression` over `plan` is the bound of a window, of rows or of an aggregate.
pub(super) fn bound_of(expression: &Expr, plan: &LogicalPlan) -> Option<WindowBound> {
    let window = trace_window(expression, plan).filter(|window| window.part != WindowPart::Duration)?;
    Some(WindowBound { expression: expression.clone().unalias(), window })
}

/// Returns whether values of that type can be put in order.
pub(super) fn is_sortable(data_type: &DataType) -> bool {
    arrow::row::RowConverter::supports_fields(&[arrow::row::SortField::new(data_type.clone())])
}
