//! The tables of an application: what is declared, the jobs that keep them, and who waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::dropping::Dependent;
use super::graph::{Maker, circle, circle_text, made_from};
use super::planning::{PlannedJob, Planning, Work};
use super::reading::Reading;
use super::statements::{Explaining, Query, Target as To};
use super::table_connector::TableConnector;
use super::table_options::{TableOptions, behind_ms, comes_by_arrival, retention, time_column};
use crate::config::Entry;
use crate::connect::SinkConnector;
use crate::connect::memory::{MemorySinkConnector, MemorySourceConnector, MemoryStream};
use crate::connect::predecessor::{Groups, split_by_name};
use crate::error::{Error, Result};
use crate::job::{JobOptions, OwnLoad, TableLoad};
use crate::sql::mark;
use crate::sql::plan::{
    OnMissing, OperatorKind, OperatorPlan, PortPlan, ScanPlan, StreamPlan, Target, scan_plan,
};
use crate::sql::relation::{Relation, SystemColumn, TableChanges};
use crate::table::{Beside, Retention, Table};
use crate::time::WatermarkStrategy;

/// What a table is beside a stream that can be read or written.
#[derive(Debug, Clone)]
pub(super) struct DeclaredTable {
    pub(super) load: Arc<TableLoad>,
    /// Its rows, once its columns are known.
    pub(super) table: Option<Arc<Table>>,
    /// What it is filled from, where no query fills it.
    pub(super) feed: Option<Arc<Relation>>,
    /// Its rows and then its changes, for those who follow it.
    pub(super) changes: Option<Arc<MemoryStream>>,
    /// Whether these stay for whoever asks later, as in a session.
    keeps_changes: bool,
    /// Whether statements fill it.
    pub(super) is_fed: bool,
    /// Whether it may change when it is ready.
    pub(super) goes_on: bool,
    /// What its declaration says of its rows.
    pub(super) options: TableOptions,
}

impl DeclaredTable {
    /// Creates a table without columns; in a session `keeps_changes`, and one that `is_fed` by statements goes on there.
    pub(super) fn new(name: &str, keeps_changes: bool, is_fed: bool, options: TableOptions) -> Self {
        Self {
            load: TableLoad::new(name),
            table: None,
            feed: None,
            changes: None,
            keeps_changes,
            is_fed,
            goes_on: false,
            options,
        }
    }

    /// Makes what others read who follow `table`.
    fn follow(&mut self, table: &Arc<Table>, ends: bool, withdraws: bool) -> TableChanges {
        let make = if self.keeps_changes { MemoryStream::keeping_all } else { MemoryStream::of_table };
        let stream = make(table.name(), Arc::clone(table.schema()));
        self.changes = Some(Arc::clone(&stream));
        let source = Arc::new(MemorySourceConnector::new(stream, ends));
        let stream =
            Relation { source, table: None, changelog: withdraws, of_table: true, ..relation(table) };
        TableChanges { stream: Arc::new(stream), settled: !self.goes_on }
    }

    /// Makes the table that `feed` fills, and returns it as queries see it.
    pub(super) fn relation(&mut self, feed: Relation, key: &[String]) -> Result<Relation> {
        let ordinals = key.iter().map(|name| {
            let place = feed.schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
            place.ok_or_else(|| {
                let names = feed.schema.fields().iter().map(|field| field.name().as_str());
                Error::invalid(format!("key column `{name}` is not a column of `{}`", feed.name))
                    .with_hint(format!("columns there: {}", names.collect::<Vec<_>>().join(", ")))
            })
        });
        let ordinals = ordinals.collect::<Result<Vec<_>>>()?;
        // A row without its key is a bad record of its source.
        let schema = without_nulls(&feed.schema, &ordinals);
        let table = table(&feed.name, Arc::clone(&schema), ordinals)?;
        if self.options.by_time {
            let time = feed.event_time.as_ref().map(|time| time.column.as_str());
            table.order_by(time_column(&table, time, "last.by")?);
        }
        self.table = Some(Arc::clone(&table));
        let ends = feed.source.is_bounded();
        self.goes_on = !ends || (self.keeps_changes && self.is_fed);
        let changes = Some(self.follow(&table, ends, true));
        let feed = Arc::new(from_the_start(Relation { schema, ..feed }));
        self.feed = Some(Arc::clone(&feed));
        Ok(Relation { versions: Some(feed), changes, ..relation(&table) })
    }
}

/// The table that a job keeps.
#[derive(Debug, Clone)]
pub struct KeptTable {
    /// The table.
    pub table: Arc<Table>,
    /// Its load.
    pub load: OwnLoad,
    /// Whether the job does nothing else: then it need not outlive those who read the table.
    pub is_all: bool,
}

/// A table that this text declares.
pub(super) struct OwnTable {
    pub(super) name: String,
    pub(super) span: std::ops::Range<usize>,
    /// What `SET` says where it is declared.
    pub(super) set: Vec<Entry>,
}

/// Creates a table, if rows can be told apart by its key.
fn table(name: &str, schema: SchemaRef, key: Vec<usize>) -> Result<Arc<Table>> {
    if let Some(field) = key
        .iter()
        .map(|&column| schema.field(column))
        .find(|field| field.data_type().is_nested() && !matches!(field.data_type(), DataType::Struct(_)))
    {
        let shown = crate::sql::functions::type_name(field.data_type());
        return Err(Error::invalid(format!("key column `{}` of table `{name}` is a {shown}", field.name()))
            .with_hint("a key is made of plain values"));
    }
    Ok(Table::new(name.to_owned(), schema, key))
}

fn without_nulls(schema: &SchemaRef, columns: &[usize]) -> SchemaRef {
    let fields = schema.fields().iter().enumerate().map(|(ordinal, field)| {
        if columns.contains(&ordinal) {
            Arc::new(Field::clone(field).with_nullable(false))
        } else {
            Arc::clone(field)
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Makes a relation begin with its oldest record, unless its options say where it begins.
fn from_the_start(relation: Relation) -> Relation {
    match relation.source.reading_from_start() {
        Some(source) => Relation { source, ..relation },
        None => relation,
    }
}

/// Returns a table as queries see it.
fn relation(table: &Arc<Table>) -> Relation {
    Relation {
        name: table.name().to_owned(),
        schema: Arc::clone(table.schema()),
        event_time: None,
        watermark: WatermarkStrategy::default(),
        on_error: None,
        late: None,
        source: Arc::new(TableConnector::of(table)),
        table: Some(Arc::clone(table)),
        windows: vec![],
        time_columns: vec![],
        versions: None,
        changelog: false,
        carried: vec![],
        changes: None,
        of_table: false,
    }
}

/// Returns the error for a declared table without a key.
pub(super) fn no_key(name: &str) -> Error {
    Error::invalid(format!("table `{name}` has no key"))
        .with_hint("mark the columns that tell its rows apart: `id BIGINT PRIMARY KEY`, or `PRIMARY KEY (a, b)`; rows without a key are a stream: CREATE STREAM …")
}

/// Makes a table of a plan's result: its last operator keeps the rows.
fn keep_in(plan: &mut StreamPlan, table: &Arc<Table>, retention: Option<Retention>, emits: bool) {
    let ordinal = plan.operators.len();
    let targets = plan.operators.iter_mut().map(|operator| &mut operator.target);
    for target in targets.chain(plan.scans.iter_mut().map(|scan| &mut scan.target)) {
        if *target == Target::Sink {
            *target = Target::of(ordinal);
        }
    }
    plan.operators.push(OperatorPlan {
        kind: OperatorKind::KeyedTable { table: Arc::clone(table), emits, retention, exact: plan.changelog },
        ports: vec![PortPlan { schema: Arc::clone(&plan.output), exchange: None }],
        steps: vec![],
        target: Target::Sink,
    });
    plan.changelog |= !table.key().is_empty();
}

impl Planning<'_> {
    /// Returns the loads that a query waits for, each with how long.
    pub(super) fn waits(
        &self,
        query: &Query,
        groups: &Groups,
        options: &JobOptions,
    ) -> Result<Vec<(Arc<TableLoad>, Duration)>> {
        // A statement that changes a table sees it as those before it have left it, not as it is when it is ready.
        let own = query.target.name().filter(|_| query.change.is_some() && !self.catalog.keeps_results);
        let reads = |name: &str| query.reads.contains(name) && own.as_deref() != Some(name);
        let tables = self.catalog.tables().filter(|(name, _)| reads(name));
        let wait = |(name, table): (&str, &DeclaredTable)| {
            let limit = Reading::of(name, groups)?.wait;
            Ok((Arc::clone(&table.load), limit.unwrap_or(options.table_wait)))
        };
        tables.map(wait).collect()
    }

    /// Returns what becomes of rows that find nothing in the tables that a query reads, where the query says it.
    pub(super) fn missing(&self, query: &Query, groups: &Groups) -> Result<BTreeMap<String, OnMissing>> {
        let tables = self.catalog.tables().filter(|(name, _)| query.reads.contains(*name));
        let mut rules = BTreeMap::new();
        for (name, _) in tables {
            if let Some(rule) = Reading::of(name, groups)?.missing {
                rules.insert(name.to_owned(), rule);
            }
        }
        Ok(rules)
    }

    /// Notes what a query makes for others.
    pub(super) fn note_maker(&mut self, query: &Query) {
        let made = match &query.target {
            _ if query.explain != Explaining::No => None,
            _ if query.change.is_some() && self.catalog.keeps_results => None,
            To::Created(name) => Some(name),
            To::Named(name) => {
                Some(name).filter(|name| self.catalog.get(name).is_some_and(|known| known.memory.is_some()))
            }
            To::Stdout | To::Options(..) => None,
        };
        let makes = made.into_iter().chain(query.creates.as_ref().filter(|_| query.creates_table));
        // A statement that changes a table does not wait until that table is ready.
        let is_own = |name: &String| query.change.is_some() && query.target.name().as_ref() == Some(name);
        let reads: BTreeSet<String> = query.reads.iter().filter(|name| !is_own(name)).cloned().collect();
        self.makers.extend(makes.map(|made| Maker {
            made: made.clone(),
            reads: reads.clone(),
            span: query.span.clone(),
        }));
    }

    /// Returns whether a query of tables only goes on with their changes.
    pub(super) fn follows_tables(&self, query: &Query) -> bool {
        let mut read = self.catalog.tables().filter(|(name, _)| query.reads.contains(*name));
        query.change.is_none()
            && !query.is_select
            && query.explain != Explaining::Analyze
            && read.any(|(_, table)| table.goes_on)
    }

    /// Notes the tables that a job follows.
    pub(super) fn note_followed(&mut self, work: &Work) {
        let Work::Stream(plan) = work else { return };
        let followed = plan.scans.iter().map(|scan| &scan.relation).filter(|relation| relation.of_table);
        self.followed.extend(followed.map(|relation| relation.name.clone()));
    }

    /// Makes the jobs that keep tables which others follow pass the changes on; in a session all do.
    fn pass_changes_on(&mut self) {
        for job in self.jobs.iter_mut().filter(|job| job.explain == Explaining::No) {
            let Some(kept) = &job.keeps else { continue };
            let declared = self.catalog.get(kept.table.name()).and_then(|declared| declared.table.as_ref());
            let is_followed = self.followed.contains(kept.table.name()) && !self.catalog.keeps_results;
            let Some(stream) = declared.and_then(|table| table.changes.clone()).filter(|_| is_followed)
            else {
                continue;
            };
            let changes = sink_of(&kept.table, Some(&stream));
            job.sink = match &mut job.work {
                Work::Stream(plan) => {
                    if let Some(OperatorKind::KeyedTable { emits, .. }) =
                        plan.operators.last_mut().map(|last| &mut last.kind)
                    {
                        *emits = true;
                    }
                    changes
                }
                Work::Batch(_) => {
                    Arc::new(TableConnector::loaded_by(&kept.table, &kept.load.load, Some(changes)))
                }
            };
            self.between.push(stream);
        }
    }

    /// Plans the jobs that fill the tables which this text declares; they come before all others.
    pub(super) fn plan_own_tables(&mut self) {
        let mut jobs = vec![];
        for own in std::mem::take(&mut self.own_tables) {
            let unknown = !self.settings.contact && !self.catalog.knows_columns(&own.name);
            if unknown || self.failed.contains(&own.name) {
                continue;
            }
            match self.own_table(&own) {
                Ok(job) => jobs.extend(job),
                Err(error) => self.errors.push(mark(error, self.text, own.span)),
            }
        }
        self.jobs.splice(0..0, jobs);
        self.refuse_changes_beside_streams();
        self.pass_changes_on();
        self.order_loads();
    }

    fn own_table(&mut self, own: &OwnTable) -> Result<Option<PlannedJob>> {
        let relation = self.catalog.relation(&own.name, None, self.settings)?;
        let (Some(table), Some(declared)) =
            (&relation.table, self.catalog.get(&own.name).and_then(|declared| declared.table.clone()))
        else {
            return Ok(None);
        };
        let Some(feed) = &declared.feed else { return Ok(None) };
        let groups = split_by_name(own.set.clone(), &[own.name.as_str()])?;
        let (options, notices) = JobOptions::read(groups.job)?;
        self.notices.extend(notices);
        let origin = feed.source.withdraws();
        let fields = feed.schema.fields().iter().cloned();
        let fields = fields.chain(origin.then(|| Arc::new(SystemColumn::Origin.field())));
        let full = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let all: Vec<usize> = (0..full.fields().len()).collect();
        let scan = scan_plan(Arc::clone(feed), &full, &all)?;
        let scan = ScanPlan { tombstones: Some(table.key().to_vec()), ..scan };
        let mut plan = StreamPlan {
            output: Arc::clone(&scan.schema),
            scans: vec![scan],
            operators: vec![],
            windows: vec![],
            time_columns: vec![],
            changelog: false,
            volatile: None,
            group_key: None,
        };
        let time = feed.event_time.as_ref().map(|time| time.column.as_str());
        let stay = declared.options.retention.or(options.retention);
        let retention = retention(table, time, Some(feed.watermark.bound_ms), stay)?;
        let changes = declared.changes.as_ref().filter(|_| self.catalog.keeps_results);
        keep_in(&mut plan, table, retention, changes.is_some());
        table.keep_beside(Beside { origin, arrival: comes_by_arrival(retention) });
        plan.output = Arc::clone(table.schema());
        let before = self.text.get(..own.span.start).unwrap_or_default();
        let number = self.catalog.begin_job(Dependent::keeping(&own.name));
        Ok(Some(PlannedJob {
            name: own.name.clone(),
            number,
            sql_line: before.matches('\n').count() + 1,
            sink: sink_of(table, changes),
            shared_sink: None,
            output: Arc::clone(&plan.output),
            key: table.key().to_vec(),
            changelog: plan.changelog,
            work: Work::Stream(Box::new(plan)),
            waits: vec![],
            keeps: Some(self.kept(table, &declared.load, &options, true)),
            options,
            result: None,
            reads_nothing: false,
            changes_rows: false,
            writes_once: None,
            explain: Explaining::No,
        }))
    }

    fn kept(
        &self,
        table: &Arc<Table>,
        load: &Arc<TableLoad>,
        options: &JobOptions,
        is_all: bool,
    ) -> KeptTable {
        let load = OwnLoad {
            load: Arc::clone(load),
            all: Arc::clone(&self.catalog.loads),
            after: vec![],
            max_parallel: options.max_loads.get(),
        };
        KeptTable { table: Arc::clone(table), load, is_all }
    }

    /// Makes the result of a `CREATE TABLE … AS` a table; `sink` is what its statement names, if it does.
    pub(super) fn create_table(
        &mut self,
        query: &Query,
        work: &mut Work,
        options: &JobOptions,
        sink: Option<Arc<dyn SinkConnector>>,
    ) -> Result<(KeptTable, Arc<dyn SinkConnector>)> {
        let name = query.creates.as_deref().unwrap_or_default();
        let in_memory = |relation: &Relation| {
            self.catalog.keeps_results && (relation.of_table || self.catalog.memory(&relation.name).is_some())
        };
        let (output, key, ends, goes_on, withdraws) = match &mut *work {
            Work::Stream(plan) => {
                let goes_on = plan.scans.iter().any(|scan| in_memory(&scan.relation));
                for scan in &mut plan.scans {
                    scan.relation = Arc::new(from_the_start(Relation::clone(&scan.relation)));
                }
                let ends = plan.scans.iter().all(|scan| scan.relation.source.is_bounded());
                (Arc::clone(&plan.output), plan.group_key.clone(), ends, goes_on || !ends, plan.changelog)
            }
            Work::Batch(plan) => {
                (Arc::clone(plan.schema().inner()), crate::sql::plan::group_key(plan), true, false, false)
            }
        };
        let key = if query.key.is_empty() { key.unwrap_or_default() } else { query.key.clone() };
        let columns: Vec<String> = key.iter().map(|&column| output.field(column).name().clone()).collect();
        let table = table(name, output, key)?;
        let retention = match &*work {
            Work::Stream(plan) => {
                let time = plan.time_columns.first().map(String::as_str);
                retention(&table, time, behind_ms(plan), options.retention)?
            }
            Work::Batch(_) if options.retention.is_some() => {
                return Err(Error::not_yet(format!("`retention` of table `{name}`, whose query runs once"))
                    .with_hint("leave it out: nothing comes that could make rows old"));
            }
            Work::Batch(_) => None,
        };
        table.keep_beside(Beside { origin: false, arrival: comes_by_arrival(retention) });
        let mut declared =
            DeclaredTable::new(name, self.catalog.keeps_results, false, TableOptions::default());
        declared.goes_on = goes_on;
        let is_all = sink.is_none();
        let withdraws = withdraws || retention.is_some() || !table.key().is_empty();
        let followed = is_all.then(|| declared.follow(&table, ends, withdraws));
        let changes = declared.changes.as_ref().filter(|_| self.catalog.keeps_results);
        let sink = match (sink, work) {
            (Some(sink), Work::Stream(plan)) => {
                keep_in(plan, &table, retention, true);
                sink
            }
            (None, Work::Stream(plan)) => {
                keep_in(plan, &table, retention, changes.is_some());
                sink_of(&table, changes)
            }
            (None, Work::Batch(_)) => {
                let then = changes.map(|_| sink_of(&table, changes));
                Arc::new(TableConnector::loaded_by(&table, &declared.load, then))
            }
            (Some(_), Work::Batch(_)) => {
                return Err(Error::not_yet(format!(
                    "table `{name}` with a sink, from a query that runs once"
                ))
                .with_hint(format!("create the table, then write it: INSERT INTO … SELECT * FROM {name}")));
            }
        };
        declared.table = Some(Arc::clone(&table));
        let kept = self.kept(&table, &declared.load, options, is_all);
        if query.explain == Explaining::No {
            self.catalog.add_table(Relation { changes: followed, ..relation(&table) }, columns, declared);
        }
        Ok((kept, sink))
    }

    /// Finds circles, and for each table those that must be ready before it may load.
    fn order_loads(&mut self) {
        let makers = std::mem::take(&mut self.makers);
        let is_table = |name: &str| self.catalog.get(name).is_some_and(|declared| declared.table.is_some());
        if let Some(circle) =
            circle(&makers).filter(|circle| circle.iter().any(|maker| is_table(&maker.made)))
        {
            let span = circle.first().map_or(0..0, |maker| maker.span.clone());
            let error = Error::invalid(format!(
                "tables are made from each other: {}",
                circle_text(&circle, self.text)
            ))
            .with_hint("take one of them out of the circle: none could ever be the first to be ready");
            self.errors.push(mark(error, self.text, span));
            return;
        }
        for job in &mut self.jobs {
            let Some(kept) = &mut job.keeps else { continue };
            let sources = made_from(&makers, kept.table.name());
            let loads = self.catalog.tables().filter(|(name, _)| sources.contains(name));
            kept.load.after = loads.map(|(_, table)| Arc::clone(&table.load)).collect();
        }
    }
}

/// Returns the sink of a job that follows its inputs and keeps a table: where the changes go that somebody wants.
fn sink_of(table: &Arc<Table>, changes: Option<&Arc<MemoryStream>>) -> Arc<dyn SinkConnector> {
    match changes {
        Some(changes) => Arc::new(MemorySinkConnector::result(Arc::clone(changes))),
        None => Arc::new(TableConnector::of(table)),
    }
}
