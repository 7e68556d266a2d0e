//! Planning `OVER` in a stream: what orders its rows, what its functions need, and what is refused.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, SortExpr, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr,
};

use super::attach::carried;
use super::buffered::{count_of, plan_buffered};
use super::compile::Compiler;
use super::known_values::known_values;
use super::row_order::{WindowBound, bound_of, is_sortable, require_time_order};
use super::session_rows::{is_session, plan_sessions};
use super::stream_plan::{OperatorKind, StepPlan};
use super::ties::tie_keys;
use crate::error::{Error, Result};
use crate::over::{Ahead, Evaluation, OverFunction, OverSpec, WindowedOverSpec, distance_text};
use crate::sql::functions::{window_end_function, window_start_function};
use crate::sql::relation::SystemColumn;

/// An `OVER` as an operator, and the steps before it.
pub(super) struct PlannedOver {
    pub(super) kind: OperatorKind,
    pub(super) input: SchemaRef,
    pub(super) keys: Vec<usize>,
    pub(super) steps: Vec<StepPlan>,
}

/// Puts `functions` over `input`, whose hidden columns and ties go along as last keys of the order; [`plan_over`] takes
/// them off.
pub(super) fn attach_over(functions: Vec<Expr>, input: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let hidden = hidden_keys(&input);
    let functions = functions.into_iter().map(|expression| {
        let name = expression.schema_name().to_string();
        match expression.unalias() {
            Expr::WindowFunction(mut call) => {
                call.params.order_by.extend(hidden.iter().cloned());
                Expr::WindowFunction(call).alias(name)
            }
            other => other,
        }
    });
    Ok(LogicalPlan::Window(Window::try_new(functions.collect(), Arc::new(input))?))
}

/// Returns the hidden columns and ties of rows, as the last keys of an order.
pub(super) fn hidden_keys(input: &LogicalPlan) -> Vec<SortExpr> {
    let times = [SystemColumn::Time, SystemColumn::Watermark].into_iter();
    let times = times.filter_map(|column| Some(carried(input, column)?.sort(true, false)));
    times.chain(tie_keys(input)).collect()
}

/// Returns whether `plan` has an `OVER`.
pub(super) fn has_over(plan: &LogicalPlan) -> DataFusionResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Window(_));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// The functions of one `OVER`, with the user's order and the columns that travel unseen.
pub(super) struct Calls {
    pub(super) calls: Vec<WindowFunction>,
    /// `__time`, `__watermark`, `__partition`, `__offset`, and what else settles ties; none where rows have no time.
    pub(super) hidden: Vec<Expr>,
}

impl Calls {
    /// Fails unless rows carry their time.
    pub(super) fn require_time(&self) -> Result<()> {
        if self.hidden.len() >= SystemColumn::HIDDEN.len() {
            return Ok(());
        }
        Err(Error::invalid(
            "`OVER` in a stream needs rows with an event time, and these have none (an aggregate without a window, a join or DISTINCT lost it)",
        )
        .with_hint("give the inner aggregate a WINDOW; over bounded inputs, `--mode batch` runs it"))
    }
}

pub(super) fn calls_of(window: &Window) -> Result<Calls> {
    let is_hidden = |key: &SortExpr| match &key.expr {
        Expr::Column(column) => SystemColumn::HIDDEN.iter().any(|hidden| hidden.name() == column.name),
        _ => false,
    };
    let (mut calls, mut hidden) = (vec![], vec![]);
    for expression in &window.window_expr {
        let Expr::WindowFunction(call) = expression.clone().unalias_nested().data else {
            return Err(Error::internal(format!("`{expression}` is no function with OVER")));
        };
        let mut call = *call;
        let own = call.params.order_by.iter().position(is_hidden).unwrap_or(call.params.order_by.len());
        let unseen = call.params.order_by.split_off(own);
        hidden = unseen.into_iter().map(|key| key.expr).collect();
        calls.push(call);
    }
    Ok(Calls { calls, hidden })
}

/// Plans an `OVER`.
pub(super) fn plan_over(window: &Window, compiler: &Compiler<'_>) -> Result<PlannedOver> {
    let calls = calls_of(window)?;
    calls.require_time()?;
    let partition_by = &calls.calls[0].params.partition_by;
    if let Some(count) = count_of(partition_by) {
        return plan_buffered(window, &calls, count, compiler);
    }
    if is_session(&calls.calls[0]) {
        return plan_sessions(window, &calls, compiler);
    }
    let bounds = || partition_by.iter().filter_map(|key| bound_of(key, &window.input));
    // The end of a session says more than its start.
    match bounds().find(WindowBound::is_end).or_else(|| bounds().next()) {
        Some(bound) => plan_windowed(window, &calls, &bound, compiler),
        None => plan_ordered(window, &calls, compiler),
    }
}

/// Plans an `OVER` whose rows come out when their window closes.
fn plan_windowed(
    window: &Window,
    Calls { calls, hidden }: &Calls,
    bound: &WindowBound,
    compiler: &Compiler<'_>,
) -> Result<PlannedOver> {
    let schema = window.input.schema();
    let first = &calls[0].params;
    let open_until = bound.open_until(&hidden[0])?;
    let late = (!bound.is_of_sessions()).then(|| StepPlan::DropLate {
        condition: open_until.clone().gt_eq(hidden[1].clone()),
        windows: bound.aligned(),
        input: Arc::clone(schema),
    });
    let Prepared { keys, further, project, input } = prepare(&first.partition_by, &[open_until], schema)?;
    let steps = late.into_iter().chain(project).collect();
    let functions = calls.iter().map(|call| compiler.window_function(&Expr::from(call.clone()), schema));
    let spec = WindowedOverSpec {
        input: Arc::clone(&input),
        output: Arc::clone(window.schema.inner()),
        keys: keys.clone(),
        open_until: further[0],
        time: ordinal(&hidden[0], schema)?,
        order: compiler.order(&first.order_by, schema)?,
        ties: ties(&window.input, hidden)?,
        functions: functions.collect::<Result<_>>()?,
        description: description(calls),
    };
    Ok(PlannedOver { kind: OperatorKind::WindowedOver(Arc::new(spec)), input, keys, steps })
}

/// Plans an `OVER` whose rows come out in the order of event time.
fn plan_ordered(
    window: &Window,
    Calls { calls, hidden }: &Calls,
    compiler: &Compiler<'_>,
) -> Result<PlannedOver> {
    let first = &calls[0].params;
    require_time_order(&first.order_by, &window.input)?;
    let schema = window.input.schema();
    let late = drop_late(&hidden[0], &hidden[1], schema);
    let Prepared { keys, project, input, .. } = prepare(&first.partition_by, &[], schema)?;
    let steps = std::iter::once(late).chain(project).collect();

    let mut values = Values { expressions: vec![] };
    let order = compiler.order(&first.order_by, schema)?;
    let order_values = order.iter().map(|key| values.place_of(&key.expr)).collect();
    let mut functions = vec![];
    for call in calls {
        functions.push(function(call, schema, compiler, &mut values)?);
    }
    let ahead = functions.iter().fold(Ahead::default(), |ahead, function| ahead.and(function.ahead));
    let time_value = match ahead.millis {
        0 => None,
        _ => Some(values.place_of(&compiler.expression(&hidden[0], schema)?)),
    };
    let spec = OverSpec {
        input: Arc::clone(&input),
        output: Arc::clone(window.schema.inner()),
        keys: keys.clone(),
        time: ordinal(&hidden[0], schema)?,
        order,
        ties: ties(&window.input, hidden)?,
        values: values.expressions,
        order_values,
        time_value,
        functions,
        ahead,
        description: description(calls),
    };
    Ok(PlannedOver { kind: OperatorKind::Over(Arc::new(spec)), input, keys, steps })
}

/// Says what functions compute, over which rows.
pub(super) fn description(calls: &[WindowFunction]) -> String {
    let texts = |expressions: &[Expr]| expressions.iter().map(bare).collect::<Vec<_>>().join(", ");
    let describe = |call: &WindowFunction| {
        let params = &call.params;
        let mut text = format!("{}({})", call.fun.name(), texts(&params.args));
        if !params.partition_by.is_empty() {
            text.push_str(&format!(" by {}", texts(&params.partition_by)));
        }
        let order = params.order_by.iter().filter(|key| !matches!(key.expr, Expr::Literal(..)));
        let order = order.map(|key| format!("{}{}", bare(&key.expr), if key.asc { "" } else { " desc" }));
        let order = order.collect::<Vec<_>>().join(", ");
        if !order.is_empty() {
            text.push_str(&format!(" in the order of {order}"));
        }
        let framed = match &call.fun {
            WindowFunctionDefinition::AggregateUDF(_) => true,
            WindowFunctionDefinition::WindowUDF(_) => call.fun.name().ends_with("_value"),
        };
        if framed {
            text.push_str(&format!(", {}", frame_text(&params.window_frame)));
        }
        text
    };
    calls.iter().map(describe).collect::<Vec<_>>().join("; ")
}

/// Writes an expression without the names of the streams that its columns are of.
pub(super) fn bare(expression: &Expr) -> String {
    let unqualified = expression.clone().transform(|expression| {
        Ok(match expression {
            Expr::ScalarFunction(call) if call.func.name() == window_start_function().name() => {
                Transformed::yes(Expr::Column(Column::new_unqualified("window_start")))
            }
            Expr::ScalarFunction(call) if call.func.name() == window_end_function().name() => {
                Transformed::yes(Expr::Column(Column::new_unqualified("window_end")))
            }
            Expr::ScalarFunction(call) if call.func.name() == "get_field" => match call.args.last() {
                Some(Expr::Literal(ScalarValue::Utf8(Some(field)), _)) => {
                    Transformed::yes(Expr::Column(Column::new_unqualified(field)))
                }
                _ => Transformed::no(Expr::ScalarFunction(call)),
            },
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    });
    unqualified.map_or_else(|_| expression.to_string(), |bare| bare.data.human_display().to_string())
}

fn frame_text(frame: &WindowFrame) -> String {
    let bound = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(distance) if distance.is_null() => "the first row".to_owned(),
        WindowFrameBound::Following(distance) if distance.is_null() => "the last row".to_owned(),
        WindowFrameBound::CurrentRow => "the current row".to_owned(),
        WindowFrameBound::Preceding(distance) => format!("{} before", distance_text(distance)),
        WindowFrameBound::Following(distance) => format!("{} after", distance_text(distance)),
    };
    let units = format!("{:?}", frame.units).to_lowercase();
    format!("{units} from {} to {}", bound(&frame.start_bound), bound(&frame.end_bound))
}

pub(super) fn ordinal(column: &Expr, schema: &DFSchema) -> Result<usize> {
    match column {
        Expr::Column(column) => Ok(schema.index_of_column(column)?),
        _ => Err(Error::internal("a hidden column that is none")),
    }
}

/// Returns what settles the order of rows that a query leaves equal: the hidden columns after time and watermark, or all
/// that the rows hold where they carry none.
pub(super) fn ties(input: &LogicalPlan, hidden: &[Expr]) -> Result<Vec<usize>> {
    let schema = input.schema();
    if hidden.is_empty() {
        let sortable = |column: &usize| is_sortable(schema.field(*column).data_type());
        return Ok((0..schema.fields().len()).filter(sortable).collect());
    }
    hidden.iter().skip(2).map(|column| ordinal(column, schema)).collect()
}

/// The expressions that the functions are computed from, each once.
struct Values {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
}

impl Values {
    fn place_of(&mut self, expression: &Arc<dyn PhysicalExpr>) -> usize {
        self.expressions.iter().position(|known| known == expression).unwrap_or_else(|| {
            self.expressions.push(Arc::clone(expression));
            self.expressions.len() - 1
        })
    }
}

/// Returns the step that keeps the rows whose `until` the watermark of their partition has not passed.
pub(super) fn drop_late(until: &Expr, watermark: &Expr, schema: &Arc<DFSchema>) -> StepPlan {
    let condition = until.clone().gt_eq(watermark.clone());
    StepPlan::DropLate { condition, windows: None, input: Arc::clone(schema) }
}

/// The columns that an operator needs.
pub(super) struct Prepared {
    /// The key's columns.
    pub(super) keys: Vec<usize>,
    /// The columns of the further expressions.
    pub(super) further: Vec<usize>,
    /// Computes those that the rows do not have, after all that they have.
    pub(super) project: Option<StepPlan>,
    /// The rows then.
    pub(super) input: SchemaRef,
}

/// Finds the columns of `partition_by` and of `further` expressions in rows of `schema`.
pub(super) fn prepare(partition_by: &[Expr], further: &[Expr], schema: &Arc<DFSchema>) -> Result<Prepared> {
    let mut expressions: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    let mut place_of = |expression: &Expr| -> Result<usize> {
        if let Expr::Column(column) = expression {
            return Ok(schema.index_of_column(column)?);
        }
        let name = format!("__over_{}", fields.len());
        fields.push(Arc::new(Field::new(name, expression.get_type(schema.as_ref())?, true)));
        expressions.push(expression.clone());
        Ok(fields.len() - 1)
    };
    let mut keys = vec![];
    for key in partition_by.iter().filter(|key| !matches!(key, Expr::Literal(..))) {
        let place = place_of(key)?;
        if !keys.contains(&place) {
            keys.push(place);
        }
    }
    let further = further.iter().map(place_of).collect::<Result<_>>()?;
    let input = Arc::new(Schema::new(fields));
    let project = (expressions.len() > schema.fields().len()).then(|| {
        let (output, input) = (Arc::clone(&input), Arc::clone(schema));
        StepPlan::Project { expressions, input, output }
    });
    Ok(Prepared { keys, further, project, input })
}

fn function(
    call: &WindowFunction,
    schema: &Arc<DFSchema>,
    compiler: &Compiler<'_>,
    values: &mut Values,
) -> Result<OverFunction> {
    let name = call.fun.name().to_uppercase();
    let compiled = compiler.window_function(&Expr::from(call.clone()), schema)?;
    let frame = Arc::clone(compiled.get_window_frame());
    let any = compiled.as_any();
    let ignores_nulls = call.params.null_treatment == Some(NullTreatment::IgnoreNulls);
    let mut ahead = Ahead::default();
    let evaluation = if let Some(plain) = any.downcast_ref::<PlainAggregateWindowExpr>() {
        Evaluation::Growing(Arc::new(plain.get_aggregate_expr().clone()))
    } else if let Some(sliding) = any.downcast_ref::<SlidingAggregateWindowExpr>() {
        let aggregate = Arc::new(sliding.get_aggregate_expr().clone());
        match aggregate.create_sliding_accumulator() {
            Ok(_) => Evaluation::Sliding(aggregate),
            Err(_) => Evaluation::Recomputed(aggregate),
        }
    } else if let Some(standard) = any.downcast_ref::<StandardWindowExpr>() {
        let standard = Arc::clone(standard.get_standard_func_expr());
        let evaluator = standard.create_evaluator()?;
        if !evaluator.supports_bounded_execution() {
            return Err(whole_partition(&name));
        }
        if !evaluator.uses_window_frame() && !evaluator.is_causal() {
            ahead.rows = evaluator.get_range(0, usize::MAX)?.end;
        }
        let known = if ignores_nulls { known_values(call, &compiled, &frame)? } else { None };
        if let Some(Evaluation::NextKnown { nth, .. }) = &known {
            ahead.rows = *nth;
        }
        known.unwrap_or(Evaluation::Standard(standard))
    } else {
        return Err(Error::not_yet(format!("`{name}` with OVER in a stream")));
    };
    let framed = match &evaluation {
        Evaluation::Standard(standard) => standard.create_evaluator()?.uses_window_frame(),
        Evaluation::NextKnown { .. } => false,
        _ => true,
    };
    if framed {
        ahead = ahead.and(frame_ahead(&frame, &name)?);
    }
    let mut arguments = vec![];
    for argument in compiled.expressions() {
        arguments.push(values.place_of(&argument));
    }
    let filter = match &call.params.filter {
        Some(filter) => Some(values.place_of(&compiler.expression(filter, schema)?)),
        None => None,
    };
    Ok(OverFunction { evaluation, arguments, filter, frame, ahead })
}

/// Returns how far a frame reaches beyond its row.
fn frame_ahead(frame: &WindowFrame, name: &str) -> Result<Ahead> {
    if frame.units == WindowFrameUnits::Groups {
        return Err(Error::not_yet("a `GROUPS` frame in a stream").with_hint("use ROWS or RANGE"));
    }
    let WindowFrameBound::Following(distance) = &frame.end_bound else { return Ok(Ahead::default()) };
    if distance.is_null() {
        return Err(whole_partition(name));
    }
    match (frame.units, distance) {
        (WindowFrameUnits::Rows, ScalarValue::UInt64(Some(rows))) => {
            Ok(Ahead { rows: usize::try_from(*rows).unwrap_or(usize::MAX), millis: 0 })
        }
        (_, ScalarValue::IntervalMonthDayNano(Some(span))) => {
            let days = i64::from(span.months) * 31 + i64::from(span.days);
            let millis =
                span.nanoseconds.div_euclid(1_000_000) + i64::from(span.nanoseconds % 1_000_000 != 0);
            Ok(Ahead { rows: 0, millis: days.saturating_mul(86_400_000).saturating_add(millis) })
        }
        _ => Err(Error::not_yet("`RANGE … FOLLOWING` by a number, in a stream")
            .with_hint("order by a TIMESTAMP column and use INTERVAL, or use ROWS")),
    }
}

fn whole_partition(name: &str) -> Error {
    Error::invalid(format!("`{name}` with this OVER needs all rows of its partition, which a stream never has"))
        .with_hint("partition by `window_start` or `window_end` of a windowed input, end the frame at CURRENT ROW, or use `--mode batch` over bounded inputs")
}
