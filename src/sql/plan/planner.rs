//! [`Planner`]: plans one query at a time against given relations.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use sqlparser::ast::Query;
use sqlparser::tokenizer::Span;

use super::attach::{Lateness, TimeRules, attach_time, carried, needs_time, without_hidden};
use super::attach_queries::attach_queries;
use super::buffered::batch_buffers;
use super::changes::require_lasting_columns;
use super::counted_subqueries::count_subqueries;
use super::diagnose::diagnose;
use super::errors::{planning_error, unknown_relation};
use super::lookup::not_in_some;
use super::named_subqueries::name_asked;
use super::on_missing::{Looking, OnMissing, with_missing};
use super::only_row::require_only_row;
use super::over::has_over;
use super::prepared::{Prepared, known};
use super::row_queries::{RowQueries, join_row_queries};
use super::split::{Emission, SplitRequest, split};
use super::stream_plan::StreamPlan;
use super::subqueries::subquery_in;
use super::window_trace::relation_of;
use crate::error::{Error, Result};
use crate::sql::functions::{EpochClock, SessionProfile, byte_range, session_state, with_checked_arithmetic};
use crate::sql::relation::{Relation, SystemColumn};
use crate::time::LateRule;

/// What a query is planned with.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The streams that can be read.
    pub relations: BTreeMap<String, Arc<Relation>>,
    /// All names that there are, for suggestions.
    pub names: Vec<String>,
    /// The values of parameters: `1` for `$1`, `name` for `:name`.
    pub parameters: BTreeMap<String, ScalarValue>,
}

/// What becomes of the rows of a query.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// The declared columns of the target, to which the result is cast by position; or the names of some of them.
    pub target: Option<SchemaRef>,
    /// For each result column the target column that it goes to, where the statement lists them.
    pub columns: Option<Vec<String>>,
    /// Whether the event time goes along as a last column `__time`, and the watermark after it.
    pub carry_time: bool,
    /// How long windows take rows after their end unless they say it themselves, in milliseconds.
    pub grace_ms: i64,
    /// The time zone of windows that name none.
    pub zone: chrono_tz::Tz,
    /// How long a running aggregate keeps a key that nobody touches, in milliseconds of event time.
    pub ttl_ms: Option<i64>,
    /// What becomes of rows whose windows have ended.
    pub late: LateRule,
    /// What becomes of rows that find nothing in a table, by the table's name.
    pub missing: BTreeMap<String, OnMissing>,
}

/// Plans queries.
pub struct Planner {
    stream: SessionState,
    batch: SessionState,
}

impl Planner {
    /// Creates a planner; `parallelism` is for queries that run once.
    pub fn new(parallelism: NonZeroUsize) -> Self {
        let clock = EpochClock::default();
        Self {
            stream: session_state(SessionProfile::Stream, &clock),
            batch: session_state(SessionProfile::Batch { parallelism }, &clock),
        }
    }

    /// Returns the registry of functions and rules for streams.
    pub fn stream_state(&self) -> &SessionState {
        &self.stream
    }

    /// Returns the registry of functions and rules for queries that run once.
    pub fn batch_state(&self) -> &SessionState {
        &self.batch
    }

    /// Plans a query that runs as a stream; `text` is the whole file, for the places of errors.
    pub fn plan_stream(
        &self,
        query: &Query,
        text: &str,
        inputs: &Inputs,
        shape: &Shape,
        emission: (Option<Emission>, Emission),
    ) -> Result<StreamPlan> {
        let relations = known(inputs);
        let plan = self.logical_plan(&self.stream, query, text, inputs, shape, Lateness::AboveAggregates)?;
        let plan = self.stream.optimize(&plan).map_err(|error| planning_error(error, text, &relations))?;
        require_lasting_columns(&plan)?;
        let corrects = shape.late == LateRule::Correct;
        let ttl_ms = shape.ttl_ms;
        let must_find = shape.missing.iter().filter(|(_, rule)| rule.fails());
        let must_find = must_find.map(|(table, _)| table.clone()).collect();
        let retries = shape.missing.iter();
        let retries = retries.filter_map(|(table, rule)| Some((table.clone(), rule.retries()?))).collect();
        let request = SplitRequest {
            emit: emission.0,
            unwindowed: emission.1,
            corrects,
            ttl_ms,
            must_find: &must_find,
            retries: &retries,
        };
        if let Some((what, place)) = subquery_in(query)
            && has_subquery(&plan, is_subquery)?
        {
            let error = Error::not_yet(format!("{what} in a stream"))
                .with_hint("over bounded inputs, `--mode batch` runs it");
            return Err(marked(error, place, text));
        }
        split(&plan, request, &self.stream)
    }

    /// Checks a query that is not run by itself, such as a view.
    ///
    /// # Errors
    /// `Invalid`, as for queries that run.
    pub fn check(&self, query: &Query, text: &str, inputs: &Inputs) -> Result<()> {
        let shape = Shape::default();
        self.logical_plan(&self.stream, query, text, inputs, &shape, Lateness::AboveAggregates).map(drop)
    }

    /// Plans a query that runs once over bounded inputs.
    pub fn plan_batch(
        &self,
        query: &Query,
        text: &str,
        inputs: &Inputs,
        shape: &Shape,
    ) -> Result<LogicalPlan> {
        let relations = known(inputs);
        let plan = self.logical_plan(&self.batch, query, text, inputs, shape, Lateness::Never)?;
        let plan = self.batch.optimize(&plan).and_then(not_in_some);
        let plan = plan.and_then(|plan| batch_buffers(plan, &self.batch)).and_then(with_checked_arithmetic);
        let plan = plan.map_err(|error| planning_error(error, text, &relations))?;
        require_lasting_columns(&plan)?;
        if let Some((what, place)) = subquery_in(query)
            && has_subquery(&plan, runs_by_no_plan)?
        {
            let error = Error::not_yet(format!("{what} of this form"))
                .with_hint("ask in a condition of WHERE, or join the rows");
            return Err(marked(error, place, text));
        }
        Ok(plan)
    }

    fn logical_plan(
        &self,
        state: &SessionState,
        query: &Query,
        text: &str,
        inputs: &Inputs,
        shape: &Shape,
        lateness: Lateness,
    ) -> Result<LogicalPlan> {
        let relations = known(inputs);
        let prepared = Prepared::new(query, text, inputs)?;
        let plan = prepared.plan(state)?;
        let (plan, looking) = match lateness {
            Lateness::Never => (Ok(plan), Looking::Whole),
            _ => (require_only_row(plan), Looking::Rows),
        };
        let plan = plan
            .and_then(name_asked)
            .and_then(count_subqueries)
            .and_then(|plan| join_row_queries(plan, RowQueries::Keyed))
            .and_then(|plan| with_missing(plan, &shape.missing, looking))
            .map_err(|error| planning_error(error, text, &relations))?;
        // The rows of a table have no time, and no place among others.
        let over = has_over(&plan)? && (lateness != Lateness::Never || !reads_table(&plan)?);
        let expires = lateness != Lateness::Never && shape.ttl_ms.is_some();
        let plan = if needs_time(&plan)? || shape.carry_time || over || expires {
            let Shape { grace_ms, zone, late, ttl_ms, .. } = *shape;
            let rules = TimeRules { lateness, grace_ms, zone, late, ttl_ms };
            let attached = attach_queries(plan, rules)
                .and_then(|plan| attach_time(plan, rules))
                .map_err(|error| planning_error(error, text, &relations))?;
            top_columns(attached, shape.carry_time)?
        } else {
            plan
        };
        let plan = match &shape.target {
            Some(target) => cast_to(plan, target, shape.columns.as_deref()),
            None => unique_names(plan),
        }?;
        let which = if lateness == Lateness::Never { RowQueries::Once } else { RowQueries::Streamed };
        join_row_queries(plan, which).map_err(|error| planning_error(error, text, &relations))
    }

    /// Returns every error of a query that planning finds, each with its place; nothing if each part of it can be planned.
    pub fn diagnose(&self, query: &Query, text: &str, inputs: &Inputs) -> Vec<Error> {
        match Prepared::new(query, text, inputs) {
            Ok(prepared) => diagnose(&self.stream, &prepared),
            Err(_) => vec![],
        }
    }

    /// Returns the error for a relation that is not there.
    pub fn unknown_relation(name: &str, inputs: &Inputs) -> Error {
        unknown_relation(name, &known(inputs))
    }
}

/// Returns whether `plan` reads a table.
fn reads_table(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(TreeNodeRecursion::Continue) };
        found |= relation_of(scan).is_some_and(|relation| relation.table.is_some());
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(_)) || runs_by_no_plan(expr)
}

/// Returns whether an expression is a query that an optimised plan has no way to run.
fn runs_by_no_plan(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarSubquery(query) => !query.outer_ref_columns.is_empty(),
        Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => true,
        _ => false,
    }
}

/// Returns whether an expression of `plan` has a query in it of which `is_query` says so.
fn has_subquery(plan: &LogicalPlan, is_query: fn(&Expr) -> bool) -> Result<bool> {
    let in_node = |node: &LogicalPlan| {
        let mut found = false;
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(is_query(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    };
    Ok(plan.exists(in_node)?)
}

fn marked(error: Error, place: Span, text: &str) -> Error {
    let place = datafusion::common::Span::try_from_sqlparser_span(place);
    match place.and_then(|place| byte_range(text, place)) {
        Some(place) => error.with_span(place),
        None => error,
    }
}

/// Leaves the visible columns, and after them time and watermark if they are wanted.
fn top_columns(plan: LogicalPlan, carry_time: bool) -> Result<LogicalPlan> {
    if !carry_time {
        return Ok(without_hidden(plan)?);
    }
    let hidden = |name: &str| SystemColumn::HIDDEN.iter().any(|column| column.name() == name);
    let visible = plan.schema().iter().filter(|(_, field)| !hidden(field.name()));
    let mut columns: Vec<Expr> = visible
        .map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())))
        .collect();
    for column in [SystemColumn::Time, SystemColumn::Watermark] {
        columns.extend(carried(&plan, column));
    }
    Ok(LogicalPlanBuilder::from(plan).project(columns)?.build()?)
}

/// Gives the later ones of columns with the same name a number: `k`, `k0`, `k1`.
///
/// `SELECT *` over a join gives them; a record has each key once.
fn unique_names(plan: LogicalPlan) -> Result<LogicalPlan> {
    let names: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let mut taken: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    if taken.len() == names.len() {
        return Ok(plan);
    }
    let mut seen = BTreeSet::new();
    let mut columns = vec![];
    for (qualifier, field) in plan.schema().iter() {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        if seen.insert(field.name().clone()) {
            columns.push(column);
            continue;
        }
        let free = (0_usize..).map(|number| format!("{}{number}", field.name()));
        let name = free.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
        taken.insert(name.clone());
        columns.push(column.alias(name));
    }
    Ok(LogicalPlanBuilder::from(plan).project(columns)?.build()?)
}

/// Casts the result to the columns of its target.
fn cast_to(plan: LogicalPlan, target: &SchemaRef, names: Option<&[String]>) -> Result<LogicalPlan> {
    let is_unseen = |column: &Column| column.name.starts_with("__");
    let (unseen, given): (Vec<Column>, Vec<Column>) =
        plan.schema().columns().into_iter().partition(is_unseen);
    let given: Vec<Expr> = given.into_iter().map(Expr::Column).collect();
    let ordinals: Vec<usize> = match names {
        None => (0..target.fields().len()).collect(),
        Some(names) => names
            .iter()
            .map(|name| {
                let fields = target.fields().iter();
                let names =
                    || fields.clone().map(|field| field.name().clone()).collect::<Vec<_>>().join(", ");
                fields.clone().position(|field| field.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
                    Error::invalid(format!("the target has no column `{name}`"))
                        .with_hint(format!("it has: {}", names()))
                })
            })
            .collect::<Result<_>>()?,
    };
    if given.len() != ordinals.len() {
        return Err(Error::invalid(format!(
            "the query gives {} column{}, and {} are to be written",
            given.len(),
            if given.len() == 1 { "" } else { "s" },
            ordinals.len()
        ))
        .with_hint("columns go by position; list the target's columns to leave some out: INSERT INTO t (a, b) SELECT …"));
    }
    let mut columns = vec![];
    for (ordinal, field) in target.fields().iter().enumerate() {
        let source = ordinals.iter().position(|wanted| *wanted == ordinal);
        let value = match source {
            Some(source) => given[source].clone(),
            None => datafusion::logical_expr::lit(ScalarValue::Null),
        };
        columns.push(cast(value, field.data_type().clone()).alias(field.name()));
    }
    columns.extend(unseen.into_iter().map(Expr::Column));
    Ok(LogicalPlanBuilder::from(plan).project(columns)?.build()?)
}
