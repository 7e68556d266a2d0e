//! [`TimeOptions`]: the options of every source about event time, watermarks and bad records.

use std::time::Duration;

use crate::connect::{OptionDoc, Options};
use crate::error::{Error, Result};
use crate::format::WrittenTime;
use crate::time::EventTimeFormat;

/// What a record that cannot be processed does to its job (`on.error`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The job fails and says where the record is.
    #[default]
    Fail,
    /// The record is counted and left out.
    Skip,
    /// The record is counted, left out, and kept in the error table.
    DeadLetter,
}

impl OnError {
    /// The values of the option.
    pub const CHOICES: [(&str, Self); 3] =
        [("fail", Self::Fail), ("skip", Self::Skip), ("dead_letter", Self::DeadLetter)];
}

/// The options of every source about time.
pub const TIME_DOCS: &[OptionDoc] = &[
    OptionDoc {
        key: "event.time.field",
        value: "column",
        default: "",
        what: "the column that holds the event time",
    },
    OptionDoc {
        key: "event.time.format",
        value: "epoch_millis | epoch_seconds | epoch_micros | epoch_nanos | iso8601 | pattern",
        default: "by the column's type",
        what: "how the event time is written",
    },
    OptionDoc {
        key: "event.time.zone",
        value: "time zone",
        default: "UTC",
        what: "the zone of patterns without an offset",
    },
    OptionDoc {
        key: "event.time.max_ahead",
        value: "duration",
        default: "1h",
        what: "how far ahead of the clock an event time may be; rows beyond are bad records",
    },
    OptionDoc {
        key: "watermark.strategy",
        value: "bounded_out_of_orderness | ascending",
        default: "bounded_out_of_orderness",
        what: "how the watermark follows the highest event time seen",
    },
    OptionDoc {
        key: "watermark.max_out_of_orderness",
        value: "duration",
        default: "5s",
        what: "how far out of order rows may be",
    },
    OptionDoc {
        key: "watermark.idle_timeout",
        value: "duration",
        default: "30s",
        what: "after how long without rows a partition stops holding the others back",
    },
    OptionDoc {
        key: LATE_STRATEGY,
        value: "drop | dead_letter | include_in_next | update_previous",
        default: "the job's",
        what: "what becomes of rows that come after their windows have closed, for jobs that do not say it",
    },
    OptionDoc {
        key: "on.error",
        value: "fail | skip | dead_letter",
        default: "the job's",
        what: "what a bad record does",
    },
];

/// The option that says what becomes of late rows, of a source and of a job.
pub const LATE_STRATEGY: &str = "late.data.strategy";
const LATE_STRATEGIES: [(&str, &str); 4] = [
    ("drop", "drop"),
    ("dead_letter", "dead_letter"),
    ("include_in_next", "include_in_next"),
    ("update_previous", "update_previous"),
];

/// What the options of a source say about time and bad records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeOptions {
    /// The event time's column.
    pub field: Option<String>,
    /// How it is written.
    pub format: EventTimeFormat,
    /// How far ahead of the clock it may be, in milliseconds.
    pub max_ahead_ms: i64,
    /// How far out of order rows may be, in milliseconds, if it is said.
    pub bound_ms: Option<i64>,
    /// The idle timeout in milliseconds.
    pub idle_timeout_ms: i64,
    /// What becomes of late rows, for jobs that do not say it.
    pub late: Option<&'static str>,
    /// What a bad record does; none leaves it to the job.
    pub on_error: Option<OnError>,
}

impl TimeOptions {
    /// Reads the options.
    pub fn read(options: &mut Options) -> Result<Self> {
        options.accept(TIME_DOCS);
        let field: Option<String> = options.take_optional("event.time.field")?;
        let zone: Option<chrono_tz::Tz> = options.take_optional("event.time.zone")?;
        let format: Option<String> = options.take_optional("event.time.format")?;
        if field.is_none() && (zone.is_some() || format.is_some()) && !options.contains("event.time.field") {
            return Err(Error::invalid("`event.time.format` without `event.time.field` says nothing")
                .with_hint("name the column: 'event.time.field' = '…'"));
        }
        if zone.is_some() && format.is_none() {
            return Err(Error::invalid(
                "`event.time.zone` without a pattern in `event.time.format` says nothing",
            )
            .with_hint("say how local times are written: 'event.time.format' = '%Y-%m-%d %H:%M:%S'"));
        }
        let strategies =
            [("bounded_out_of_orderness", false), ("ascending", true), ("ascending_timestamps", true)];
        let ascending = options.take_choice("watermark.strategy", &strategies)?.unwrap_or(false);
        let bound = options.take_duration("watermark.max_out_of_orderness")?;
        if ascending && bound.is_some_and(|bound| !bound.is_zero()) {
            return Err(Error::invalid(
                "`watermark.strategy` = 'ascending' and `watermark.max_out_of_orderness` contradict each other",
            ));
        }
        Ok(Self {
            field,
            format: format
                .map_or(Ok(EventTimeFormat::Detect), |format| EventTimeFormat::parse(&format, zone))?,
            max_ahead_ms: options.take_duration("event.time.max_ahead")?.map_or(3_600_000, millis),
            bound_ms: if ascending { Some(0) } else { bound.map(millis) },
            idle_timeout_ms: options.take_duration("watermark.idle_timeout")?.map_or(30_000, millis),
            late: options.take_choice(LATE_STRATEGY, &LATE_STRATEGIES)?,
            on_error: options.take_choice("on.error", &OnError::CHOICES)?,
        })
    }
}

/// Returns how the event time is written, where the options of a source say it.
pub(super) fn written_time(options: &Options) -> Result<Option<WrittenTime>> {
    let (Some(column), Some(format)) =
        (options.value("event.time.field"), options.value("event.time.format"))
    else {
        return Ok(None);
    };
    // A zone that is none was refused when it was taken.
    let zone = options.value("event.time.zone").and_then(|zone| zone.parse().ok());
    Ok(Some(WrittenTime { column: column.to_owned(), format: EventTimeFormat::parse(format, zone)? }))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
