//! Splitting at what answers at the end of its input: order, limits, and what changes come to.

use std::sync::Arc;

use datafusion::logical_expr::{FetchType, Limit, LogicalPlan, SkipType, Sort};

use super::changes::lets_changes_through;
use super::repeatable::require_repeatable_steps;
use super::split::{Place, Splitter, schema_of};
use super::stream_plan::{OperatorKind, OperatorPlan, PortPlan, StepPlan, Target};
use crate::error::{Error, Result};

impl Splitter<'_> {
    pub(super) fn sort(&mut self, sort: &Sort, after: Vec<StepPlan>, target: Target) -> Result<bool> {
        self.require_bounded(&sort.input, "`ORDER BY`")?;
        let input = Arc::clone(sort.input.schema());
        let kind = OperatorKind::Sort { order: sort.expr.clone(), input, fetch: sort.fetch };
        self.bounded(kind, &sort.input, after, target, Place::BelowEnd)
    }

    pub(super) fn limit(&mut self, limit: &Limit, after: Vec<StepPlan>, target: Target) -> Result<bool> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Err(Error::invalid("LIMIT and OFFSET take numbers"));
        };
        let bounded = self.require_bounded(&limit.input, "LIMIT").is_ok();
        let place = if bounded { Place::BelowEnd } else { Place::BelowRows };
        self.bounded(OperatorKind::Limit { skip, fetch }, &limit.input, after, target, place)
    }

    fn bounded(
        &mut self,
        kind: OperatorKind,
        input: &LogicalPlan,
        after: Vec<StepPlan>,
        target: Target,
        place: Place,
    ) -> Result<bool> {
        let ordinal = self.operators.len();
        let name = kind.name();
        let schema = schema_of(input);
        self.operators.push(OperatorPlan {
            kind,
            ports: vec![PortPlan { schema, exchange: None }],
            steps: after,
            target,
        });
        let target = Target::of(ordinal);
        if place == Place::BelowEnd && lets_changes_through(input) {
            return self.fold(input, target);
        }
        if self.flow(input, vec![], target, place)? {
            return Err(Error::not_yet(format!("`{name}` over a changelog")));
        }
        Ok(false)
    }

    /// Adds `plan`, of whose changes only what they come to at the end goes to `target`.
    pub(super) fn fold(&mut self, plan: &LogicalPlan, target: Target) -> Result<bool> {
        let ordinal = self.operators.len();
        let ports = vec![PortPlan { schema: schema_of(plan), exchange: None }];
        self.operators.push(OperatorPlan { kind: OperatorKind::Fold, ports, steps: vec![], target });
        self.flow(plan, vec![], Target::of(ordinal), Place::BelowEnd)?;
        self.steps_to(Target::of(ordinal)).try_for_each(|steps| require_repeatable_steps(steps))?;
        Ok(false)
    }
}
