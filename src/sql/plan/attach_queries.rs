//! Attaching time in the queries that stand in expressions.
//!
//! `EXISTS` and `IN` over a stream become joins, whose rows must know how far time is on both sides: a condition that the
//! optimizer takes for part of the correlation carries it along.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::{Exists, InSubquery, ScalarFunction};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Subquery, SubqueryAlias, lit};

use super::attach::{Lateness, TimeRules, attach_time, carried, without_hidden};
use super::attach_join::{other_name, reads_only_tables, renamed, visible};
use crate::sql::functions::meets_function;
use crate::sql::relation::SystemColumn;

/// What the rows of a query in an expression are called, where they come from the stream that the expression is over.
const ASKED: &str = "__asked";

/// Returns whether `expression` is a query over a stream whose rows decide over others.
pub(super) fn is_stream_query(expression: &Expr) -> bool {
    query_of(expression).is_some_and(|query| !reads_only_tables(&query.subquery))
}

fn query_of(expression: &Expr) -> Option<&Subquery> {
    match expression {
        Expr::Exists(Exists { subquery, .. }) | Expr::InSubquery(InSubquery { subquery, .. }) => {
            Some(subquery)
        }
        _ => None,
    }
}

/// Attaches time in the queries of a plan's expressions that [`attach_stream_queries`] does not come to.
pub(super) fn attach_queries(plan: LogicalPlan, rules: TimeRules) -> DataFusionResult<LogicalPlan> {
    let attach = |query: LogicalPlan| match query {
        LogicalPlan::Subquery(query) => {
            let inner = attach_queries(Arc::unwrap_or_clone(query.subquery), rules)?;
            let inner =
                if reads_only_tables(&inner) { inner } else { without_hidden(attach_time(inner, rules)?)? };
            Ok(Transformed::yes(LogicalPlan::Subquery(Subquery { subquery: Arc::new(inner), ..query })))
        }
        other => Ok(Transformed::no(other)),
    };
    let later = |node: &LogicalPlan| {
        rules.lateness != Lateness::Never
            && matches!(node, LogicalPlan::Filter(filter) if filter.predicate.exists(|part| Ok(is_stream_query(part))).unwrap_or(false))
    };
    let attached = plan.transform_down(|node| {
        if later(&node) { Ok(Transformed::no(node)) } else { node.map_subqueries(attach) }
    })?;
    Ok(attached.data)
}

/// Makes the rows of `outer`, which `predicate` decides over, meet those of the streams that it asks.
pub(super) fn attach_stream_queries(
    predicate: Expr,
    outer: &LogicalPlan,
    rules: TimeRules,
) -> DataFusionResult<Expr> {
    if rules.lateness == Lateness::Never {
        return Ok(predicate);
    }
    let attached = predicate.transform_down(|part| {
        let streams = is_stream_query(&part);
        match part {
            Expr::Exists(exists) if streams => {
                let subquery = meeting(exists.subquery, outer, rules)?;
                Ok(Transformed::yes(Expr::Exists(Exists { subquery, ..exists })))
            }
            Expr::InSubquery(within) if streams => {
                let subquery = meeting(within.subquery, outer, rules)?;
                Ok(Transformed::yes(Expr::InSubquery(InSubquery { subquery, ..within })))
            }
            other => Ok(Transformed::no(other)),
        }
    })?;
    Ok(attached.data)
}

fn meeting(query: Subquery, outer: &LogicalPlan, rules: TimeRules) -> DataFusionResult<Subquery> {
    let inner = attach_queries(Arc::unwrap_or_clone(query.subquery), rules)?;
    let inner = told_apart(attach_time(inner, rules)?, outer)?;
    let times = [SystemColumn::Time, SystemColumn::Watermark];
    let has_time = times.iter().all(|column| carried(&inner, *column).is_some());
    // A name that both sides have would be taken for that of the rows inside.
    let inner = renamed(inner)?;
    let theirs = has_time.then(|| times.map(|column| Expr::Column(Column::from_name(other_name(column)))));
    let ours: Option<Vec<Expr>> = times.iter().map(|column| outer_column(outer, *column)).collect();
    let (Some(theirs), Some(ours)) = (theirs, ours) else {
        return Ok(Subquery { subquery: Arc::new(visible(inner)?), ..query });
    };
    let mut outer_ref_columns = query.outer_ref_columns;
    let mut arguments = vec![];
    for reference in ours {
        if !outer_ref_columns.contains(&reference) {
            outer_ref_columns.push(reference.clone());
        }
        arguments.push(reference);
    }
    arguments.extend(theirs);
    arguments.push(lit(""));
    let condition = Expr::ScalarFunction(ScalarFunction::new_udf(meets_function(), arguments));
    let filtered = LogicalPlan::Filter(Filter::try_new(condition, Arc::new(inner))?);
    Ok(Subquery { subquery: Arc::new(visible(filtered)?), outer_ref_columns, spans: query.spans })
}

/// Gives the rows inside another name where they would have that of those outside, whose times stand beside theirs.
fn told_apart(inner: LogicalPlan, outer: &LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let name = |plan: &LogicalPlan| match carried(plan, SystemColumn::Time) {
        Some(Expr::Column(column)) => column.relation,
        _ => None,
    };
    if name(&inner).is_none() || name(&inner) != name(outer) {
        return Ok(inner);
    }
    Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(inner), ASKED)?))
}

/// Returns a hidden column of the rows outside, as a query inside refers to it.
fn outer_column(outer: &LogicalPlan, column: SystemColumn) -> Option<Expr> {
    let (qualifier, field) = outer.schema().iter().find(|(_, field)| field.name() == column.name())?;
    let name = Column::new(qualifier.cloned(), field.name());
    Some(Expr::OuterReferenceColumn(Arc::clone(field), name))
}
