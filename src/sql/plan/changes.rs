//! What a plan over changes asks for: rows that are the same when they are withdrawn as when they came.

use datafusion::common::JoinType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use super::attach_join::reads_only_tables;
use super::repeatable::volatile_in;
use super::row_numbers::is_row_aggregate;
use super::stream_plan::{OperatorPlan, ScanPlan, Target};
use super::window_trace::relation_of;
use crate::error::{Error, Result};
use crate::sql::relation::SystemColumn;

/// Returns whether `plan` lets changes that it reads through to its result.
pub(super) fn lets_changes_through(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => relation_of(scan).is_some_and(|relation| relation.withdraws()),
        // What is looked up has no changes of its own.
        LogicalPlan::Join(join) => match (reads_only_tables(&join.left), reads_only_tables(&join.right)) {
            (false, true) => lets_changes_through(&join.left),
            (true, false) if join.join_type != JoinType::Full => lets_changes_through(&join.right),
            _ => lets_changes_through(&join.left) || lets_changes_through(&join.right),
        },
        LogicalPlan::Aggregate(aggregate) if is_row_aggregate(aggregate) => {
            lets_changes_through(&aggregate.input)
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Union(_) => plan.inputs().into_iter().any(lets_changes_through),
        _ => false,
    }
}

/// Returns a function that the result goes through at last, and that gives something else each time.
pub(super) fn volatile_at_last(scans: &[ScanPlan], operators: &[OperatorPlan]) -> Result<Option<String>> {
    let scans = scans.iter().map(|scan| (scan.target, &scan.steps));
    let operators = operators.iter().map(|operator| (operator.target, &operator.steps));
    for (_, steps) in scans.chain(operators).filter(|(target, _)| *target == Target::Sink) {
        if let Some(found) = volatile_in(steps)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Fails if `plan` reads a system column of a changelog that a row does not have again when it is withdrawn.
///
/// # Errors
/// Invalid: names the column and the stream.
pub(super) fn require_lasting_columns(plan: &LogicalPlan) -> Result<()> {
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(TreeNodeRecursion::Continue) };
        let Some(relation) = relation_of(scan).filter(|relation| relation.changelog) else {
            return Ok(TreeNodeRecursion::Continue);
        };
        let mut columns = scan.projected_schema.fields().iter();
        let column = columns.find_map(|field| {
            SystemColumn::by_name(field.name()).filter(|column| !relation.is_lasting(*column))
        });
        refused = column.map(|column| fleeting(column, &relation.name));
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    refused.map_or(Ok(()), Err)
}

fn fleeting(column: SystemColumn, stream: &str) -> Error {
    let name = column.name();
    let error = Error::invalid(format!(
        "`{name}` of `{stream}`, which withdraws rows, would be another when a row is withdrawn"
    ));
    match column {
        SystemColumn::EventTime => error.with_hint(format!(
            "the rows of `{stream}` have no event time: give them one, such as `max(ts) AS _event_time`"
        )),
        _ => error.with_hint(format!("leave `{name}` out, or take it along where the rows are read first")),
    }
}
