//! Splitting at aggregates of what is found for each row: the steps that find become part of one step.

use std::sync::Arc;

use datafusion::logical_expr::{Aggregate, Projection};

use super::attach_join::reads_only_tables;
use super::row_numbers::numbers;
use super::split::project;
use super::stream_plan::{AggregatePlan, RowAggregatePlan, StepPlan, StreamPlan};
use crate::aggregate::GroupColumn;
use crate::error::{Error, Result};

/// Plans the aggregation of what steps that are yet to come find for each row.
///
/// # Errors
/// Not yet available over the rows of tables alone: what was found for one of them may change without it.
pub(super) fn row_aggregate(aggregate: &Aggregate, ordinal: (usize, String)) -> Result<StepPlan> {
    if reads_only_tables(&aggregate.input) {
        return Err(Error::not_yet(
            "a subquery that belongs to a row of a table that is followed by more than equality",
        )
        .with_hint("read the table once: SELECT …, or leave EMIT CHANGES out"));
    }
    let plan = AggregatePlan {
        keys: aggregate.group_expr.clone(),
        window: None,
        functions: aggregate.aggr_expr.clone(),
        layout: (0..aggregate.group_expr.len()).map(GroupColumn::Key).collect(),
        input: Arc::clone(aggregate.input.schema()),
        output: Arc::clone(aggregate.schema.inner()),
    };
    Ok(StepPlan::RowAggregate(Box::new(RowAggregatePlan { aggregate: plan, ordinal, steps: vec![] })))
}

/// Puts a projection before `steps`; one that numbers rows begins what finds for them, up to their aggregation.
pub(super) fn add_projection(projection: &Projection, steps: &mut Vec<StepPlan>) -> Result<()> {
    let name = numbers(projection);
    steps.insert(0, project(projection));
    let Some(name) = name else { return Ok(()) };
    let ends = |step: &StepPlan| matches!(step, StepPlan::RowAggregate(plan) if plan.ordinal.1 == name && plan.steps.is_empty());
    let Some(end) = steps.iter().position(ends) else {
        return Err(Error::internal("rows are numbered, and not aggregated by their number"));
    };
    let found = steps.drain(..end).collect();
    if let Some(StepPlan::RowAggregate(plan)) = steps.first_mut() {
        plan.steps = found;
    }
    Ok(())
}

/// Returns whether rows that go through `steps` are found for other rows.
pub(super) fn finds_for_rows(steps: &[StepPlan]) -> bool {
    steps.iter().any(|step| matches!(step, StepPlan::RowAggregate(plan) if plan.steps.is_empty()))
}

/// Fails if what is found for a row goes through anything but steps.
pub(super) fn require_steps(plan: &StreamPlan) -> Result<()> {
    let operators = plan.operators.iter().map(|operator| &operator.steps);
    match plan.scans.iter().map(|scan| &scan.steps).chain(operators).any(|steps| finds_for_rows(steps)) {
        true => Err(not_by_steps()),
        false => Ok(()),
    }
}

/// Returns the error for a subquery whose rows have to be kept.
pub(super) fn not_by_steps() -> Error {
    Error::not_yet("a subquery that belongs to a row by more than equality, over a table that changes, for rows that may be withdrawn")
        .with_hint("join the table, or make the subquery an aggregate of rows that equal the row outside")
}
