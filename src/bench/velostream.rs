//! [`Streaming`]: a query as a streaming job of this engine.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::data::{Input, Place};
use super::dataset::Dataset;
use super::queries::BenchQuery;
use super::sink::{AnswerConnector, Shared};
use crate::config::ProcessEnvironment;
use crate::connect::console::OutputForm;
use crate::connect::memory::{MemorySourceConnector, MemoryStream};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::job::application::{PlannedApplication, PlannedJob, RunningApplication, Settings, Work};
use crate::job::{JobReport, Mode};
use crate::sql::functions::type_name;
use crate::sql::relation::Relation;
use crate::time::{Clock, Stopwatch};

/// The stream that takes the answer.
const ANSWER: &str = "answer";

/// This engine with inputs to read.
pub(super) struct Streaming {
    settings: Settings,
    sources: Vec<Source>,
}

/// An input as the engine reads it.
struct Source {
    dataset: Dataset,
    rows: u64,
    /// The `WITH` list of its declaration.
    options: String,
    /// The rows, where they are in memory.
    stream: Option<Arc<MemoryStream>>,
}

/// What a query's jobs did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Seconds from the start of the first job to the last row.
    pub(super) seconds: f64,
    /// The rows of all inputs.
    pub(super) read: u64,
    /// The changes that the answer was written as, deletes included.
    pub(super) changes: u64,
}

impl Streaming {
    /// Makes the engine ready to read `inputs` on `parallelism` cores.
    pub(super) fn new(inputs: &[Input], parallelism: NonZeroUsize, clock: Arc<dyn Clock>) -> Result<Self> {
        let settings = Settings {
            options: vec![],
            parameters: BTreeMap::new(),
            mode: Some(Mode::Stream),
            output: OutputForm::Ndjson,
            directory: PathBuf::new(),
            environment: Arc::new(ProcessEnvironment),
            clock,
            parallelism,
            contact: true,
        };
        Ok(Self { settings, sources: inputs.iter().map(Source::new).collect::<Result<_>>()? })
    }

    /// Makes jobs read few rows at a time, so that little input has many epochs.
    #[cfg(test)]
    pub(super) fn in_small_batches(mut self) -> Self {
        let option = |key: &str, value: &str| {
            crate::config::Entry::new(key, value, crate::config::Origin::CommandLine)
        };
        self.settings.options = vec![option("batch.max_rows", "700"), option("batch.max_bytes", "65536")];
        self
    }

    /// Returns the columns of a query's answer.
    pub(super) fn schema(&self, query: &BenchQuery) -> Result<SchemaRef> {
        let mut planned = self.plan(query)?;
        Ok(Arc::clone(&answering(&mut planned.jobs)?.output))
    }

    /// Runs a query to the end of its inputs; tables are loaded by jobs of their own, in the same time.
    ///
    /// Errors if a job reads not all there is, loses a row or finds one late.
    pub(super) fn run(&self, query: &BenchQuery, sink: &Arc<AnswerConnector>) -> Result<Run> {
        let mut planned = self.plan(query)?;
        let job = answering(&mut planned.jobs)?;
        job.sink = Arc::new(Shared(Arc::clone(sink)));
        let name = job.name.clone();
        let stopwatch = Stopwatch::start(Arc::clone(&self.settings.clock));
        let outcome = RunningApplication::start(planned, &self.settings)?.wait();
        let seconds = stopwatch.seconds();
        if let Some((_, error)) = outcome.error {
            return Err(error);
        }
        let read = self.read(query, &outcome.reports)?;
        let answered = outcome.reports.iter().find(|report| report.name == name);
        let changes = answered.ok_or_else(|| Error::internal("no job was run"))?.rows_out;
        Ok(Run { seconds, read, changes })
    }

    /// Returns how many rows there are to read for a query, once each of its jobs has read all of them and lost none.
    fn read(&self, query: &BenchQuery, reports: &[JobReport]) -> Result<u64> {
        for report in reports {
            if report.late > 0 || report.rejected > 0 || report.unaccounted() != 0 {
                return Err(Error::internal(format!(
                    "{}: {} rows were late, {} rejected, {} lost, and none may be",
                    report.name,
                    report.late,
                    report.rejected,
                    report.unaccounted()
                )));
            }
        }
        let mut sum = 0;
        for source in self.read_by(query) {
            let (name, rows) = (source.dataset.name(), source.rows);
            let read = || reports.iter().flat_map(|report| &report.sources).filter(|read| read.name == name);
            let records = || read().map(|read| read.records);
            if records().min() != Some(rows) || records().max() != Some(rows) {
                let records: Vec<u64> = records().collect();
                return Err(Error::internal(format!("{records:?} of {rows} rows of `{name}` were read")));
            }
            sum += rows;
        }
        Ok(sum)
    }

    fn plan(&self, query: &BenchQuery) -> Result<PlannedApplication> {
        let text = self.text(query);
        let mut planned = PlannedApplication::plan(&text, &self.settings).map_err(|errors| {
            errors.into_iter().next().unwrap_or_else(|| Error::internal("planning failed without a word"))
        })?;
        for job in &mut planned.jobs {
            let Work::Stream(plan) = &mut job.work else {
                return Err(Error::internal(format!("`{}` was not planned as a stream", query.name)));
            };
            for scan in &mut plan.scans {
                let own = |source: &&Source| source.dataset.name() == scan.relation.name;
                let stream = self.sources.iter().find(own).and_then(|source| source.stream.as_ref());
                let Some(stream) = stream else { continue };
                // What is declared is empty; the rows are in a stream that every round reads again.
                let source = Arc::new(MemorySourceConnector::new(Arc::clone(stream), true));
                scan.relation = Arc::new(Relation { source, ..Relation::clone(&scan.relation) });
            }
        }
        Ok(planned)
    }

    /// Returns the inputs of a query.
    fn read_by(&self, query: &BenchQuery) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| query.reads().any(|dataset| dataset == source.dataset))
    }

    fn text(&self, query: &BenchQuery) -> String {
        let declared = self.read_by(query).map(|source| source.declaration(query));
        let declared: Vec<String> = declared.collect();
        format!(
            "{}CREATE STREAM {ANSWER} WITH ('connector' = 'blackhole');\nINSERT INTO {ANSWER} {};",
            declared.concat(),
            query.for_velostream()
        )
    }
}

impl Source {
    fn new(input: &Input) -> Result<Self> {
        let (options, stream) = match &input.place {
            Place::File(format, path) => {
                let path = path.display().to_string().replace('\'', "''");
                (format!("'connector' = 'file', 'path' = '{path}', 'format' = '{}'", format.name()), None)
            }
            Place::Memory(batches) => {
                let stream = MemoryStream::keeping_all(input.dataset.name(), input.dataset.schema());
                for rows in batches {
                    stream.append(ChangeBatch::inserts(rows.clone()))?;
                }
                stream.end();
                ("'connector' = 'memory'".to_owned(), Some(stream))
            }
        };
        Ok(Self { dataset: input.dataset, rows: input.rows, options, stream })
    }

    /// Returns the statement that declares the input as what `query` reads it as.
    fn declaration(&self, query: &BenchQuery) -> String {
        let is_table = query.tables.contains(&self.dataset);
        let schema = self.dataset.schema();
        let columns = schema.fields().iter().enumerate().map(|(place, field)| {
            let key = if is_table && place == 0 { " PRIMARY KEY" } else { "" };
            format!("\"{}\" {}{key}", field.name(), type_name(field.data_type()))
        });
        let mut columns: Vec<String> = columns.collect();
        if query.has_window && !is_table {
            columns.push(r#"WATERMARK FOR "dateTime" AS "dateTime" - INTERVAL '4' SECOND"#.to_owned());
        }
        let kind = if is_table { "TABLE" } else { "STREAM" };
        let (name, columns) = (self.dataset.name(), columns.join(", "));
        format!("CREATE {kind} {name} ({columns}) WITH ({});\n", self.options)
    }
}

/// Returns the job that answers, among those that load what it looks up.
fn answering(jobs: &mut [PlannedJob]) -> Result<&mut PlannedJob> {
    let answers = |job: &&mut PlannedJob| job.shared_sink.as_deref() == Some(ANSWER);
    jobs.iter_mut().find(answers).ok_or_else(|| Error::internal("nothing was planned"))
}
