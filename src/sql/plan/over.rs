//! Planning `OVER` in a stream: what orders its rows, what its functions need, and what is refused.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, SortExpr, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr,
};

use super::attach::carried;
use super::compile::Compiler;
use super::split::trace_window;
use super::stream_plan::StepPlan;
use crate::error::{Error, Result};
use crate::over::{Ahead, Evaluation, OverFunction, OverSpec};
use crate::sql::relation::{RelationTable, SystemColumn};

/// An `OVER` as an operator, and the steps before it.
pub(super) struct PlannedOver {
    pub(super) spec: OverSpec,
    pub(super) steps: Vec<StepPlan>,
}

/// Makes the hidden columns of `input` go through `window`, as last keys of its order; [`plan_over`] takes them off.
pub(super) fn attach_over(window: Window, input: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let hidden: Vec<SortExpr> = SystemColumn::HIDDEN
        .into_iter()
        .filter_map(|column| Some(carried(&input, column)?.sort(true, false)))
        .collect();
    let expressions = window.window_expr.into_iter().map(|expression| {
        let name = expression.schema_name().to_string();
        match expression.unalias() {
            Expr::WindowFunction(mut call) => {
                call.params.order_by.extend(hidden.iter().cloned());
                Expr::WindowFunction(call).alias(name)
            }
            other => other,
        }
    });
    Ok(LogicalPlan::Window(Window::try_new(expressions.collect(), Arc::new(input))?))
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
struct Calls {
    calls: Vec<WindowFunction>,
    /// `__time`, `__watermark`, `__partition`, `__offset`.
    hidden: Vec<Expr>,
}

fn calls_of(window: &Window) -> Result<Calls> {
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
        let (unseen, order) = call.params.order_by.into_iter().partition(is_hidden);
        call.params.order_by = order;
        let unseen: Vec<SortExpr> = unseen;
        hidden = unseen.into_iter().map(|key| key.expr).collect();
        calls.push(call);
    }
    if hidden.len() != SystemColumn::HIDDEN.len() {
        return Err(Error::invalid(
            "`OVER` in a stream needs rows with an event time, and these have none (an aggregate without a window, a join or DISTINCT lost it)",
        )
        .with_hint("give the inner aggregate a WINDOW; over bounded inputs, `--mode batch` runs it"));
    }
    Ok(Calls { calls, hidden })
}

/// Plans an `OVER` whose rows come out in the order of event time.
pub(super) fn plan_over(window: &Window, compiler: &Compiler<'_>) -> Result<PlannedOver> {
    let Calls { calls, hidden } = calls_of(window)?;
    let first = &calls[0].params;
    require_time_order(&first.order_by, &window.input)?;
    let schema = window.input.schema();
    let (keys, steps, input) = key_columns(&first.partition_by, schema, &hidden)?;

    let mut values = Values { expressions: vec![] };
    let order = compiler.order(&first.order_by, schema)?;
    let order_values = order.iter().map(|key| values.place_of(&key.expr)).collect();
    let mut functions = vec![];
    for call in &calls {
        functions.push(function(call, schema, compiler, &mut values)?);
    }
    let ahead = functions.iter().fold(Ahead::default(), |ahead, function| ahead.and(function.ahead));
    let time_value = match ahead.millis {
        0 => None,
        _ => Some(values.place_of(&compiler.expression(&hidden[0], schema)?)),
    };
    let ordinal = |expression: &Expr| match expression {
        Expr::Column(column) => Ok(schema.index_of_column(column)?),
        _ => Err(Error::internal("a hidden column that is none")),
    };
    let mut ties = vec![ordinal(&hidden[2])?, ordinal(&hidden[3])?];
    if !has_places(&window.input) {
        // Rows of several sources or of an aggregate: what they hold settles what their place does not.
        ties.extend(
            (0..schema.fields().len()).filter(|&column| is_sortable(schema.field(column).data_type())),
        );
    }
    let description =
        calls.iter().map(|call| Expr::from(call.clone()).to_string()).collect::<Vec<_>>().join(", ");
    let spec = OverSpec {
        input,
        output: Arc::clone(window.schema.inner()),
        keys,
        time: ordinal(&hidden[0])?,
        order,
        ties,
        values: values.expressions,
        order_values,
        time_value,
        functions,
        ahead,
        description,
    };
    Ok(PlannedOver { spec, steps })
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

/// Returns the key's columns, the steps before the operator, and what these make of the rows.
fn key_columns(
    partition_by: &[Expr],
    schema: &Arc<DFSchema>,
    hidden: &[Expr],
) -> Result<(Vec<usize>, Vec<StepPlan>, SchemaRef)> {
    let in_time = hidden[0].clone().gt_eq(hidden[1].clone());
    let mut steps = vec![StepPlan::DropLate { condition: in_time, input: Arc::clone(schema) }];
    let mut keys = vec![];
    let mut expressions: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    for key in partition_by {
        match key {
            Expr::Column(column) => keys.push(schema.index_of_column(column)?),
            Expr::Literal(..) => {}
            key => {
                keys.push(fields.len());
                let name = format!("__key_{}", fields.len());
                fields.push(Arc::new(Field::new(name, key.get_type(schema.as_ref())?, true)));
                expressions.push(key.clone());
            }
        }
    }
    let input = Arc::new(Schema::new(fields));
    if expressions.len() > schema.fields().len() {
        let (output, input) = (Arc::clone(&input), Arc::clone(schema));
        steps.push(StepPlan::Project { expressions, input, output });
    }
    Ok((keys, steps, input))
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
            if ignores_nulls {
                return Err(Error::not_yet(format!("`{name} … IGNORE NULLS` in a stream"))
                    .with_hint("leave out the nulls with WHERE, or use `--mode batch` over bounded inputs"));
            }
            ahead.rows = evaluator.get_range(0, usize::MAX)?.end;
        }
        if evaluator.uses_window_frame()
            && ignores_nulls
            && frame.start_bound.is_unbounded()
            && name != "FIRST_VALUE"
        {
            return Err(Error::not_yet(format!("`{name} … IGNORE NULLS` over all rows before, in a stream"))
                .with_hint("bound the frame: ROWS BETWEEN 100 PRECEDING AND CURRENT ROW"));
        }
        Evaluation::Standard(standard)
    } else {
        return Err(Error::not_yet(format!("`{name}` with OVER in a stream")));
    };
    let framed = match &evaluation {
        Evaluation::Standard(standard) => standard.create_evaluator()?.uses_window_frame(),
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

/// Fails unless the rows are ordered by event time first.
fn require_time_order(order: &[SortExpr], input: &LogicalPlan) -> Result<()> {
    let hint = "begin with the event time, ascending: ORDER BY ts; or partition by `window_start` or `window_end` of a windowed input; over bounded inputs, `--mode batch` takes any order";
    let Some(first) = order.first().filter(|first| !matches!(first.expr, Expr::Literal(..))) else {
        return Err(Error::invalid("`OVER` in a stream needs ORDER BY event time").with_hint(hint));
    };
    if first.asc && is_time(&first.expr, input) {
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
    let what = if first.asc { "which is not its event time" } else { "the latest row first" };
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
    if trace_window(expression, plan).is_some() {
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
                    && !is_instant_of_window(&projection.input)
            });
            !declared && is_time(&projection.expr[ordinal], &projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => inner(&alias.input, ordinal),
        LogicalPlan::Filter(filter) => is_time(expression, &filter.input),
        LogicalPlan::Window(window) => {
            ordinal < window.input.schema().fields().len() && inner(&window.input, ordinal)
        }
        LogicalPlan::Aggregate(aggregate) => {
            let group = aggregate.group_expr.get(ordinal);
            group.is_some_and(|group| trace_window(group, &aggregate.input).is_some())
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

/// Returns whether the rows of `plan` got their time from a window.
fn is_instant_of_window(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(_) => true,
        LogicalPlan::Filter(filter) => is_instant_of_window(&filter.input),
        _ => false,
    }
}

/// Returns whether partition and offset tell the rows of `plan` apart.
fn has_places(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Window(_) => plan.inputs().into_iter().all(has_places),
        _ => false,
    }
}

fn is_sortable(data_type: &DataType) -> bool {
    arrow::row::RowConverter::supports_fields(&[arrow::row::SortField::new(data_type.clone())])
}
