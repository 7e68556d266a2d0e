//! Splitting: an optimised logical plan is cut at its stateful nodes into a [`StreamPlan`].
//!
//! Only nodes that are known to be right row by row go into steps. `LIMIT`, `ORDER BY` and `DISTINCT` would silently
//! become per-batch there, so they are operators; whatever is not listed here is refused by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::DFSchema;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection, TableScan, Union, Window};

use crate::aggregate::{GroupColumn, Showing};
use crate::error::{Error, Result};
use crate::sql::plan::attach::KEPT;
use crate::sql::plan::attach_join::reads_only_tables;
use crate::sql::plan::changes::{lets_changes_through, volatile_at_last};
use crate::sql::plan::compile::Compiler;
use crate::sql::plan::errors::no_streaming_form;
use crate::sql::plan::group_key::group_key;
use crate::sql::plan::keyed_by_window::{KeyedByWindow, is_timeless, keyed_by_window};
use crate::sql::plan::over::{PlannedOver, plan_over};
use crate::sql::plan::repeatable::require_repeatable_steps;
use crate::sql::plan::row_numbers::ordinal_of;
use crate::sql::plan::row_steps::{add_projection, require_steps, row_aggregate};
use crate::sql::plan::stream_plan::{
    AggregatePlan, OperatorKind, OperatorPlan, PortPlan, ScanPlan, StepPlan, StreamPlan, Target, WindowPlan,
};
use crate::sql::plan::time_bound::event_time_columns;
use crate::sql::plan::top::{FirstRows, PlannedTop, first_rows};
use crate::sql::plan::window_trace::{TracedWindow, given_window, trace_window, window_columns};
use crate::sql::relation::{Relation, RelationTable, SystemColumn, WindowPart};
use crate::table::RetryRule;

/// When aggregates without a window, and windows, give their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emission {
    /// One row for each group when its window closes, or at the end of the input.
    Final,
    /// Each change.
    Changes,
}

/// What splitting a plan must know of the query.
#[derive(Debug, Clone, Copy)]
pub(super) struct SplitRequest<'a> {
    /// `EMIT …`, if the query says it.
    pub(super) emit: Option<Emission>,
    /// What aggregates without a window do if the query does not say.
    pub(super) unwindowed: Emission,
    /// Whether windows are given at their end and corrected by late rows.
    pub(super) corrects: bool,
    /// How long keys that nobody touches are kept, if not for ever, in milliseconds of event time.
    pub(super) ttl_ms: Option<i64>,
    /// The tables in which each row must find something.
    pub(super) must_find: &'a BTreeSet<String>,
    /// The tables for which a row waits that finds nothing.
    pub(super) retries: &'a BTreeMap<String, RetryRule>,
}

impl SplitRequest<'_> {
    /// Returns whether what has no window is given once, at the end of the input.
    pub(super) fn is_final(self) -> bool {
        self.emit.unwrap_or(self.unwindowed) == Emission::Final
    }
}

/// Cuts `plan` into scans, steps and operators.
pub(super) fn split(
    plan: &LogicalPlan,
    request: SplitRequest<'_>,
    state: &SessionState,
) -> Result<StreamPlan> {
    let mut splitter = Splitter { request, state, scans: vec![], operators: vec![] };
    let changelog = if request.is_final() && lets_changes_through(plan) {
        splitter.fold(plan, Target::Sink)?
    } else {
        splitter.flow(plan, vec![], Target::Sink, Place::Top)?
    };
    // Operators were found from the sink upwards; the driver wants each after those that feed it.
    let last = splitter.operators.len();
    splitter.operators.reverse();
    let renumber = |target: &mut Target| {
        if let Target::Operator { operator, .. } = target {
            *operator = last - 1 - *operator;
        }
    };
    splitter.operators.iter_mut().for_each(|operator| renumber(&mut operator.target));
    splitter.scans.iter_mut().for_each(|scan| renumber(&mut scan.target));
    let volatile = volatile_at_last(&splitter.scans, &splitter.operators)?.filter(|_| changelog);
    let split = StreamPlan {
        scans: splitter.scans,
        operators: splitter.operators,
        output: schema_of(plan),
        windows: window_columns(plan),
        time_columns: event_time_columns(plan),
        changelog,
        group_key: group_key(plan),
        volatile,
    };
    require_steps(&split)?;
    Ok(split)
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing stateful is between it and the sink.
    Top,
    /// Below an operator that answers when the input ends.
    BelowEnd,
    /// Below an operator that answers as rows come.
    BelowRows,
}

pub(super) struct Splitter<'a> {
    pub(super) request: SplitRequest<'a>,
    pub(super) state: &'a SessionState,
    pub(super) scans: Vec<ScanPlan>,
    pub(super) operators: Vec<OperatorPlan>,
}

impl Splitter<'_> {
    /// Adds `plan`, whose rows go through `after` to `target`; returns whether its result withdraws rows.
    pub(super) fn flow(
        &mut self,
        plan: &LogicalPlan,
        mut after: Vec<StepPlan>,
        target: Target,
        place: Place,
    ) -> Result<bool> {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => self.flow(&alias.input, after, target, place),
            LogicalPlan::Projection(projection) => {
                add_projection(projection, &mut after)?;
                self.flow(&projection.input, after, target, place)
            }
            LogicalPlan::Filter(filter) => {
                if let Some(first) = first_rows(filter)? {
                    self.refuse_ttl("the first rows of each key")?;
                    return self.first_rows(&first, after, target, place);
                }
                let input = Arc::clone(filter.input.schema());
                after.insert(0, StepPlan::Filter { condition: filter.predicate.clone(), input });
                self.flow(&filter.input, after, target, place)
            }
            LogicalPlan::Unnest(unnest) => {
                let input = schema_of(&unnest.input);
                after.insert(0, StepPlan::Plan { name: "unnest".to_owned(), node: plan.clone(), input });
                if self.flow(&unnest.input, after, target, place)? {
                    return Err(Error::not_yet("`UNNEST` over a changelog"));
                }
                Ok(false)
            }
            LogicalPlan::Union(union) => self.union(union, &after, target, place),
            LogicalPlan::TableScan(scan) => self.scan(scan, after, target),
            LogicalPlan::Aggregate(aggregate) => match ordinal_of(aggregate) {
                Some(ordinal) => {
                    after.insert(0, row_aggregate(aggregate, ordinal)?);
                    self.flow(&aggregate.input, after, target, place)
                }
                None => self.aggregate(aggregate, after, target, place),
            },
            LogicalPlan::Window(window) => self.over(window, after, target),
            LogicalPlan::Join(join) => self.join(join, after, target, place),
            LogicalPlan::Sort(sort) => self.sort(sort, after, target),
            LogicalPlan::Limit(limit) => self.limit(limit, after, target),
            // A condition that no row meets.
            LogicalPlan::EmptyRelation(nothing) if !nothing.produce_one_row => Ok(false),
            other => Err(no_streaming_form(other)),
        }
    }

    fn union(&mut self, union: &Union, after: &[StepPlan], target: Target, place: Place) -> Result<bool> {
        let output: SchemaRef = Arc::clone(union.schema.inner());
        let mut changelog = false;
        for input in &union.inputs {
            // The branches agree in types; their columns take the names of the union.
            let columns = input.schema().iter().map(|(qualifier, field)| {
                Expr::Column(datafusion::common::Column::new(qualifier.cloned(), field.name()))
            });
            let mut steps = after.to_vec();
            let rename = StepPlan::Project {
                expressions: columns.collect(),
                input: Arc::clone(input.schema()),
                output: Arc::clone(&output),
            };
            steps.insert(0, rename);
            changelog |= self.flow(input, steps, target, place)?;
        }
        Ok(changelog)
    }

    fn scan(&mut self, scan: &TableScan, after: Vec<StepPlan>, target: Target) -> Result<bool> {
        let provider = source_as_provider(&scan.source)?;
        let Some(table) = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<RelationTable>() else {
            return Err(Error::not_yet(format!("reading `{}` in a stream", scan.table_name)));
        };
        let relation = match (&table.relation.table, &table.relation.changes) {
            (None, _) => Arc::clone(&table.relation),
            (Some(_), Some(changes)) => Arc::clone(&changes.stream),
            (Some(_), None) => return Err(rows_of_table(&table.relation.name)),
        };
        let withdraws = relation.changelog;
        let full = scan.source.schema();
        let wanted: Vec<usize> =
            scan.projection.clone().unwrap_or_else(|| (0..full.fields().len()).collect());
        let scan = scan_plan(relation, &full, &wanted)?;
        self.scans.push(ScanPlan { steps: after, target, ..scan });
        Ok(withdraws)
    }

    fn aggregate(
        &mut self,
        aggregate: &Aggregate,
        after: Vec<StepPlan>,
        target: Target,
        place: Place,
    ) -> Result<bool> {
        let plan = self.aggregate_plan(aggregate)?;
        let spec = Arc::new(Compiler::new(self.state).aggregate(&plan)?);
        let expires = aggregate.group_expr.iter().any(|group| group.schema_name().to_string() == KEPT);
        let (windowed, distinct) = (plan.window.is_some() && !expires, plan.functions.is_empty());
        if distinct && !windowed {
            self.refuse_ttl("`DISTINCT`")?;
        }
        let emission = match place {
            Place::BelowEnd => Emission::Final,
            Place::Top => {
                self.request.emit.unwrap_or(if windowed { Emission::Final } else { self.request.unwindowed })
            }
            Place::BelowRows if windowed => Emission::Final,
            Place::BelowRows => Emission::Changes,
        };
        let showing = match emission {
            Emission::Changes => Showing::Always,
            Emission::Final if expires => {
                return Err(Error::invalid("`state.ttl` forgets keys, and `EMIT FINAL` gives all of them")
                    .with_hint("use EMIT CHANGES, a WINDOW, or leave `state.ttl` out"));
            }
            Emission::Final if distinct && !windowed => Showing::Always,
            Emission::Final if windowed && self.request.corrects && place == Place::Top => Showing::AtEnd,
            Emission::Final => Showing::AtClose,
        };
        // Each distinct row comes once and stays.
        let changelog =
            showing != Showing::AtClose && !(distinct && spec.window.as_ref().is_none_or(|key| !key.grows()));
        let kind = OperatorKind::Aggregate { spec: Arc::clone(&spec), showing };
        let ordinal = self.operators.len();
        self.operators.push(OperatorPlan {
            kind,
            ports: vec![PortPlan {
                schema: spec.state_schema()?,
                exchange: (!spec.keys.is_empty()).then(|| spec.state_keys()),
            }],
            steps: after,
            target,
        });
        let below = if emission == Emission::Final && !windowed { Place::BelowEnd } else { Place::BelowRows };
        let steps = vec![StepPlan::PartialAggregate(Box::new(plan.clone()))];
        let withdrawn = self.flow(&aggregate.input, steps, Target::of(ordinal), below)?;
        if !withdrawn && !is_timeless(&plan) {
            return Ok(changelog);
        }
        if expires {
            self.refuse_ttl("an aggregate over a changelog")?;
        }
        // No window closes for rows that may still be withdrawn: it changes, or is given at the end.
        let wants_end = emission == Emission::Final;
        let said = place != Place::Top || self.request.emit.is_some();
        let at_end = wants_end && place != Place::BelowRows && (!windowed || said);
        if at_end && windowed {
            self.require_bounded(
                &aggregate.input,
                "EMIT FINAL with a window over rows that may be withdrawn",
            )?;
        }
        self.take_back(ordinal, &plan, at_end)?;
        Ok(!at_end)
    }

    /// Makes the aggregate with this ordinal one over a changelog.
    fn take_back(&mut self, ordinal: usize, plan: &AggregatePlan, at_end: bool) -> Result<()> {
        let KeyedByWindow { plan, windows } = keyed_by_window(plan)?;
        let compiler = Compiler::new(self.state);
        let spec = Arc::new(compiler.aggregate(&plan)?);
        let retraction = Arc::new(compiler.retraction(&spec, &plan)?);
        for steps in self.steps_to(Target::of(ordinal)) {
            require_repeatable_steps(steps)?;
            if let Some(StepPlan::PartialAggregate(_)) = steps.last() {
                steps.pop();
                steps.extend(windows.clone());
                steps.push(StepPlan::RetractedRows(Box::new(plan.clone())));
            }
        }
        let operator = &mut self.operators[ordinal];
        operator.ports = vec![PortPlan {
            schema: Arc::clone(retraction.schema()),
            exchange: (!spec.keys.is_empty()).then(|| retraction.keys()),
        }];
        operator.kind = OperatorKind::RetractingAggregate { spec, retraction, at_end };
        Ok(())
    }

    /// Returns the steps of all whose rows go to `target`.
    pub(super) fn steps_to(&mut self, target: Target) -> impl Iterator<Item = &mut Vec<StepPlan>> {
        let scans = self.scans.iter_mut().map(|scan| (scan.target, &mut scan.steps));
        let operators = self.operators.iter_mut().map(|operator| (operator.target, &mut operator.steps));
        let all = scans.chain(operators).filter(move |(to, _)| *to == target);
        all.map(|(_, steps)| steps)
    }

    fn aggregate_plan(&self, aggregate: &Aggregate) -> Result<AggregatePlan> {
        let (mut keys, mut layout, mut given) = (vec![], vec![], vec![]);
        let mut placed: Option<(TracedWindow, Expr, Expr)> = None;
        for expression in &aggregate.group_expr {
            if matches!(expression, Expr::GroupingSet(_)) {
                return Err(Error::not_yet("`ROLLUP`, `CUBE` and `GROUPING SETS` in a stream"));
            }
            let traced = trace_window(expression, &aggregate.input);
            if let Some(TracedWindow { call: Some((time, watermark)), part, .. }) = &traced {
                layout.push(match part {
                    WindowPart::Start => GroupColumn::WindowStart,
                    WindowPart::End => GroupColumn::WindowEnd,
                    WindowPart::Duration => GroupColumn::SessionDuration,
                });
                placed = traced.clone().map(|traced| (traced, time.clone(), watermark.clone()));
                continue;
            }
            given.extend(traced.map(|traced| (traced, expression.clone())));
            layout.push(GroupColumn::Key(keys.len()));
            keys.push(expression.clone());
        }
        let window = match placed {
            Some((traced, time, watermark)) => {
                Some(WindowPlan::Placed { time, watermark, spec: traced.spec })
            }
            None => given_window(&given)?,
        };
        Ok(AggregatePlan {
            keys,
            window,
            functions: aggregate.aggr_expr.clone(),
            layout,
            input: Arc::clone(aggregate.input.schema()),
            output: Arc::clone(aggregate.schema.inner()),
        })
    }

    fn first_rows(
        &mut self,
        first: &FirstRows<'_>,
        mut steps: Vec<StepPlan>,
        target: Target,
        place: Place,
    ) -> Result<bool> {
        let at_end = match place {
            Place::BelowEnd => true,
            Place::Top => self.request.is_final(),
            Place::BelowRows => false,
        };
        let PlannedTop { kind, input, keys, before, after } =
            first.plan(&steps, at_end, &Compiler::new(self.state))?;
        steps.splice(0..0, after);
        let ordinal = self.operators.len();
        let exchange = (!keys.is_empty()).then_some(keys);
        self.operators.push(OperatorPlan {
            kind,
            ports: vec![PortPlan { schema: input, exchange }],
            steps,
            target,
        });
        let before = before.into_iter().collect();
        if self.flow(first.input(), before, Target::of(ordinal), Place::BelowRows)? {
            return Err(Error::not_yet("the first rows of a changelog")
                .with_hint("give the inner aggregate a WINDOW, or use `--mode batch`"));
        }
        Ok(!at_end)
    }

    fn refuse_ttl(&self, what: &str) -> Result<()> {
        if self.request.ttl_ms.is_some() {
            return Err(Error::not_yet(format!("`state.ttl` for {what}")).with_hint("leave `state.ttl` out"));
        }
        Ok(())
    }

    fn over(&mut self, window: &Window, after: Vec<StepPlan>, target: Target) -> Result<bool> {
        self.refuse_ttl("`OVER`")?;
        let PlannedOver { kind, input, keys, steps } = plan_over(window, &Compiler::new(self.state))?;
        let ordinal = self.operators.len();
        self.operators.push(OperatorPlan {
            kind,
            ports: vec![PortPlan { schema: input, exchange: (!keys.is_empty()).then_some(keys) }],
            steps: after,
            target,
        });
        if self.flow(&window.input, steps, Target::of(ordinal), Place::BelowRows)? {
            return Err(Error::not_yet("`OVER (…)` over a changelog")
                .with_hint("give the inner aggregate a WINDOW, or use `--mode batch`"));
        }
        Ok(false)
    }

    /// Fails if a scan below `plan` never ends.
    pub(super) fn require_bounded(&self, plan: &LogicalPlan, what: &str) -> Result<()> {
        let only_tables = reads_only_tables(plan);
        // What is looked up need not end.
        let asked = |input: &&LogicalPlan| only_tables || !reads_only_tables(input);
        for input in plan.inputs().into_iter().filter(asked) {
            self.require_bounded(input, what)?;
        }
        let LogicalPlan::TableScan(scan) = plan else { return Ok(()) };
        let provider = source_as_provider(&scan.source)?;
        match (provider.as_ref() as &dyn std::any::Any).downcast_ref::<RelationTable>() {
            Some(table) if !table.relation.ends() => Err(Error::invalid(format!(
                "{what} needs an input that ends, and {} `{}` does not",
                if table.relation.table.is_some() { "table" } else { "stream" },
                table.relation.name
            ))
            .with_hint("bound the source: `'scan.end' = 'latest'` of a topic, `'rows'` of a generator, `'events'` of nexmark")),
            _ => Ok(()),
        }
    }
}

/// Returns the error for following a table whose changes go elsewhere.
fn rows_of_table(name: &str) -> Error {
    Error::not_yet(format!("following table `{name}`, which has a sink of its own")).with_hint(format!(
        "create it without a sink, and write its changes: INSERT INTO … SELECT * FROM {name}"
    ))
}

/// Plans the reading of the columns `wanted` of `full`, which are a relation's columns and system columns after them.
pub fn scan_plan(relation: Arc<Relation>, full: &SchemaRef, wanted: &[usize]) -> Result<ScanPlan> {
    let declared = relation.schema.fields().len();
    let mut columns: Vec<usize> = wanted.iter().copied().filter(|&column| column < declared).collect();
    columns.sort_unstable();
    columns.dedup();
    let mut system = vec![];
    let mut order = vec![];
    for &column in wanted {
        if column < declared {
            order.push(columns.binary_search(&column).unwrap_or_default());
            continue;
        }
        let name = full.field(column).name();
        let system_column = SystemColumn::by_name(name)
            .ok_or_else(|| Error::internal(format!("`{name}` is no system column")))?;
        order.push(columns.len() + system.len());
        system.push(system_column);
    }
    let schema = Arc::new(full.project(wanted)?);
    let steps = vec![];
    Ok(ScanPlan { relation, columns, system, order, tombstones: None, schema, steps, target: Target::Sink })
}

pub(super) fn project(projection: &Projection) -> StepPlan {
    StepPlan::Project {
        expressions: projection.expr.clone(),
        input: Arc::clone(projection.input.schema()),
        output: Arc::clone(projection.schema.inner()),
    }
}

pub(super) fn schema_of(plan: &LogicalPlan) -> Arc<Schema> {
    let schema: &DFSchema = plan.schema();
    Arc::clone(schema.inner())
}
