//! [`Destination`]: where the rows of a query go, and what of them goes along unseen.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::planning::{Planning, Work};
use super::statements::{Explaining, Query, Target};
use crate::connect::SinkConnector;
use crate::connect::console::StdoutConnector;
use crate::connect::error_table::ERROR_TABLE;
use crate::connect::memory::{BlackholeConnector, MemoryStream};
use crate::connect::predecessor::{Direction, Groups};
use crate::error::{Error, Result};
use crate::sql::plan::{HeaderRules, Inputs, Planner, window_columns, write_headers};
use crate::sql::relation::WindowColumn;

/// What a query of the application gives to others.
pub(super) struct Given {
    /// The columns.
    pub(super) schema: SchemaRef,
    /// The columns that are bounds of windows.
    pub(super) windows: Vec<WindowColumn>,
    /// Whether it ends.
    pub(super) bounded: bool,
    /// Whether it withdraws rows.
    pub(super) changelog: bool,
    /// The function that makes a row another one when it is withdrawn.
    pub(super) volatile: Option<String>,
}

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
    /// Whether the rows only stay in the table that the statement creates.
    pub(super) keeps_only: bool,
}

impl Destination {
    /// Returns where rows go that nobody wants.
    fn nowhere() -> Self {
        Self {
            connector: Arc::new(BlackholeConnector),
            columns: None,
            key: vec![],
            shared: None,
            between: None,
            lenient: true,
            keeps_only: false,
        }
    }

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

impl Planning<'_> {
    /// Makes the stream through which others read what `work` gives.
    pub(super) fn between_jobs(&mut self, name: &str, work: &Work, output: &SchemaRef) -> Arc<MemoryStream> {
        let keeps = self.catalog.keeps_results;
        let stream = if keeps { MemoryStream::keeping_all } else { MemoryStream::between_jobs };
        let stream = stream(name, Arc::clone(output));
        self.between.push(Arc::clone(&stream));
        let visible = output.fields().iter().filter(|field| !field.name().starts_with("__")).cloned();
        let schema = Arc::new(Schema::new(visible.collect::<Vec<_>>()));
        let given = match work {
            Work::Stream(plan) => Given {
                schema,
                windows: plan.windows.clone(),
                bounded: plan.scans.iter().all(|scan| scan.relation.source.is_bounded()),
                changelog: plan.changelog,
                volatile: plan.volatile.clone(),
            },
            Work::Batch(plan) => {
                let windows = window_columns(plan);
                Given { schema, windows, bounded: true, changelog: false, volatile: None }
            }
        };
        self.catalog.add_between_jobs(name, &stream, given);
        stream
    }

    /// Returns the error for a result that withdraws rows, where the sink `to` of the stream `target` only takes new ones.
    pub(super) fn changes_refused(&self, query: &str, target: Option<&str>, to: &str) -> Error {
        let in_memory =
            target.and_then(|name| self.catalog.get(name)).is_some_and(|known| known.memory.is_some());
        let hint = if in_memory {
            "create the stream from the query: CREATE STREAM … AS SELECT …, or give final rows only: a WINDOW, or EMIT FINAL"
        } else {
            "say how changes are written: 'changelog' = 'op', or give final rows only: a WINDOW, or EMIT FINAL"
        };
        Error::invalid(format!(
            "the result of `{query}` changes rows it gave before, and {to} only takes new ones"
        ))
        .with_hint(hint)
    }
}

/// Returns the error for reading changes that do not cancel out, because `function` gives something else each time.
pub(super) fn changes_unread(name: &str, function: &str) -> Error {
    Error::not_yet(format!(
        "reading the changes of `{name}`, in which `{function}` makes a withdrawn row another than it was,"
    ))
    .with_hint(format!("call `{function}` in the query that reads `{name}`, or below its aggregate"))
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

impl Planning<'_> {
    /// Finds where the rows of a query go.
    pub(super) fn destination(
        &mut self,
        query: &Query,
        groups: &Groups,
        read_by_others: usize,
    ) -> Result<Destination> {
        if query.explain == Explaining::Analyze {
            return Ok(Destination::nowhere());
        }
        let name = query.target.name();
        if let Some(written) = [&name, &query.creates].into_iter().flatten().find(|name| *name == ERROR_TABLE)
        {
            return Err(Error::invalid(format!(
                "`{written}` is the error table, which only the engine writes"
            ))
            .with_hint("use another name, or read it: SELECT * FROM velo_errors")
            .with_span(query.span.clone()));
        }
        let own_options = match (&name, &query.target) {
            (_, Target::Options(_, items)) => super::catalog::entries(items, self.settings)?,
            (Some(name), _) if groups.names(name) => groups.sink(name),
            _ => vec![],
        };
        if own_options.is_empty() {
            groups.refuse_sink_options()?;
        }
        let lenient = own_options.iter().any(|entry| entry.key == "type");
        if let (Some(name), false) = (&name, own_options.is_empty()) {
            self.catalog.declare_for_query(name, own_options, Direction::Sink, self.settings)?;
        }
        if let Some(declared) = name.as_deref().and_then(|name| self.catalog.get(name)) {
            let name = name.unwrap_or_default();
            declared.refuse_rows(&name)?;
            let Some(connector) = declared.sink.clone() else {
                return Err(Error::invalid(format!("`{name}` can be read, but not written")));
            };
            if let Some(memory) = &declared.memory {
                self.written.insert(memory.name().to_owned());
            }
            let columns = declared.columns.clone().filter(|_| query.casts);
            let (key, between) = (declared.key.clone(), None);
            let shared = Some(name);
            return Ok(Destination { connector, columns, key, shared, between, lenient, keeps_only: false });
        }
        let stdout = || Destination {
            connector: Arc::new(StdoutConnector { form: self.settings.output }),
            columns: None,
            key: vec![],
            shared: Some("stdout".to_owned()),
            between: None,
            lenient: false,
            keeps_only: false,
        };
        match (&query.target, name) {
            (Target::Stdout, _) | (_, None) => Ok(stdout()),
            (Target::Created(_), Some(_)) if query.creates_table => {
                Ok(Destination { keeps_only: true, ..Destination::nowhere() })
            }
            (Target::Created(_), Some(name)) if read_by_others > 0 || self.catalog.keeps_results => {
                Ok(Destination {
                    between: Some(name),
                    // Opened once the schema is known.
                    ..stdout()
                })
            }
            (Target::Created(_), Some(name)) => {
                self.notices.push(format!(
                    "`{name}` has no sink and nobody reads it: its rows go to standard output"
                ));
                Ok(stdout())
            }
            (_, Some(name)) => Err(Planner::unknown_relation(
                &name,
                &Inputs { names: self.catalog.names(), ..Inputs::default() },
            )),
        }
    }
}
