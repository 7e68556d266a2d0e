//! `EXISTS` and `IN` as values: what decides over rows is a join, what is shown beside them is a count.
//!
//! DataFusion plans them in conditions only, and there without NULL where they stand under OR. In a select list `EXISTS (q)` becomes `(SELECT count(*) FROM q) > 0`, and `x IN (q)`
//! true, NULL or false as the numbers of equal rows, of NULLs, and of all rows say.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DataFusionResult;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Aggregate, Expr, Filter, LogicalPlan, Projection, Subquery, lit, not, when};

use super::attach_join::reads_only_tables;

/// Turns the queries that say whether there are rows into counts of rows, where they do not decide by themselves over the
/// rows of a filter.
pub(super) fn count_subqueries(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let counted = plan.transform_up(|node| match node {
        LogicalPlan::Projection(projection) => {
            let columns = projection.expr.iter().map(|column| {
                let name = column.schema_name().to_string();
                let counted = count_in(column.clone(), &projection.input, true)?;
                counted.map_data(|column| column.alias_if_changed(name))
            });
            let columns = columns.collect::<DataFusionResult<Vec<_>>>()?;
            if !columns.iter().any(|column| column.transformed) {
                return Ok(Transformed::no(LogicalPlan::Projection(projection)));
            }
            let columns = columns.into_iter().map(|column| column.data).collect();
            let counted = Projection::try_new(columns, projection.input)?;
            Ok(Transformed::yes(LogicalPlan::Projection(counted)))
        }
        LogicalPlan::Filter(filter) => {
            let conditions = split_conjunction(&filter.predicate).into_iter();
            let conditions = conditions.map(|condition| match condition {
                decides @ (Expr::Exists(_) | Expr::InSubquery(_)) => Ok(Transformed::no(decides.clone())),
                // The mark of a row that DataFusion's join gives is never NULL, as that of `NOT IN` must be.
                other => count_in(other.clone(), &filter.input, false),
            });
            let conditions = conditions.collect::<DataFusionResult<Vec<_>>>()?;
            if !conditions.iter().any(|condition| condition.transformed) {
                return Ok(Transformed::no(LogicalPlan::Filter(filter)));
            }
            let conditions = conditions.into_iter().map(|condition| condition.data);
            let predicate = conjunction(conditions).unwrap_or_else(|| lit(true));
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(counted.data)
}

/// Counts for each query in `expression`; if `exists` says so, for `EXISTS` too.
pub(super) fn count_in(
    expression: Expr,
    input: &LogicalPlan,
    exists: bool,
) -> DataFusionResult<Transformed<Expr>> {
    expression.transform_up(|part| match part {
        Expr::Exists(Exists { subquery, negated }) if exists => {
            let exists = number(&subquery, None)?.gt(lit(0_i64));
            Ok(Transformed::yes(if negated { not(exists) } else { exists }))
        }
        Expr::InSubquery(within) if exists || reads_only_tables(&within.subquery.subquery) => {
            Ok(Transformed::yes(is_in(&within, input)?))
        }
        other => Ok(Transformed::no(other)),
    })
}

fn is_in(within: &InSubquery, input: &LogicalPlan) -> DataFusionResult<Expr> {
    let value = within.expr.as_ref().clone();
    let outer = value.clone().transform_up(|part| match part {
        Expr::Column(column) => {
            let field = Arc::clone(input.schema().qualified_field_from_column(&column)?.1);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let column = Expr::Column(within.subquery.subquery.schema().columns().swap_remove(0));
    let some = |condition| {
        Ok::<_, datafusion::error::DataFusionError>(number(&within.subquery, condition)?.gt(lit(0_i64)))
    };
    let unknown = some(Some(column.clone().is_null()))?.or(value.is_null().and(some(None)?));
    let (found, not_found) = (lit(!within.negated), lit(within.negated));
    when(some(Some(column.eq(outer.data)))?, found)
        .when(unknown, lit(datafusion::common::ScalarValue::Boolean(None)))
        .otherwise(not_found)
}

/// Returns the number of rows of a query for which `condition` holds, as a query.
fn number(query: &Subquery, condition: Option<Expr>) -> DataFusionResult<Expr> {
    let mut rows = Arc::clone(&query.subquery);
    let mut outer_ref_columns = query.outer_ref_columns.clone();
    if let Some(condition) = condition {
        let mut outer = vec![];
        condition.apply(|part| {
            if matches!(part, Expr::OuterReferenceColumn(..)) {
                outer.push(part.clone());
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })?;
        outer.retain(|column| !outer_ref_columns.contains(column));
        outer_ref_columns.extend(outer);
        rows = Arc::new(LogicalPlan::Filter(Filter::try_new(condition, rows)?));
    }
    let counted = Aggregate::try_new(rows, vec![], vec![count(lit(1_i64)).alias("__rows")])?;
    let subquery = Arc::new(LogicalPlan::Aggregate(counted));
    Ok(Expr::ScalarSubquery(Subquery { subquery, outer_ref_columns, spans: query.spans.clone() }))
}
