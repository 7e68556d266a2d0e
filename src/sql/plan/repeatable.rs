//! What computes the same again: a row that is withdrawn must go where it went when it came.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Volatility};

use super::stream_plan::{AggregatePlan, StepPlan};
use crate::error::{Error, Result};

/// Fails if a step over changes calls a function that gives something else each time, such as `now`.
///
/// # Errors
/// Not yet available: names the function.
pub(super) fn require_repeatable_steps(steps: &[StepPlan]) -> Result<()> {
    for step in steps {
        match step {
            StepPlan::Filter { condition, .. } | StepPlan::DropLate { condition, .. } => {
                require_repeatable(condition)?;
            }
            StepPlan::Project { expressions, .. } => expressions.iter().try_for_each(require_repeatable)?,
            StepPlan::PartialAggregate(plan) | StepPlan::RetractedRows(plan) => {
                require_repeatable_aggregate(plan)?;
            }
            StepPlan::Lookup(plan) => {
                return Err(Error::not_yet(format!(
                    "`{}` between a changelog and an aggregate",
                    plan.describe()
                ))
                .with_hint("join the table below the inner aggregate, or above the outer one"));
            }
            StepPlan::Plan { node, .. } => node.expressions().iter().try_for_each(require_repeatable)?,
        }
    }
    Ok(())
}

fn require_repeatable_aggregate(plan: &AggregatePlan) -> Result<()> {
    plan.keys.iter().chain(&plan.functions).try_for_each(require_repeatable)
}

fn require_repeatable(expression: &Expr) -> Result<()> {
    let mut found = None;
    expression.apply(|part| {
        if let Expr::ScalarFunction(call) = part
            && call.func.signature().volatility == Volatility::Volatile
        {
            found = Some(call.func.name().to_owned());
        }
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    match found {
        None => Ok(()),
        Some(name) => Err(Error::not_yet(format!(
            "`{name}` between a changelog and an aggregate, where a withdrawn row must be what it was,"
        ))
        .with_hint(format!("call `{name}` below the inner aggregate, or above the outer one"))),
    }
}
