//! [`Catalog`]: the declared streams and views of an application.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use sqlparser::ast::Query;

use super::columns::{check_columns, columns_of};
use super::destination::{Given, changes_unread};
use super::dropping::Dependents;
use super::settings::Settings;
use super::table_options::{TableOptions, take_table_options};
use super::tables::{DeclaredTable, no_key};
use crate::config::{Entry, Origin, environment_entries, parse_fields, substitute, with_config_file};
use crate::connect::error_table::{ERROR_TABLE, ErrorTableConnector, error_columns};
use crate::connect::memory::{MemorySinkConnector, MemorySourceConnector, MemoryStream};
use crate::connect::predecessor::{Direction, Translated, translate, uri_entries};
use crate::connect::{Declaration, DeclaredSource, OnError, SinkConnector, SourceConnector, declare};
use crate::error::{Error, Result};
use crate::job::{JobReport, Loads};
use crate::sql::plan::suggested_columns;
use crate::sql::relation::{EventTime, Relation, SystemColumn};
use crate::sql::{Declare, OptionItem, RelationKind};
use crate::time::{EventTimeFormat, EventTimeReader, WatermarkStrategy};

/// Longer than any two rows of the error table are apart.
const CENTURY_MS: i64 = 36_525 * 24 * 60 * 60 * 1_000;

/// What an application has declared so far.
#[derive(Default, Clone)]
pub struct Catalog {
    /// Whether results that nobody writes out stay in memory, for whoever asks later.
    pub(super) keeps_results: bool,
    pub(super) streams: BTreeMap<String, DeclaredStream>,
    /// Names for queries, each after those that it reads.
    pub(super) views: Vec<(String, Query)>,
    /// What the user should know.
    pub(super) notices: Vec<String>,
    /// How far the loads of its tables are.
    pub(super) loads: Arc<Loads>,
    /// The jobs of a session that are not over.
    pub(super) dependents: Dependents,
    /// How many jobs there ever were.
    pub(super) jobs_so_far: usize,
    /// How far those of them are that run.
    pub(super) running: Vec<JobReport>,
}

/// A declared stream.
#[derive(Clone, Default)]
pub(super) struct DeclaredStream {
    /// The statement's columns, if it has them.
    pub(super) columns: Option<SchemaRef>,
    /// The columns of the primary key.
    pub(super) key: Vec<String>,
    /// What it is when read.
    pub(super) source: Option<DeclaredSource>,
    /// What it is when written.
    pub(super) sink: Option<Arc<dyn SinkConnector>>,
    /// The stream in memory, if it is one.
    pub(super) memory: Option<Arc<MemoryStream>>,
    pub(super) watermark: Option<(String, i64)>,
    relation: Option<Arc<Relation>>,
    /// The function that keeps others from reading its changes: what it gave once it does not give again.
    volatile: Option<String>,
    /// What it is beside that, if it is a table.
    pub(super) table: Option<DeclaredTable>,
}

impl Catalog {
    /// Creates the catalog of a session: results that go to nobody else stay in memory.
    pub fn keeping_results() -> Self {
        Self { keeps_results: true, ..Self::default() }
    }

    /// Returns the stream in memory of that name.
    pub fn memory(&self, name: &str) -> Option<&Arc<MemoryStream>> {
        self.streams.get(name)?.memory.as_ref()
    }

    /// Returns the stream of that name with what comes out of its job, not with what goes in.
    pub fn results(&self, name: &str) -> Option<&Arc<MemoryStream>> {
        let declared = self.streams.get(name)?;
        declared.table.as_ref().and_then(|table| table.changes.as_ref()).or(declared.memory.as_ref())
    }

    /// Returns the tables by name.
    pub(super) fn tables(&self) -> impl Iterator<Item = (&str, &DeclaredTable)> {
        self.streams.iter().filter_map(|(name, declared)| Some((name.as_str(), declared.table.as_ref()?)))
    }

    /// Returns the rows of a table and then its changes, where they are kept for whoever asks.
    pub fn table_changes(&self, name: &str) -> Option<&Arc<MemoryStream>> {
        self.streams.get(name)?.table.as_ref()?.changes.as_ref()
    }

    /// Returns all streams in memory, and the changes of all tables.
    pub fn memory_streams(&self) -> impl Iterator<Item = &Arc<MemoryStream>> {
        let tables = self.tables().filter_map(|(_, table)| table.changes.as_ref());
        self.streams.values().filter_map(|stream| stream.memory.as_ref()).chain(tables)
    }

    /// Returns a declared stream.
    pub(super) fn get(&self, name: &str) -> Option<&DeclaredStream> {
        self.streams.get(name)
    }

    /// Returns the names of all streams and views.
    pub(super) fn names(&self) -> Vec<String> {
        self.streams.keys().cloned().chain(self.views.iter().map(|(name, _)| name.clone())).collect()
    }

    /// Declares the stream of a `CREATE STREAM`; returns whether it is new, rather than kept by `IF NOT EXISTS`.
    pub(super) fn declare(&mut self, statement: &Declare, settings: &Settings) -> Result<bool> {
        let name = &statement.name.value;
        let place = statement.name.span.clone();
        if name == ERROR_TABLE {
            return Err(Error::invalid(format!("`{name}` is the error table, which is there already"))
                .with_hint("use another name")
                .with_span(place));
        }
        if self.names().contains(name) && !statement.or_replace {
            if statement.if_not_exists {
                return Ok(false);
            }
            return Err(Error::invalid(format!("`{name}` is declared already"))
                .with_hint("use another name, or CREATE OR REPLACE")
                .with_span(place));
        }
        let columns = statement.columns.as_deref().map(columns_of).transpose()?;
        let mut entries = entries(&statement.options, settings)?;
        let is_table = statement.kind == RelationKind::Table;
        let options = if is_table { take_table_options(&mut entries)? } else { TableOptions::default() };
        if is_table && statement.primary_key.is_empty() {
            return Err(no_key(name).with_span(place));
        }
        let says = |key: &str| entries.iter().any(|entry| entry.key == key);
        let in_memory = entries.iter().any(|entry| entry.key == "connector" && entry.value == "memory")
            || (is_table && !["connector", "type", "config_file"].into_iter().any(says));
        let watermark = statement.watermark.as_ref().map(|mark| (mark.column.clone(), mark.delay_ms));
        let mut declared = if in_memory && is_table && !self.keeps_results {
            in_memory_stream(name, columns, entries, MemoryStream::between_jobs)?
        } else if in_memory {
            in_memory_stream(name, columns, entries, MemoryStream::keeping_all)?
        } else {
            self.outside(name, columns, entries, Direction::Both, settings)?
        };
        if let Some(stream) = declared.memory.as_ref().filter(|_| is_table) {
            stream.hand_out_whole();
            declared.sink = Some(Arc::new(MemorySinkConnector::of_table(Arc::clone(stream))));
        }
        declared.watermark = watermark;
        declared.key.clone_from(&statement.primary_key);
        declared.table = is_table.then(|| DeclaredTable::new(name, self.keeps_results, in_memory, options));
        if let Some(columns) = &declared.columns {
            check_columns(columns, &declared)?;
        }
        self.streams.insert(name.clone(), declared);
        Ok(true)
    }

    /// Declares a source or sink that a query names with options of its own.
    pub(super) fn declare_for_query(
        &mut self,
        name: &str,
        entries: Vec<Entry>,
        direction: Direction,
        settings: &Settings,
    ) -> Result<()> {
        let declared = self.outside(name, None, entries, direction, settings)?;
        match self.streams.get_mut(name) {
            // The same name may be read by one part of a query's options and written by another.
            Some(known) if direction == Direction::Sink => known.sink = declared.sink,
            Some(known) if known.source.is_none() => {
                known.source = declared.source;
                known.columns = known.columns.take().or(declared.columns);
            }
            _ => {
                self.streams.insert(name.to_owned(), declared);
            }
        }
        Ok(())
    }

    /// Declares the source that a URI in FROM means.
    pub(super) fn declare_uri(&mut self, uri: &str, settings: &Settings) -> Result<()> {
        if self.streams.contains_key(uri) {
            return Ok(());
        }
        let origin = Origin::With(0..0);
        let entries = if uri.contains("://") {
            uri_entries(uri, &origin)?
        } else {
            vec![Entry::new("connector", "file", origin.clone()), Entry::new("path", uri, origin)]
        };
        self.declare_for_query(uri, entries, Direction::Source, settings)
    }

    /// Declares standard input, which is there without a declaration.
    pub(super) fn declare_stdin(&mut self, settings: &Settings) -> Result<()> {
        if self.streams.contains_key("stdin") {
            return Ok(());
        }
        let entries = vec![Entry::new("connector", "stdin", Origin::With(0..0))];
        self.declare_for_query("stdin", entries, Direction::Source, settings)
    }

    /// Declares the error table at `location`, which is there without a declaration.
    pub(super) fn declare_errors(&mut self, location: &Path) {
        let relation = Relation {
            name: ERROR_TABLE.to_owned(),
            schema: error_columns(),
            event_time: Some(EventTime {
                column: "time".to_owned(),
                format: EventTimeFormat::Detect,
                max_ahead_ms: CENTURY_MS,
            }),
            // Several jobs write at once: no order is promised, and the end comes by itself.
            watermark: WatermarkStrategy { bound_ms: CENTURY_MS, ..WatermarkStrategy::default() },
            // A row that is being written is no error.
            on_error: Some(OnError::Skip),
            late: None,
            source: Arc::new(ErrorTableConnector::new(location)),
            windows: vec![],
            time_columns: vec![],
            versions: None,
            table: None,
            changelog: false,
            carried: vec![],
            changes: None,
            of_table: false,
        };
        let declared = DeclaredStream { relation: Some(Arc::new(relation)), ..DeclaredStream::default() };
        self.streams.insert(ERROR_TABLE.to_owned(), declared);
    }

    /// Adds the stream that a query of the application gives to others.
    pub(super) fn add_between_jobs(&mut self, name: &str, stream: &Arc<MemoryStream>, given: Given) {
        let source = MemorySourceConnector::between_jobs(Arc::clone(stream), given.bounded);
        let carried = [SystemColumn::Time, SystemColumn::Watermark].into_iter();
        let carried = carried.filter(|column| stream.schema().index_of(column.name()).is_ok());
        let relation = Relation {
            name: name.to_owned(),
            schema: given.schema,
            event_time: None,
            watermark: WatermarkStrategy { bound_ms: 0, ..WatermarkStrategy::default() },
            on_error: None,
            late: None,
            source: Arc::new(source),
            windows: given.windows,
            time_columns: vec![],
            versions: None,
            table: None,
            changelog: given.changelog,
            carried: carried.collect(),
            changes: None,
            of_table: false,
        };
        let known = self.streams.entry(name.to_owned()).or_default();
        known.relation = Some(Arc::new(relation));
        known.memory = self.keeps_results.then(|| Arc::clone(stream));
        known.volatile = given.volatile;
    }

    fn outside(
        &mut self,
        name: &str,
        columns: Option<SchemaRef>,
        entries: Vec<Entry>,
        direction: Direction,
        settings: &Settings,
    ) -> Result<DeclaredStream> {
        let yaml = with_config_file(entries, &settings.directory, settings.environment.as_ref())?;
        let columns = match columns {
            Some(columns) => Some(columns),
            None if yaml.fields.is_empty() => None,
            None => Some(Arc::new(Schema::new(parse_fields(&yaml.fields)?))),
        };
        let Translated { connector, mut options, notices } = translate(direction, yaml.entries)?;
        options.splice(0..0, environment_entries(connector, settings.environment.as_ref()));
        self.notices.extend(notices);
        let declared = declare(&Declaration {
            name,
            connector,
            options,
            columns: columns.as_ref(),
            direction,
            output: settings.output,
        })?;
        Ok(DeclaredStream {
            columns,
            source: declared.source,
            sink: declared.sink,
            ..DeclaredStream::default()
        })
    }

    /// Returns where the rows of a declared stream come from.
    ///
    /// # Errors
    /// Invalid, if it can only be written.
    pub(super) fn source(&self, name: &str) -> Result<&Arc<dyn SourceConnector>> {
        let source = self.get(name).and_then(|declared| declared.source.as_ref());
        source.map(|source| &source.connector).ok_or_else(|| unreadable(name))
    }

    /// Returns a stream or table as a relation to read. Columns that nobody declared are inferred from the data; where
    /// nobody may look at them, `query` suggests them.
    pub(super) fn relation(
        &mut self,
        name: &str,
        query: Option<&Query>,
        settings: &Settings,
    ) -> Result<Arc<Relation>> {
        let Some(declared) = self.streams.get_mut(name) else {
            return Err(Error::internal(format!("`{name}` was not declared")));
        };
        if let Some(function) = &declared.volatile {
            return Err(changes_unread(name, function));
        }
        if let Some(relation) = &declared.relation {
            return Ok(Arc::clone(relation));
        }
        let Some(source) = &declared.source else {
            return Err(unreadable(name));
        };
        let watermark = declared.watermark.as_ref();
        let (schema, suggested) = schema(name, &declared.columns, source, watermark, (query, settings))?;
        let relation = relation(name, &schema, source, watermark)?;
        if suggested {
            let notice =
                format!("the columns of `{name}` are not known: checked with those that its use suggests");
            if !self.notices.contains(&notice) {
                self.notices.push(notice);
            }
            let key = &declared.key;
            return Ok(Arc::new(match &mut declared.table.clone() {
                Some(table) => table.relation(relation, key)?,
                None => relation,
            }));
        }
        let relation = Arc::new(match &mut declared.table {
            Some(table) => table.relation(relation, &declared.key)?,
            None => relation,
        });
        declared.relation = Some(Arc::clone(&relation));
        Ok(relation)
    }

    /// Returns whether the columns of a declared source can be known without a look outside.
    pub(super) fn knows_columns(&self, name: &str) -> bool {
        self.streams.get(name).is_some_and(|declared| {
            let infers = |source: &DeclaredSource| source.connector.can_infer_offline();
            declared.columns.is_some() || declared.source.as_ref().is_some_and(infers)
        })
    }

    /// Adds the table that a query creates.
    pub(super) fn add_table(&mut self, relation: Relation, key: Vec<String>, table: DeclaredTable) {
        let known = self.streams.entry(relation.name.clone()).or_default();
        known.columns = Some(Arc::clone(&relation.schema));
        known.relation = Some(Arc::new(relation));
        known.key = key;
        known.table = Some(table);
    }
}

/// Returns the columns of a source, and whether they are only what `query` suggests.
fn schema(
    name: &str,
    declared: &Option<SchemaRef>,
    source: &DeclaredSource,
    watermark: Option<&(String, i64)>,
    (query, settings): (Option<&Query>, &Settings),
) -> Result<(SchemaRef, bool)> {
    if let Some(columns) = declared {
        return Ok((Arc::clone(columns), false));
    }
    if settings.contact {
        return Ok((crate::connect::infer_when_there(&*source.connector, &*settings.clock)?, false));
    }
    let offline = source.connector.can_infer_offline();
    if let Some(schema) = offline.then(|| source.connector.infer_schema().ok()).flatten() {
        return Ok((schema, false));
    }
    let Some(query) = query else {
        return Err(Error::invalid(format!("the columns of `{name}` are not known"))
            .with_hint("declare them, or let `--connect` look at the data"));
    };
    let time = watermark.map(|(column, _)| column).or(source.time.field.as_ref());
    Ok((suggested_columns(query, name, time.map(String::as_str)), true))
}

fn unreadable(name: &str) -> Error {
    Error::invalid(format!("`{name}` can be written, but not read"))
}

/// Declares a stream in memory, which `make` makes of its name and columns.
fn in_memory_stream(
    name: &str,
    columns: Option<SchemaRef>,
    entries: Vec<Entry>,
    make: fn(&str, SchemaRef) -> Arc<MemoryStream>,
) -> Result<DeclaredStream> {
    let Some(columns) = columns else {
        return Err(Error::invalid(format!("`{name}` in memory needs columns"))
            .with_hint("declare them: CREATE STREAM … (id BIGINT, …) WITH ('connector' = 'memory')"));
    };
    let rest = entries.into_iter().filter(|entry| entry.key != "connector");
    let mut options = crate::connect::Options::new(crate::connect::TIME_DOCS, rest)?;
    let time = crate::connect::TimeOptions::read(&mut options)?;
    options.finish(&format!("stream `{name}`"))?;
    let stream = make(name, Arc::clone(&columns));
    let source =
        DeclaredSource { connector: Arc::new(MemorySourceConnector::new(Arc::clone(&stream), true)), time };
    Ok(DeclaredStream {
        columns: Some(columns),
        source: Some(source),
        sink: Some(Arc::new(MemorySinkConnector::declared(Arc::clone(&stream)))),
        memory: Some(stream),
        ..DeclaredStream::default()
    })
}

fn relation(
    name: &str,
    schema: &SchemaRef,
    source: &DeclaredSource,
    watermark: Option<&(String, i64)>,
) -> Result<Relation> {
    let time = &source.time;
    if let (Some((column, _)), Some(field)) = (watermark, &time.field)
        && !column.eq_ignore_ascii_case(field)
    {
        return Err(Error::invalid(format!(
            "`WATERMARK FOR {column}` and `event.time.field` = '{field}' name different event times of `{name}`"
        ))
        .with_hint("keep one of them"));
    }
    let column = watermark.map(|(column, _)| column).or(time.field.as_ref());
    let event_time = match column {
        Some(column) => {
            let field = schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(column));
            let Some(field) = field else {
                let names = schema.fields().iter().map(|field| field.name().as_str());
                return Err(Error::invalid(format!(
                    "event time field `{column}` is not a column of `{name}`"
                ))
                .with_hint(format!("columns there: {}", names.collect::<Vec<_>>().join(", "))));
            };
            let (format, max_ahead_ms) = (time.format.clone(), time.max_ahead_ms);
            EventTimeReader::try_new(0, field.name(), field.data_type(), format.clone())?;
            Some(EventTime { column: field.name().clone(), format, max_ahead_ms })
        }
        None => None,
    };
    let declared_bound = watermark.map(|(_, delay_ms)| *delay_ms);
    if let (Some(declared), Some(option)) = (declared_bound, time.bound_ms)
        && declared != option
    {
        return Err(Error::invalid(format!(
            "`WATERMARK FOR` of `{name}` says {declared} ms and `watermark.max_out_of_orderness` {option} ms"
        )));
    }
    let bound_ms = declared_bound.or(time.bound_ms).unwrap_or(WatermarkStrategy::default().bound_ms);
    Ok(Relation {
        name: name.to_owned(),
        schema: Arc::clone(schema),
        event_time,
        watermark: WatermarkStrategy { bound_ms, idle_timeout_ms: time.idle_timeout_ms },
        on_error: time.on_error,
        late: time.late,
        source: Arc::clone(&source.connector),
        windows: vec![],
        time_columns: vec![],
        versions: None,
        table: None,
        changelog: false,
        carried: vec![],
        changes: None,
        of_table: false,
    })
}

/// Turns a `WITH` list into entries, variables replaced.
pub(super) fn entries(items: &[OptionItem], settings: &Settings) -> Result<Vec<Entry>> {
    let entry = |item: &OptionItem| {
        let value = substitute(&item.value, settings.environment.as_ref());
        let value = value.map_err(|error| error.with_span(item.span.clone()))?;
        Ok(Entry::new(item.key.clone(), value, Origin::With(item.span.clone())))
    };
    items.iter().map(entry).collect()
}
