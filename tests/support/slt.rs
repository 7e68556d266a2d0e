//! The database behind the files of `tests/slt`, and the three ways to run them.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parking_lot::Mutex;
use sqllogictest::{DB, DBOutput, DefaultColumnType, Normalizer, Runner, default_validator};
use velostream::config::{Entry, Environment, Origin};
use velostream::connect::console::OutputForm;
use velostream::job::application::Settings;
use velostream::session::{Answer, Session};
use velostream::sql::{parse_duration_ms, show};
use velostream::time::ManualClock;

/// How long a job may take to have processed what a statement gave it.
const LIMIT: Duration = Duration::from_secs(20);
/// What the clock shows at the start: 2024-01-02 00:00:00.
const START: i64 = 1_704_153_600_000;

/// How a file is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Straight,
    /// Jobs are stopped and gone on with where the seed says so.
    Restarted,
    /// One row is one batch, on so many workers.
    RowByRow(usize),
}

/// What went wrong, as the file pins it.
#[derive(Debug)]
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<velostream::Error> for Failure {
    fn from(error: velostream::Error) -> Self {
        Self(error.report())
    }
}

struct Database {
    way: Way,
    dice: u64,
    clock: Arc<ManualClock>,
    session: Session,
    /// How far each stream has been shown.
    shown: BTreeMap<String, i64>,
    finished: bool,
    restarts: usize,
    restored_rows: u64,
}

struct NoEnvironment;

impl Environment for NoEnvironment {
    fn var(&self, _name: &str) -> Option<String> {
        None
    }
}

impl Database {
    fn new(way: Way, seed: u64) -> Self {
        let clock = Arc::new(ManualClock::at_millis(START));
        let workers = match way {
            Way::RowByRow(workers) => workers,
            // Two shards, whose states go to one snapshot.
            Way::Restarted => 4,
            Way::Straight => 2,
        };
        let options = match way {
            Way::RowByRow(_) => vec![Entry::new("batch.max_rows", "1", Origin::CommandLine)],
            _ => vec![],
        };
        let settings = Settings {
            parameters: BTreeMap::new(),
            options,
            mode: None,
            output: OutputForm::Ndjson,
            directory: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
            environment: Arc::new(NoEnvironment),
            clock: Arc::clone(&clock) as Arc<dyn velostream::time::Clock>,
            parallelism: NonZeroUsize::new(workers).unwrap(),
            contact: false,
        };
        Self {
            way,
            dice: seed | 1,
            clock,
            session: Session::new(settings),
            shown: BTreeMap::new(),
            finished: false,
            restarts: 0,
            restored_rows: 0,
        }
    }

    /// Throws the dice: true once in `sides`.
    fn falls(&mut self, sides: u64) -> bool {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 20).is_multiple_of(sides)
    }

    fn execute(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let words: Vec<&str> = sql.split_whitespace().collect();
        match words.as_slice() {
            ["ADVANCE", "CLOCK", by] => {
                let by = parse_duration_ms(by.trim_matches('\'')).map_err(Failure::from)?;
                self.session.rest(LIMIT)?;
                self.clock.advance_millis(by);
                self.session.rest(LIMIT)?;
                Ok(DBOutput::StatementComplete(0))
            }
            ["FINISH"] => {
                self.finish()?;
                Ok(DBOutput::StatementComplete(0))
            }
            ["EMITTED", name] => self.emitted(name),
            ["COUNTS", name] => self.counts(name),
            _ => self.statement(sql),
        }
    }

    fn statement(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let answer = self.session.execute(sql).map_err(|errors| {
            let shown: Vec<String> = errors.iter().map(|error| show(sql, None, error)).collect();
            Failure(shown.join("\n"))
        })?;
        let inserts = sql.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("insert"));
        if inserts && self.way == Way::Restarted {
            // Half of the restarts meet rows that are on their way.
            let (now, later) = (self.falls(4), self.falls(4));
            if now {
                self.restart()?;
            }
            self.session.settle(LIMIT)?;
            if later {
                self.restart()?;
            }
        }
        self.session.settle(LIMIT)?;
        Ok(match answer {
            Answer::Done => DBOutput::StatementComplete(0),
            Answer::Text(text) => {
                let rows: Vec<Vec<String>> = text.lines().map(|line| vec![line.to_owned()]).collect();
                DBOutput::Rows { types: vec![DefaultColumnType::Any], rows }
            }
            Answer::Rows(batches) => rows_of(batches.iter().map(|batch| (batch, None))),
        })
    }

    fn restart(&mut self) -> Result<(), Failure> {
        let restored = self.session.restart()?;
        for (job, rows) in self.session.jobs().iter().zip(restored) {
            let Some(rows) = rows else { continue };
            let reports = job.reports();
            let last = reports.last().unwrap();
            assert_eq!(last.restored_rows, rows, "job `{}` did not go on from its snapshot", job.name());
            self.restarts += 1;
            self.restored_rows += rows;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if self.finished {
            return Ok(());
        }
        if self.way == Way::Restarted && self.falls(2) {
            self.restart()?;
        }
        self.session.settle(LIMIT)?;
        self.finished = true;
        self.session.end_inputs(LIMIT)?;
        for job in self.session.jobs() {
            for report in job.reports() {
                assert_eq!(report.unaccounted(), 0, "job `{}` lost count: {report:#?}", job.name());
            }
        }
        Ok(())
    }

    fn emitted(&mut self, name: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        self.session.settle(LIMIT)?;
        let from = self.shown.entry(name.to_owned()).or_default();
        let changes = self.session.changes(name, *from);
        let changes = changes.ok_or_else(|| Failure(format!("no stream `{name}` in memory")))?;
        *from += changes.iter().map(|batch| i64::try_from(batch.num_rows()).unwrap()).sum::<i64>();
        let signs = |changes: &velostream::flow::ChangeBatch| -> Vec<&'static str> {
            let sign = |row| match changes.weights() {
                Some(weights) if weights.value(row) < 0 => "-",
                _ => "+",
            };
            (0..changes.num_rows()).map(sign).collect()
        };
        Ok(rows_of(changes.iter().map(|changes| (changes.rows(), Some(signs(changes))))))
    }

    fn counts(&mut self, name: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        self.session.settle(LIMIT)?;
        let job = self.session.jobs().iter().find(|job| job.name() == name);
        let reports = job.ok_or_else(|| Failure(format!("no job `{name}`")))?.reports();
        let counts = [
            reports.iter().map(|report| report.rows_in).sum::<u64>(),
            reports.iter().map(|report| report.late).sum(),
            reports.iter().map(|report| report.filtered).sum(),
            reports.iter().map(|report| report.rejected).sum(),
        ];
        let row = counts.map(|count| count.to_string()).to_vec();
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; 4], rows: vec![row] })
    }
}

/// Shows rows as text: Arrow's display format, `NULL`, and `(empty)` for the empty text.
fn rows_of<'a>(
    batches: impl Iterator<Item = (&'a RecordBatch, Option<Vec<&'static str>>)>,
) -> DBOutput<DefaultColumnType> {
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    let mut rows = vec![];
    let mut width = 1;
    for (batch, signs) in batches {
        let schema = batch.schema();
        let visible: Vec<_> = (0..batch.num_columns())
            .filter(|&column| !schema.field(column).name().starts_with("__"))
            .map(|column| {
                ArrayFormatter::try_new(batch.column(column).as_ref() as &dyn Array, &options).unwrap()
            })
            .collect();
        width = visible.len() + usize::from(signs.is_some());
        for row in 0..batch.num_rows() {
            let sign = signs.as_ref().map(|signs| signs[row].to_owned());
            let values = visible.iter().map(|column| {
                let text = column.value(row).to_string();
                if text.is_empty() { "(empty)".to_owned() } else { text }
            });
            rows.push(sign.into_iter().chain(values).collect());
        }
    }
    DBOutput::Rows { types: vec![DefaultColumnType::Any; width], rows }
}

#[derive(Clone)]
struct Handle(Arc<Mutex<Database>>);

impl DB for Handle {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<Self::ColumnType>, Failure> {
        // The runner blocks on futures, and so does the planner: no thread may do both.
        let execute = || self.0.lock().execute(sql);
        std::thread::scope(|scope| {
            scope.spawn(execute).join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
        })
    }
}

/// Compares what changes come to, not the way there: `+` and `-` of the same row are nothing.
fn same_in_the_end(normalizer: Normalizer, actual: &[Vec<String>], expected: &[String]) -> bool {
    let lines: Vec<String> = actual.iter().map(|row| normalizer(&row.join(" "))).collect();
    match (net(lines.iter()), net(expected.iter().map(normalizer).collect::<Vec<_>>().iter())) {
        (Some(actual), Some(expected)) => actual == expected,
        _ => default_validator(normalizer, actual, expected),
    }
}

fn net<'a>(lines: impl Iterator<Item = &'a String>) -> Option<BTreeMap<String, i64>> {
    let mut net: BTreeMap<String, i64> = BTreeMap::new();
    for line in lines {
        let (sign, row) = line.split_once(' ').unwrap_or((line, ""));
        *net.entry(row.to_owned()).or_default() += match sign {
            "+" => 1,
            "-" => -1,
            _ => return None,
        };
    }
    net.retain(|_, weight| *weight != 0);
    Some(net)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn runner(handle: &Handle) -> Runner<Handle, impl sqllogictest::MakeConnection<Conn = Handle>> {
    let handle = handle.clone();
    Runner::new(move || {
        let handle = handle.clone();
        async move { Ok(handle) }
    })
}

/// Runs a file one way; returns restarts and restored rows, or what is wrong.
fn run(file: &Path, way: Way) -> Result<(usize, u64), String> {
    let name = file.strip_prefix(folder()).unwrap().display().to_string();
    let text = std::fs::read_to_string(file).unwrap();
    if way != Way::Straight && text.starts_with("# only straight: ") {
        return Ok((0, 0));
    }
    // The same file meets the same restarts each time.
    let seed = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
    let handle = Handle(Arc::new(Mutex::new(Database::new(way, seed))));
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut runner = runner(&handle);
        if way != Way::Straight {
            runner.with_validator(same_in_the_end);
        }
        runner.run_file(file).map_err(|error| error.display(false).to_string())?;
        handle.0.lock().finish().map_err(|failure| format!("at the end: {failure}"))
    }));
    let ran = ran.unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        Err(text.or_else(|| cause.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default())
    });
    let database = handle.0.lock();
    match ran {
        Ok(()) => Ok((database.restarts, database.restored_rows)),
        Err(error) => {
            Err(format!("{name}, {way:?}, seed {seed:#x}, {} restarts:\n{error}", database.restarts))
        }
    }
}

/// Returns the files that the command line names by a part of their path that ends in `.slt`, or all.
fn wanted_files() -> Vec<PathBuf> {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument.ends_with(".slt")).collect();
    let mut found = files(&folder());
    found.retain(|file| {
        wanted.is_empty() || wanted.iter().any(|part| file.display().to_string().ends_with(part))
    });
    found
}

/// Runs all files one way, several at a time; returns restarts and restored rows.
fn run_all(ways: &[Way]) -> (usize, u64) {
    let work: Vec<(PathBuf, Way)> = wanted_files()
        .into_iter()
        .flat_map(|file| ways.iter().map(move |&way| (file.clone(), way)))
        .collect();
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((file, way)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run(file, *way);
                    outcomes.lock().push(outcome);
                }
            });
        }
    });
    let (mut restarts, mut restored, mut failures) = (0, 0, vec![]);
    for outcome in outcomes.into_inner() {
        match outcome {
            Ok((times, rows)) => (restarts, restored) = (restarts + times, restored + rows),
            Err(failure) => failures.push(failure),
        }
    }
    failures.sort();
    assert!(failures.is_empty(), "{} of {} failed:\n\n{}", failures.len(), work.len(), failures.join("\n\n"));
    (restarts, restored)
}

#[test]
fn every_file_straight() {
    run_all(&[Way::Straight]);
}

#[test]
fn every_file_with_restarts() {
    let (restarts, restored) = run_all(&[Way::Restarted]);
    assert!(
        wanted_files() != files(&folder()) || restarts > 50 && restored > 100,
        "{restarts} restarts, {restored} rows of state: nothing was tested"
    );
}

#[test]
fn every_file_row_by_row_on_shards() {
    run_all(&[Way::RowByRow(4), Way::RowByRow(6)]);
}

/// Writes the answers of all files anew, if that is asked for by name.
#[test]
fn bless() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if !wanted.iter().any(|argument| argument == "bless") {
        return;
    }
    for file in wanted_files() {
        let name = file.strip_prefix(folder()).unwrap().display().to_string();
        if name.starts_with("functions") {
            continue;
        }
        let handle = Handle(Arc::new(Mutex::new(Database::new(Way::Straight, 1))));
        let mut runner = runner(&handle);
        let update = runner.update_test_file(
            &file,
            " ",
            default_validator,
            sqllogictest::default_normalizer,
            sqllogictest::default_column_validator,
        );
        futures::executor::block_on(update).unwrap();
    }
}
