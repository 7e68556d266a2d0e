//! [`Streaming`]: a query as a streaming job of this engine.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::data::{Input, bid_schema};
use super::queries::BenchQuery;
use super::sink::{AnswerConnector, Shared};
use crate::config::ProcessEnvironment;
use crate::connect::console::OutputForm;
use crate::connect::memory::{MemorySourceConnector, MemoryStream};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::job::application::{PlannedApplication, RunningApplication, Settings, Work};
use crate::job::{JobReport, Mode};
use crate::sql::relation::Relation;
use crate::time::Clock;

/// This engine with an input to read.
pub(super) struct Streaming {
    settings: Settings,
    /// The `WITH` list of the source.
    source: String,
    /// The rows, where they are in memory.
    stream: Option<Arc<MemoryStream>>,
}

impl Streaming {
    /// Makes the engine ready to read `input` on `parallelism` cores.
    pub(super) fn new(input: &Input, parallelism: NonZeroUsize, clock: Arc<dyn Clock>) -> Result<Self> {
        let (source, stream) = match input {
            Input::File(format, path) => {
                let path = path.display().to_string().replace('\'', "''");
                (format!("'connector' = 'file', 'path' = '{path}', 'format' = '{}'", format.name()), None)
            }
            Input::Memory(batches) => {
                let stream = MemoryStream::keeping_all("bid", bid_schema());
                for rows in batches {
                    stream.append(ChangeBatch::inserts(rows.clone()))?;
                }
                stream.end();
                ("'connector' = 'memory'".to_owned(), Some(stream))
            }
        };
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
        Ok(Self { settings, source, stream })
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
        let planned = self.plan(query)?;
        let job = planned.jobs.first().ok_or_else(|| Error::internal("nothing was planned"))?;
        Ok(Arc::clone(&job.output))
    }

    /// Runs a query to the end of its input. The report's seconds are those from the job's start to the last row.
    pub(super) fn run(&self, query: &BenchQuery, sink: &Arc<AnswerConnector>) -> Result<JobReport> {
        let mut planned = self.plan(query)?;
        for job in &mut planned.jobs {
            job.sink = Arc::new(Shared(Arc::clone(sink)));
        }
        let outcome = RunningApplication::start(planned, &self.settings)?.wait();
        if let Some((_, error)) = outcome.error {
            return Err(error);
        }
        let report = outcome.reports.into_iter().next().ok_or_else(|| Error::internal("no job was run"))?;
        if report.late > 0 || report.rejected > 0 || report.unaccounted() != 0 {
            return Err(Error::internal(format!(
                "{} rows were late, {} rejected, {} lost, and none may be",
                report.late,
                report.rejected,
                report.unaccounted()
            )));
        }
        Ok(report)
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
            let Some(stream) = &self.stream else { continue };
            for scan in &mut plan.scans {
                // The declared stream is empty; the rows are in one that every round reads again.
                let source = Arc::new(MemorySourceConnector::new(Arc::clone(stream), true));
                scan.relation = Arc::new(Relation { source, ..Relation::clone(&scan.relation) });
            }
        }
        Ok(planned)
    }

    fn text(&self, query: &BenchQuery) -> String {
        let watermark =
            if query.has_window { ", WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND" } else { "" };
        format!(
            "CREATE STREAM bid (auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, \
             dateTime TIMESTAMP(3), extra VARCHAR{watermark}) WITH ({});\n\
             CREATE STREAM answer WITH ('connector' = 'blackhole');\n\
             INSERT INTO answer {};",
            self.source, query.velostream
        )
    }
}
