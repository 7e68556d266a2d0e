//! The numbers of rows by which what was found for them is grouped.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection, Window};

use super::ties::row_number;
use crate::sql::functions::{row_ordinal_function, settled_function};

/// What the columns begin with that number rows.
const ORDINAL: &str = "__ordinal";
/// Returns whether an aggregate is over what was found for each row, one group for each.
pub(super) fn is_row_aggregate(aggregate: &Aggregate) -> bool {
    ordinal_of(aggregate).is_some()
}

/// Returns which group of an aggregate is the number of a row, and its name.
pub(super) fn ordinal_of(aggregate: &Aggregate) -> Option<(usize, String)> {
    // The numbers of other queries' rows, which may be columns of the row too, came before.
    let mut groups = aggregate.group_expr.iter().enumerate().rev();
    groups.find_map(|(at, group)| match group {
        Expr::Column(column) if column.name.starts_with(ORDINAL) => Some((at, column.name.clone())),
        _ => None,
    })
}

/// Returns the name of the column with which a projection numbers rows.
pub(super) fn numbers(projection: &Projection) -> Option<String> {
    let mut columns = projection.expr.iter();
    columns.find_map(|column| {
        let name = column.schema_name().to_string();
        let numbers = matches!(column.clone().unalias(), Expr::ScalarFunction(call) if call.func == row_ordinal_function());
        (numbers && name.starts_with(ORDINAL)).then_some(name)
    })
}

/// Numbers rows, in their batch or as a whole; `number` tells the column from others.
pub(super) fn numbered(
    input: Arc<LogicalPlan>,
    number: usize,
    in_batch: bool,
) -> DataFusionResult<LogicalPlan> {
    let ordinal = format!("{ORDINAL}{number}");
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    if in_batch {
        let number = ScalarFunction::new_udf(row_ordinal_function(), vec![]);
        columns.push(Expr::ScalarFunction(number).alias(ordinal));
        return Ok(LogicalPlan::Projection(Projection::try_new(columns, input)?));
    }
    let number = row_number(vec![], vec![]);
    let name = number.schema_name().to_string();
    let window = LogicalPlan::Window(Window::try_new(vec![number], input)?);
    columns.push(Expr::Column(Column::from_name(name)).alias(ordinal));
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(window))?))
}

/// Leaves the number out of rows that were grouped by it.
///
/// Rows that something else tells apart would be grouped by that, and not in their batch, if nothing read their number.
pub(super) fn without_ordinal(aggregate: Aggregate) -> DataFusionResult<LogicalPlan> {
    let Some((ordinal, name)) = ordinal_of(&aggregate) else {
        return datafusion::common::internal_err!("rows were not grouped by their number");
    };
    let (groups, name) = (aggregate.group_expr.len(), Expr::Column(Column::from_name(name)));
    let columns = aggregate.schema.columns().into_iter().enumerate().filter(|(at, _)| *at != ordinal);
    let columns = columns.map(|(at, column)| match at < groups {
        true => Expr::Column(column),
        false => {
            let read =
                ScalarFunction::new_udf(settled_function(), vec![Expr::Column(column.clone()), name.clone()]);
            Expr::ScalarFunction(read).alias(column.name)
        }
    });
    let columns = columns.collect();
    let plan = Arc::new(LogicalPlan::Aggregate(aggregate));
    Ok(LogicalPlan::Projection(Projection::try_new(columns, plan)?))
}
