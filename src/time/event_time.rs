//! [`EventTimeReader`]: the instant at which each row happened, read from one of its columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMillisecondType};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;

use crate::error::{Error, Result};

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
            (_, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) => {
                self.read_instants(column)?
            }
            (
                EventTimeFormat::Epoch { per_second },
                DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8,
            ) => self.read_text(column, |text| parse_epoch(text, *per_second))?,
            (EventTimeFormat::Pattern { pattern, zone }, _) => {
                self.read_text(column, |text| parse_pattern(text, pattern, *zone))?
            }
            (_, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) => self
                .read_text(column, |text| {
                    parse_iso(text).ok_or_else(|| "is not an ISO 8601 time".to_owned())
                })?,
            (EventTimeFormat::Epoch { per_second }, _) => self.read_numbers(column, *per_second)?,
            _ => self.read_numbers(column, 1_000)?,
        };
        let limit = now_ms.saturating_add(max_ahead_ms);
        if times.iter().any(|&time| time > limit) {
            for (row, &time) in times.iter().enumerate().filter(|&(_, &time)| time > limit) {
                let ahead = (time - now_ms) / 1_000;
                let message = format!(
                    "event time `{}`: {time} ms is {ahead} s ahead of the clock, more than `event.time.max_ahead`",
                    self.name
                );
                bad.push(BadTime { row, message });
            }
            bad.sort_by_key(|bad| bad.row);
        }
        Ok((times, bad))
    }

    fn read_instants(&self, column: &ArrayRef) -> Result<(Vec<i64>, Vec<BadTime>)> {
        let millis = match column.data_type() {
            DataType::Timestamp(TimeUnit::Millisecond, _) => Arc::clone(column),
            _ => cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?,
        };
        let bad = self.nulls(&millis);
        Ok((millis.as_primitive::<TimestampMillisecondType>().values().to_vec(), bad))
    }

    fn read_numbers(&self, column: &ArrayRef, per_second: i64) -> Result<(Vec<i64>, Vec<BadTime>)> {
        let mut bad = self.nulls(column);
        if column.data_type().is_floating() || matches!(column.data_type(), DataType::Decimal128(..)) {
            let numbers = cast(column, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<arrow::datatypes::Float64Type>();
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                reason = "saturates; checked by the guard"
            )]
            let times =
                numbers.values().iter().map(|number| (number * 1_000.0 / per_second as f64) as i64).collect();
            return Ok((times, bad));
        }
        let numbers: Int64Array = cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        let mut times = Vec::with_capacity(numbers.len());
        for (row, &number) in numbers.values().iter().enumerate() {
            let time = to_millis(number, per_second);
            if time.is_none() {
                bad.push(self.bad(row, &format!("{number} is out of range")));
            }
            times.push(time.unwrap_or(0));
        }
        Ok((times, bad))
    }

    fn read_text(
        &self,
        column: &ArrayRef,
        parse: impl Fn(&str) -> Result<i64, String>,
    ) -> Result<(Vec<i64>, Vec<BadTime>)> {
        let text = cast(column, &DataType::Utf8)?;
        let text = text.as_string::<i32>();
        let mut bad = self.nulls(column);
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

    fn nulls(&self, column: &ArrayRef) -> Vec<BadTime> {
        if column.null_count() == 0 {
            return vec![];
        }
        let nulls = (0..column.len()).filter(|&row| column.is_null(row));
        nulls.map(|row| self.bad(row, "is missing or null")).collect()
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
    let number: i64 = text.trim().parse().map_err(|_| "is not a whole number".to_owned())?;
    to_millis(number, per_second).ok_or_else(|| "is out of range".to_owned())
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
