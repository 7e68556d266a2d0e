//! [`Planner`]: plans one query at a time against given relations.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider,
};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{Column, ParamValues, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::sql::parser::Statement as DataFusionStatement;
use sqlparser::ast::{Query, Statement};

use super::attach::{Lateness, TimeRules, attach_time, carried, needs_time, without_hidden};
use super::errors::{planning_error, unknown_relation};
use super::header_writes::refuse_stray_writes;
use super::over::has_over;
use super::rewrite::{
    find_system_columns, hide_system_columns, parameters, resolve_case, rewrite_headers, type_literals,
};
use super::split::{Emission, SplitRequest, split};
use super::stream_plan::StreamPlan;
use super::views::relation_names;
use crate::error::{Error, Result};
use crate::sql::functions::{EpochClock, SessionProfile, check_comparisons, session_state};
use crate::sql::relation::{Relation, RelationTable, SystemColumn};
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
    /// What becomes of rows whose windows have ended.
    pub late: LateRule,
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
        let corrects = shape.late == LateRule::Correct;
        let request = SplitRequest { emit: emission.0, unwindowed: emission.1, corrects };
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
        self.batch.optimize(&plan).map_err(|error| planning_error(error, text, &relations))
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
        let mut query = query.clone();
        refuse_stray_writes(&query)?;
        check_parameters(&query, &inputs.parameters)?;
        type_literals(&mut query);
        rewrite_headers(&mut query);
        let system = find_system_columns(&mut query);
        let read = relation_names(&query);
        let streams: BTreeSet<String> =
            read.intersection(&relations.iter().cloned().collect()).cloned().collect();
        hide_system_columns(&mut query, &streams, &system);
        let columns = streams.iter().filter_map(|name| inputs.relations.get(name));
        let columns =
            columns.flat_map(|relation| relation.schema.fields().iter().map(|field| field.name().clone()));
        resolve_case(&mut query, &columns.collect());

        let plan = parse_into_plan(state, query, &streams, inputs, &system);
        let plan = plan.and_then(|plan| bind(plan, &inputs.parameters));
        let plan = plan.map_err(|error| planning_error(error, text, &relations))?;
        check_comparisons(&plan, text)?;
        let over = lateness != Lateness::Never && has_over(&plan)?;
        let plan = if needs_time(&plan)? || shape.carry_time || over {
            let Shape { grace_ms, zone, late, .. } = *shape;
            let rules = TimeRules { lateness, grace_ms, zone, late };
            let attached =
                attach_time(plan, rules).map_err(|error| planning_error(error, text, &relations))?;
            top_columns(attached, shape.carry_time)?
        } else {
            plan
        };
        match &shape.target {
            Some(target) => cast_to(plan, target, shape.columns.as_deref()),
            None => Ok(plan),
        }
    }

    /// Returns the error for a relation that is not there.
    pub fn unknown_relation(name: &str, inputs: &Inputs) -> Error {
        unknown_relation(name, &known(inputs))
    }
}

/// Fails if a parameter has no value.
fn check_parameters(query: &Query, values: &BTreeMap<String, ScalarValue>) -> Result<()> {
    match parameters(query).into_iter().find(|name| !values.contains_key(name)) {
        Some(name) => Err(Error::invalid(format!("parameter `{name}` has no value"))
            .with_hint(format!("give it one: --param {name}=…"))),
        None => Ok(()),
    }
}

/// Puts values in the place of parameters; they are never text of the query.
fn bind(plan: LogicalPlan, values: &BTreeMap<String, ScalarValue>) -> datafusion::error::Result<LogicalPlan> {
    if values.is_empty() {
        return Ok(plan);
    }
    let values: HashMap<String, ScalarAndMetadata> =
        values.iter().map(|(name, value)| (name.clone(), ScalarAndMetadata::from(value.clone()))).collect();
    plan.with_param_values(ParamValues::Map(values))
}

/// Plans a query against a catalog of its own: clones of a session share theirs.
fn parse_into_plan(
    state: &SessionState,
    query: Query,
    streams: &BTreeSet<String>,
    inputs: &Inputs,
    system: &[SystemColumn],
) -> datafusion::error::Result<LogicalPlan> {
    let catalogs = Arc::new(MemoryCatalogProviderList::new());
    let catalog = MemoryCatalogProvider::new();
    let schema = MemorySchemaProvider::new();
    for name in streams {
        if let Some(relation) = inputs.relations.get(name) {
            let table = RelationTable::new(Arc::clone(relation), system);
            schema.register_table(name.clone(), Arc::new(table))?;
        }
    }
    let defaults = &state.config_options().catalog;
    catalog.register_schema(&defaults.default_schema, Arc::new(schema))?;
    catalogs.register_catalog(defaults.default_catalog.clone(), Arc::new(catalog));
    // Not a new session made of this one: that would register functions in an order that changes from run to run, and
    // where two claim one name the last wins.
    let mut state = state.clone();
    state.register_catalog_list(catalogs);
    let statement = DataFusionStatement::Statement(Box::new(Statement::Query(Box::new(query))));
    futures::executor::block_on(state.statement_to_plan(statement))
}

fn known(inputs: &Inputs) -> Vec<String> {
    let names: BTreeSet<&String> = inputs.relations.keys().chain(&inputs.names).collect();
    names.into_iter().cloned().collect()
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
            "the query gives {} columns, and {} are to be written",
            given.len(),
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
