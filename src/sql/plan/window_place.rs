//! [`Placing`]: placeholders of windows become expressions over the time of rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, Filter, LogicalPlan, cast, lit};

use super::attach::{Lateness, TimeRules, carried};
use super::over::hidden_keys;
use super::window_rows::{bound, call, expand, with_sessions};
use super::window_trace::{below, relation_of, trace_window, windows_of_rows};
use crate::error::Error;
use crate::sql::functions::{
    DURATION_FIELD, END_FIELD, SESSION_DURATION, START_FIELD, WINDOW_END, WINDOW_START,
    session_duration_function, window_end_function, window_start_function,
};
use crate::sql::relation::{SystemColumn, WindowPart};
use crate::sql::window_spec::{WindowKind, WindowSpec};
use crate::time::LateRule;

/// How far apart the local clock and the instants may move within a window, in milliseconds.
const ZONE_SLACK_MS: i64 = 86_400_000;

/// Replaces the placeholders in expressions over a plan.
pub(super) struct Placing {
    input: LogicalPlan,
    rules: TimeRules,
}

/// A window of a query, and the time of the rows that it puts together.
struct Window {
    spec: WindowSpec,
    time: Expr,
    watermark: Expr,
    /// The keys that a session names.
    named_keys: Vec<String>,
}

pub(super) fn is_placeholder(call: &ScalarFunction) -> bool {
    [WINDOW_START, WINDOW_END, SESSION_DURATION].contains(&call.func.name())
}

impl Placing {
    pub(super) fn new(input: LogicalPlan, rules: TimeRules) -> Self {
        Self { input, rules }
    }

    /// Fills expressions that are computed row by row; returns them and the plan that they are over.
    pub(super) fn rows(self, expressions: Vec<Expr>) -> DataFusionResult<(Vec<Expr>, LogicalPlan)> {
        let Some(window) = self.window(&expressions)? else { return Ok((expressions, self.input)) };
        let this = self.with_times(&window)?;
        match window.spec.kind {
            WindowKind::Tumbling { .. } => this.by_calls(expressions, &window),
            _ => {
                let keys = this.session_keys(&window.named_keys)?;
                this.by_columns(expressions, &window, keys)
            }
        }
    }

    /// Fills what rows are grouped by.
    pub(super) fn groups(self, expressions: Vec<Expr>) -> DataFusionResult<(Vec<Expr>, LogicalPlan)> {
        let Some(window) = self.window(&expressions)? else { return Ok((expressions, self.input)) };
        if expressions.iter().any(|expression| matches!(expression, Expr::GroupingSet(_))) {
            return Err(external(
                Error::not_yet("`ROLLUP`, `CUBE` and `GROUPING SETS` with a WINDOW")
                    .with_hint("aggregate by each set of keys in a query of its own, and UNION ALL them"),
            ));
        }
        let this = self.with_times(&window)?;
        if names_other_keys(&window.named_keys, &expressions) {
            let keys = this.session_keys(&window.named_keys)?;
            return this.by_columns(expressions, &window, keys);
        }
        match (this.rules.lateness, window.spec.kind) {
            // A stream has operators for windows; a batch finds the windows of each row.
            (Lateness::AboveAggregates | Lateness::ByWatermark, _) | (_, WindowKind::Tumbling { .. }) => {
                this.by_calls(expressions, &window)
            }
            (Lateness::Never, _) => {
                let keys = expressions.iter().filter(|expression| !has_placeholder(expression));
                let keys = keys.cloned().map(Expr::unalias).collect();
                this.by_columns(expressions, &window, keys)
            }
        }
    }

    /// Leaves out the rows without a time, where the window has to do with one that may be missing.
    fn with_times(self, window: &Window) -> DataFusionResult<Self> {
        if carried(&self.input, SystemColumn::Time).is_some() {
            return Ok(self);
        }
        let filter = Filter::try_new(window.time.clone().is_not_null(), Arc::new(self.input))?;
        Ok(Self { input: LogicalPlan::Filter(filter), ..self })
    }

    /// Replaces placeholders by functions of a row's time.
    fn by_calls(self, expressions: Vec<Expr>, window: &Window) -> DataFusionResult<(Vec<Expr>, LogicalPlan)> {
        let filled = fill(expressions, |name| {
            let function = match name {
                WINDOW_START => window_start_function(),
                WINDOW_END => window_end_function(),
                _ => session_duration_function(),
            };
            call(function, window.time.clone(), window.watermark.clone(), &window.spec)
        })?;
        Ok((filled, self.input))
    }

    /// Replaces placeholders by columns, where rows have been given their windows.
    fn by_columns(
        self,
        expressions: Vec<Expr>,
        window: &Window,
        keys: Vec<Expr>,
    ) -> DataFusionResult<(Vec<Expr>, LogicalPlan)> {
        let time = window.time.clone();
        let input = match window.spec.kind {
            // `OVER` below has given the rows their windows.
            _ if windows_of_rows(&self.input).is_some_and(|spec| spec == window.spec) => self.input,
            WindowKind::Session { .. } => {
                let hidden = match self.rules.lateness {
                    Lateness::Never => vec![],
                    _ => hidden_keys(&self.input),
                };
                with_sessions(self.input, time, keys, hidden, &window.spec)?
            }
            _ => expand(self.input, time, window.watermark.clone(), &window.spec)?,
        };
        let filled = fill(expressions, |name| {
            bound(match name {
                WINDOW_START => START_FIELD,
                WINDOW_END => END_FIELD,
                _ => DURATION_FIELD,
            })
        })?;
        Ok((filled, input))
    }

    /// Returns the window that placeholders of `expressions` stand for.
    fn window(&self, expressions: &[Expr]) -> DataFusionResult<Option<Window>> {
        let mut text: Option<String> = None;
        let mut several = false;
        for expression in expressions {
            expression.apply(|expression| {
                if let Expr::ScalarFunction(call) = expression
                    && is_placeholder(call)
                {
                    let own = match call.args.first() {
                        Some(Expr::Literal(text, _)) => text.try_as_str().flatten().unwrap_or_default(),
                        _ => "",
                    };
                    several |= text.as_deref().is_some_and(|other| other != own);
                    text = Some(own.to_owned());
                    if call.func.name() == SESSION_DURATION && !own.starts_with("session") {
                        return Err(external(
                            Error::invalid("`session_duration` without a SESSION window")
                                .with_hint("other windows have one length: `window_end - window_start`"),
                        ));
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        let Some(text) = text else { return Ok(None) };
        if several {
            return Err(external(Error::not_yet("two different windows in one query block")));
        }
        let mut spec: WindowSpec = text.parse().map_err(external)?;
        spec.grace_ms.get_or_insert(self.rules.grace_ms);
        spec.time_zone.get_or_insert_with(|| self.rules.zone.name().to_owned());
        spec.late = self.rules.late;
        let (time, delay_ms) = self.time(&spec)?;
        spec.grace_ms = spec.grace_ms.map(|grace| grace.saturating_add(delay_ms));
        // Fails early where a zone is not known.
        spec.aligned().map_err(external)?;
        let watermark = match (self.rules.lateness, carried(&self.input, SystemColumn::Watermark)) {
            (Lateness::ByWatermark, Some(watermark)) => watermark,
            // A row that is late for all its windows is in a later one.
            (Lateness::AboveAggregates, Some(watermark)) if spec.late == LateRule::NextOpen => watermark,
            _ => lit(ScalarValue::TimestampMillisecond(None, None)),
        };
        // The functions read everything else from the text.
        spec.time_column = None;
        let named_keys = std::mem::take(&mut spec.partition_by);
        Ok(Some(Window { spec, time, watermark, named_keys }))
    }

    /// Returns the columns of the key that a session names.
    fn session_keys(&self, named: &[String]) -> DataFusionResult<Vec<Expr>> {
        let keys = named.iter().map(|name| match self.column(name)? {
            Some(column) => Ok(Expr::Column(column)),
            None => Err(external(Error::invalid(format!("`{name}` is no key of sessions")))),
        });
        keys.collect()
    }

    /// Returns the time by which rows are placed, and by how much it may be behind the watermark with which they come.
    fn time(&self, spec: &WindowSpec) -> DataFusionResult<(Expr, i64)> {
        let named = match &spec.time_column {
            Some(named) => self.column(named)?.map(|column| (named, column)),
            None => None,
        };
        let (time, named, column) = match (carried(&self.input, SystemColumn::Time), named) {
            (Some(time), None) => return Ok((time, 0)),
            (Some(time), Some((named, column))) => (time, named, column),
            (None, Some((named, column))) => return self.any_time(named, column),
            (None, None) => {
                return Err(external(
                    Error::invalid("a window needs rows with an event time, and these have none (an aggregate, a join or DISTINCT lost it)")
                        .with_hint("name a TIMESTAMP of theirs: WINDOW TUMBLING(last_ts, 1m)"),
                ));
            }
        };
        let expression = Expr::Column(column.clone());
        let Some(traced) = trace_window(&expression, &self.input) else {
            return if is_event_time(&column, &self.input) {
                Ok((time, 0))
            } else {
                Err(external(
                    Error::invalid(format!("the window is over `{named}`, which is not an event time"))
                        .with_hint("leave it out: windows use the event time of the rows"),
                ))
            };
        };
        let instant = DataType::Timestamp(TimeUnit::Millisecond, None);
        let delay_ms = match (traced.part, traced.spec.kind) {
            (WindowPart::End, _) => 0,
            (
                WindowPart::Start,
                WindowKind::Tumbling { size_ms }
                | WindowKind::Hopping { size_ms, .. }
                | WindowKind::Cumulate { size_ms, .. },
            ) => size_ms.saturating_add(ZONE_SLACK_MS * i64::from(size_ms > 3_600_000)),
            _ => {
                return Err(external(
                    Error::not_yet(format!("a window over `{named}` of sessions"))
                        .with_hint("use `window_end`, which bounds when a session can come"),
                ));
            }
        };
        Ok((cast(expression, instant), delay_ms))
    }

    /// Returns the time that a window names, of rows that have no event time of their own.
    fn any_time(&self, named: &str, column: Column) -> DataFusionResult<(Expr, i64)> {
        let time = Expr::Column(column);
        if !matches!(time.get_type(self.input.schema())?, DataType::Timestamp(..)) {
            return Err(external(
                Error::invalid(format!("the window is over `{named}`, which is not a TIMESTAMP"))
                    .with_hint("cast it below: `to_timestamp_millis(n) AS at`, and name that"),
            ));
        }
        Ok((cast(time, DataType::Timestamp(TimeUnit::Millisecond, None)), 0))
    }

    /// Returns the column of the input that a window names; none where it is the event time by name.
    fn column(&self, named: &str) -> DataFusionResult<Option<Column>> {
        let named = Column::from_qualified_name(named);
        if named.name() == "_event_time" {
            return Ok(None);
        }
        let schema = self.input.schema();
        let found = schema.iter().find(|(qualifier, field)| {
            field.name().eq_ignore_ascii_case(named.name())
                && named.relation.as_ref().is_none_or(|wanted| {
                    qualifier.is_some_and(|own| own.table().eq_ignore_ascii_case(wanted.table()))
                })
        });
        match found {
            Some((qualifier, field)) => Ok(Some(Column::new(qualifier.cloned(), field.name()))),
            None => Err(external(
                Error::invalid(format!("the window names `{named}`, which the rows do not have"))
                    .with_hint("the time may be left out: windows use the event time of the rows"),
            )),
        }
    }
}

/// Returns whether a column is the event time of the stream that it comes from.
fn is_event_time(column: &Column, plan: &LogicalPlan) -> bool {
    let (mut column, mut plan) = (column.clone(), plan);
    loop {
        if let LogicalPlan::TableScan(scan) = plan {
            let relation = relation_of(scan);
            let time = relation.as_ref().and_then(|relation| relation.event_time.as_ref());
            return time.is_some_and(|time| time.column == column.name);
        }
        if column.name == SystemColumn::Time.name() {
            return true;
        }
        if let LogicalPlan::Union(union) = plan {
            let Some(ordinal) = plan.schema().maybe_index_of_column(&column) else { return false };
            return union.inputs.iter().all(|input| {
                let (qualifier, field) = input.schema().qualified_field(ordinal);
                is_event_time(&Column::new(qualifier.cloned(), field.name()), input)
            });
        }
        match below(&column, plan).map(|(expression, input)| (expression.unalias(), input)) {
            Some((Expr::Column(next), input)) => (column, plan) = (next, input),
            _ => return false,
        }
    }
}

/// Returns whether a session names other keys than those that rows are grouped by.
fn names_other_keys(named: &[String], groups: &[Expr]) -> bool {
    let is_column = |key: &Expr, name: &String| {
        let name = Column::from_qualified_name(name);
        matches!(key, Expr::Column(column) if column.name.eq_ignore_ascii_case(&name.name))
    };
    let keys = || groups.iter().filter(|group| !has_placeholder(group)).map(|group| group.clone().unalias());
    let unnamed = keys().any(|key| !named.iter().any(|name| is_column(&key, name)));
    let ungrouped = named.iter().any(|name| !keys().any(|key| is_column(&key, name)));
    !named.is_empty() && (unnamed || ungrouped)
}

fn has_placeholder(expression: &Expr) -> bool {
    expression
        .exists(|expression| Ok(matches!(expression, Expr::ScalarFunction(call) if is_placeholder(call))))
        .unwrap_or(false)
}

fn fill(expressions: Vec<Expr>, with: impl Fn(&str) -> Expr) -> DataFusionResult<Vec<Expr>> {
    let filled = expressions.into_iter().map(|expression| {
        let name = expression.schema_name().to_string();
        let filled = expression.transform_up(|expression| match expression {
            Expr::ScalarFunction(call) if is_placeholder(&call) => {
                Ok(Transformed::yes(with(call.func.name())))
            }
            other => Ok(Transformed::no(other)),
        })?;
        // The nodes above refer to the column by the placeholder's name.
        if filled.transformed { filled.data.alias_if_changed(name) } else { Ok(filled.data) }
    });
    filled.collect()
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
