//! Windows as columns of rows: a row for each window of a row, and the session of each row.
//!
//! This is how a query that knows its whole input groups by windows, and how a table function gives them in a stream.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::error::Result as DataFusionResult;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::expr::{ScalarFunction, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, WindowFrame, WindowFunctionDefinition, lit,
};

use crate::sql::functions::{session_function, windows_function};
use crate::sql::window_spec::WindowSpec;

/// The column of a row's window.
pub(super) const WINDOW: &str = "__window";

/// Makes a row of `plan` for each of its windows, with the window's bounds in a column that [`bound`] reads.
pub(super) fn expand(
    plan: LogicalPlan,
    time: Expr,
    watermark: Expr,
    spec: &WindowSpec,
) -> DataFusionResult<LogicalPlan> {
    let call = ScalarFunction::new_udf(windows_function(), vec![time, watermark, lit(spec.to_text())]);
    let mut columns = columns_of(&plan);
    columns.push(Expr::ScalarFunction(call).alias(WINDOW));
    LogicalPlanBuilder::from(plan).project(columns)?.unnest_column(Column::from_name(WINDOW))?.build()
}

/// Gives each row of `plan` its session among the rows with the same `keys`, in a column that [`bound`] reads; what a
/// stream must know of the rows goes along as the `hidden` keys of the order.
pub(super) fn with_sessions(
    plan: LogicalPlan,
    time: Expr,
    keys: Vec<Expr>,
    hidden: Vec<SortExpr>,
    spec: &WindowSpec,
) -> DataFusionResult<LogicalPlan> {
    let call = WindowFunction {
        fun: WindowFunctionDefinition::WindowUDF(session_function()),
        params: WindowFunctionParams {
            args: vec![time.clone(), lit(spec.to_text())],
            partition_by: keys,
            order_by: match hidden.is_empty() {
                true => vec![time.sort(true, false)],
                false => hidden,
            },
            window_frame: WindowFrame::new(Some(false)),
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    };
    let call = Expr::WindowFunction(Box::new(call));
    let name = call.schema_name().to_string();
    let mut columns = columns_of(&plan);
    columns.push(Expr::Column(Column::from_name(name)).alias(WINDOW));
    LogicalPlanBuilder::from(plan).window(vec![call])?.project(columns)?.build()
}

/// Returns a part of the window of a row that [`expand`] or [`with_sessions`] made.
pub(super) fn bound(field: &str) -> Expr {
    get_field(Expr::Column(Column::from_name(WINDOW)), field)
}

fn columns_of(plan: &LogicalPlan) -> Vec<Expr> {
    let columns = plan.schema().iter();
    columns.map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name()))).collect()
}

/// Returns a call of a function of a row's time, watermark and window.
pub(super) fn call(
    function: Arc<datafusion::logical_expr::ScalarUDF>,
    time: Expr,
    watermark: Expr,
    spec: &WindowSpec,
) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![time, watermark, lit(spec.to_text())]))
}
