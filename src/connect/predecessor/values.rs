//! Values of the predecessor that have another form here.

use crate::config::{Entry, parse_bool, parse_bytes};
use crate::error::{Error, Result};

/// What one setting means here.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    /// The settings that stand for it.
    pub(super) options: Vec<Entry>,
    /// What the user should know about it.
    pub(super) notice: Option<String>,
}

impl Meaning {
    /// One setting.
    pub(super) fn one(entry: &Entry, key: &str, value: &str) -> Self {
        Self { options: vec![entry.renamed(key, value)], notice: None }
    }

    fn with_notice(mut self, notice: String) -> Self {
        self.notice = Some(notice);
        self
    }
}

/// Returns the value in lower case, without what only separates words.
fn plain(entry: &Entry) -> String {
    entry.value.trim().to_lowercase().replace(['_', '-'], "")
}

/// The format of a message's value.
pub(super) fn message_format(entry: &Entry) -> Result<Meaning> {
    Ok(Meaning::one(entry, "format", format_name(entry)))
}

/// The format of a message's key.
pub(super) fn key_format(entry: &Entry) -> Result<Meaning> {
    Ok(Meaning::one(entry, "key.format", format_name(entry)))
}

/// The format of a file, which may also say whether there is a header line.
pub(super) fn file_format(entry: &Entry) -> Result<Meaning> {
    let mut meaning = Meaning::one(entry, "format", format_name(entry));
    if plain(entry) == "csvnoheader" {
        meaning.options.push(entry.renamed("header", "false"));
    }
    Ok(meaning)
}

/// Returns the name of a format here; one that is not known stays as it is.
fn format_name(entry: &Entry) -> &str {
    match plain(entry).as_str() {
        "json" | "jsonl" | "jsonlines" | "ndjson" => "json",
        "csv" | "csvnoheader" => "csv",
        "string" | "bytes" | "text" => "raw",
        _ => entry.value.trim(),
    }
}

/// What happens to a record that cannot be processed.
pub(super) fn on_error(entry: &Entry) -> Result<Meaning> {
    let value = match plain(entry).as_str() {
        "logandcontinue" => "skip",
        "failbatch" => "fail",
        "sendtodlq" => "dead_letter",
        "retrywithbackoff" => {
            return Ok(Meaning::one(entry, "on.error", "fail").with_notice(format!(
                "`{}` = `{}` is read as `on.error` = `fail`, because a bad record stays bad however often it is \
                 tried; outside systems that are away are tried again by themselves",
                entry.name(),
                entry.value.trim()
            )));
        }
        _ => entry.value.trim(),
    };
    Ok(Meaning::one(entry, "on.error", value))
}

/// What happens to late rows.
pub(super) fn late_rows(entry: &Entry) -> Result<Meaning> {
    let value = match plain(entry).as_str() {
        "includeinnext" | "includeinnextwindow" => "include_in_next",
        "updateprevious" | "updatepreviouswindow" => "update_previous",
        "deadletter" => "dead_letter",
        _ => entry.value.trim(),
    };
    Ok(Meaning::one(entry, "late.data.strategy", value))
}

/// How watermarks come about.
pub(super) fn watermark_strategy(entry: &Entry) -> Result<Meaning> {
    let value = match plain(entry).as_str() {
        "boundedoutoforderness" => "bounded_out_of_orderness",
        "ascending" | "ascendingtimestamps" => "ascending",
        "custom" | "punctuated" => {
            return Err(Error::not_yet(format!("`{}` = `{}`", entry.name(), entry.value.trim()))
                .with_hint("accepted: `bounded_out_of_orderness`, `ascending`"));
        }
        _ => entry.value.trim(),
    };
    Ok(Meaning::one(entry, "watermark.strategy", value))
}

/// What a stream row becomes that finds no table row.
pub(super) fn on_missing(entry: &Entry) -> Result<Meaning> {
    let value = match plain(entry).as_str() {
        "usedefaults" => "defaults",
        "skiprecord" => "skip",
        "emitwithnulls" => "null",
        "waitandretry" => "retry",
        "failfast" => "fail",
        _ => entry.value.trim(),
    };
    Ok(Meaning::one(entry, "on.missing", value))
}

/// A buffer in bytes, which librdkafka counts in kilobytes.
pub(super) fn kilobytes(entry: &Entry) -> Result<Meaning> {
    let bytes = parse_bytes(&entry.value).ok_or_else(|| {
        Error::invalid(format!("option `{}` = `{}` is not a size", entry.name(), entry.shown()))
            .with_hint("write it like `64MB`, `67108864`")
    })?;
    let kilobytes = bytes.div_ceil(1024).max(1).to_string();
    Ok(Meaning::one(entry, "kafka.queue.buffering.max.kbytes", &kilobytes))
}

/// `mode`: here `stream` or `batch`, there the delivery of a job.
pub(super) fn delivery_of_mode(entry: &Entry) -> Result<Meaning> {
    match plain(entry).as_str() {
        "simple" => Ok(Meaning::one(entry, "delivery", "at_least_once")),
        "adaptive" => Ok(Meaning::one(entry, "delivery", "by_sink")),
        "transactional" => Ok(transactional(entry)),
        _ if entry.key.starts_with('@') => {
            Err(Error::invalid(format!("`{}`: `{}` is not a job mode", entry.name(), entry.value.trim()))
                .with_hint("accepted: `simple`, `transactional`, `adaptive`"))
        }
        _ => Ok(Meaning::one(entry, "mode", &entry.value)),
    }
}

/// `use_transactions`: the delivery of a job as yes or no.
pub(super) fn delivery_of_transactions(entry: &Entry) -> Result<Meaning> {
    match parse_bool(&entry.value) {
        Some(true) => Ok(transactional(entry)),
        Some(false) => Ok(Meaning::one(entry, "delivery", "at_least_once")),
        None => {
            Err(Error::invalid(format!("option `{}` = `{}` is not a yes or no", entry.name(), entry.value))
                .with_hint("write it like `true`, `false`"))
        }
    }
}

/// The predecessor's transactional jobs delivered at least once too, so its files run; the notice says what they get.
fn transactional(entry: &Entry) -> Meaning {
    Meaning::one(entry, "delivery", "at_least_once").with_notice(format!(
        "`{}` = `{}` asks for exactly-once delivery, which is not available yet: the job delivers at least once",
        entry.name(),
        entry.value.trim()
    ))
}
