//! Loads, gates and their order, with time that only the test moves.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::gate::{Gate, OwnLoad};
use super::load::{Loads, TableLoad};
use super::progress::{LoadProgress, LoadState};
use crate::config::ProcessEnvironment;
use crate::connect::console::OutputForm;
use crate::connect::{
    Chunk, CircuitState, PartitionId, Patience, Payload, Polled, Position, ReadRequest, Sink, Source,
    SourceConnector, SourceHealth, Written,
};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::ChangeBatch;
use crate::format::Decoder;
use crate::job::application::{ApplicationOutcome, PlannedApplication, RunningApplication, Settings, Work};
use crate::job::{Ending, Job};
use crate::sql::relation::Relation;
use crate::time::{Clock, ManualClock};

const SECOND: i64 = 1_000_000;

fn own(all: &Arc<Loads>, load: &Arc<TableLoad>, after: &[&Arc<TableLoad>], max_parallel: usize) -> Gate {
    all.add(load);
    let after = after.iter().map(|load| Arc::clone(load)).collect();
    let own = OwnLoad { load: Arc::clone(load), after, all: Arc::clone(all), max_parallel };
    Gate::new(vec![], Some(own))
}

#[test]
fn a_gate_opens_when_every_table_is_ready_and_stays_open() {
    let (users, prices) = (TableLoad::new("users"), TableLoad::new("prices"));
    let limit = Duration::from_secs(60);
    let gate = Gate::new(vec![(Arc::clone(&users), limit), (Arc::clone(&prices), limit)], None);
    assert!(!gate.look(0).unwrap());
    users.begin(0);
    users.measured(0, 45, 100);
    users.took_in(9, 45);
    prices.finish(SECOND);
    assert_eq!(gate.waiting(2 * SECOND).unwrap(), "users 45 %, ETA 3 s");
    assert!(!gate.look(59 * SECOND).unwrap());
    users.finish(59 * SECOND);
    assert!(gate.look(61 * SECOND).unwrap());
    assert_eq!(gate.waiting(61 * SECOND), None);
    // What happens to a table later is no reason to stop reading.
    users.fail(&Error::data("bad"));
    assert!(gate.look(62 * SECOND).unwrap());
}

#[test]
fn a_table_that_is_late_is_told_with_how_far_it_is() {
    let users = TableLoad::new("users");
    let gate = || Gate::new(vec![(Arc::clone(&users), Duration::from_secs(60))], None);
    let (not_begun, midway) = (gate(), gate());
    assert!(!not_begun.look(5 * SECOND).unwrap());
    let error = not_begun.look(65 * SECOND).unwrap_err();
    assert_eq!(
        error.message(),
        "table `users` is not ready after 1m: it has not begun, because it waits for other tables"
    );
    users.begin(10 * SECOND);
    users.took_in(1_200, 12_000);
    users.measured(0, 12_000, 100_000);
    assert!(!midway.look(10 * SECOND).unwrap());
    assert!(!midway.look(70 * SECOND - 1).unwrap());
    let error = midway.look(70 * SECOND).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.message(),
        "table `users` is not ready after 1m: it has 1200 rows (12 %) after 60.0 s, 20.0 rows/s, about 440 s to go"
    );
    assert!(error.hint().unwrap().contains("'users.wait.timeout'"), "{error}");
}

#[test]
fn a_load_that_fails_fails_those_that_wait() {
    let users = TableLoad::new("users");
    let gate = Gate::new(vec![(Arc::clone(&users), Duration::from_secs(60))], None);
    assert!(!gate.look(0).unwrap());
    users.begin(0);
    users.fail(&Error::data("line 3: no key").with_hint("mend it"));
    let error = gate.look(SECOND).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert_eq!(error.to_string(), "table `users` could not be loaded: line 3: no key\nHint: mend it");
    assert_eq!(users.progress(SECOND).state, LoadState::Failed);
}

#[test]
fn loads_run_in_waves_of_at_most_so_many() {
    let all = Arc::<Loads>::default();
    let loads: Vec<_> = ["a", "b", "c", "d"].map(TableLoad::new).into();
    let [a, b, c, d] = loads.as_slice() else { panic!("four loads") };
    // `d` is made from `b`, over a stream; two may run at once.
    let gates = [own(&all, a, &[], 2), own(&all, b, &[], 2), own(&all, c, &[], 2), own(&all, d, &[b], 2)];
    let look = |micros: i64| gates.iter().map(|gate| gate.look(micros).unwrap()).collect::<Vec<_>>();
    assert_eq!(look(0), [true, true, false, false]);
    let states = |micros| all.progress(micros).iter().map(|load| load.state).collect::<Vec<_>>();
    assert_eq!(states(0)[2..], [LoadState::WaitingForDependencies; 2]);
    assert_eq!(gates[2].waiting(0).unwrap(), "its turn: 2 loads may run at once");
    a.finish(SECOND);
    assert_eq!(look(SECOND), [true, true, true, false]);
    b.finish(2 * SECOND);
    assert_eq!(look(2 * SECOND), [true, true, true, true]);
}

#[test]
fn progress_never_goes_back_and_is_whole_only_when_ready() {
    let load = TableLoad::new("users");
    load.begin(0);
    assert_eq!(load.progress(SECOND).percent, None);
    load.measured(0, 50, 100);
    assert_eq!(load.progress(SECOND).percent, Some(50));
    // A second source, or a file that grew, makes the whole larger.
    load.measured(1, 0, 900);
    assert_eq!(load.progress(2 * SECOND).percent, Some(50));
    load.measured(0, 40, 100);
    load.measured(1, 2_000, 900);
    let progress = load.progress(2 * SECOND);
    assert_eq!((progress.percent, progress.read, progress.expected), (Some(97), Some(2_050), Some(2_100)));
    load.measured(0, 100, 100);
    assert_eq!(load.progress(3 * SECOND).percent, Some(99));
    load.finish(4 * SECOND);
    let progress = load.progress(9 * SECOND);
    assert_eq!((progress.percent, progress.state, progress.seconds), (Some(100), LoadState::Ready, 4.0));
    load.fail(&Error::data("bad"));
    assert_eq!(load.progress(9 * SECOND).state, LoadState::Stale);
    assert_eq!(load.progress(9 * SECOND).how_far(), "0 rows; bad");
}

#[test]
fn it_is_told_whether_the_source_of_a_table_is_asked() {
    let load = TableLoad::new("users");
    load.begin(0);
    let told = |circuit: CircuitState, trouble: Option<&str>| {
        let trouble = trouble.map(str::to_owned);
        load.set_health(0, SourceHealth { circuit: Some(circuit), failed_tries: 1, trouble });
        load.progress(SECOND).trouble_text()
    };
    assert_eq!(told(CircuitState::Closed, None), "");
    assert_eq!(told(CircuitState::Closed, Some("no file")), "; no file (circuit closed)");
    assert_eq!(told(CircuitState::Open, Some("no file")), "; no file (circuit open)");
    assert_eq!(told(CircuitState::HalfOpen, None), "; circuit half-open");
}

#[test]
fn the_total_is_ready_with_the_last_table() {
    let (a, b) = (TableLoad::new("a"), TableLoad::new("b"));
    let total = |micros| LoadProgress::total(&[a.progress(micros), b.progress(micros)]);
    a.begin(0);
    a.took_in(10, 100);
    a.measured(0, 50, 100);
    assert_eq!((total(SECOND).state, total(SECOND).percent), (LoadState::Loading, None));
    b.begin(0);
    b.measured(0, 10, 100);
    let both = total(SECOND);
    assert_eq!((both.rows, both.read, both.expected, both.percent), (10, Some(60), Some(200), Some(30)));
    assert_eq!(both.eta_seconds, Some(9.0));
    a.finish(2 * SECOND);
    assert!(total(2 * SECOND).percent.is_some_and(|percent| percent < 100));
    b.finish(3 * SECOND);
    let done = total(9 * SECOND);
    assert_eq!((done.state, done.percent, done.eta_seconds), (LoadState::Ready, Some(100), None));
    assert_eq!(LoadProgress::total(&[]).state, LoadState::Ready);
}

/// Counts the rows that come out of a job.
struct Counting(Written);

impl Sink for Counting {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        self.0.rows += changes.num_rows() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn written(&self) -> Written {
        self.0
    }
}

/// An application of its own, with time that only the test moves.
fn settings(clock: &Arc<ManualClock>) -> Settings {
    Settings {
        options: vec![],
        parameters: BTreeMap::new(),
        mode: None,
        output: OutputForm::Ndjson,
        directory: PathBuf::new(),
        environment: Arc::new(ProcessEnvironment),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        parallelism: NonZeroUsize::MIN,
        contact: false,
    }
}

#[test]
fn a_job_polls_nothing_before_its_gate_opens() {
    let clock = Arc::new(ManualClock::at_millis(1_000));
    let settings = settings(&clock);
    let text = "CREATE STREAM s (id BIGINT) WITH ('connector' = 'generator', 'rows' = '100'); \
                CREATE STREAM o WITH ('connector' = 'blackhole') AS SELECT id FROM s";
    let planned = PlannedApplication::plan(text, &settings).unwrap();
    let started = |load: &Arc<TableLoad>| {
        let sink = Box::new(Counting(Written::default()));
        let mut spec = planned.jobs[0].stream_spec(sink, &planned.planner, &settings).unwrap();
        spec.gate = Some(Arc::new(Gate::new(vec![(Arc::clone(load), Duration::from_secs(9))], None)));
        Job::start(spec, None).unwrap()
    };
    let users = TableLoad::new("users");
    let (waiting, stopped, late) = (started(&users), started(&users), started(&users));
    std::thread::yield_now();
    let report = waiting.progress();
    assert_eq!((report.state, report.rows_in), ("waiting", 0));
    assert_eq!(report.waiting_for.as_deref(), Some("users not begun"));
    // Who waits can still be stopped.
    stopped.stop();
    assert_eq!(stopped.wait().ending.unwrap(), Ending::Stopped);
    clock.advance_millis(10_000);
    let error = late.wait().ending.unwrap_err();
    assert!(error.message().starts_with("table `users` is not ready after 9s"), "{error}");
    let error = waiting.wait().ending.unwrap_err();
    assert!(error.message().starts_with("table `users` is not ready after 9s"), "{error}");
    users.finish(0);
    let outcome = started(&users).wait();
    assert_eq!((outcome.ending.unwrap(), outcome.report.rows_out), (Ending::Finished, 100));
}

/// What becomes of a try to open the source of a table.
#[derive(Debug, Clone, Copy)]
enum Opening {
    /// It is away.
    Absent,
    /// It gives so many rows more, and breaks.
    Gives(i64),
    /// It gives all that is left.
    Whole,
}

/// A source of the rows 0 to 199 whose openings are told in advance; the last is that of all further tries.
#[derive(Debug, Clone)]
struct Told {
    patience: Option<Patience>,
    openings: Arc<Mutex<Vec<Opening>>>,
}

impl SourceConnector for Told {
    fn describe(&self) -> String {
        "told".to_owned()
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn infer_schema(&self) -> Result<SchemaRef> {
        Err(Error::internal("the columns are declared"))
    }

    fn patience(&self) -> Option<Patience> {
        self.patience
    }

    fn open(&self, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let mut openings = self.openings.lock();
        let opening = if openings.len() > 1 { openings.remove(0) } else { openings[0] };
        let left = match opening {
            Opening::Absent => return Err(Error::absent("no file matches `users`")),
            Opening::Gives(rows) => rows,
            Opening::Whole => i64::MAX,
        };
        Ok(Box::new(ToldSource {
            schema: request.used_schema()?,
            left,
            next: 0,
            ids: [PartitionId("p".into())],
        }))
    }

    fn decoder(&self, _request: &ReadRequest) -> Result<Option<Box<dyn Decoder>>> {
        Ok(None)
    }
}

struct ToldSource {
    schema: SchemaRef,
    left: i64,
    next: i64,
    ids: [PartitionId; 1],
}

impl Source for ToldSource {
    fn partitions(&self) -> &[PartitionId] {
        &self.ids
    }

    fn seek(&mut self, _partition: usize, position: Position) -> Result<()> {
        self.next = position.0;
        Ok(())
    }

    fn poll(&mut self, _wait: Duration) -> Result<Polled> {
        if self.next == 200 {
            return Ok(Polled::End);
        }
        if self.left <= 0 {
            return Err(Error::unavailable("the line is cut"));
        }
        let (start, end) = (self.next, self.next + 10);
        (self.next, self.left) = (end, self.left.saturating_sub(10));
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(start..end));
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), vec![ids])?;
        let payload = Payload::Rows(ChangeBatch::inserts(rows));
        let (start, end) = (Position(start), Position(end));
        Ok(Polled::Chunk(Chunk { partition: 0, start, end, payload, origin: None, watermark: None }))
    }
}

/// Joins 100 rows with a table whose source does as it is told, while the clock goes on in steps; returns what is left of
/// the application.
fn joined_with(openings: &[Opening], step_ms: i64) -> ApplicationOutcome {
    let clock = Arc::new(ManualClock::at_millis(1_000));
    let settings = settings(&clock);
    let text = "CREATE TABLE users (id BIGINT PRIMARY KEY) WITH ('connector' = 'file', 'path' = 'users.json', \
                'file.wait.timeout' = '100h', 'circuit.failures' = '3'); \
                CREATE STREAM s (id BIGINT) WITH ('connector' = 'generator', 'rows' = '100', 'fields.id.kind' = 'sequence'); \
                SET 'table.wait.timeout' = '100000h'; \
                CREATE STREAM o WITH ('connector' = 'blackhole') AS SELECT s.id FROM s JOIN users u ON s.id = u.id";
    let mut planned = PlannedApplication::plan(text, &settings).unwrap();
    for job in planned.jobs.iter_mut().filter(|job| job.keeps.is_some()) {
        let Work::Stream(plan) = &mut job.work else { panic!("a table over a file follows it") };
        let relation = Relation::clone(&plan.scans[0].relation);
        let openings = Arc::new(Mutex::new(openings.to_vec()));
        let source = Arc::new(Told { patience: relation.source.patience(), openings });
        plan.scans[0].relation = Arc::new(Relation { source, ..relation });
    }
    let running = RunningApplication::start(planned, &settings).unwrap();
    while !running.is_over() {
        let ready = running.tables().iter().all(|table| table.state == LoadState::Ready);
        let read =
            running.progress().iter().filter(|job| job.name != "users").map(|job| job.rows_in).sum::<u64>();
        // What is read now may have been ready a moment ago, never the other way round.
        assert!(read == 0 || ready || running.tables().iter().all(|table| table.state == LoadState::Ready));
        clock.advance_millis(step_ms);
        clock.wait(Duration::from_millis(1));
    }
    running.wait()
}

#[test]
fn no_row_is_joined_with_a_table_that_is_half_there() {
    use Opening::{Absent, Gives, Whole};
    let slow: &[Opening] = &[Absent, Absent, Absent, Absent, Absent, Absent, Absent, Whole];
    let flapping: &[Opening] =
        &[Absent, Gives(10), Gives(0), Absent, Gives(70), Gives(10), Absent, Gives(30), Whole];
    for openings in [&[Whole], slow, flapping] {
        let outcome = joined_with(openings, 500);
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        let of = |name: &str| outcome.reports.iter().find(|report| report.name == name).unwrap();
        assert_eq!((of("o").rows_in, of("o").rows_out), (100, 100), "{openings:?}");
        assert_eq!(of("users").rows_in, 200, "{openings:?}");
        assert_eq!(outcome.tables[0].circuit, Some(CircuitState::Closed));
    }
    let failing = joined_with(&[Gives(50), Absent], 600_000);
    let of = |name: &str| failing.reports.iter().find(|report| report.name == name).unwrap();
    assert_eq!((of("users").rows_in, of("o").rows_in, of("o").rows_out), (50, 0, 0));
    let (job, error) = failing.error.unwrap();
    assert_eq!(job, "users");
    assert_eq!(error.message(), "no file matches `users`, after 100h of trying");
    assert_eq!(failing.tables[0].circuit, Some(CircuitState::Open));
}

/// Waits until `done`, while time stands still.
fn eventually(clock: &ManualClock, what: &str, done: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if done() {
            return;
        }
        clock.wait(Duration::from_millis(1));
    }
    panic!("{what}");
}

#[test]
fn a_table_has_the_rows_that_its_files_have_after_a_restart_too() {
    // A source that is waited for is opened otherwise.
    ["", ", 'file.wait.timeout' = '1h'"].into_iter().for_each(rows_follow_their_files);
}

fn rows_follow_their_files(options: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, rows: &str| std::fs::write(path(name), format!("id,name\n{rows}")).unwrap();
    let clock = Arc::new(ManualClock::at_millis(1_000));
    let settings = settings(&clock);
    write("a.csv", "1,a\n2,a\n");
    write("b.csv", "2,b\n3,b\n");
    let text = format!(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, name VARCHAR) WITH ('connector' = 'file', 'path' = '{}', \
         'watch' = 'true', 'incremental.interval' = '10s'{options})",
        path("*.csv").display()
    );
    let planned = PlannedApplication::plan(&text, &settings).unwrap();
    let table = Arc::clone(&planned.jobs[0].keeps.as_ref().unwrap().table);
    let started = |before: Option<crate::job::Snapshot>| {
        let sink = Box::new(Counting(Written::default()));
        let mut spec = planned.jobs[0].stream_spec(sink, &planned.planner, &settings).unwrap();
        spec.record = true;
        Job::start(spec, before).unwrap()
    };
    let shows = |wanted: &[&str]| {
        let rows = || {
            let snapshot = table.snapshot();
            let rows = snapshot.scan(None).flat_map(|rows| {
                let rows = rows.unwrap();
                let shown = |row, column| {
                    arrow::util::display::array_value_to_string(rows.column(column), row).unwrap()
                };
                (0..rows.num_rows()).map(|row| shown(row, 0) + &shown(row, 1)).collect::<Vec<_>>()
            });
            let mut rows: Vec<String> = rows.collect();
            rows.sort_unstable();
            rows
        };
        clock.advance_millis(10_000);
        eventually(&clock, &format!("{wanted:?} in {:?}", rows()), || rows() == wanted);
    };
    let job = started(None);
    shows(&["1a", "2b", "3b"]);
    // What another file has replaced stays, and what a file lacks that was written anew goes.
    write("b.csv", "3,b\n4,b\n");
    shows(&["1a", "3b", "4b"]);
    write("c.csv", "1,c\n5,c\n");
    shows(&["1c", "3b", "4b", "5c"]);
    std::fs::remove_file(path("a.csv")).unwrap();
    shows(&["1c", "3b", "4b", "5c"]);
    job.stop();
    let before = job.wait().snapshot.unwrap();
    std::fs::remove_file(path("b.csv")).unwrap();
    write("d.csv", "6,d\n");
    let job = started(Some(before));
    shows(&["1c", "5c", "6d"]);
    std::fs::remove_file(path("c.csv")).unwrap();
    shows(&["6d"]);
    job.stop();
    let outcome = job.wait();
    assert_eq!((outcome.report.rows_in, outcome.report.unaccounted()), (1, 0));
}
