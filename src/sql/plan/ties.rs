//! Ties: what settles the order of rows that the order of a query leaves equal, in a stream and in a batch alike.
//!
//! It is the place of a row in its source, partition and offset, and where that does not tell rows apart, as with those
//! of an aggregate, all that they hold.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::error::Result as DataFusionResult;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, Filter, LogicalPlan, SortExpr, Window, WindowFrame, WindowFrameUnits, WindowFunctionDefinition,
    cast, lit,
};

use super::attach::carried;
use super::row_order::is_sortable;
use crate::sql::relation::SystemColumn;

/// Functions whose answer depends on the order of the rows they are over.
pub(super) const ORDERED_FUNCTIONS: [&str; 6] =
    ["first_value", "last_value", "nth_value", "array_agg", "string_agg", "delta"];

/// Returns the last keys of an order over the rows of `input`; none where rows carry no place.
pub(super) fn tie_keys(input: &LogicalPlan) -> Vec<SortExpr> {
    let places = [SystemColumn::TiePartition, SystemColumn::TieOffset];
    let mut keys: Vec<SortExpr> =
        places.into_iter().filter_map(|column| Some(carried(input, column)?.sort(true, false))).collect();
    if !keys.is_empty() && !has_places(input) {
        let visible = input
            .schema()
            .iter()
            .filter(|(_, field)| !field.name().starts_with("__") && is_sortable(field.data_type()));
        let columns =
            visible.map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())));
        keys.extend(columns.map(|column| column.sort(true, false)));
    }
    keys
}

/// Returns whether partition and offset tell the rows of `plan` apart.
fn has_places(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::Window(_) => plan.inputs().into_iter().all(has_places),
        _ => false,
    }
}

/// Returns the partition of a row of a union of `inputs`, whose row of input number `ordinal` it is: two of them may
/// each have a first row of a first partition.
pub(super) fn partition_in_union(partition: Expr, ordinal: usize, inputs: usize) -> Expr {
    let number = |number: usize| {
        cast(
            lit(u64::try_from(number).unwrap_or(u64::MAX)),
            SystemColumn::TiePartition.field().data_type().clone(),
        )
    };
    let name = SystemColumn::TiePartition.name();
    (partition * number(inputs) + number(ordinal)).alias(name)
}

/// Puts `functions` over `input`, which is read once and as a whole, in an order that leaves no rows equal.
///
/// Functions that number rows, look at the one before, or have a frame of rows get the place as last keys of their
/// order. Where a frame goes by the values of the order its peers are those of the query's order; for a function that
/// depends on the order of rows too, they are put in order below.
pub(super) fn over_in_order(functions: Vec<Expr>, input: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let ties = tie_keys(&input);
    if ties.is_empty() {
        return Ok(LogicalPlan::Window(Window::try_new(functions, Arc::new(input))?));
    }
    let (mut by_place, mut by_value, mut sorted) = (vec![], vec![], None);
    for function in functions {
        let name = function.schema_name().to_string();
        match function.unalias() {
            Expr::WindowFunction(mut call) if goes_by_place(&call) => {
                call.params.order_by.extend(ties.iter().cloned());
                by_place.push(Expr::WindowFunction(call).alias(name));
            }
            Expr::WindowFunction(call) => {
                if ORDERED_FUNCTIONS.contains(&call.fun.name()) {
                    sorted = Some(numbers(&call, &ties));
                }
                by_value.push(Expr::WindowFunction(call).alias(name));
            }
            other => by_value.push(other),
        }
    }
    let mut plan = input;
    if !by_place.is_empty() {
        plan = LogicalPlan::Window(Window::try_new(by_place, Arc::new(plan))?);
    }
    if let Some(numbers) = sorted {
        // The condition holds for every row, and keeps the optimiser from dropping what sorts them.
        let name = format!("__row_{}", plan.schema().fields().len());
        let numbers = vec![numbers.alias(&name)];
        plan = LogicalPlan::Window(Window::try_new(numbers, Arc::new(plan))?);
        let holds = Expr::Column(Column::from_name(name)).gt(lit(0_u64));
        plan = LogicalPlan::Filter(Filter::try_new(holds, Arc::new(plan))?);
    }
    if !by_value.is_empty() {
        plan = LogicalPlan::Window(Window::try_new(by_value, Arc::new(plan))?);
    }
    Ok(plan)
}

/// Returns whether a function goes by the places of rows in the order, and not by the values that order them.
fn goes_by_place(call: &WindowFunction) -> bool {
    let places = ["row_number", "lag", "lead", "ntile"];
    let frame = &call.params.window_frame;
    let whole = frame.start_bound.is_unbounded() && frame.end_bound.is_unbounded();
    let by_rows = frame.units == WindowFrameUnits::Rows;
    match &call.fun {
        WindowFunctionDefinition::WindowUDF(_) if places.contains(&call.fun.name()) => {
            frame.can_accept_multi_orderby()
        }
        WindowFunctionDefinition::WindowUDF(_) => by_rows && call.fun.name().ends_with("_value"),
        WindowFunctionDefinition::AggregateUDF(_) => {
            by_rows && (!whole || ORDERED_FUNCTIONS.contains(&call.fun.name()))
        }
    }
}

/// Returns the number of each row in the order of `call`, then of `ties`.
fn numbers(call: &WindowFunction, ties: &[SortExpr]) -> Expr {
    let order_by = call.params.order_by.iter().chain(ties).cloned().collect();
    row_number(call.params.partition_by.clone(), order_by)
}

/// Returns the number of each row among those with the same values, in an order.
pub(super) fn row_number(partition_by: Vec<Expr>, order_by: Vec<SortExpr>) -> Expr {
    Expr::WindowFunction(Box::new(WindowFunction {
        fun: WindowFunctionDefinition::WindowUDF(row_number_udwf()),
        params: WindowFunctionParams {
            args: vec![],
            partition_by,
            window_frame: WindowFrame::new(Some(true)),
            order_by,
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    }))
}
