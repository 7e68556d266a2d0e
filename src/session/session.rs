//! [`Session`]: what is declared, and the jobs that run.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use super::job::SessionJob;
use crate::connect::ChangeEncoding;
use crate::connect::memory::MemoryStream;
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::job::TakenIn;
use crate::job::application::{Catalog, Explaining, PlannedApplication, PlannedJob, Settings, Work, explain};
use crate::sql::plan::Planner;
use crate::time::Watermark;

/// What a statement gives back.
#[derive(Debug)]
pub enum Answer {
    /// It was done.
    Done,
    /// What `SHOW`, `DESCRIBE` and `EXPLAIN` say.
    Text(String),
    /// The rows of a query that ran once; where it withdraws rows, changes with a first column `_op`.
    Rows(Vec<RecordBatch>),
}

/// Statements one at a time.
///
/// Streams in memory stay open for `INSERT` until [`end_inputs`](Self::end_inputs).
pub struct Session {
    settings: Settings,
    catalog: Catalog,
    planner: Planner,
    jobs: Vec<SessionJob>,
    /// The streams in memory that this session keeps open.
    open: Vec<Arc<MemoryStream>>,
    ended: bool,
}

impl Session {
    /// Creates a session without streams.
    pub fn new(settings: Settings) -> Self {
        let planner = Planner::new(settings.parallelism);
        let catalog = Catalog::keeping_results();
        Self { settings, catalog, planner, jobs: vec![], open: vec![], ended: false }
    }

    /// Runs the statements of `text`; nothing of it happens unless all of it can be planned.
    pub fn execute(&mut self, text: &str) -> Result<Answer, Vec<Error>> {
        for over in self.jobs.iter().filter(|job| job.is_over()) {
            self.catalog.end_job(over.number());
        }
        let reports = self.jobs.iter().filter_map(|job| job.reports().pop()).collect();
        self.catalog.look_at(reports);
        let planned = PlannedApplication::plan_after(text, &self.settings, self.catalog.clone())?;
        self.catalog = planned.catalog;
        self.end_dropped(&planned.ended_jobs).map_err(|error| vec![error])?;
        for stream in self.catalog.memory_streams() {
            if !self.ended && !self.open.iter().any(|open| Arc::ptr_eq(open, stream)) {
                stream.keep_open();
                self.open.push(Arc::clone(stream));
            }
        }
        let mut answer = match planned.answers.as_slice() {
            [] => Answer::Done,
            answers => Answer::Text(answers.join("\n")),
        };
        for job in planned.jobs {
            let number = job.number;
            let ran = self.run(job);
            if self.jobs.last().is_none_or(|last| last.number() != number) {
                self.catalog.end_job(number);
            }
            answer = ran.map_err(|error| vec![error])?;
        }
        Ok(answer)
    }

    /// Stops the jobs of those numbers, and lets go of the streams that are not in the catalog any more.
    fn end_dropped(&mut self, numbers: &[usize]) -> Result<()> {
        let mut ends = vec![];
        for job in self.jobs.extract_if(.., |job| numbers.contains(&job.number())) {
            ends.push(job.stop());
        }
        let known: Vec<&Arc<MemoryStream>> = self.catalog.memory_streams().collect();
        self.open.retain(|open| known.iter().any(|stream| Arc::ptr_eq(open, stream)));
        ends.into_iter().collect()
    }

    fn run(&mut self, job: PlannedJob) -> Result<Answer> {
        match job.explain {
            Explaining::No => {}
            Explaining::Plan => return explain(&job).map(Answer::Text),
            Explaining::Analyze => {
                return Err(Error::not_yet("`EXPLAIN ANALYZE` in a session")
                    .with_hint("`velo run -e \"EXPLAIN ANALYZE …\"` runs a query and says what it did"));
            }
        }
        let (result, changelog) = (job.result.clone(), job.changelog);
        if result.is_some() && !job.reads_nothing && !job.reads_only_tables() && !self.ended {
            return Err(Error::not_yet("a SELECT over a stream of a session that goes on")
                .with_hint("start a job: CREATE STREAM … AS SELECT …"));
        }
        match &job.work {
            Work::Batch(_) => {
                // It finds what the statements before it did, and those after it what it does.
                if job.changes_rows {
                    self.settle(LIMIT)?;
                }
                if let Some(outcome) = job.run_once(&self.planner, &self.settings)? {
                    outcome.ending?;
                }
                if job.changes_rows {
                    self.settle(LIMIT)?;
                }
            }
            Work::Stream(_) => {
                let mut job = SessionJob::start(job, &self.planner, &self.settings)?;
                if result.is_some() {
                    job.finish(LIMIT)?;
                } else {
                    self.jobs.push(job);
                }
            }
        }
        let Some(result) = result else { return Ok(Answer::Done) };
        let encoding = if changelog { ChangeEncoding::Op } else { ChangeEncoding::Rows };
        let changes = result.changes_from(0);
        Ok(Answer::Rows(changes.iter().map(|changes| encoding.encode(changes)).collect::<Result<_>>()?))
    }

    /// Returns the changes of a stream in memory from row `from` on.
    pub fn changes(&self, name: &str, from: i64) -> Option<Vec<ChangeBatch>> {
        Some(self.catalog.results(name)?.changes_from(from))
    }

    /// Returns the jobs, in the order in which they were started.
    pub fn jobs(&self) -> &[SessionJob] {
        &self.jobs
    }

    /// Waits until every job has processed all rows that are there, and fails as a job has failed.
    pub fn settle(&mut self, limit: Duration) -> Result<()> {
        loop {
            let rows = self.rows_in_memory();
            self.jobs.iter_mut().try_for_each(|job| settle(job, &self.catalog, limit))?;
            // A job may have given rows to one that was looked at before it.
            if rows == self.rows_in_memory() {
                return Ok(());
            }
        }
    }

    fn rows_in_memory(&self) -> i64 {
        self.catalog.memory_streams().map(|stream| stream.rows()).sum()
    }

    /// Waits until every job has processed all rows and has nothing left to do at what the clock shows.
    pub fn rest(&mut self, limit: Duration) -> Result<()> {
        // A job's last rows are the next one's work.
        self.jobs.iter_mut().try_for_each(|job| {
            settle(job, &self.catalog, limit)?;
            job.rest(limit)
        })
    }

    /// Stops every job and goes on from its snapshot; returns for each the rows of state that it went on with, none
    /// for those that had ended.
    pub fn restart(&mut self) -> Result<Vec<Option<u64>>> {
        let (planner, settings) = (&self.planner, &self.settings);
        self.jobs.iter_mut().map(|job| job.restart(planner, settings)).collect()
    }

    /// Ends the streams that no job writes, and waits for the end of every job; fails as the first that failed.
    pub fn end_inputs(&mut self, limit: Duration) -> Result<()> {
        self.ended = true;
        std::mem::take(&mut self.open).iter().for_each(|stream| stream.let_end());
        let ends: Vec<Result<()>> = self.jobs.iter_mut().map(|job| job.finish(limit)).collect();
        ends.into_iter().collect()
    }
}

fn settle(job: &mut SessionJob, catalog: &Catalog, limit: Duration) -> Result<()> {
    let wanted = |(name, follows_table): (&str, bool)| {
        let stream = if follows_table { catalog.table_changes(name) } else { catalog.memory(name) };
        TakenIn {
            records: stream.as_ref().map_or(0, |stream| u64::try_from(stream.rows()).unwrap_or(0)),
            promised: stream.map_or(Watermark::NONE, |stream| stream.promised()),
        }
    };
    let wanted: Vec<TakenIn> = job.reads().into_iter().map(wanted).collect();
    job.settle(&wanted, limit)
}

/// How long a query that runs once over streams that have ended may take.
const LIMIT: Duration = Duration::from_secs(60);
