//! [`EventTimeReader`]: the instant at which each row happened, read from one of its columns.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::error::{Error, Result};

/// The first instant that a calendar date can be given for, in epoch milliseconds.
const EARLIEST: i64 = DateTime::<Utc>::MIN_UTC.timestamp_millis();
/// The last such instant.
const LATEST: i64 = DateTime::<Utc>::MAX_UTC.timestamp_millis();

/// How the event time is written (`event.time.format`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventTimeFormat {
    /// Decide by the column's type: timestamps as they are, integers as milliseconds, text as RFC 3339.
    Detect,
    /// A number that counts units since the Unix epoch; it may arrive as text.
    Epoch {
        /// How many of the unit make a second.
        per_second: i64,
    },
    /// ISO 8601 text; UTC unless it says otherwise.
    Iso8601,
    /// Text by a pattern in chrono's notation.
    Pattern {
        /// The pattern, such as `%Y-%m-%d %H:%M:%S%.3f`.
        pattern: String,
        /// The zone of text without an offset.
        zone: Tz,
    },
}

impl EventTimeFormat {
    /// Reads the value of `event.time.format`, with `event.time.zone` for patterns.
    pub fn parse(text: &str, zone: Option<Tz>) -> Result<Self> {
        let epoch = |per_second| Ok(Self::Epoch { per_second });
        match text.to_ascii_lowercase().as_str() {
            "epoch_millis" => epoch(1_000),
            "epoch_seconds" | "epoch" => epoch(1),
            "epoch_micros" => epoch(1_000_000),
            "epoch_nanos" => epoch(1_000_000_000),
            "iso8601" => Ok(Self::Iso8601),
            _ if text.contains('%') => Ok(Self::Pattern { pattern: text.to_owned(), zone: zone.unwrap_or(Tz::UTC) }),
            _ => Err(Error::invalid(format!("`event.time.format` = '{text}' is not a format")).with_hint(
                "use `epoch_millis`, `epoch_seconds`, `epoch_micros`, `epoch_nanos`, `iso8601`, or a pattern such as \
                 '%Y-%m-%d %H:%M:%S%.3f'",
            )),
        }
    }
}

/// A row whose event time cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTime {
    /// The ordinal of the row in its batch.
    pub row: usize,
    /// What is wrong with it, naming the column.
    pub message: String,
}

/// Reads event times from one column, a whole batch at a time.
#[derive(Debug, Clone)]
pub struct EventTimeReader {
    /// The ordinal of the column.
    column: usize,
    name: String,
    format: EventTimeFormat,
}

impl EventTimeReader {
    /// Creates a reader for the column `name` at ordinal `column` of type `data_type`.
    ///
    /// Fails where the format cannot be read from that type.
    pub fn try_new(column: usize, name: &str, data_type: &DataType, format: EventTimeFormat) -> Result<Self> {
        let text = matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
        let instant = matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
        let fits = match &format {
            EventTimeFormat::Detect => text || instant || data_type.is_integer(),
            EventTimeFormat::Epoch { .. } => text || data_type.is_numeric() || instant,
            EventTimeFormat::Iso8601 | EventTimeFormat::Pattern { .. } => text || instant,
        };
        if fits {
            return Ok(Self { column, name: name.to_owned(), format });
        }
        Err(Error::invalid(format!("event time field `{name}` is of type {data_type}, which is not a time"))
            .with_hint(
                "declare it as TIMESTAMP, BIGINT or VARCHAR, or name another field in `event.time.field`",
            ))
    }

    /// Returns the ordinal of the column.
    pub fn column(&self) -> usize {
        self.column
    }

    /// Returns the event times in epoch milliseconds, and the rows that have none (their slot holds 0).
    ///
    /// Times more than `max_ahead_ms` after `now_ms` are bad: one wild clock must not close every window.
    pub fn read(
        &self,
        rows: &RecordBatch,
        now_ms: i64,
        max_ahead_ms: i64,
    ) -> Result<(Vec<i64>, Vec<BadTime>)> {
        let column = rows.column(self.column);
        let (times, mut bad) = match (&self.format, column.data_type()) {
            (_, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) => self.read_instants(rows)?,
            (
                EventTimeFormat::Epoch { per_second },
                DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8,
            ) => self.read_text(rows, |text| parse_epoch(text, *per_second))?,
            (EventTimeFormat::Pattern { pattern, zone }, _) => {
                self.read_text(rows, |text| parse_pattern(text, pattern, *zone))?
            }
            (EventTimeFormat::Iso8601, _) => self.read_text(rows, |text| {
                parse_iso(text).ok_or_else(|| "is not an ISO 8601 time".to_owned())
            })?,
            (EventTimeFormat::Detect, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) => self
                .read_text(rows, |text| {
                    let unknown = "is in no format that is recognised; say it with `event.time.format`";
                    parse_iso(text).ok_or_else(|| unknown.to_owned())
                })?,
            (EventTimeFormat::Epoch { per_second }, _) => self.read_numbers(rows, *per_second)?,
            _ => self.read_numbers(rows, 1_000)?,
        };
        let limit = now_ms.saturating_add(max_ahead_ms).min(LATEST);
        if times.iter().any(|&time| time > limit || time < EARLIEST) {
            for (row, &time) in times.iter().enumerate().filter(|&(_, &time)| time > limit || time < EARLIEST)
            {
                bad.push(self.bad(row, &beyond(time, now_ms)));
            }
            bad.sort_by_key(|bad| bad.row);
        }
        Ok((times, bad))
    }

    fn read_instants(&self, rows: &RecordBatch) -> Result<(Vec<i64>, Vec<BadTime>)> {
        let column = rows.column(self.column);
        let millis = match column.data_type() {
            DataType::Timestamp(TimeUnit::Millisecond, _) => Arc::clone(column),
            _ => cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?,
        };
        let bad = self.nulls(rows);
        Ok((millis.as_primitive::<TimestampMillisecondType>().values().to_vec(), bad))
    }

    fn read_numbers(&self, rows: &RecordBatch, per_second: i64) -> Result<(Vec<i64>, Vec<BadTime>)> {
        let column = rows.column(self.column);
        let mut bad = self.nulls(rows);
        if column.data_type().is_floating() || matches!(column.data_type(), DataType::Decimal128(..)) {
            let numbers = cast(column, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            let mut times = Vec::with_capacity(numbers.len());
            for (row, &number) in numbers.values().iter().enumerate() {
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    reason = "saturates, and such a time is out of range"
                )]
                times.push((number * 1_000.0 / per_second as f64) as i64);
                if number.is_nan() && numbers.is_valid(row) {
                    bad.push(self.bad(row, "NaN is no time"));
                }
            }
            return Ok((times, bad));
        }
        let numbers: Int64Array = cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        let mut times = Vec::with_capacity(numbers.len());
        for (row, &number) in numbers.values().iter().enumerate() {
            let time = to_millis(number, per_second);
            if time.is_none() {
                bad.push(self.bad(row, &format!("{number} {} is out of range", unit(per_second))));
            }
            times.push(time.unwrap_or(0));
        }
        Ok((times, bad))
    }

    fn read_text(
        &self,
        rows: &RecordBatch,
        parse: impl Fn(&str) -> Result<i64, String>,
    ) -> Result<(Vec<i64>, Vec<BadTime>)> {
        let column = rows.column(self.column);
        let text = cast(column, &DataType::Utf8)?;
        let text = text.as_string::<i32>();
        let mut bad = self.nulls(rows);
        let mut times = Vec::with_capacity(text.len());
        for (row, value) in text.iter().enumerate() {
            times.push(match value.map(|value| (value, parse(value))) {
                Some((_, Ok(time))) => time,
                Some((value, Err(why))) => {
                    bad.push(
                        self.bad(row, &format!("\"{}\" {why}", value.chars().take(80).collect::<String>())),
                    );
                    0
                }
                None => 0,
            });
        }
        bad.sort_by_key(|bad| bad.row);
        Ok((times, bad))
    }

    fn nulls(&self, rows: &RecordBatch) -> Vec<BadTime> {
        let column = rows.column(self.column);
        if column.null_count() == 0 {
            return vec![];
        }
        let nulls = (0..column.len()).filter(|&row| column.is_null(row));
        nulls.map(|row| self.bad(row, &format!("is missing or null{}", fields_of(rows, row)))).collect()
    }

    fn bad(&self, row: usize, why: &str) -> BadTime {
        BadTime { row, message: format!("event time `{}`: {why}", self.name) }
    }
}

fn to_millis(number: i64, per_second: i64) -> Option<i64> {
    if per_second >= 1_000 {
        Some(number.div_euclid(per_second / 1_000))
    } else {
        number.checked_mul(1_000 / per_second)
    }
}

fn parse_epoch(text: &str, per_second: i64) -> Result<i64, String> {
    let unit = unit(per_second);
    let number: i64 = text.trim().parse().map_err(|_| format!("is not a whole number of {unit}"))?;
    to_millis(number, per_second).ok_or_else(|| format!("{unit} is out of range"))
}

fn unit(per_second: i64) -> &'static str {
    match per_second {
        1 => "seconds",
        1_000 => "milliseconds",
        1_000_000 => "microseconds",
        _ => "nanoseconds",
    }
}

/// Says what is wrong with an instant that no row can have.
fn beyond(time: i64, now_ms: i64) -> String {
    if !(EARLIEST..=LATEST).contains(&time) {
        return format!("{time} ms is out of range");
    }
    let ahead = (time - now_ms) / 1_000;
    format!("{time} ms is {ahead} s ahead of the clock, more than `event.time.max_ahead`")
}

/// Lists the columns that hold something in a row, of those that are read.
fn fields_of(rows: &RecordBatch, row: usize) -> String {
    let schema = rows.schema();
    let there = schema.fields().iter().zip(rows.columns()).filter(|(_, column)| column.is_valid(row));
    let names: Vec<String> = there.map(|(field, _)| format!("`{}`", field.name())).collect();
    if names.is_empty() { String::new() } else { format!("; the record has {}", names.join(", ")) }
}

fn parse_iso(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(instant.timestamp_millis());
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|pattern| NaiveDateTime::parse_from_str(text, pattern).ok())
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0));
    if let Some(naive) = naive {
        return Some(naive.and_utc().timestamp_millis());
    }
    DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").ok().map(|instant| instant.timestamp_millis())
}

fn parse_pattern(text: &str, pattern: &str, zone: Tz) -> Result<i64, String> {
    if let Ok(instant) = DateTime::parse_from_str(text, pattern) {
        return Ok(instant.timestamp_millis());
    }
    let naive = NaiveDateTime::parse_from_str(text, pattern)
        .ok()
        .or_else(|| NaiveDate::parse_from_str(text, pattern).ok()?.and_hms_opt(0, 0, 0))
        .ok_or_else(|| format!("does not match '{pattern}'"))?;
    match zone.from_local_datetime(&naive) {
        chrono::LocalResult::Single(instant) => Ok(instant.timestamp_millis()),
        chrono::LocalResult::Ambiguous(..) => Err(format!("is ambiguous in {zone}: the clocks go back then")),
        chrono::LocalResult::None => Err(format!("does not exist in {zone}: the clocks go forward then")),
    }
}
