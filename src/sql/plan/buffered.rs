//! Planning `OVER (ROWS WINDOW BUFFER n ROWS …)`: an operator in a stream, a function of whole partitions in a batch.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, LogicalPlan, SortExpr, Window, WindowFrame, WindowFunctionDefinition, WindowUDF,
};

use super::compile::Compiler;
use super::over::{Calls, PlannedOver, Prepared, calls_of, description, drop_late, ordinal, prepare, ties};
use super::stream_plan::OperatorKind;
use crate::error::{Error, Result};
use crate::over::{BufferedOverSpec, LastRows};
use crate::sql::functions::{LastRowsFunction, ROWS_BUFFER};

/// Returns whether a function is over the last rows of its key.
pub(super) fn is_buffered(function: &Expr) -> bool {
    match function.clone().unalias_nested().data {
        Expr::WindowFunction(call) => count_of(&call.params.partition_by).is_some(),
        _ => false,
    }
}

/// Returns how many rows the functions see, if `partition_by` has the mark.
pub(super) fn count_of(partition_by: &[Expr]) -> Option<usize> {
    partition_by.iter().find_map(buffer_of)
}

/// Returns how many rows `OVER (ROWS WINDOW BUFFER n ROWS …)` keeps, if `key` is its mark.
fn buffer_of(key: &Expr) -> Option<usize> {
    match key {
        Expr::ScalarFunction(call) if call.func.name() == ROWS_BUFFER => match call.args.first()? {
            Expr::Literal(ScalarValue::Int64(Some(count)), _) => usize::try_from(*count).ok(),
            _ => None,
        },
        _ => None,
    }
}

/// The functions of one `OVER` without the mark.
struct Unmarked {
    calls: Vec<WindowFunction>,
    partition_by: Vec<Expr>,
    order_by: Vec<SortExpr>,
}

fn unmarked(calls: &[WindowFunction]) -> Unmarked {
    let first = &calls[0].params;
    let partition_by: Vec<Expr> =
        first.partition_by.iter().filter(|key| buffer_of(key).is_none()).cloned().collect();
    let order = first.order_by.iter().filter(|key| !matches!(key.expr, Expr::Literal(..)));
    let order_by = order.cloned().collect();
    let mut calls = calls.to_vec();
    for call in &mut calls {
        call.params.partition_by.clone_from(&partition_by);
    }
    Unmarked { calls, partition_by, order_by }
}

/// Plans an `OVER` whose functions see the last rows of the key.
pub(super) fn plan_buffered(
    window: &Window,
    Calls { calls, hidden }: &Calls,
    count: usize,
    compiler: &Compiler<'_>,
) -> Result<PlannedOver> {
    let schema = window.input.schema();
    let Unmarked { calls, partition_by, order_by } = unmarked(calls);
    let late = drop_late(&hidden[0], &hidden[1], schema);
    let Prepared { keys, project, input, .. } = prepare(&partition_by, &[], schema)?;
    let functions = calls.iter().map(|call| compiler.window_function(&Expr::from(call.clone()), schema));
    let spec = BufferedOverSpec {
        input: Arc::clone(&input),
        output: Arc::clone(window.schema.inner()),
        keys: keys.clone(),
        time: ordinal(&hidden[0], schema)?,
        ties: ties(&window.input, hidden)?,
        order: compiler.order(&order_by, schema)?,
        count,
        functions: functions.collect::<Result<_>>()?,
        description: description(&calls),
    };
    let steps = std::iter::once(late).chain(project).collect();
    Ok(PlannedOver { kind: OperatorKind::BufferedOver(Arc::new(spec)), input, keys, steps })
}

/// Makes each function over last rows one over the whole partition, in the order in which a stream would give its rows.
pub(super) fn batch_buffers(plan: LogicalPlan, state: &SessionState) -> DataFusionResult<LogicalPlan> {
    let compiler = Compiler::new(state);
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Window(window) if window.window_expr.iter().any(is_buffered) => {
            let window = in_batch(&window, &compiler);
            let window = window.map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok(Transformed::yes(LogicalPlan::Window(window)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

fn in_batch(window: &Window, compiler: &Compiler<'_>) -> Result<Window> {
    let Calls { calls, hidden } = calls_of(window)?;
    let [time, _, places @ ..] = hidden.as_slice() else {
        return Err(Error::invalid("`ROWS WINDOW BUFFER` needs rows with an event time, and these have none")
            .with_hint("the last rows are those before a row in time; over a table write ROWS BETWEEN 99 PRECEDING AND CURRENT ROW"));
    };
    let count = count_of(&calls[0].params.partition_by).unwrap_or(1);
    let Unmarked { calls, partition_by, order_by } = unmarked(&calls);
    let schema = window.input.schema();
    let before = schema.fields().len();
    let by_time: Vec<SortExpr> =
        std::iter::once(time).chain(places).map(|key| key.clone().sort(true, false)).collect();
    let mut functions = vec![];
    for (call, field) in calls.iter().zip(window.schema.fields().iter().skip(before)) {
        let (seen, columns) = columns_seen(call, &order_by, schema)?;
        let function = compiler.window_function(&Expr::from(call.clone()), &seen)?;
        let order = compiler.order(&order_by, &seen)?;
        let rows = LastRows::try_new(seen.as_arrow(), order, count, vec![function])?;
        let function = LastRowsFunction::new(rows, Arc::clone(seen.inner()), Arc::clone(field));
        let call = WindowFunction {
            fun: WindowFunctionDefinition::WindowUDF(Arc::new(WindowUDF::new_from_impl(function))),
            params: WindowFunctionParams {
                args: columns,
                partition_by: partition_by.clone(),
                order_by: by_time.clone(),
                window_frame: WindowFrame::new(Some(false)),
                filter: None,
                null_treatment: None,
                distinct: false,
            },
        };
        functions.push(Expr::WindowFunction(Box::new(call)).alias(field.name()));
    }
    Ok(Window::try_new(functions, Arc::clone(&window.input))?)
}

/// Returns the columns that a call reads, and the schema of rows of them.
fn columns_seen(
    call: &WindowFunction,
    order_by: &[SortExpr],
    schema: &DFSchema,
) -> Result<(DFSchema, Vec<Expr>)> {
    let params = &call.params;
    let read = params.args.iter().chain(params.filter.as_deref()).chain(&params.partition_by);
    let read = read.chain(order_by.iter().map(|key| &key.expr));
    let mut columns: HashSet<usize> = HashSet::new();
    for column in read.flat_map(Expr::column_refs) {
        columns.insert(schema.index_of_column(column)?);
    }
    let mut columns: Vec<usize> = columns.into_iter().collect();
    columns.sort_unstable();
    let fields = columns.iter().map(|&column| {
        let (qualifier, field) = schema.qualified_field(column);
        (qualifier.cloned(), Arc::clone(field))
    });
    let fields: Vec<_> = fields.collect();
    let named = |(qualifier, field): &(Option<_>, Arc<arrow::datatypes::Field>)| {
        Expr::Column(Column::new(qualifier.clone(), field.name()))
    };
    let columns = fields.iter().map(named).collect();
    Ok((DFSchema::new_with_metadata(fields, schema.metadata().clone())?, columns))
}
