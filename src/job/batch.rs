//! Batch jobs: DataFusion runs the whole plan once; sources are read and decoded as in a stream.

use std::sync::Arc;
use std::thread::JoinHandle;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use crossbeam_channel::{Receiver, bounded};
use datafusion::catalog::default_table_source::{provider_as_source, source_as_provider};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScanBuilder, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream_partitioned};
use futures::StreamExt;
use parking_lot::Mutex;

use super::batch_worker::{BatchWorker, Changes};
use super::dead_letters::{DeadLetters, Failures};
use super::driver::Ending;
use super::figures::{observer, state_of};
use super::loading::{Gate, TableLoad, Turn};
use super::messages::{Permits, SourceClock, StopFlag, ToDriver};
use super::reader::Reader;
use super::report::{JobReport, SinkReport, SourceReport};
use super::running::with_clock;
use super::scan::{Scan, Ticket};
use super::threads::spawn;
use super::{Outcome, running};
use crate::connect::{ChunkLimits, Sink, open_source};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::sql::functions::EpochClock;
use crate::sql::plan::{Compiler, ScanPlan, scan_plan};
use crate::sql::relation::{Relation, RelationTable};
use crate::table::{ReadPin, TableScan};
use crate::time::{Clock, Stopwatch, Watermark};

/// Everything that a batch job is started with.
pub(super) struct BatchSpec {
    /// The name, for messages.
    pub(super) name: String,
    /// What it computes.
    pub(super) plan: LogicalPlan,
    /// Where the rows go; opened already.
    pub(super) sink: Box<dyn Sink>,
    /// What the sink writes, for the report.
    pub(super) sink_name: String,
    /// DataFusion's registry of functions and rules.
    pub(super) state: SessionState,
    /// How many workers read each source.
    pub(super) parallelism: usize,
    /// How large chunks may grow.
    pub(super) limits: ChunkLimits,
    /// What becomes of records that cannot be processed.
    pub(super) failures: Failures,
    /// Where time comes from.
    pub(super) clock: Arc<dyn Clock>,
    /// What the job waits for before it reads.
    pub(super) gate: Option<Arc<Gate>>,
    /// The load of the table that it fills.
    pub(super) load: Option<Arc<TableLoad>>,
    /// Its place among the statements that change one table.
    pub(super) turn: Option<Turn>,
    /// Called once all inputs are opened.
    pub(super) opened: Box<dyn FnOnce() + Send>,
}

/// A running batch job.
pub(super) struct BatchJob {
    stop: StopFlag,
    report: Arc<Mutex<JobReport>>,
    stopwatch: Stopwatch,
    thread: JoinHandle<(Result<Ending>, JobReport)>,
}

impl BatchJob {
    /// Starts the job on a thread of its own.
    pub(super) fn start(spec: BatchSpec) -> Result<Self> {
        let stop = StopFlag::default();
        let flag = stop.clone();
        let stopwatch = Stopwatch::start(Arc::clone(&spec.clock));
        let report = Arc::new(Mutex::new(JobReport {
            mode: "batch",
            state: "running",
            name: spec.name.clone(),
            sinks: vec![SinkReport { to: spec.sink_name.clone(), ..SinkReport::default() }],
            ..JobReport::default()
        }));
        let (told, since) = (Arc::clone(&report), stopwatch.clone());
        let thread = spawn("batch", move || {
            let (load, turn) = (spec.load.clone(), spec.turn.clone());
            let ending = begin(spec, &flag, &told);
            if let Some(turn) = turn {
                turn.end(&ending);
            }
            if let (Err(error), Some(load)) = (&ending, &load) {
                load.fail(error);
            }
            let mut report = told.lock();
            report.seconds = since.seconds();
            report.state = state_of(&ending);
            (ending, report.clone())
        })?;
        Ok(Self { stop, report, stopwatch, thread })
    }

    /// Returns a handle that says what the job has done so far.
    pub(super) fn observer(&self) -> impl Fn() -> JobReport + Send + Sync + 'static {
        observer(&self.report, &self.stopwatch)
    }

    /// Asks the job to stop.
    pub(super) fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        let stop = self.stop.clone();
        move || stop.raise()
    }

    /// Waits until the job has ended.
    pub(super) fn wait(self) -> Outcome {
        let (ending, report) = self.thread.join().unwrap_or_else(|cause| {
            (Err(super::shards::panicked("a batch job", cause.as_ref())), JobReport::default())
        });
        Outcome { report, ending, snapshot: None }
    }

    /// Returns whether the job has ended.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Waits for the tables that the job reads, and runs it.
fn begin(mut spec: BatchSpec, stop: &StopFlag, report: &Arc<Mutex<JobReport>>) -> Result<Ending> {
    if let Some(gate) = &spec.gate
        && !gate.pass(spec.clock.as_ref(), stop)?
    {
        spec.sink.finish()?;
        return Ok(Ending::Stopped);
    }
    run(spec, stop, report)
}

fn run(mut spec: BatchSpec, stop: &StopFlag, report: &Arc<Mutex<JobReport>>) -> Result<Ending> {
    let clock = EpochClock::default();
    clock.set_millis(spec.clock.now_millis());
    let mut state = with_clock(&spec.state, &clock);
    let options = Arc::clone(state.config_options());
    state.execution_props_mut().mark_start_execution(options);
    let relations = relations_of(&spec.plan)?;
    let relations = relations.iter().map(|relation| &**relation);
    let dead_letters = DeadLetters::open(&spec.failures, &spec.name, relations, &spec.clock)?;
    let shared = Arc::new(Shared {
        state: state.clone(),
        parallelism: spec.parallelism.max(1),
        limits: spec.limits,
        failures: spec.failures,
        dead_letters: Mutex::new(dead_letters),
        clock: Arc::clone(&spec.clock),
        stop: stop.clone(),
        report: Arc::clone(report),
    });
    let plan = with_batch_tables(spec.plan, &shared)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(spec.parallelism.max(1))
        .thread_stack_size(8 << 20)
        .build()
        .map_err(|error| Error::exhausted("cannot start threads").with_cause(error))?;
    let ending = runtime.block_on(async {
        let plan = state.query_planner().create_physical_plan(&plan, &state).await?;
        // Planning has opened every input.
        (spec.opened)();
        let streams = execute_stream_partitioned(plan, state.task_ctx())?;
        let (sender, mut batches) = tokio::sync::mpsc::channel::<DataFusionResult<RecordBatch>>(4);
        for mut stream in streams {
            let sender = sender.clone();
            runtime.spawn(async move {
                while let Some(batch) = stream.next().await {
                    if sender.send(batch).await.is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        while let Some(batch) = batches.recv().await {
            let batch = batch?;
            if stop.is_raised() {
                return Ok(Ending::Stopped);
            }
            if batch.num_rows() > 0 {
                spec.sink.write(&ChangeBatch::inserts(batch))?;
                report.lock().set_written(spec.sink.written());
            }
        }
        Ok(if stop.is_raised() { Ending::Stopped } else { Ending::Finished })
    });
    stop.raise();
    runtime.shutdown_background();
    if let Ok(ending) = &ending {
        if *ending == Ending::Finished {
            spec.sink.advance(Watermark::END)?;
        }
        spec.sink.finish()?;
    }
    report.lock().set_written(spec.sink.written());
    ending
}

/// What the tables of a batch job share.
#[derive(Debug)]
pub(super) struct Shared {
    state: SessionState,
    parallelism: usize,
    limits: ChunkLimits,
    failures: Failures,
    pub(super) dead_letters: Mutex<Option<DeadLetters>>,
    clock: Arc<dyn Clock>,
    pub(super) stop: StopFlag,
    pub(super) report: Arc<Mutex<JobReport>>,
}

/// Returns what the plan reads.
pub(super) fn relations_of(plan: &LogicalPlan) -> Result<Vec<Arc<Relation>>> {
    let mut relations = vec![];
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let provider = source_as_provider(&scan.source)?;
            if let Some(table) = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<RelationTable>() {
                relations.push(Arc::clone(&table.relation));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(relations)
}

/// Makes the plan's scans read.
fn with_batch_tables(plan: LogicalPlan, shared: &Arc<Shared>) -> Result<LogicalPlan> {
    let pin = ReadPin::new();
    let replaced = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let provider = source_as_provider(&scan.source)?;
        let Some(table) = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<RelationTable>() else {
            return Ok(Transformed::no(node));
        };
        let table: Arc<dyn TableProvider> = match &table.relation.table {
            Some(rows) if rows.schema().fields().len() == table.schema().fields().len() => {
                Arc::new(TableScan::new(Arc::clone(rows), Arc::clone(&pin)))
            }
            Some(_) => return Err(external(no_time(&table.relation.name))),
            None => Arc::new(BatchTable {
                relation: Arc::clone(&table.relation),
                schema: table.schema(),
                shared: Arc::clone(shared),
            }),
        };
        let scan = TableScanBuilder::new(scan.table_name.clone(), provider_as_source(table))
            .with_projection(scan.projection.clone())
            .with_filters(scan.filters.clone())
            .with_fetch(scan.fetch)
            .build()?;
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(replaced.data)
}

#[derive(Debug)]
struct BatchTable {
    relation: Arc<Relation>,
    schema: SchemaRef,
    shared: Arc<Shared>,
}

#[async_trait]
impl TableProvider for BatchTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let wanted = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let scan = scan_plan(Arc::clone(&self.relation), &self.schema, &wanted).map_err(external)?;
        let schema = Arc::clone(&scan.schema);
        let readers = start_reading(scan, &self.shared).map_err(external)?;
        let partitions = readers.into_iter().map(|receiver| {
            let partition =
                BatchPartition { schema: Arc::clone(&schema), receiver: Mutex::new(Some(receiver)) };
            Arc::new(partition) as Arc<dyn PartitionStream>
        });
        Ok(Arc::new(StreamingTableExec::try_new(
            Arc::clone(&schema),
            partitions.collect(),
            None,
            vec![],
            false,
            limit,
        )?))
    }
}

/// Returns the error for a query that wants to know when the rows of a table happened.
fn no_time(name: &str) -> Error {
    Error::not_yet(format!("a query by event time over table `{name}`"))
        .with_hint("group by a column of the table, as in date_trunc('minute', ts)")
}

pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

type Batches = tokio::sync::mpsc::Receiver<DataFusionResult<RecordBatch>>;

/// Starts the threads that read and decode a source; each worker feeds one partition of the plan.
fn start_reading(scan: ScanPlan, shared: &Arc<Shared>) -> Result<Vec<Batches>> {
    let request = running::read_request(&scan, shared.limits, &shared.clock)?;
    let source = open_source(&scan.relation.source, &request, vec![])?;
    let ordinal = {
        let mut report = shared.report.lock();
        let from = scan.relation.source.describe();
        report.sources.push(SourceReport {
            name: scan.relation.name.clone(),
            from,
            ..SourceReport::default()
        });
        report.sources.len() - 1
    };
    let (ticket_sender, tickets) = bounded::<Ticket>(shared.parallelism * 2);
    let (to_driver, from_reader) = bounded::<ToDriver>(64);
    let permits = Arc::new(Permits::new(shared.parallelism * 2 + 2));
    let reader = Reader {
        scan: 0,
        source,
        resuming: vec![],
        idle_timeout_ms: i64::MAX,
        clock: Arc::clone(&shared.clock),
        source_clock: Arc::new(SourceClock::default()),
        permits: Arc::clone(&permits),
        stop: shared.stop.clone(),
        gate: None,
        load: None,
        tickets: ticket_sender,
        driver: to_driver,
    };
    let mut receivers = vec![];
    let compiler = Compiler::new(&shared.state);
    let mut senders = vec![];
    let changes = Changes::of(&scan, shared.parallelism)?;
    for _ in 0..shared.parallelism {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        receivers.push(receiver);
        senders.push(sender.clone());
        let mut worker = BatchWorker {
            // Whatever reads the clock is a part of the plan, which has one reading.
            scan: Scan::try_new(&scan, &request, &compiler, &EpochClock::default(), &shared.failures)?,
            name: scan.relation.name.clone(),
            source: ordinal,
            shared: Arc::clone(shared),
            permits: Arc::clone(&permits),
            changes: changes.clone(),
            sender,
        };
        let tickets = tickets.clone();
        spawn("worker", move || {
            while let Ok(ticket) = tickets.recv() {
                if !worker.run(ticket) {
                    return;
                }
            }
            worker.end();
        })?;
    }
    spawn("reader", move || reader.run())?;
    watch(ordinal, from_reader, senders, shared)?;
    Ok(receivers)
}

/// Starts the thread that takes what the reader of the source with a number says beside its rows.
fn watch(
    ordinal: usize,
    from_reader: Receiver<ToDriver>,
    senders: Vec<tokio::sync::mpsc::Sender<DataFusionResult<RecordBatch>>>,
    shared: &Arc<Shared>,
) -> Result<()> {
    let told = Arc::clone(shared);
    spawn("watcher", move || {
        while let Ok(message) = from_reader.recv() {
            match (message, senders.first()) {
                // A plan that is gone needs no error.
                (ToDriver::Failed(error), Some(sender)) => drop(sender.blocking_send(Err(external(error)))),
                (ToDriver::Health { health, .. }, _) => {
                    told.report.lock().sources[ordinal].health = Some(health);
                }
                (ToDriver::Partitions { partitions, .. }, _) => {
                    told.report.lock().sources[ordinal].partitions = partitions.len();
                }
                _ => {}
            }
        }
    })
    .map(drop)
}

#[derive(Debug)]
struct BatchPartition {
    schema: SchemaRef,
    receiver: Mutex<Option<Batches>>,
}

impl PartitionStream for BatchPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        match self.receiver.lock().take() {
            Some(mut receiver) => {
                let stream = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
                Box::pin(RecordBatchStreamAdapter::new(schema, stream))
            }
            None => {
                let twice = external(Error::internal("a source was read twice by one plan"));
                let failed = futures::stream::once(async move { Err(twice) });
                Box::pin(RecordBatchStreamAdapter::new(schema, failed))
            }
        }
    }
}
