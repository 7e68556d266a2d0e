//! `x IN (SELECT y …)`: what is asked for gets a name of its own.
//!
//! Cast to the type of `x` it would keep the name of the column, by which the rows may be joined as they are.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Subquery};

const ASKED: &str = "__asked";

/// Names what the queries behind `IN` give, where they depend on the row outside.
pub(super) fn name_asked(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let named = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expression| {
            expression.transform_up(|part| match part {
                Expr::InSubquery(within) if !within.subquery.outer_ref_columns.is_empty() => named(within),
                other => Ok(Transformed::no(other)),
            })
        })
    })?;
    Ok(named.data)
}

fn named(within: InSubquery) -> DataFusionResult<Transformed<Expr>> {
    let LogicalPlan::Projection(projection) = within.subquery.subquery.as_ref() else {
        return Ok(Transformed::no(Expr::InSubquery(within)));
    };
    let columns = projection.expr.iter().map(|column| column.clone().unalias().alias(ASKED)).collect();
    let projection = Projection::try_new(columns, Arc::clone(&projection.input))?;
    let subquery = Subquery { subquery: Arc::new(LogicalPlan::Projection(projection)), ..within.subquery };
    Ok(Transformed::yes(Expr::InSubquery(InSubquery { subquery, ..within })))
}
