//! Splitting at joins: with tables rows are looked up in a step; streams meet in an operator.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::logical_expr::{Join, LogicalPlan};

use super::attach_join::reads_only_tables;
use super::compile::Compiler;
use super::lookup::{flipped, not_in_as_condition, plan_lookup, tables_of};
use super::on_missing::table_below;
use super::repeatable::require_repeatable_steps;
use super::row_steps::{finds_for_rows, not_by_steps};
use super::split::{Emission, Place, Splitter};
use super::stream_join::{Conditions, PlannedJoin, Sides, plan_stream_join, with_plain_keys};
use super::stream_plan::{LookupPlan, OperatorKind, OperatorPlan, PortPlan, StepPlan, Target};
use super::version_join::plan_version_join;
use crate::error::{Error, Result};
use crate::table::RetryRule;

/// What meets in a join that keeps both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    /// Rows of streams, or of tables that are followed.
    Streams,
    /// Rows and the versions of a table's rows.
    Versions,
    /// Rows that are withdrawn again, and those of a table that changes: neither side is larger than what it stands for.
    Changes,
}

impl Splitter<'_> {
    /// Adds a join, whose rows go through `after` to `target`; returns whether its result withdraws rows.
    pub(super) fn join(
        &mut self,
        join: &Join,
        after: Vec<StepPlan>,
        target: Target,
        place: Place,
    ) -> Result<bool> {
        let version = Conditions::of(join)?.version().is_some();
        let tables = (reads_only_tables(&join.left), reads_only_tables(&join.right));
        match tables {
            (false, true) if !version => {
                // What is found for a row is no row of its own: it may be nothing.
                let inside = finds_for_rows(&after);
                let none = BTreeSet::new();
                let lookup = plan_lookup(join, if inside { &none } else { self.request.must_find })?;
                let stands_still = matches!(&lookup, StepPlan::Lookup(plan) if plan.stands_still);
                let since = (self.scans.len(), self.operators.len());
                let waits = !inside && self.rule_of(join).is_some();
                let (steps, to) = match lookup {
                    StepPlan::Lookup(lookup) if waits => {
                        (vec![], self.waiting_lookup(join, lookup, after.clone(), target)?)
                    }
                    step => (std::iter::once(step).chain(after.iter().cloned()).collect(), target),
                };
                if !self.flow(&join.left, steps, to, place)? {
                    return Ok(false);
                }
                if waits {
                    return Err(Error::not_yet("rows of a changelog that wait for a table")
                        .with_hint("use another `on.missing`, or give the aggregate a WINDOW"));
                }
                if stands_still {
                    return Ok(true);
                }
                if inside {
                    return Err(not_by_steps());
                }
                // A row that is withdrawn must find what it found when it came: so both sides are kept.
                self.scans.truncate(since.0);
                self.operators.truncate(since.1);
                self.refuse_must_find(&join.right)?;
                self.streams(join, Meeting::Changes, after, target, place)
            }
            (true, false) if join.join_type != JoinType::Full => {
                self.flow(&flipped(join)?, after, target, place)
            }
            _ if version => self.streams(join, Meeting::Versions, after, target, place),
            _ => self.streams(join, Meeting::Streams, after, target, place),
        }
    }

    /// Returns for how long a row of the join waits that finds nothing.
    fn rule_of(&self, join: &Join) -> Option<RetryRule> {
        let looked_up = matches!(join.join_type, JoinType::Inner | JoinType::Left);
        let table = table_below(&join.right).filter(|_| looked_up)?;
        self.request.retries.get(&table).copied()
    }

    /// Adds a lookup in which rows wait, and returns where its input goes. Order and number of the rows that wait are those
    /// of the whole stream, so that one instance has all of them.
    fn waiting_lookup(
        &mut self,
        join: &Join,
        lookup: Box<LookupPlan>,
        after: Vec<StepPlan>,
        target: Target,
    ) -> Result<Target> {
        let Some(rule) = self.rule_of(join) else {
            return Err(Error::internal("a join in which no row waits"));
        };
        if lookup.keys.is_empty() {
            return Err(Error::not_yet("`on.missing` = `retry` of a join without an equality")
                .with_hint("add one to ON: rows wait in the order of their keys"));
        }
        let ordinal = self.operators.len();
        self.operators.push(OperatorPlan {
            kind: OperatorKind::WaitingLookup { lookup, rule },
            ports: vec![PortPlan { schema: Arc::clone(join.left.schema().inner()), exchange: None }],
            steps: after,
            target,
        });
        Ok(Target::of(ordinal))
    }

    fn streams(
        &mut self,
        join: &Join,
        meeting: Meeting,
        after: Vec<StepPlan>,
        target: Target,
        place: Place,
    ) -> Result<bool> {
        let version = meeting == Meeting::Versions;
        let mut join = join.clone();
        not_in_as_condition(&mut join);
        let join = &join;
        if let Some(rewritten) = with_plain_keys(join)? {
            return self.flow(&rewritten, after, target, place);
        }
        let ordinal = self.operators.len();
        let keys = super::stream_join::keys_of(join)?;
        let port = |input: &LogicalPlan, keys: &[usize]| PortPlan {
            schema: Arc::clone(input.schema().inner()),
            exchange: (!keys.is_empty()).then(|| keys.to_vec()),
        };
        let ends = [&join.left, &join.right]
            .iter()
            .all(|side| reads_only_tables(side) || self.require_bounded(side, "a join").is_ok());
        let ends = ends || meeting == Meeting::Changes;
        let emit = self.request.emit.unwrap_or(self.request.unwindowed);
        let explicit = place != Place::BelowEnd && self.request.emit == Some(Emission::Changes);
        let tables = reads_only_tables(&join.left) && reads_only_tables(&join.right);
        let mut sides = Sides {
            end: ends,
            change: false,
            ttl_ms: self.request.ttl_ms,
            at_once: explicit || (tables && emit == Emission::Changes),
        };
        let at_end = place == Place::BelowEnd || (place == Place::Top && emit == Emission::Final);
        let below = if at_end { Place::BelowEnd } else { Place::BelowRows };
        let compiler = Compiler::new(self.state);
        let planned = if version {
            plan_version_join(join, &compiler)
        } else {
            plan_stream_join(join, sides, &compiler)
        };
        let PlannedJoin { kind, withdraws, before } = planned?;
        self.operators.push(OperatorPlan {
            kind,
            ports: vec![port(&join.left, &keys[0]), port(&join.right, &keys[1])],
            steps: after,
            target,
        });
        let since = (self.scans.len(), self.operators.len());
        for (port, side) in [&join.left, &join.right].into_iter().enumerate() {
            let target = Target::Operator { operator: ordinal, port };
            if self.flow(side, vec![], target, below)? {
                sides.change = true;
                self.steps_to(target).try_for_each(|steps| require_repeatable_steps(steps))?;
            }
        }
        if sides.change && version {
            return Err(Error::not_yet("a join of changes with the versions of a table"));
        }
        if sides.change {
            self.operators[ordinal].kind = plan_stream_join(join, sides, &compiler)?.kind;
            return Ok(true);
        }
        for (port, steps) in before.into_iter().enumerate() {
            self.add_steps(Target::Operator { operator: ordinal, port }, &steps, since);
        }
        Ok(withdraws)
    }

    /// Fails if each row must find something in a table that `plan` reads.
    fn refuse_must_find(&self, plan: &LogicalPlan) -> Result<()> {
        match tables_of(plan).iter().find(|table| self.request.must_find.contains(&table.name)) {
            Some(table) => Err(Error::not_yet(format!(
                "`{}.on.missing` = `fail` for rows that are withdrawn",
                table.name
            ))
            .with_hint("use skip, null or defaults")),
            None => Ok(()),
        }
    }

    /// Adds steps to all that goes to `target`, of what was added since.
    fn add_steps(&mut self, target: Target, steps: &[StepPlan], since: (usize, usize)) {
        for scan in self.scans.iter_mut().skip(since.0).filter(|scan| scan.target == target) {
            scan.steps.extend_from_slice(steps);
        }
        for operator in self.operators.iter_mut().skip(since.1).filter(|operator| operator.target == target) {
            operator.steps.extend_from_slice(steps);
        }
    }
}
