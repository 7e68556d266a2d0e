//! [`PlannedApplication`]: every statement of a file, ready to run, or every error of it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use sqlparser::ast;

use super::catalog::Catalog;
use super::destination::{Destination, key_ordinals};
use super::dropping::Dependent;
use super::graph::Maker;
use super::settings::Settings;
use super::statements::{Explaining, Query, queries};
use super::tables::{KeptTable, OwnTable};
use crate::config::{Entry, Origin};
use crate::connect::error_table::ERROR_TABLE;
use crate::connect::memory::{MemorySinkConnector, MemoryStream};
use crate::connect::predecessor::{Direction, Groups, split_by_name};
use crate::connect::{ChangelogForm, LATE_STRATEGY, SinkConnector};
use crate::error::{Error, Result};
use crate::job::{JobOptions, Mode, TableLoad};
use crate::sql::plan::{Emission, Inputs, Planner, Shape, StreamPlan, adopt_event_times};
use crate::sql::relation::Relation;
use crate::sql::{EmitMode, RelationKind, Statement, mark, on_large_stack, parse_application};

/// What a job runs.
#[derive(Debug)]
pub enum Work {
    /// A query that follows its inputs.
    Stream(Box<StreamPlan>),
    /// A query that runs once over inputs that end.
    Batch(Box<LogicalPlan>),
}

/// A query with its target.
#[derive(Debug)]
pub struct PlannedJob {
    /// The name, for messages.
    pub name: String,
    /// Which of all jobs of a session it is.
    pub number: usize,
    /// The line of the text at which its statement begins, from 1.
    pub sql_line: usize,
    /// What it runs.
    pub work: Work,
    /// Where the rows go.
    pub sink: Arc<dyn SinkConnector>,
    /// Jobs that write the same declared stream share one writer: its name.
    pub shared_sink: Option<String>,
    /// The columns of the result.
    pub output: SchemaRef,
    /// The ordinals of the key columns.
    pub key: Vec<usize>,
    /// Whether the result withdraws rows.
    pub changelog: bool,
    /// The job's settings.
    pub options: JobOptions,
    /// The stream in memory that holds the result, in a session.
    pub result: Option<Arc<MemoryStream>>,
    /// Whether no stream is read.
    pub reads_nothing: bool,
    /// The tables that it waits for, each with how long.
    pub waits: Vec<(Arc<TableLoad>, Duration)>,
    /// The table that it keeps.
    pub keeps: Option<KeptTable>,
    /// Whether it changes rows of a table as those before it have left them.
    pub changes_rows: bool,
    /// The table that it writes and then ends, and where its statement stands.
    pub(super) writes_once: Option<(String, usize)>,
    /// Whether `EXPLAIN` asked for it: it is shown, not run.
    pub explain: Explaining,
}

/// An application that can start.
pub struct PlannedApplication {
    /// Its jobs, each after those that it reads.
    pub jobs: Vec<PlannedJob>,
    /// What the user should know.
    pub notices: Vec<String>,
    /// What `SHOW` and `DESCRIBE` say, in the order of the file.
    pub answers: Vec<String>,
    /// The streams between its jobs.
    pub(super) between: Vec<Arc<MemoryStream>>,
    /// The streams in memory that nobody writes.
    pub(super) unwritten: Vec<Arc<MemoryStream>>,
    /// The numbers of jobs of the session that end with what is dropped.
    pub ended_jobs: Vec<usize>,
    /// What planned them, with the registry of functions that they need.
    pub planner: Planner,
    /// What is declared now, for the statements that a session gets later.
    pub catalog: Catalog,
}

impl PlannedApplication {
    /// Plans the statements of `text`; fails with all errors that there are.
    pub fn plan(text: &str, settings: &Settings) -> Result<Self, Vec<Error>> {
        Self::plan_after(text, settings, Catalog::default())
    }

    /// Plans statements that may use what `catalog` has declared before.
    pub fn plan_after(text: &str, settings: &Settings, catalog: Catalog) -> Result<Self, Vec<Error>> {
        let planned = on_large_stack(|| Planning::new(text, settings, catalog).run());
        planned.unwrap_or_else(|error| Err(vec![error]))
    }
}

pub(super) struct Planning<'a> {
    pub(super) text: &'a str,
    pub(super) settings: &'a Settings,
    pub(super) planner: Planner,
    pub(super) catalog: Catalog,
    pub(super) jobs: Vec<PlannedJob>,
    pub(super) between: Vec<Arc<MemoryStream>>,
    pub(super) answers: Vec<String>,
    pub(super) notices: Vec<String>,
    pub(super) errors: Vec<Error>,
    /// Streams in memory that some query writes.
    pub(super) written: BTreeSet<String>,
    /// What statements with errors would have declared.
    pub(super) failed: BTreeSet<String>,
    /// What queries of this text have created.
    pub(super) created: BTreeSet<String>,
    /// The views that this text declares, with the bytes of their statements.
    pub(super) own_views: Vec<(String, Range<usize>)>,
    /// The tables that this text declares.
    pub(super) own_tables: Vec<OwnTable>,
    /// What makes rows for others.
    pub(super) makers: Vec<Maker>,
    /// The tables that others follow.
    pub(super) followed: BTreeSet<String>,
    /// The jobs that end with what is dropped.
    pub(super) ended_jobs: Vec<usize>,
}

impl<'a> Planning<'a> {
    fn new(text: &'a str, settings: &'a Settings, catalog: Catalog) -> Self {
        Self {
            text,
            settings,
            planner: Planner::new(settings.parallelism),
            catalog,
            jobs: vec![],
            between: vec![],
            answers: vec![],
            notices: vec![],
            errors: vec![],
            written: BTreeSet::new(),
            failed: BTreeSet::new(),
            created: BTreeSet::new(),
            own_views: vec![],
            own_tables: vec![],
            makers: vec![],
            followed: BTreeSet::new(),
            ended_jobs: vec![],
        }
    }

    fn run(mut self) -> Result<PlannedApplication, Vec<Error>> {
        let application = parse_application(self.text);
        self.errors.extend(application.errors);
        self.failed.extend(application.unread);
        self.notices.extend(application.notices.into_iter().map(|notice| notice.message));
        let mut set: Vec<Entry> = self.settings.options.clone();
        let (mut waiting, mut asked) = (vec![], vec![]);
        for parsed in application.statements {
            let span = parsed.span.clone();
            match &parsed.statement {
                Statement::Set { key, value } => {
                    set.push(Entry::new(key.clone(), value.clone(), Origin::Set(span)))
                }
                statement => {
                    if let Err(error) = self.declaration(statement, span.clone(), &set) {
                        self.errors.push(mark(error, self.text, span));
                        self.failed.extend(statement.declares().map(|name| name.value.clone()));
                        continue;
                    }
                    match statement {
                        Statement::CreateView { name, .. } => self.own_views.push((name.value.clone(), span)),
                        Statement::Show { .. } | Statement::Describe { .. } => {
                            asked.push((statement.clone(), span));
                        }
                        _ => {}
                    }
                }
            }
            waiting.extend(queries(parsed, &set, waiting.len()));
        }
        self.check_options(&waiting, set);
        self.plan_queries(waiting);
        self.plan_own_tables();
        self.answer(asked);
        self.finish()
    }

    /// Takes in what only declares.
    fn declaration(&mut self, statement: &Statement, span: Range<usize>, set: &[Entry]) -> Result<()> {
        match statement {
            Statement::Declare(declare) => {
                let name = &declare.name.value;
                self.make_room(declare)?;
                if self.catalog.declare(declare, self.settings)? && declare.kind == RelationKind::Table {
                    self.own_tables.retain(|other| other.name != *name);
                    self.own_tables.push(OwnTable { name: name.clone(), span, set: set.to_vec() });
                }
                Ok(())
            }
            Statement::CreateView { name, or_replace, query } => {
                let known = self.catalog.names().contains(&name.value);
                if known && !or_replace {
                    return Err(Error::invalid(format!("`{}` is declared already", name.value))
                        .with_hint("use another name, or CREATE OR REPLACE")
                        .with_span(name.span.clone()));
                }
                for (uri, _) in &query.uris {
                    self.catalog.declare_uri(uri, self.settings)?;
                }
                for inline in &query.inline_options {
                    let entries = super::catalog::entries(&inline.options, self.settings)?;
                    self.catalog.declare_for_query(
                        &inline.source,
                        entries,
                        Direction::Source,
                        self.settings,
                    )?;
                }
                self.catalog.views.retain(|(other, _)| *other != name.value);
                self.catalog.views.push((name.value.clone(), query.query.clone()));
                Ok(())
            }
            Statement::NotYet { what } => Err(Error::not_yet(format!("`{what}`")).with_hint(
                "an application declares streams, creates streams from queries, inserts and selects",
            )),
            Statement::Drop { kind, name, if_exists, cascade } => {
                self.drop_relation(*kind, name, *if_exists, *cascade)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn plan_query(&mut self, query: Query, read_by_others: usize) -> Result<()> {
        let query = self.complete_row_change(query)?;
        let mut options = query.set.clone();
        options.extend(super::catalog::entries(&query.options, self.settings)?);
        let target_name = query.target.name();
        let mut names: Vec<&str> = query.reads.iter().map(String::as_str).collect();
        names.extend(target_name.as_deref());
        names.extend(query.creates.as_deref());
        let groups = split_by_name(options, &names)?;
        let (job_options, notices) = JobOptions::read(groups.job.clone())?;
        self.notices.extend(notices);
        self.declare_sources(&query, &groups, &job_options)?;
        let inputs = self.inputs(&query.query, &query.reads)?;
        let job_options = with_late_of_sources(job_options, groups.job.clone(), &inputs, &query.span)?;
        self.note_maker(&query);
        let mut query = query;
        let destination = self.destination(&query, &groups, read_by_others)?;
        destination.plan_headers(&mut query, &inputs, &self.planner)?;
        let shape = Shape {
            target: destination.columns.clone(),
            columns: query.insert_columns.clone(),
            carry_time: !query.creates_table
                && (destination.connector.wants_event_time() || destination.between.is_some()),
            grace_ms: query.grace_ms.unwrap_or_else(|| {
                i64::try_from(job_options.allowed_lateness.as_millis()).unwrap_or(i64::MAX)
            }),
            zone: job_options.timezone,
            ttl_ms: job_options.state_ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)),
            late: job_options.late,
            missing: self.missing(&query, &groups)?,
        };
        let work = match self.work(&query, &inputs, &shape, &job_options) {
            Ok(work) => work,
            Err(error) => return Err(self.all_errors((&query.query, &query.span), &inputs, error)),
        };
        self.note_followed(&work);
        let waits = self.waits(&query, &groups, &job_options)?;
        self.add_job(query, work, destination, job_options, waits)
    }

    fn declare_sources(&mut self, query: &Query, groups: &Groups, options: &JobOptions) -> Result<()> {
        for uri in &query.uris {
            self.catalog.declare_uri(uri, self.settings)?;
        }
        for inline in &query.inline_options {
            let entries = super::catalog::entries(&inline.options, self.settings)?;
            self.catalog.declare_for_query(&inline.source, entries, Direction::Source, self.settings)?;
        }
        for name in &query.reads {
            let is_target = query.target.name().as_deref() == Some(name);
            if groups.names(name) && !is_target && self.catalog.get(name).is_none() {
                self.catalog.declare_for_query(
                    name,
                    groups.source(name),
                    Direction::Source,
                    self.settings,
                )?;
            }
            if name == "stdin" {
                self.catalog.declare_stdin(self.settings)?;
            }
            if name == ERROR_TABLE {
                self.catalog.declare_errors(&options.errors.location);
            }
        }
        Ok(())
    }

    /// Collects what `query` is planned with.
    pub(super) fn inputs(&mut self, query: &ast::Query, reads: &BTreeSet<String>) -> Result<Inputs> {
        let mut inputs = Inputs {
            names: self.catalog.names(),
            parameters: self.settings.parameters.clone(),
            ..Inputs::default()
        };
        for name in reads {
            if self.catalog.get(name).is_some() {
                let relation = self.catalog.relation(name, Some(query), self.settings)?;
                inputs.relations.insert(name.clone(), relation);
            }
        }
        self.notices.extend(adopt_event_times(query, &mut inputs.relations)?);
        Ok(inputs)
    }

    fn work(&self, query: &Query, inputs: &Inputs, shape: &Shape, options: &JobOptions) -> Result<Work> {
        let batch = || -> Result<Work> {
            if let Some(endless) = inputs
                .relations
                .values()
                .find(|relation| query.reads.contains(&relation.name) && !relation.source.is_bounded())
            {
                return Err(Error::invalid(format!(
                    "stream `{}` never ends, so it has no batch answer",
                    endless.name
                ))
                .with_hint("bound it, or run with `--mode stream`"));
            }
            let plan = self.planner.plan_batch(&query.query, self.text, inputs, shape)?;
            Ok(Work::Batch(Box::new(plan)))
        };
        let given = self.settings.mode.or_else(|| options.says_mode().then_some(options.mode));
        if given == Some(Mode::Batch) {
            return batch();
        }
        let read = || query.reads.iter().filter_map(|name| inputs.relations.get(name));
        let only_tables = read().count() > 0 && read().all(|relation| relation.table.is_some());
        if only_tables && query.emit.is_none() && !self.follows_tables(query) {
            return batch();
        }
        let ends = |relation: &Arc<Relation>| {
            if only_tables { relation.ends() } else { relation.source.is_bounded() }
        };
        let bounded = read().count() > 0 && read().all(ends);
        let once = query.is_select && given.is_none() && (bounded || query.reads_nothing);
        let emit = query.emit.map(|mode| match mode {
            EmitMode::Changes => Emission::Changes,
            EmitMode::Final => Emission::Final,
        });
        if emit == Some(Emission::Final) && !bounded && !query.has_window {
            return Err(Error::invalid("EMIT FINAL without a window needs an input that ends")
                .with_hint("add WINDOW …, bound the source, or use EMIT CHANGES"));
        }
        let unwindowed = if once { Emission::Final } else { Emission::Changes };
        let planned = self.planner.plan_stream(&query.query, self.text, inputs, shape, (emit, unwindowed));
        match planned {
            Ok(plan) => Ok(Work::Stream(Box::new(plan))),
            // A query that reads nothing has no stream to follow; one over inputs that end may as well run once.
            Err(_) if query.reads_nothing => batch(),
            Err(error) if once && emit.is_none() && !query.has_window => batch().map_err(|_| error),
            Err(error) => Err(error),
        }
    }

    fn add_job(
        &mut self,
        query: Query,
        mut work: Work,
        destination: Destination,
        options: JobOptions,
        waits: Vec<(Arc<TableLoad>, Duration)>,
    ) -> Result<()> {
        let mut sink = self.statement_sink(&query, &work, destination.connector)?;
        let writes_once = self.written_once(&query, &work).map(|name| (name, query.span.start));
        let mut keeps = None;
        if query.creates_table && query.explain != Explaining::Analyze {
            let own = (!destination.keeps_only).then(|| Arc::clone(&sink));
            let (kept, to) = self.create_table(&query, &mut work, &options, own)?;
            (keeps, sink) = (Some(kept), to);
        }
        let (output, changelog) = match &work {
            Work::Stream(plan) => (Arc::clone(&plan.output), plan.changelog),
            Work::Batch(plan) => (Arc::clone(plan.schema().inner()), false),
        };
        if options.emit_interval.is_some() && !changelog {
            self.notices.push(format!(
                "`emit.interval` has no effect on `{}`, because its result never changes rows it gave",
                query.name
            ));
        }
        if options.retention.is_some() && !query.creates_table {
            self.notices
                .push(format!("`retention` has no effect on `{}`, because it makes no table", query.name));
        }
        if let Some(name) = &destination.between {
            let stream = self.between_jobs(name, &work, &output);
            sink = Arc::new(MemorySinkConnector::between_jobs(stream));
        }
        if changelog && sink.changelog_form() == ChangelogForm::AppendOnly && destination.lenient {
            self.notices.push(format!(
                "{} gets the new rows of changed groups; other forms: 'changelog' = 'op', or EMIT FINAL",
                sink.describe()
            ));
        } else if changelog && sink.changelog_form() == ChangelogForm::AppendOnly {
            return Err(self.changes_refused(&query.name, destination.shared.as_deref(), &sink.describe()));
        }
        let to_user = destination.between.is_none() && destination.shared.as_deref() == Some("stdout");
        let result = (to_user && self.catalog.keeps_results)
            .then(|| MemoryStream::keeping_all(&query.name, Arc::clone(&output)));
        if let Some(result) = &result {
            sink = Arc::new(MemorySinkConnector::result(Arc::clone(result)));
        }
        let key = match &keeps {
            Some(kept) => kept.table.key().to_vec(),
            None => key_ordinals(&query, &output, &destination.key)?,
        };
        let before = self.text.get(..query.span.start).unwrap_or_default();
        let number = self.catalog.begin_job(Dependent::of(&query));
        self.jobs.push(PlannedJob {
            name: query.name,
            number,
            sql_line: before.matches('\n').count() + 1,
            work,
            sink,
            shared_sink: destination
                .shared
                .filter(|_| destination.between.is_none() && writes_once.is_none()),
            output,
            key,
            changelog,
            options,
            result,
            reads_nothing: query.reads_nothing,
            waits,
            keeps,
            changes_rows: query.change.is_some(),
            writes_once,
            explain: query.explain,
        });
        Ok(())
    }

    fn finish(mut self) -> Result<PlannedApplication, Vec<Error>> {
        if !self.errors.is_empty() {
            self.errors.sort_by_key(|error| error.span().map_or(usize::MAX, |span: Range<usize>| span.start));
            super::order::dedup(&mut self.errors);
            return Err(self.errors);
        }
        self.notices.append(&mut self.catalog.notices);
        let names = self.catalog.names();
        let memory = names.iter().filter_map(|name| self.catalog.get(name)?.memory.clone());
        let unwritten = memory.filter(|stream| !self.written.contains(stream.name())).collect();
        Ok(PlannedApplication {
            jobs: self.jobs,
            between: self.between,
            notices: self.notices,
            answers: self.answers,
            unwritten,
            ended_jobs: self.ended_jobs,
            planner: self.planner,
            catalog: self.catalog,
        })
    }
}

/// Takes from the sources what becomes of late rows, where `said`, the options of the job, do not say it.
fn with_late_of_sources(
    options: JobOptions,
    mut said: Vec<Entry>,
    inputs: &Inputs,
    span: &Range<usize>,
) -> Result<JobOptions> {
    if said.iter().any(|entry| [LATE_STRATEGY, "late_data_strategy"].contains(&entry.key.as_str())) {
        return Ok(options);
    }
    let mut rules = inputs.relations.values().filter_map(|relation| Some((relation.late?, &relation.name)));
    let Some((rule, first)) = rules.next() else { return Ok(options) };
    if let Some((other, second)) = rules.find(|(other, _)| *other != rule) {
        return Err(Error::invalid(format!(
            "`{LATE_STRATEGY}` of `{first}` is '{rule}', and that of `{second}` '{other}'"
        ))
        .with_hint(format!("say which holds for the job: SET '{LATE_STRATEGY}' = '{rule}'")));
    }
    said.push(Entry::new(LATE_STRATEGY, rule, Origin::With(span.clone())));
    // What is to be said of the others was said when they were read alone.
    Ok(JobOptions::read(said)?.0)
}
