//! A query that stands for one value has one row at most: in a stream it becomes a join, which would give all of them.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Subquery};

use crate::sql::functions::only_value_function;

/// Makes the queries for one value that ask for the same for all rows fail where they give several.
pub(super) fn require_only_row(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let required = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expression| {
            expression.transform_up(|part| match part {
                Expr::ScalarSubquery(query)
                    if query.outer_ref_columns.is_empty() && !has_only_row(&query.subquery) =>
                {
                    Ok(Transformed::yes(Expr::ScalarSubquery(only_row(query)?)))
                }
                other => Ok(Transformed::no(other)),
            })
        })
    })?;
    Ok(required.data)
}

fn has_only_row(query: &LogicalPlan) -> bool {
    query.max_rows().is_some_and(|rows| rows <= 1)
}

fn only_row(query: Subquery) -> DataFusionResult<Subquery> {
    let columns = query.subquery.schema().columns();
    let values = columns.into_iter().map(|column| {
        let name = column.name.clone();
        let value = vec![Expr::Column(column)];
        let only = AggregateFunction::new_udf(only_value_function(), value, false, None, vec![], None);
        Expr::AggregateFunction(only).alias(name)
    });
    let values = values.collect();
    let subquery = Arc::new(LogicalPlan::Aggregate(Aggregate::try_new(query.subquery, vec![], values)?));
    Ok(Subquery { subquery, ..query })
}
