//! [`JobOptions`]: the settings of one job, from all the places that can give them.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Entry, duration_text};
use crate::connect::error_table::ErrorTableSettings;
use crate::connect::predecessor::translate_job;
use crate::connect::{ByteSize, OnError, Options};
use crate::error::{Error, Result};

use crate::time::LateRule;

use super::table::{DOCS, NOT_YET};

/// How a job's answer comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Row by row as the input comes.
    Stream,
    /// Once, over inputs that end.
    Batch,
}

/// How often a row of the result reaches the sink when something fails in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// As well as the sink can.
    BySink,
    /// At least once.
    AtLeastOnce,
    /// Exactly once, or the job is refused.
    ExactlyOnce,
}

/// The settings of one job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobOptions {
    /// Whether the inputs are followed or read once.
    pub mode: Mode,
    /// What the sinks are asked to guarantee.
    pub delivery: Delivery,
    /// Worker threads; `None` is one per core.
    pub parallelism: Option<NonZeroUsize>,
    /// Most rows of a batch.
    pub batch_max_rows: NonZeroUsize,
    /// Most bytes of a batch, about.
    pub batch_max_bytes: u64,
    /// How long rows that are there wait for more.
    pub batch_linger: Duration,
    /// How long a change waits for others of its group; `None` gives it at the end of its epoch.
    pub emit_interval: Option<Duration>,
    /// How long a key that nobody touches is kept, in event time; `None` is for ever.
    pub state_ttl: Option<Duration>,
    /// The memory that the job may use, in bytes; `None` is what the process allows.
    pub memory_limit: Option<u64>,
    /// What happens to a bad record.
    pub on_error: OnError,
    /// Where rejected records are kept.
    pub errors: ErrorTableSettings,
    /// What becomes of rows whose windows have ended.
    pub late: LateRule,
    /// Whether rows that are dropped as late are kept in the error table.
    pub keeps_late: bool,
    /// How long a closed window still takes late rows.
    pub allowed_lateness: Duration,
    /// How long the job waits for each table that it reads.
    pub table_wait: Duration,
    /// For how long the rows of a table stay that the job keeps, in event time; `None` is until they are deleted.
    pub retention: Option<Duration>,
    /// How many tables may load at once when the job begins to load one.
    pub max_loads: NonZeroUsize,
    /// The time zone of windows and of text without an offset.
    pub timezone: chrono_tz::Tz,
    in_force: Vec<(&'static str, String, String)>,
}

impl JobOptions {
    /// Reads the options of a job; `entries` hold everything that configuration, `SET`, annotations (with their `@`),
    /// `WITH` and the command line give, in any order. Returns the notices for the user too.
    ///
    /// # Errors
    /// Invalid: an option is unknown, has a value that it cannot have, or is not available yet.
    pub fn read(entries: Vec<Entry>) -> Result<(Self, Vec<String>)> {
        let (entries, notices) = translate_job(entries)?;
        let mut options = Options::new(DOCS, entries)?;
        let (late, keeps_late) = take_late(&mut options)?;
        let read = Self {
            mode: options
                .take_choice("mode", &[("stream", Mode::Stream), ("batch", Mode::Batch)])?
                .unwrap_or(Mode::Stream),
            delivery: take_delivery(&mut options)?,
            parallelism: options.take_optional("parallelism")?,
            batch_max_rows: options.take_or("batch.max_rows", DEFAULT_MAX_ROWS)?,
            batch_max_bytes: options.take_or("batch.max_bytes", ByteSize(16 << 20))?.0,
            batch_linger: options.take_or("batch.linger", Duration::from_millis(2))?,
            state_ttl: options.take_duration("state.ttl")?,
            emit_interval: options.take_duration("emit.interval")?,
            memory_limit: options.take_bytes("memory.limit")?,
            on_error: options.take_choice("on.error", &OnError::CHOICES)?.unwrap_or_default(),
            errors: take_errors(&mut options)?,
            late,
            keeps_late,
            allowed_lateness: options.take_or("allowed.lateness", Duration::ZERO)?,
            table_wait: options.take_or("table.wait.timeout", Duration::from_secs(60))?,
            retention: options.take_duration("retention")?,
            max_loads: options.take_or("tables.load.max_parallel", DEFAULT_MAX_LOADS)?,
            timezone: options.take_or("timezone", chrono_tz::UTC)?,
            in_force: Vec::new(),
        };
        take_later(&mut options)?;
        refuse_not_yet(options.taken())?;
        let in_force = in_force(&read, options.taken());
        options.finish("the job")?;
        Ok((Self { in_force, ..read }, notices))
    }

    /// Returns whether somebody said which mode it is.
    pub fn says_mode(&self) -> bool {
        self.in_force().iter().any(|(key, _, origin)| *key == "mode" && origin != "default")
    }

    /// Returns every option that has a value: key, value and where the value came from.
    pub fn in_force(&self) -> &[(&'static str, String, String)] {
        &self.in_force
    }
}

const DEFAULT_MAX_LOADS: NonZeroUsize = NonZeroUsize::new(4).unwrap();
const DEFAULT_MAX_ROWS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

fn take_delivery(options: &mut Options) -> Result<Delivery> {
    let choices = [
        ("by_sink", Delivery::BySink),
        ("at_least_once", Delivery::AtLeastOnce),
        ("exactly_once", Delivery::ExactlyOnce),
    ];
    Ok(options.take_choice("delivery", &choices)?.unwrap_or(Delivery::BySink))
}

/// Reads where rejected records are kept.
fn take_errors(options: &mut Options) -> Result<ErrorTableSettings> {
    let location: Option<String> = options.take_optional("errors.location")?;
    let max_bytes = options.take_or("errors.max_size", ByteSize(256 << 20))?.0;
    if max_bytes < ErrorTableSettings::LEAST_BYTES {
        let given = options.taken().iter().rfind(|entry| entry.key == "errors.max_size");
        let (name, value) = given.map_or(("", ""), |entry| (entry.name(), entry.value.trim()));
        let error = Error::invalid(format!("option `{name}` = `{value}` is too small for an error table"))
            .with_hint("give it 64KiB or more");
        return Err(match given.and_then(|entry| entry.origin.span()) {
            Some(span) => error.with_span(span),
            None => error,
        });
    }
    Ok(ErrorTableSettings {
        location: PathBuf::from(location.as_deref().unwrap_or(ErrorTableSettings::LOCATION)),
        max_bytes,
        max_age: options.take_or("errors.max_age", Duration::from_secs(7 * 24 * 60 * 60))?,
    })
}

/// Reads what becomes of late rows, and whether those that are dropped are kept in the error table.
fn take_late(options: &mut Options) -> Result<(LateRule, bool)> {
    let choices = [
        ("drop", (LateRule::Drop, false)),
        ("dead_letter", (LateRule::Drop, true)),
        ("include_in_next", (LateRule::NextOpen, false)),
        ("update_previous", (LateRule::Correct, false)),
    ];
    Ok(options.take_choice("late.data.strategy", &choices)?.unwrap_or((LateRule::Drop, false)))
}

/// Takes what this version checks and does not use yet.
fn take_later(options: &mut Options) -> Result<()> {
    options.take_duration("checkpoint.interval")?;
    options.take_optional::<String>("checkpoint.location")?;
    Ok(())
}

fn refuse_not_yet(taken: &[Entry]) -> Result<()> {
    for (key, honoured) in NOT_YET {
        let Some(entry) = taken.iter().find(|entry| entry.key == *key) else {
            continue;
        };
        let value = entry.value.trim().to_lowercase().replace('-', "_");
        if honoured.contains(&value.as_str()) {
            continue;
        }
        let error = if honoured.is_empty() {
            Error::not_yet(format!("option `{}`{}", entry.name(), entry.place()))
                .with_hint(format!("leave `{}` out", entry.name()))
        } else {
            let names: Vec<String> = honoured.iter().map(|name| format!("`{name}`")).collect();
            Error::not_yet(format!("option `{}` = `{}`{}", entry.name(), entry.value.trim(), entry.place()))
                .with_hint(format!("available: {}", names.join(", ")))
        };
        return Err(match entry.origin.span() {
            Some(span) => error.with_span(span),
            None => error,
        });
    }
    Ok(())
}

/// Lists the documented options that have a value; one that was given is shown as it was read.
fn in_force(read: &JobOptions, taken: &[Entry]) -> Vec<(&'static str, String, String)> {
    let rows = DOCS.iter().filter_map(|doc| {
        let Some(entry) = taken.iter().find(|entry| entry.key == doc.key) else {
            let honoured = NOT_YET.iter().all(|(key, values)| *key != doc.key || !values.is_empty());
            let has_value = honoured && !doc.default.is_empty();
            return has_value.then(|| (doc.key, doc.default.to_owned(), "default".to_owned()));
        };
        let value = match doc.key {
            "batch.linger" => duration_text(read.batch_linger),
            "allowed.lateness" => duration_text(read.allowed_lateness),
            "table.wait.timeout" => duration_text(read.table_wait),
            "errors.max_age" => duration_text(read.errors.max_age),
            _ => entry.shown().into_owned(),
        };
        let origin = match &entry.written {
            Some(name) => format!("{} (`{name}`)", entry.origin),
            None => entry.origin.to_string(),
        };
        Some((doc.key, value, origin))
    });
    rows.collect()
}
