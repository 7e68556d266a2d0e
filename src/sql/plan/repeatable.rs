//! What computes the same again: a row that is withdrawn must go where it went when it came.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Volatility};

use super::stream_plan::StepPlan;
use crate::error::{Error, Result};
use crate::sql::functions::{ROW_ORDINAL, settled_function};

/// Fails if a step over changes calls a function that gives something else each time, such as `now`.
///
/// # Errors
/// Not yet available: names the function.
pub(super) fn require_repeatable_steps(steps: &[StepPlan]) -> Result<()> {
    if let Some(lookup) = changing_lookup(steps) {
        return Err(Error::not_yet(format!("`{lookup}` between a changelog and an aggregate"))
            .with_hint("join the table below the inner aggregate, or above the outer one"));
    }
    match volatile_in(steps)? {
        None => Ok(()),
        Some(name) => Err(Error::not_yet(format!(
            "`{name}` between a changelog and an aggregate, where a withdrawn row must be what it was,"
        ))
        .with_hint(format!("call `{name}` below the inner aggregate, or above the outer one"))),
    }
}

/// Returns a lookup in `steps` in something that changes.
pub(super) fn changing_lookup(steps: &[StepPlan]) -> Option<String> {
    steps.iter().find_map(|step| match step {
        StepPlan::Lookup(plan) if !plan.stands_still => Some(plan.describe()),
        StepPlan::RowAggregate(plan) => changing_lookup(&plan.steps),
        _ => None,
    })
}

/// Returns a function in `steps` that gives something else each time.
pub(super) fn volatile_in(steps: &[StepPlan]) -> Result<Option<String>> {
    for step in steps {
        let found = match step {
            StepPlan::Filter { condition, .. } | StepPlan::DropLate { condition, .. } => volatile(condition)?,
            StepPlan::Project { expressions, .. } => first_volatile(expressions)?,
            StepPlan::PartialAggregate(plan) | StepPlan::RetractedRows(plan) => {
                first_volatile(plan.keys.iter().chain(&plan.functions))?
            }
            StepPlan::RowWindows { time, .. } => volatile(time)?,
            StepPlan::Lookup(plan) => {
                first_volatile(plan.keys.iter().map(|(key, _)| key).chain(&plan.condition))?
            }
            StepPlan::Plan { node, .. } => first_volatile(&node.expressions())?,
            StepPlan::RowAggregate(plan) => match first_volatile(&plan.aggregate.functions)? {
                None => volatile_in(&plan.steps)?,
                found => found,
            },
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn first_volatile<'a>(expressions: impl IntoIterator<Item = &'a Expr>) -> Result<Option<String>> {
    let found = expressions.into_iter().map(volatile).find(|found| !matches!(found, Ok(None)));
    found.unwrap_or(Ok(None))
}

fn volatile(expression: &Expr) -> Result<Option<String>> {
    let mut found = None;
    expression.apply(|part| {
        if let Expr::ScalarFunction(call) = part
            && call.func.signature().volatility == Volatility::Volatile
            // It gives what it gets; the optimiser is not to see through it.
            && call.func.name() != settled_function().name()
            // The number of a row stays within the step that it is for.
            && call.func.name() != ROW_ORDINAL
        {
            found = Some(call.func.name().to_owned());
        }
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
