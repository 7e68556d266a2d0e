//! [`RunningApplication`]: the jobs of a planned application on their threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use datafusion::logical_expr::LogicalPlan;
use parking_lot::Mutex;

use super::planning::{PlannedApplication, PlannedJob, Work};
use super::settings::Settings;
use crate::connect::memory::MemoryStream;
use crate::connect::{ChunkLimits, Sink, WriteRequest, Written};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::job::batch::{BatchJob, BatchSpec, relations_of};
use crate::job::{Ending, Failures, Gate, Job, JobReport, JobSpec, LoadProgress, Loads, Outcome};
use crate::sql::plan::Planner;
use crate::sql::relation::Relation;
use crate::time::{Clock, Watermark};

/// An application that runs.
pub struct RunningApplication {
    jobs: Vec<RunningJob>,
    stopping: Arc<AtomicBool>,
    loads: Arc<Loads>,
    clock: Arc<dyn Clock>,
}

struct RunningJob {
    running: Running,
    /// Whether it only keeps a table up to date for as long as others run.
    serves: bool,
}

enum Running {
    Stream(Box<Job>),
    Batch(BatchJob),
}

/// What is left of an application.
#[derive(Debug)]
pub struct ApplicationOutcome {
    /// What its jobs did.
    pub reports: Vec<JobReport>,
    /// How far the load of each table came.
    pub tables: Vec<LoadProgress>,
    /// The first thing that went wrong, with the job's name.
    pub error: Option<(String, Error)>,
    /// Whether a job was asked to stop before its inputs had ended.
    pub stopped: bool,
}

impl PlannedJob {
    /// Opens a writer for the result.
    pub fn open_sink(&self, settings: &Settings) -> Result<Box<dyn Sink>> {
        self.open_shared(settings, self.changelog)
    }

    /// Opens a writer for the result and for those of others, of which one withdraws rows if `changelog` says so.
    fn open_shared(&self, settings: &Settings, changelog: bool) -> Result<Box<dyn Sink>> {
        let request = WriteRequest {
            schema: Arc::clone(&self.output),
            key: self.key.clone(),
            changelog,
            clock: Arc::clone(&settings.clock),
        };
        self.sink.open(&request)
    }

    /// Returns what to start the job with, if it follows its inputs.
    pub fn stream_spec(
        &self,
        sink: Box<dyn Sink>,
        planner: &Planner,
        settings: &Settings,
    ) -> Result<JobSpec> {
        let Work::Stream(plan) = &self.work else {
            return Err(Error::internal(format!("job `{}` runs once", self.name)));
        };
        Ok(JobSpec {
            name: self.name.clone(),
            plan: (**plan).clone(),
            sink,
            sink_name: self.sink.describe(),
            state: planner.stream_state().clone(),
            parallelism: self.parallelism(settings),
            limits: self.limits(),
            failures: self.failures(),
            memory_limit: self.options.memory_limit,
            emit_interval: self.options.emit_interval,
            clock: Arc::clone(&settings.clock),
            gate: self.gate(),
            load: self.keeps.as_ref().map(|kept| Arc::clone(&kept.load.load)),
            record: false,
        })
    }

    /// Runs the job to its end, if it runs once; none if it follows its inputs.
    pub fn run_once(&self, planner: &Planner, settings: &Settings) -> Result<Option<Outcome>> {
        let Work::Batch(plan) = &self.work else { return Ok(None) };
        let spec = self.batch_spec(plan, self.open_sink(settings)?, planner, settings, Box::new(|| ()));
        Ok(Some(BatchJob::start(spec)?.wait()))
    }

    fn batch_spec(
        &self,
        plan: &LogicalPlan,
        sink: Box<dyn Sink>,
        planner: &Planner,
        settings: &Settings,
        opened: Box<dyn FnOnce() + Send>,
    ) -> BatchSpec {
        BatchSpec {
            name: self.name.clone(),
            plan: plan.clone(),
            sink,
            sink_name: self.sink.describe(),
            state: planner.batch_state().clone(),
            parallelism: self.parallelism(settings),
            limits: self.limits(),
            failures: self.failures(),
            clock: Arc::clone(&settings.clock),
            gate: self.gate(),
            load: self.keeps.as_ref().map(|kept| Arc::clone(&kept.load.load)),
            opened,
        }
    }

    /// Returns what the job waits for before it reads, if it waits for anything.
    fn gate(&self) -> Option<Arc<Gate>> {
        let own = self.keeps.as_ref().map(|kept| kept.load.clone());
        if let Some(own) = &own {
            own.all.add(&own.load);
        }
        let waits = !self.waits.is_empty() || own.is_some();
        waits.then(|| Arc::new(Gate::new(self.waits.clone(), own)))
    }

    /// Returns whether the job only keeps a table up to date for as long as others run.
    fn serves(&self) -> bool {
        let is_endless = match &self.work {
            Work::Stream(plan) => plan.scans.iter().any(|scan| !scan.relation.source.is_bounded()),
            Work::Batch(_) => false,
        };
        is_endless && self.keeps.as_ref().is_some_and(|kept| kept.is_all)
    }

    /// Returns whether the job only reads tables, as they are when it runs.
    pub fn reads_only_tables(&self) -> bool {
        matches!(self.work, Work::Batch(_)) && !self.waits.is_empty() && !self.reads_streams_once()
    }

    /// Returns whether the job opens streams on a thread of its own, once it is past its gate.
    fn reads_streams_once(&self) -> bool {
        let Work::Batch(plan) = &self.work else { return false };
        let reads = |relations: Vec<Arc<Relation>>| relations.iter().any(|read| read.table.is_none());
        relations_of(plan).map_or(true, reads)
    }

    fn failures(&self) -> Failures {
        Failures {
            on_error: self.options.on_error,
            keeps_late: self.options.keeps_late,
            table: self.options.errors.clone(),
            sql_line: self.sql_line,
        }
    }

    fn parallelism(&self, settings: &Settings) -> usize {
        self.options.parallelism.unwrap_or(settings.parallelism).get()
    }

    fn limits(&self) -> ChunkLimits {
        ChunkLimits {
            rows: self.options.batch_max_rows.get(),
            bytes: usize::try_from(self.options.batch_max_bytes).unwrap_or(usize::MAX),
            linger: self.options.batch_linger,
        }
    }
}

impl RunningApplication {
    /// Opens all sinks, then starts all jobs; a job that cannot start stops those that did.
    pub fn start(application: PlannedApplication, settings: &Settings) -> Result<Self> {
        let PlannedApplication { jobs, unwritten, planner, between, catalog, .. } = application;
        let jobs: Vec<PlannedJob> =
            jobs.into_iter().filter(|job| job.explain != super::statements::Explaining::Plan).collect();
        unwritten.iter().for_each(|stream| stream.end());
        let sinks = open_sinks(&jobs, settings)?;
        let (loads, clock) = (catalog.loads, Arc::clone(&settings.clock));
        let mut started = Self { jobs: vec![], stopping: Arc::default(), loads, clock };
        let starting = Starting::new(&jobs, between);
        for (job, sink) in jobs.iter().zip(sinks) {
            let running = match &job.work {
                Work::Stream(_) => job
                    .stream_spec(sink, &planner, settings)
                    .and_then(|spec| Job::start(spec, None))
                    .map(|job| Running::Stream(Box::new(job))),
                Work::Batch(plan) => {
                    let starting = Arc::clone(&starting);
                    let counts = job.reads_streams_once();
                    let opened = Box::new(move || {
                        if counts {
                            starting.one_is_there()
                        }
                    });
                    BatchJob::start(job.batch_spec(plan, sink, &planner, settings, opened))
                        .map(Running::Batch)
                }
            };
            match running {
                Ok(running) => started.jobs.push(RunningJob { running, serves: job.serves() }),
                Err(error) => {
                    started.stopper()();
                    started.wait();
                    return Err(error);
                }
            }
        }
        starting.one_is_there();
        Ok(started)
    }

    /// Returns a handle that asks all jobs to stop.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        let stoppers: Vec<Box<dyn Fn() + Send + Sync>> =
            self.jobs.iter().map(|job| job.running.stopper()).collect();
        let stopping = Arc::clone(&self.stopping);
        move || {
            stopping.store(true, Ordering::Release);
            stoppers.iter().for_each(|stop| stop());
        }
    }

    /// Returns what the streaming jobs have done so far.
    pub fn progress(&self) -> Vec<JobReport> {
        let stream = |job: &RunningJob| match &job.running {
            Running::Stream(job) => Some(job.progress()),
            Running::Batch(_) => None,
        };
        self.jobs.iter().filter_map(stream).collect()
    }

    /// Returns a handle that says what each job has done so far, also once it has ended.
    pub fn observer(&self) -> impl Fn() -> Vec<JobReport> + Send + Sync + 'static {
        let observers: Vec<Box<dyn Fn() -> JobReport + Send + Sync>> = self
            .jobs
            .iter()
            .map(|job| -> Box<dyn Fn() -> JobReport + Send + Sync> {
                match &job.running {
                    Running::Stream(job) => Box::new(job.observer()),
                    Running::Batch(job) => Box::new(job.observer()),
                }
            })
            .collect();
        move || observers.iter().map(|observe| observe()).collect()
    }

    /// Returns how far the load of each table is.
    pub fn tables(&self) -> Vec<LoadProgress> {
        self.loads.progress(self.clock.monotonic_micros())
    }

    /// Returns whether every job has ended, those aside that only keep tables for others.
    pub fn is_over(&self) -> bool {
        let only_serves = self.jobs.iter().all(|job| job.serves);
        self.jobs.iter().filter(|job| only_serves || !job.serves).all(|job| job.running.is_over())
    }

    /// Waits for all jobs. Each runs to its own end: one that fails harms no other. Those that only keep tables up to
    /// date end when nobody is left to read them.
    pub fn wait(self) -> ApplicationOutcome {
        let mut outcome = ApplicationOutcome { reports: vec![], tables: vec![], error: None, stopped: false };
        let only_serves = self.jobs.iter().all(|job| job.serves);
        let mut outcomes: Vec<Option<Outcome>> = vec![];
        let mut serving = vec![];
        for (ordinal, job) in self.jobs.into_iter().enumerate() {
            if job.serves && !only_serves {
                serving.push((ordinal, job.running));
                outcomes.push(None);
            } else {
                outcomes.push(Some(job.running.wait()));
            }
        }
        for (_, job) in &serving {
            job.stopper()();
        }
        for (ordinal, job) in serving {
            let mut ended = job.wait();
            if matches!(ended.ending, Ok(Ending::Stopped)) && !self.stopping.load(Ordering::Acquire) {
                ended.ending = Ok(Ending::Finished);
                ended.report.state = "finished";
            }
            outcomes[ordinal] = Some(ended);
        }
        for Outcome { report, ending, .. } in outcomes.into_iter().flatten() {
            match ending {
                Ok(Ending::Stopped) => outcome.stopped = true,
                Ok(Ending::Finished) => {}
                Err(error) => {
                    outcome.error.get_or_insert((report.name.clone(), error));
                }
            }
            outcome.reports.push(report);
        }
        outcome.tables = self.loads.progress(self.clock.monotonic_micros());
        outcome
    }
}

impl Running {
    fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        match self {
            Self::Stream(job) => Box::new(job.stopper()),
            Self::Batch(job) => Box::new(job.stopper()),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Stream(job) => job.is_over(),
            Self::Batch(job) => job.is_over(),
        }
    }

    fn wait(self) -> Outcome {
        match self {
            Self::Stream(job) => job.wait(),
            Self::Batch(job) => job.wait(),
        }
    }
}

/// Lets the streams between jobs drop what was read, once every reader is there to read the first row.
///
/// Jobs that follow their inputs open them when they start, jobs that run once on threads of their own.
struct Starting {
    between: Vec<Arc<MemoryStream>>,
    missing: AtomicUsize,
}

impl Starting {
    /// Waits for the jobs that run once, and for the word that all others have started.
    fn new(jobs: &[PlannedJob], between: Vec<Arc<MemoryStream>>) -> Arc<Self> {
        let once = jobs.iter().filter(|job| job.reads_streams_once()).count();
        if once > 0 {
            between.iter().for_each(|stream| stream.read_in_turn());
        }
        Arc::new(Self { between, missing: AtomicUsize::new(once + 1) })
    }

    fn one_is_there(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.between.iter().for_each(|stream| stream.release());
        }
    }
}

fn open_sinks(jobs: &[PlannedJob], settings: &Settings) -> Result<Vec<Box<dyn Sink>>> {
    let mut shared: BTreeMap<String, Arc<Mutex<Shared>>> = BTreeMap::new();
    let mut users: BTreeMap<String, usize> = BTreeMap::new();
    for name in jobs.iter().filter_map(|job| job.shared_sink.clone()) {
        *users.entry(name).or_default() += 1;
    }
    let mut sinks: Vec<Box<dyn Sink>> = vec![];
    for job in jobs {
        let name = job.shared_sink.as_ref().filter(|name| users.get(*name).is_some_and(|users| *users > 1));
        // Queries that show their rows to the user each have columns of their own.
        let Some(name) = name.filter(|name| *name != "stdout") else {
            sinks.push(job.open_sink(settings)?);
            continue;
        };
        let writer = match shared.get(name) {
            Some(writer) => Arc::clone(writer),
            None => {
                let changelog =
                    jobs.iter().any(|other| other.shared_sink.as_ref() == Some(name) && other.changelog);
                let sink = job.open_shared(settings, changelog)?;
                let writer = Arc::new(Mutex::new(Shared::new(sink, users[name])));
                shared.insert(name.clone(), Arc::clone(&writer));
                writer
            }
        };
        sinks.push(Box::new(SharedSink {
            writer,
            written: Written::default(),
            at_end: false,
            caught_up: false,
        }));
    }
    Ok(sinks)
}

/// One writer for several jobs; it finishes with the last of them.
struct Shared {
    sink: Box<dyn Sink>,
    users: usize,
    /// How many have yet to come to the end of time.
    open: usize,
    /// How many have yet to write all that was there when they began.
    behind: usize,
}

impl Shared {
    fn new(sink: Box<dyn Sink>, users: usize) -> Self {
        Self { sink, users, open: users, behind: users }
    }
}

struct SharedSink {
    writer: Arc<Mutex<Shared>>,
    written: Written,
    at_end: bool,
    caught_up: bool,
}

impl Sink for SharedSink {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        self.written.rows += changes.num_rows() as u64;
        let mut writer = self.writer.lock();
        let before = writer.sink.written().bytes;
        writer.sink.write(changes)?;
        self.written.bytes += writer.sink.written().bytes - before;
        Ok(())
    }

    fn advance(&mut self, watermark: Watermark) -> Result<()> {
        // Event time in a stream of several writers is as far as the slowest, which no single writer knows; its end is
        // that of the last.
        if watermark != Watermark::END || std::mem::replace(&mut self.at_end, true) {
            return Ok(());
        }
        let mut writer = self.writer.lock();
        writer.open -= 1;
        if writer.open == 0 { writer.sink.advance(Watermark::END) } else { Ok(()) }
    }

    fn caught_up(&mut self) {
        if std::mem::replace(&mut self.caught_up, true) {
            return;
        }
        let mut writer = self.writer.lock();
        writer.behind -= 1;
        if writer.behind == 0 {
            writer.sink.caught_up();
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.lock().sink.flush()
    }

    fn finish(&mut self) -> Result<()> {
        let mut writer = self.writer.lock();
        writer.users -= 1;
        if writer.users == 0 { writer.sink.finish() } else { writer.sink.flush() }
    }

    fn written(&self) -> Written {
        self.written
    }
}
