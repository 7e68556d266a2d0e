//! [`Job`]: a planned query put on threads.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use datafusion::execution::SessionState;
use parking_lot::Mutex;

use super::carry::Carried;
use super::dead_letters::{DeadLetters, Failures};
use super::driven::DrivenScan;
use super::driver::{Driver, Ending};
use super::figures::{Figures, observer, state_of};
use super::loading::{Gate, TableLoad};
use super::messages::{Permits, SourceClock, StopFlag, ToDriver, ToSink};
use super::progress::{Progress, TakenIn};
use super::reader::Reader;
use super::report::{JobReport, SinkReport, SourceReport};
use super::scan::Scan;
use super::shards::{ShardedOperator, panicked};
use super::snapshot::Snapshot;
use super::threads::{run_sink, spawn, work};
use crate::connect::{ChunkLimits, PartitionId, Position, ReadRequest, Sink, Source, Written, open_source};
use crate::error::{Error, Result};
use crate::sql::functions::EpochClock;
use crate::sql::plan::{Compiler, ScanPlan, StreamPlan};
use crate::time::{Clock, Stopwatch, Watermark};

/// Everything that a job is started with.
pub struct JobSpec {
    /// The name, for messages.
    pub name: String,
    /// What it computes.
    pub plan: StreamPlan,
    /// Where the rows go; opened already.
    pub sink: Box<dyn Sink>,
    /// What the sink writes, for the report.
    pub sink_name: String,
    /// DataFusion's registry of functions and rules.
    pub state: SessionState,
    /// How many workers and shards there are.
    pub parallelism: usize,
    /// How large chunks may grow.
    pub limits: ChunkLimits,
    /// What becomes of records that cannot be processed.
    pub failures: Failures,
    /// How many bytes of state the job may hold.
    pub memory_limit: Option<u64>,
    /// How long a change waits for others of its group.
    pub emit_interval: Option<Duration>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// What the job waits for before it reads.
    pub gate: Option<Arc<Gate>>,
    /// The load of the table that it keeps.
    pub load: Option<Arc<TableLoad>>,
    /// Whether snapshots will be asked for.
    pub record: bool,
}

/// A running job.
pub struct Job {
    stop: StopFlag,
    report: Arc<Mutex<JobReport>>,
    driver: JoinHandle<(Result<Ending>, Option<Result<Snapshot>>)>,
    others: Vec<JoinHandle<()>>,
    sink: JoinHandle<Result<Written>>,
    stopwatch: Stopwatch,
    progress: Arc<Progress>,
    clock: Arc<dyn Clock>,
    gate: Option<Arc<Gate>>,
}

/// What is left of a job.
#[derive(Debug)]
pub struct Outcome {
    /// What it did.
    pub report: JobReport,
    /// How it ended.
    pub ending: Result<Ending>,
    /// Where it can go on, if it recorded its state.
    pub snapshot: Option<Snapshot>,
}

impl Job {
    /// Opens the sources and starts the threads; with a snapshot the job goes on from there.
    pub fn start(spec: JobSpec, resuming: Option<Snapshot>) -> Result<Self> {
        let stopwatch = Stopwatch::start(Arc::clone(&spec.clock));
        let epoch_clock = EpochClock::default();
        epoch_clock.set_millis(spec.clock.now_millis());
        let state = with_clock(&spec.state, &epoch_clock);
        let opened = spec.plan.scans.iter().enumerate();
        let opened = opened.map(|(ordinal, scan)| open(scan, &spec, positions(resuming.as_ref(), ordinal)));
        let opened = opened.collect::<Result<Vec<_>>>()?;
        let stop = StopFlag::default();
        let report = Arc::new(Mutex::new(empty_report(&spec)));
        let workers = spec.parallelism.max(1);
        let (ticket_sender, tickets) = bounded(workers * 2 + 2);
        let (to_driver, input) = bounded(workers * 8 + 64);
        let (to_sink, sink_input) = bounded(2);

        let mut driver =
            driver(&spec, &state, resuming.as_ref(), input, to_sink, &stop, &report, &epoch_clock)?;
        // Compiled before the first thread starts, so that a faulty plan starts nothing.
        let threads = (0..workers).map(|_| scans_of_worker(&spec, &opened)).collect::<Result<Vec<_>>>()?;
        let mut others = vec![];
        for scans in threads {
            let (tickets, to_driver, stop) = (tickets.clone(), to_driver.clone(), stop.clone());
            others.push(spawn("worker", move || work(scans, &tickets, &to_driver, &stop))?);
        }
        for (scan, opened) in opened.into_iter().enumerate() {
            let reader = Reader {
                scan,
                source: opened.source,
                resuming: resuming_partitions(resuming.as_ref(), scan),
                idle_timeout_ms: spec.plan.scans[scan].relation.watermark.idle_timeout_ms,
                clock: Arc::clone(&spec.clock),
                source_clock: Arc::clone(&driver.scans[scan].clock),
                permits: Arc::clone(&driver.permits[scan]),
                stop: stop.clone(),
                gate: spec.gate.clone(),
                load: spec.load.clone(),
                tickets: ticket_sender.clone(),
                driver: to_driver.clone(),
            };
            let mut reader = reader;
            reader.seek(resuming.as_ref())?;
            others.push(spawn("reader", move || reader.run())?);
        }
        drop((ticket_sender, to_driver));
        let sink = spec.sink;
        let (progress, clock) = (Arc::clone(&driver.progress), Arc::clone(&spec.clock));
        let (written, failed, told) = (Arc::clone(&progress), stop.clone(), Arc::clone(&report));
        let sink = spawn("sink", move || {
            let ended = catch_unwind(AssertUnwindSafe(|| run_sink(sink, &sink_input, &written, &told)));
            let ended = ended.unwrap_or_else(|cause| Err(panicked("the sink", cause.as_ref())));
            if ended.is_err() {
                // The driver would only learn of it at its next epoch, for which there may never be a row.
                failed.raise();
            }
            written.end();
            ended
        })?;
        let (record, gate) = (spec.record, spec.gate);
        let driver = spawn("driver", move || {
            let ending = catch_unwind(AssertUnwindSafe(|| driver.run()));
            let ending = ending.unwrap_or_else(|cause| Err(panicked("the driver", cause.as_ref())));
            if let (Err(error), Some(load)) = (&ending, &driver.load) {
                load.fail(error);
            }
            driver.stop.raise();
            let snapshot = (record && ending.is_ok()).then(|| driver.snapshot());
            driver.finish_report(&ending);
            (ending, snapshot)
        })?;
        Ok(Self { stop, report, driver, others, sink, stopwatch, progress, clock, gate })
    }

    /// Returns what says how far the job is.
    pub(super) fn how_far(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Asks the job to stop at the end of the running epoch.
    pub fn stop(&self) {
        self.stop.raise();
    }

    /// Returns a handle that stops the job.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        let stop = self.stop.clone();
        move || stop.raise()
    }

    /// Returns what the job has done so far.
    pub fn progress(&self) -> JobReport {
        self.observer()()
    }

    /// Returns a handle that says what the job has done so far.
    pub fn observer(&self) -> impl Fn() -> JobReport + Send + Sync + 'static {
        let observe = observer(&self.report, &self.stopwatch);
        let (gate, clock) = (self.gate.clone(), Arc::clone(&self.clock));
        move || {
            let mut report = observe();
            let waiting = gate.as_ref().and_then(|gate| gate.waiting(clock.monotonic_micros()));
            if report.state == "running" && waiting.is_some() {
                report.state = "waiting";
                report.waiting_for = waiting;
            }
            report
        }
    }

    /// Waits until the sink has all that follows from what is `wanted` of each source, in the order of the plan's
    /// scans, or the job has ended.
    ///
    /// # Errors
    /// Unavailable, if that takes longer than `limit`.
    pub fn wait_until_processed(&self, wanted: &[TakenIn], limit: Duration) -> Result<()> {
        self.progress.wait_for(wanted, limit).map_err(|taken| {
            let name = self.report.lock().name.clone();
            Error::unavailable(format!("job `{name}` has taken in {taken:?} of {wanted:?} after {limit:?}"))
        })
    }

    /// Waits until the job has nothing left to do at what its clock shows now, or has ended.
    ///
    /// # Errors
    /// Unavailable, if that takes longer than `limit`.
    pub fn wait_until_at_rest(&self, limit: Duration) -> Result<()> {
        self.progress.wait_for_rest(self.clock.monotonic_micros(), limit).map_err(|_| {
            let name = self.report.lock().name.clone();
            Error::unavailable(format!("job `{name}` is still busy after {limit:?}"))
        })
    }

    /// Waits until the sink has what follows from all that was there when the job's sources were opened, or the job has
    /// ended.
    ///
    /// # Errors
    /// Unavailable, if that takes longer than `limit`.
    pub fn wait_until_caught_up(&self, limit: Duration) -> Result<()> {
        self.progress.wait_for_catch_up(limit).map_err(|taken| {
            let name = self.report.lock().name.clone();
            Error::unavailable(format!("job `{name}` has taken in no more than {taken:?} after {limit:?}"))
        })
    }

    /// Waits until the job has ended and the sink has all of it.
    ///
    /// # Errors
    /// Unavailable, if that takes longer than `limit`.
    pub fn wait_until_ended(&self, limit: Duration) -> Result<()> {
        self.progress.wait_for_end(limit).map_err(|taken| {
            let name = self.report.lock().name.clone();
            Error::unavailable(format!(
                "job `{name}` has not ended after {limit:?}, with {taken:?} records processed"
            ))
        })
    }

    /// Returns whether the sink has all that the job will ever give; [`wait`](Self::wait) returns soon.
    pub fn is_ending(&self) -> bool {
        self.progress.is_over()
    }

    /// Returns whether the job has ended.
    pub fn is_over(&self) -> bool {
        self.driver.is_finished()
    }

    /// Waits until the job has ended.
    pub fn wait(self) -> Outcome {
        let gone = |what: &str| Error::internal(format!("the {what} panicked"));
        let (ending, snapshot) = self.driver.join().unwrap_or_else(|_| (Err(gone("driver")), None));
        self.stop.raise();
        let written = self.sink.join().unwrap_or_else(|cause| Err(panicked("the sink", cause.as_ref())));
        for thread in self.others {
            // A worker's panic has reached the driver as a failed chunk.
            drop(thread.join());
        }
        let mut report = self.report.lock().clone();
        report.seconds = self.stopwatch.seconds();
        let ending = match (ending, written) {
            (ending, Ok(written)) => {
                report.set_written(written);
                ending
            }
            // The driver only sees that the sink is gone; the sink knows why.
            (_, Err(error)) => Err(error),
        };
        report.state = state_of(&ending);
        match snapshot.transpose() {
            Ok(snapshot) => Outcome { report, ending, snapshot },
            Err(error) => Outcome { report, ending: Err(error), snapshot: None },
        }
    }
}

/// A source that was opened, and what for.
struct Opened {
    source: Box<dyn Source>,
    request: ReadRequest,
}

fn open(scan: &ScanPlan, spec: &JobSpec, positions: Vec<(PartitionId, Position)>) -> Result<Opened> {
    let request = read_request(scan, spec.limits, &spec.clock)?;
    let source = open_source(&scan.relation.source, &request, positions).map_err(|error| {
        let name = format!("stream `{}`", scan.relation.name);
        error.within(name)
    })?;
    Ok(Opened { source, request })
}

/// Compiles the scans for one worker.
fn scans_of_worker(spec: &JobSpec, opened: &[Opened]) -> Result<Vec<Scan>> {
    let chunk_clock = EpochClock::default();
    let state = with_clock(&spec.state, &chunk_clock);
    let compiler = Compiler::new(&state);
    let scans =
        spec.plan.scans.iter().zip(opened).map(|(plan, opened)| {
            Scan::try_new(plan, &opened.request, &compiler, &chunk_clock, &spec.failures)
        });
    scans.collect()
}

/// Returns what to open the source of a scan for.
pub(crate) fn read_request(
    scan: &ScanPlan,
    limits: ChunkLimits,
    clock: &Arc<dyn Clock>,
) -> Result<ReadRequest> {
    use crate::sql::relation::SystemColumn::{Headers, Offset, TieOffset};
    let mut columns = scan.columns.clone();
    if let Some(event_time) = &scan.relation.event_time {
        let ordinal = scan.relation.schema.index_of(&event_time.column)?;
        if let Err(place) = columns.binary_search(&ordinal) {
            columns.insert(place, ordinal);
        }
    }
    Ok(ReadRequest {
        schema: Arc::clone(&scan.relation.schema),
        columns,
        offsets: scan.system.contains(&Offset) || scan.system.contains(&TieOffset),
        headers: scan.system.contains(&Headers),
        limits,
        clock: Arc::clone(clock),
    })
}

#[expect(clippy::too_many_arguments, reason = "the driver is wired here and nowhere else")]
fn driver(
    spec: &JobSpec,
    state: &SessionState,
    resuming: Option<&Snapshot>,
    input: Receiver<ToDriver>,
    sink: Sender<ToSink>,
    stop: &StopFlag,
    report: &Arc<Mutex<JobReport>>,
    epoch_clock: &EpochClock,
) -> Result<Driver> {
    let compiler = Compiler::new(state);
    let shards = (spec.parallelism / 2).max(1);
    let operators = spec.plan.operators.iter();
    let operators = operators
        .map(|plan| ShardedOperator::try_new(plan, &compiler, shards, spec.record, spec.emit_interval));
    let mut operators = operators.collect::<Result<Vec<_>>>()?;
    if let Some(snapshot) = resuming {
        for (operator, deltas) in operators.iter_mut().zip(&snapshot.operators) {
            for delta in deltas {
                operator.restore(delta)?;
                report.lock().restored_rows += delta.rows.num_rows() as u64;
            }
        }
    }
    let scans = spec.plan.scans.iter().enumerate().map(|(ordinal, scan)| DrivenScan {
        name: scan.relation.name.clone(),
        target: scan.target,
        bound_ms: scan.relation.watermark.bound_ms,
        idle_timeout_ms: scan.relation.watermark.idle_timeout_ms,
        on_error: scan.relation.on_error.unwrap_or(spec.failures.on_error),
        clock: Arc::new(SourceClock::resuming(
            resuming.map_or(Watermark::NONE, |snapshot| snapshot.scans[ordinal].0),
        )),
        partitions: vec![],
        ended: false,
        chunks: 0,
        chunks_in_all: None,
        there_at_open: None,
        withdrawals: VecDeque::new(),
    });
    let relations = spec.plan.scans.iter().map(|scan| &*scan.relation);
    let dead_letters = DeadLetters::open(&spec.failures, &spec.name, relations, &spec.clock)?;
    let in_flight = spec.parallelism.max(1) * 2 + 2;
    Ok(Driver {
        scans: scans.collect(),
        operators,
        targets: spec.plan.operators.iter().map(|operator| operator.target).collect(),
        resuming: (0..spec.plan.scans.len())
            .map(|scan| resuming.map(|snapshot| snapshot.scans[scan].1.clone()).unwrap_or_default())
            .collect(),
        clock: Arc::clone(&spec.clock),
        epoch_clock: epoch_clock.clone(),
        permits: spec.plan.scans.iter().map(|_| Arc::new(Permits::new(in_flight))).collect(),
        memory_limit: spec.memory_limit,
        stop: stop.clone(),
        input,
        sink,
        dead_letters,
        letters: vec![],
        report: Arc::clone(report),
        progress: Arc::default(),
        epoch: resuming.map_or(0, |snapshot| snapshot.epoch),
        figures: Figures::default(),
        missing: BTreeMap::new(),
        watermark: resuming.map_or(Watermark::NONE, |snapshot| snapshot.watermark),
        satisfied: false,
        caught_up: false,
        load: spec.load.clone(),
    })
}

/// Returns where the partitions of a scan go on.
fn positions(resuming: Option<&Snapshot>, scan: usize) -> Vec<(PartitionId, Position)> {
    let Some(snapshot) = resuming else { return vec![] };
    let partitions = snapshot.scans[scan].1.iter();
    partitions.filter_map(|partition| Some((partition.id.clone(), partition.position?))).collect()
}

fn resuming_partitions(resuming: Option<&Snapshot>, scan: usize) -> Vec<(PartitionId, Carried)> {
    let Some(snapshot) = resuming else { return vec![] };
    snapshot.scans[scan].1.iter().map(|partition| (partition.id.clone(), partition.carried)).collect()
}

impl Reader {
    /// Makes the source go on where the snapshot was taken.
    fn seek(&mut self, resuming: Option<&Snapshot>) -> Result<()> {
        let Some(snapshot) = resuming else { return Ok(()) };
        let before = snapshot.scans[self.scan].1.iter();
        let before = before.map(|partition| (partition.id.clone(), partition.position));
        self.source.resume(&before.collect::<Vec<_>>())
    }
}

pub(super) fn with_clock(state: &SessionState, clock: &EpochClock) -> SessionState {
    let mut state = state.clone();
    state.config_mut().options_mut().extensions.insert(clock.clone());
    let options = Arc::clone(state.config_options());
    state.execution_props_mut().mark_start_execution(options);
    state
}

fn empty_report(spec: &JobSpec) -> JobReport {
    let source = |scan: &ScanPlan| SourceReport {
        name: scan.relation.name.clone(),
        from: scan.relation.source.describe(),
        ..SourceReport::default()
    };
    JobReport {
        name: spec.name.clone(),
        mode: "stream",
        state: "running",
        sources: spec.plan.scans.iter().map(source).collect(),
        sinks: vec![SinkReport { to: spec.sink_name.clone(), ..SinkReport::default() }],
        ..JobReport::default()
    }
}
