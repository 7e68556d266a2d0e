//! `velo run`.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::ScalarValue;
use serde::Serialize;

use super::arguments::{ModeArgument, OutputArgument, RunArguments, TextArguments};
use super::messages;
use super::progress::progress_lines;
use crate::config::{Entry, Origin, ProcessEnvironment};
use crate::connect::console::{OutputForm, STDOUT_CLOSED};
use crate::error::{Error, Result};
use crate::job::application::{
    ApplicationOutcome, Explaining, PlannedApplication, RunningApplication, Settings, explain, ran,
};
use crate::job::{JobReport, LoadProgress, Mode};
use crate::observability::peak_memory;
use crate::server::{Listener, metrics_router};
use crate::time::{Clock, Stopwatch, SystemClock};

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(1);

/// The exit code after Ctrl-C ended a run well: the one that shells know.
const INTERRUPTED: u8 = 130;

/// Runs an application to its end.
pub(super) fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let (text, file) = read_text(&arguments.text)?;
    let listener = arguments.metrics.as_deref().map(listen).transpose()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let settings = settings(&arguments.text, output(arguments.output), Arc::clone(&clock), true)?;
    let planned = match PlannedApplication::plan(&text, &settings) {
        Ok(planned) => planned,
        Err(errors) => {
            messages::errors(&errors, &text, file.as_deref());
            let code = errors.first().map_or(1, |error| error.kind().exit_code());
            return Ok(ExitCode::from(code));
        }
    };
    if !arguments.quiet {
        planned.notices.iter().for_each(|notice| messages::say(&format!("notice: {notice}")));
    }
    planned.answers.iter().for_each(|answer| messages::print(answer));
    let mut analyzed = vec![];
    for job in &planned.jobs {
        match job.explain {
            Explaining::No => {}
            Explaining::Plan => messages::print(&explain(job)?),
            Explaining::Analyze => analyzed.push((job.name.clone(), explain(job)?)),
        }
    }
    if planned.jobs.iter().all(|job| job.explain == Explaining::Plan) {
        return Ok(ExitCode::SUCCESS);
    }
    let stopwatch = Stopwatch::start(Arc::clone(&clock));
    let running = RunningApplication::start(planned, &settings)?;
    let serving = listener.map(|listener| {
        messages::say(&format!("metrics: http://{}/metrics", listener.address()));
        listener.serve(metrics_router(running.observer(), Arc::clone(&clock)))
    });
    let serving = serving.transpose()?;
    let interrupted = stop_on_signal(running.stopper())?;
    let shows_progress = arguments.progress || (!arguments.quiet && std::io::stderr().is_terminal());
    while !running.is_over() {
        watch(&running, shows_progress, clock.as_ref());
    }
    let outcome = running.wait();
    if let Some(serving) = serving {
        serving.end();
    }
    for (name, plan) in analyzed {
        let report = outcome.reports.iter().find(|report| report.name == name);
        messages::print(&format!("{plan}\n{}", report.map(ran).unwrap_or_default()));
    }
    let summary = Summary::new(&outcome, stopwatch.seconds());
    if let Some(path) = &arguments.report {
        write_report(&summary, path)?;
    }
    if !arguments.quiet {
        summary.say();
    }
    Ok(exit_code(&outcome, interrupted.load(std::sync::atomic::Ordering::Acquire)))
}

/// Takes the address that the metrics are served at.
fn listen(address: &str) -> Result<Listener> {
    let address = address.parse().map_err(|error: std::net::AddrParseError| {
        Error::invalid(format!("`--metrics {address}` is not ADDRESS:PORT"))
            .with_hint("as in --metrics 127.0.0.1:9464")
            .with_cause(error)
    })?;
    Listener::bind(address)
}

/// Waits a while, and shows how far the jobs are.
fn watch(running: &RunningApplication, shows_progress: bool, clock: &dyn Clock) {
    let step = Duration::from_millis(2);
    let mut waited = Duration::ZERO;
    while waited < PROGRESS && !running.is_over() {
        clock.wait(step);
        waited += step;
    }
    if shows_progress && !running.is_over() {
        let lines = progress_lines(&running.progress(), &running.tables());
        lines.iter().for_each(|line| messages::say(line));
    }
}

fn exit_code(outcome: &ApplicationOutcome, interrupted: bool) -> ExitCode {
    match &outcome.error {
        // Whoever read our output has had enough, as `head` does.
        Some((_, error)) if error.message() == STDOUT_CLOSED => ExitCode::SUCCESS,
        Some((job, error)) => {
            messages::error(&format!("job `{job}` failed: {}", error.report()));
            ExitCode::from(error.kind().exit_code())
        }
        None if interrupted => ExitCode::from(INTERRUPTED),
        None => ExitCode::SUCCESS,
    }
}

/// Calls `stop` at the first Ctrl-C or SIGTERM; a second one ends the process.
fn stop_on_signal(stop: impl Fn() + Send + 'static) -> Result<Arc<std::sync::atomic::AtomicBool>> {
    let interrupted = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let failed = |error: std::io::Error| Error::internal("cannot listen for Ctrl-C").with_cause(error);
    let signals = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
    for signal in signals {
        // The order matters: the first signal finds the flag down and only raises it.
        signal_hook::flag::register_conditional_shutdown(
            signal,
            i32::from(INTERRUPTED),
            Arc::clone(&interrupted),
        )
        .map_err(failed)?;
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(failed)?;
    }
    let mut incoming = signal_hook::iterator::Signals::new(signals).map_err(failed)?;
    let listen = move || {
        if incoming.forever().next().is_some() {
            stop();
        }
    };
    let thread = std::thread::Builder::new().name("velo-signals".to_owned()).spawn(listen);
    thread.map_err(|error| Error::exhausted("cannot start a thread").with_cause(error))?;
    Ok(interrupted)
}

/// What all jobs did together, as `--report` writes it.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    state: &'static str,
    seconds: f64,
    rows_in: u64,
    bytes_in: u64,
    rows_out: u64,
    bytes_out: u64,
    late: u64,
    rejected: u64,
    filtered: u64,
    peak_memory_bytes: u64,
    error: Option<String>,
    /// How far the load of each table came.
    tables: &'a [LoadProgress],
    jobs: &'a [JobReport],
}

impl<'a> Summary<'a> {
    fn new(outcome: &'a ApplicationOutcome, seconds: f64) -> Self {
        let sum = |count: fn(&JobReport) -> u64| outcome.reports.iter().map(count).sum();
        Self {
            state: match (&outcome.error, outcome.stopped) {
                (Some(_), _) => "failed",
                (None, true) => "stopped",
                (None, false) => "finished",
            },
            seconds,
            rows_in: sum(|report| report.rows_in),
            bytes_in: sum(|report| report.bytes_in),
            rows_out: sum(|report| report.rows_out),
            bytes_out: sum(|report| report.bytes_out),
            late: sum(|report| report.late),
            rejected: sum(|report| report.rejected),
            filtered: sum(|report| report.filtered),
            peak_memory_bytes: peak_memory(),
            error: outcome.error.as_ref().map(|(job, error)| format!("job `{job}`: {}", error.report())),
            tables: &outcome.tables,
            jobs: &outcome.reports,
        }
    }

    fn say(&self) {
        messages::say(&format!(
            "{}: {} rows read, {} out, {} late, {} rejected, {} filtered, {:.3} s",
            self.state, self.rows_in, self.rows_out, self.late, self.rejected, self.filtered, self.seconds
        ));
        let rejections: Vec<_> = self.jobs.iter().flat_map(|job| &job.rejections).collect();
        for rejection in &rejections {
            messages::say(&format!("  rejected {}: {}", rejection.place, rejection.message));
        }
        let shown = rejections.len() as u64;
        if self.rejected > shown && shown > 0 {
            messages::say(&format!("  … and {} more", self.rejected - shown));
        }
    }
}

fn write_report(summary: &Summary<'_>, path: &PathBuf) -> Result<()> {
    let failed = |error: std::io::Error| {
        let message = format!("cannot write the report `{}`", path.display());
        let kind = if error.kind() == std::io::ErrorKind::StorageFull {
            Error::exhausted(message)
        } else {
            Error::invalid(message)
        };
        kind.with_cause(error)
    };
    let text = serde_json::to_vec_pretty(summary)
        .map_err(|error| Error::internal("cannot write the report").with_cause(error))?;
    std::fs::write(path, text).map_err(failed)
}

fn output(argument: Option<OutputArgument>) -> OutputForm {
    match argument {
        Some(OutputArgument::Table) => OutputForm::Table,
        Some(OutputArgument::Csv) => OutputForm::Csv,
        Some(OutputArgument::Json) => OutputForm::Json,
        Some(OutputArgument::Ndjson) => OutputForm::Ndjson,
        None if std::io::stdout().is_terminal() => OutputForm::Table,
        None => OutputForm::Ndjson,
    }
}

/// Returns the statements and the name of their file.
pub(super) fn read_text(arguments: &TextArguments) -> Result<(String, Option<String>)> {
    match (&arguments.execute, &arguments.file) {
        (Some(text), _) => Ok((text.clone(), None)),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                Error::invalid(format!("cannot read `{}`", file.display())).with_cause(error)
            })?;
            Ok((text, Some(file.display().to_string())))
        }
        (None, None) => Err(Error::invalid("neither a file nor -e was given")),
    }
}

/// Returns what the process says about an application.
pub(super) fn settings(
    arguments: &TextArguments,
    output: OutputForm,
    clock: Arc<dyn Clock>,
    contact: bool,
) -> Result<Settings> {
    let option = |pair: &String| {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Error::invalid(format!("`--set {pair}` is not KEY=VALUE"))
                .with_hint("as in --set batch.linger=5ms")
        })?;
        Ok(Entry::new(key.trim(), value.trim(), Origin::CommandLine))
    };
    let directory =
        arguments.file.as_ref().and_then(|file| file.parent()).map(PathBuf::from).unwrap_or_default();
    Ok(Settings {
        options: arguments.set.iter().map(option).collect::<Result<_>>()?,
        parameters: arguments.param.iter().map(|pair| parameter(pair)).collect::<Result<_>>()?,
        mode: arguments.mode.map(|mode| match mode {
            ModeArgument::Stream => Mode::Stream,
            ModeArgument::Batch => Mode::Batch,
        }),
        output,
        directory,
        environment: Arc::new(ProcessEnvironment),
        clock,
        parallelism: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        contact,
    })
}

/// Reads `NAME=VALUE`; the value has the type that it looks like.
fn parameter(pair: &str) -> Result<(String, ScalarValue)> {
    let (name, text) = pair.split_once('=').ok_or_else(|| {
        Error::invalid(format!("`--param {pair}` is not NAME=VALUE")).with_hint("as in --param symbol=ACME")
    })?;
    let quoted = text.len() >= 2 && text.starts_with(['\'', '"']) && text.ends_with(['\'', '"']);
    let value = match text.to_ascii_lowercase().as_str() {
        _ if quoted => ScalarValue::from(text.trim_matches(['\'', '"'])),
        "null" => ScalarValue::Null,
        "true" => ScalarValue::from(true),
        "false" => ScalarValue::from(false),
        _ => match text.parse::<i64>() {
            Ok(number) => ScalarValue::from(number),
            Err(_) => decimal(text).unwrap_or_else(|| ScalarValue::from(text)),
        },
    };
    Ok((name.to_owned(), value))
}

/// Reads digits with a point as an exact number.
fn decimal(text: &str) -> Option<ScalarValue> {
    let (whole, fraction) = text.split_once('.')?;
    let digits = format!("{whole}{fraction}");
    let scale = i8::try_from(fraction.len()).ok().filter(|scale| (1..=38).contains(scale))?;
    let is_number = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let value: i128 = digits.parse().ok().filter(|_| is_number)?;
    let precision = u8::try_from(digits.trim_start_matches('-').len()).ok().filter(|digits| *digits <= 38)?;
    Some(ScalarValue::Decimal128(Some(value), precision, scale))
}
