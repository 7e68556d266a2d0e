//! [`Destination`]: where the rows of a query go, and what of them goes along unseen.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::statements::Query;
use crate::connect::SinkConnector;
use crate::error::{Error, Result};
use crate::sql::plan::{HeaderRules, Inputs, Planner, write_headers};

/// Where rows go.
pub(super) struct Destination {
    pub(super) connector: Arc<dyn SinkConnector>,
    /// The columns to cast to.
    pub(super) columns: Option<SchemaRef>,
    pub(super) key: Vec<String>,
    pub(super) shared: Option<String>,
    /// The stream between jobs that the query feeds.
    pub(super) between: Option<String>,
    /// Whether a changelog is taken as its new rows: sinks of the predecessor's files.
    pub(super) lenient: bool,
}

impl Destination {
    /// Plans the headers of what a query writes; those of its input go along from topic to topic.
    ///
    /// # Errors
    /// Invalid: the query sets headers that cannot be written here.
    pub(super) fn plan_headers(&self, query: &mut Query, inputs: &Inputs, planner: &Planner) -> Result<()> {
        let takes_headers = self.connector.takes_headers() && self.between.is_none();
        let streams: BTreeSet<String> = inputs.relations.keys().cloned().collect();
        let mut read = inputs.relations.iter().filter(|(name, _)| query.reads.contains(*name));
        let have_headers = read.any(|(_, relation)| relation.source.has_headers());
        let aggregates = planner.stream_state().aggregate_functions();
        let rules = HeaderRules {
            streams: &streams,
            carry: takes_headers && have_headers,
            is_aggregate: &|name| aggregates.contains_key(name),
        };
        match write_headers(&mut query.query, &mut query.key, &rules)? {
            Some(function) if !takes_headers => {
                let to = self.between.as_ref().map(|name| format!("stream `{name}`"));
                let to = to.unwrap_or_else(|| self.connector.describe());
                Err(Error::invalid(format!("`{function}` sets headers, and the rows of {to} have none"))
                    .with_hint("write to a topic: 'connector' = 'kafka'"))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the ordinals of the key columns: those that the query marks, or those that its target declares.
pub(super) fn key_ordinals(query: &Query, output: &SchemaRef, declared: &[String]) -> Result<Vec<usize>> {
    if !query.key.is_empty() {
        return Ok(query.key.clone());
    }
    let find = |name: &String| {
        let place = output.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
        place.ok_or_else(|| Error::invalid(format!("key column `{name}` is not in the result")))
    };
    declared.iter().map(find).collect()
}
