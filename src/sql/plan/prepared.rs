//! [`Prepared`]: a query rewritten for DataFusion's planner, with what any part of it is planned with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider,
};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as DataFusionStatement;
use sqlparser::ast::{Query, Statement};

use super::errors::planning_error;
use super::header_writes::refuse_stray_writes;
use super::nesting::check_nesting;
use super::planner::Inputs;
use super::rewrite::{
    fetch_as_limit, find_system_columns, hide_system_columns, parameters, resolve_case, rewrite_headers,
    type_literals,
};
use super::typed_casts::with_typed_casts;
use super::using::write_merged_columns;
use super::views::relation_names;
use crate::error::{Error, Result};
use crate::sql::functions::check_comparisons;
use crate::sql::relation::{RelationTable, SystemColumn};

/// A query ready to be planned.
pub(super) struct Prepared<'a> {
    /// The query, rewritten.
    pub(super) query: Query,
    /// The whole text that it stands in.
    pub(super) text: &'a str,
    /// All names that there are, for suggestions.
    pub(super) known: Vec<String>,
    inputs: &'a Inputs,
    streams: BTreeSet<String>,
    system: Vec<SystemColumn>,
}

impl<'a> Prepared<'a> {
    /// Rewrites `query`; `text` is the whole file, for the places of errors.
    pub(super) fn new(query: &Query, text: &'a str, inputs: &'a Inputs) -> Result<Self> {
        let known = known(inputs);
        let mut query = query.clone();
        check_nesting(&query, text)?;
        refuse_stray_writes(&query)?;
        check_parameters(&query, &inputs.parameters)?;
        fetch_as_limit(&mut query);
        type_literals(&mut query);
        rewrite_headers(&mut query);
        let system = find_system_columns(&mut query);
        let read = relation_names(&query);
        let streams: BTreeSet<String> =
            read.intersection(&known.iter().cloned().collect()).cloned().collect();
        hide_system_columns(&mut query, &streams, &system);
        let columns = streams.iter().filter_map(|name| inputs.relations.get(name));
        let columns =
            columns.flat_map(|relation| relation.schema.fields().iter().map(|field| field.name().clone()));
        resolve_case(&mut query, &columns.collect());
        write_merged_columns(&mut query, &inputs.relations)?;
        Ok(Self { query, text, known, inputs, streams, system })
    }

    /// Plans the whole query.
    pub(super) fn plan(&self, state: &SessionState) -> Result<LogicalPlan> {
        let plan = match self.raw_plan(state, self.query.clone()) {
            Err(error) if tells_no_casts_apart(&error) => {
                let typed = self.raw_plan(state, with_typed_casts(&self.query));
                // What is wrong with the query as it is written is what the user is told.
                typed.map_err(|_| error)
            }
            planned => planned,
        };
        let plan = plan.map_err(|error| planning_error(error, self.text, &self.known))?;
        check_comparisons(&plan, self.text)?;
        Ok(plan)
    }

    /// Plans `query`, a part of this one, and binds parameters.
    pub(super) fn raw_plan(&self, state: &SessionState, query: Query) -> DataFusionResult<LogicalPlan> {
        let catalogs = Arc::new(MemoryCatalogProviderList::new());
        let catalog = MemoryCatalogProvider::new();
        let schema = MemorySchemaProvider::new();
        for name in &self.streams {
            if let Some(relation) = self.inputs.relations.get(name) {
                let table = RelationTable::new(Arc::clone(relation), &self.system);
                schema.register_table(name.clone(), Arc::new(table))?;
            }
        }
        let defaults = &state.config_options().catalog;
        catalog.register_schema(&defaults.default_schema, Arc::new(schema))?;
        catalogs.register_catalog(defaults.default_catalog.clone(), Arc::new(catalog));
        // Not a new session made of this one: that would register functions in an order that changes from run to run,
        // and where two claim one name the last wins. Clones of a session share its catalog, so this one gets its own.
        let mut state = state.clone();
        state.register_catalog_list(catalogs);
        let statement = DataFusionStatement::Statement(Box::new(Statement::Query(Box::new(query))));
        let plan = futures::executor::block_on(state.statement_to_plan(statement))?;
        bind(plan, &self.inputs.parameters)
    }
}

/// Returns whether two columns have one name, which they may only have because a cast is not a part of it.
fn tells_no_casts_apart(error: &DataFusionError) -> bool {
    let text = error.to_string();
    text.contains("duplicate unqualified field name") || text.contains("require unique expression names")
}

/// Returns all names that there are.
pub(super) fn known(inputs: &Inputs) -> Vec<String> {
    let names: BTreeSet<&String> = inputs.relations.keys().chain(&inputs.names).collect();
    names.into_iter().cloned().collect()
}

/// Fails if a parameter has no value.
fn check_parameters(query: &Query, values: &BTreeMap<String, ScalarValue>) -> Result<()> {
    match parameters(query).into_iter().find(|name| !values.contains_key(name)) {
        Some(name) => {
            let written = if name.parse::<u64>().is_ok() { format!("${name}") } else { name.clone() };
            Err(Error::invalid(format!("parameter `{written}` has no value"))
                .with_hint(format!("give it one: --param {name}=…")))
        }
        None => Ok(()),
    }
}

/// Puts values in the place of parameters; they are never text of the query.
fn bind(plan: LogicalPlan, values: &BTreeMap<String, ScalarValue>) -> DataFusionResult<LogicalPlan> {
    if values.is_empty() {
        return Ok(plan);
    }
    let values: HashMap<String, ScalarAndMetadata> =
        values.iter().map(|(name, value)| (name.clone(), ScalarAndMetadata::from(value.clone()))).collect();
    plan.with_param_values(ParamValues::Map(values))
}
