//! [`RunningApplication`]: the jobs of a planned application on their threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use datafusion::logical_expr::LogicalPlan;

use super::planning::{PlannedApplication, PlannedJob, Work};
use super::settings::Settings;
use super::shared_sink::open_sinks;
use crate::connect::memory::MemoryStream;
use crate::connect::{ChunkLimits, Sink, WriteRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::job::batch::{BatchJob, BatchSpec, relations_of};
use crate::job::{
    Ending, Failures, Gate, Job, JobReport, JobSpec, LoadProgress, Loads, Outcome, TableLoad, Turn, Turns,
};
use crate::sql::plan::Planner;
use crate::sql::relation::Relation;
use crate::time::Clock;

/// An application that runs.
pub struct RunningApplication {
    jobs: Vec<RunningJob>,
    stopping: Arc<AtomicBool>,
    loads: Arc<Loads>,
    clock: Arc<dyn Clock>,
}

struct RunningJob {
    running: Running,
    /// The load of the table that it keeps.
    load: Option<Arc<TableLoad>>,
    /// Whether it only keeps a table for others, and how long.
    keeps: Keeping,
}

/// How long a job goes on that may only keep a table for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// To its own end: it does something else, too.
    No,
    /// To its end, unless one of the others fails, which may have waited for it in vain.
    ToItsEnd,
    /// For as long as others run.
    WhileOthersRun,
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
    pub(super) fn open_shared(&self, settings: &Settings, changelog: bool) -> Result<Box<dyn Sink>> {
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
            gate: self.gate(None),
            load: self.keeps.as_ref().map(|kept| Arc::clone(&kept.load.load)),
            record: false,
        })
    }

    /// Runs the job to its end, if it runs once; none if it follows its inputs.
    pub fn run_once(&self, planner: &Planner, settings: &Settings) -> Result<Option<Outcome>> {
        let Work::Batch(plan) = &self.work else { return Ok(None) };
        let spec =
            self.batch_spec(plan, self.open_sink(settings)?, planner, settings, (None, Box::new(|| ())));
        Ok(Some(BatchJob::start(spec)?.wait()))
    }

    fn batch_spec(
        &self,
        plan: &LogicalPlan,
        sink: Box<dyn Sink>,
        planner: &Planner,
        settings: &Settings,
        (turn, opened): (Option<Turn>, Box<dyn FnOnce() + Send>),
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
            gate: self.gate(turn.as_ref()),
            load: self.keeps.as_ref().map(|kept| Arc::clone(&kept.load.load)),
            turn,
            opened,
        }
    }

    /// Returns what the job waits for before it reads, if it waits for anything.
    fn gate(&self, turn: Option<&Turn>) -> Option<Arc<Gate>> {
        let own = self.keeps.as_ref().map(|kept| kept.load.clone());
        if let Some(own) = &own {
            own.all.add(&own.load);
        }
        let gate = Gate::new(self.waits.clone(), own.clone());
        match turn {
            Some(turn) => Some(Arc::new(gate.in_turn(turn.clone()))),
            None => (!self.waits.is_empty() || own.is_some()).then(|| Arc::new(gate)),
        }
    }

    /// Returns whether the job only keeps a table, and how long.
    fn keeping(&self) -> Keeping {
        let is_endless = match &self.work {
            Work::Stream(plan) => plan.scans.iter().any(|scan| !scan.relation.source.is_bounded()),
            Work::Batch(_) => false,
        };
        match &self.keeps {
            Some(kept) if kept.is_all && is_endless => Keeping::WhileOthersRun,
            Some(kept) if kept.is_all => Keeping::ToItsEnd,
            _ => Keeping::No,
        }
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
        let (loads, clock) = (Arc::clone(&catalog.loads), Arc::clone(&settings.clock));
        let mut started = Self { jobs: vec![], stopping: Arc::default(), loads, clock };
        let starting = Starting::new(&jobs, between);
        let mut turns = BTreeMap::new();
        for (job, sink) in jobs.iter().zip(sinks) {
            let running = match &job.work {
                Work::Stream(_) => job
                    .stream_spec(sink, &planner, settings)
                    .and_then(|spec| Job::start(spec, None))
                    .map(|running| {
                        let input = job.keeps.as_ref().and_then(|kept| catalog.memory(kept.table.name()));
                        if let (Some(kept), Some(input)) = (&job.keeps, input) {
                            let of_table =
                                Turns::new(Arc::clone(&kept.load.load), Arc::clone(input), running.how_far());
                            turns.insert(kept.table.name(), of_table);
                        }
                        Running::Stream(Box::new(running))
                    }),
                Work::Batch(plan) => {
                    let starting = Arc::clone(&starting);
                    let counts = job.reads_streams_once();
                    let opened = Box::new(move || {
                        if counts {
                            starting.one_is_there()
                        }
                    });
                    let turn = turn(job, &jobs, &turns);
                    BatchJob::start(job.batch_spec(plan, sink, &planner, settings, (turn, opened)))
                        .map(Running::Batch)
                }
            };
            match running {
                Ok(running) => {
                    let load = job.keeps.as_ref().map(|kept| Arc::clone(&kept.load.load));
                    started.jobs.push(RunningJob { running, load, keeps: job.keeping() });
                }
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
        type Observe = Box<dyn Fn() -> JobReport + Send + Sync>;
        let observe = |job: &RunningJob| -> Observe {
            let observe: Observe = match &job.running {
                Running::Stream(job) => Box::new(job.observer()),
                Running::Batch(job) => Box::new(job.observer()),
            };
            let (load, clock) = (job.load.clone(), Arc::clone(&self.clock));
            let table = move || load.as_ref().map(|load| load.progress(clock.monotonic_micros()));
            Box::new(move || JobReport { table: table(), ..observe() })
        };
        let observers: Vec<Observe> = self.jobs.iter().map(observe).collect();
        move || observers.iter().map(|observe| observe()).collect()
    }

    /// Returns how far the load of each table is.
    pub fn tables(&self) -> Vec<LoadProgress> {
        self.loads.progress(self.clock.monotonic_micros())
    }

    /// Returns whether every job has ended, those aside that only keep tables for others.
    pub fn is_over(&self) -> bool {
        let lasts = |job: &&RunningJob| job.keeps == Keeping::No;
        if !self.jobs.iter().any(|job| lasts(&job)) {
            return self.jobs.iter().all(|job| job.running.is_over());
        }
        let is_over =
            |keeps| self.jobs.iter().filter(|job| job.keeps == keeps).all(|job| job.running.is_over());
        let failed = || self.jobs.iter().filter(lasts).any(|job| job.running.has_failed());
        is_over(Keeping::No) && (is_over(Keeping::ToItsEnd) || failed())
    }

    /// Waits for all jobs. Each runs to its own end: one that fails harms no other. Those that only keep tables up to
    /// date end when nobody is left to read them, and those that load one when somebody has failed who may have waited
    /// for it.
    pub fn wait(self) -> ApplicationOutcome {
        let mut outcome = ApplicationOutcome { reports: vec![], tables: vec![], error: None, stopped: false };
        let only_keep = self.jobs.iter().all(|job| job.keeps != Keeping::No);
        let mut outcomes: Vec<Option<Outcome>> = self.jobs.iter().map(|_| None).collect();
        let mut jobs: Vec<_> = self.jobs.into_iter().enumerate().collect();
        let mut failed = false;
        for keeps in [Keeping::No, Keeping::ToItsEnd, Keeping::WhileOthersRun] {
            let (now, later) = jobs.into_iter().partition(|(_, job)| job.keeps == keeps);
            jobs = later;
            let stops = !only_keep && (keeps == Keeping::WhileOthersRun || failed);
            if stops {
                now.iter().for_each(|(_, job): &(usize, RunningJob)| job.running.stopper()());
            }
            for (ordinal, job) in now {
                let mut ended = job.running.wait();
                if stops
                    && matches!(ended.ending, Ok(Ending::Stopped))
                    && !self.stopping.load(Ordering::Acquire)
                {
                    ended.ending = Ok(Ending::Finished);
                    ended.report.state = "finished";
                }
                failed |= ended.ending.is_err();
                outcomes[ordinal] = Some(ended);
            }
        }
        for Outcome { report, ending, .. } in outcomes.into_iter().flatten() {
            match ending {
                Ok(Ending::Stopped) => outcome.stopped = true,
                Ok(Ending::Finished) => {}
                Err(error) => {
                    // A job that only finds another gone tells less than that one.
                    let tells_more = |known: &(String, Error)| {
                        known.1.kind() == ErrorKind::Unavailable && error.kind() != ErrorKind::Unavailable
                    };
                    if outcome.error.as_ref().is_none_or(tells_more) {
                        outcome.error = Some((report.name.clone(), error));
                    }
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

    /// Returns whether the job has ended by a failure.
    fn has_failed(&self) -> bool {
        match self {
            Self::Stream(job) => job.is_over() && job.progress().state == "failed",
            Self::Batch(job) => job.is_over() && job.observer()().state == "failed",
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

/// Returns the place of a job among those that write a table and then end; none if it is not one of them.
fn turn(job: &PlannedJob, jobs: &[PlannedJob], turns: &BTreeMap<&str, Arc<Turns>>) -> Option<Turn> {
    let (table, own) = job.writes_once.as_ref()?;
    let others = jobs.iter().filter_map(|job| job.writes_once.as_ref());
    let place = others.filter(|(other, place)| other == table && place < own).count();
    Some(Turn { turns: Arc::clone(turns.get(table.as_str())?), place })
}
