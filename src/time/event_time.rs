//! [`EventTimeReader`]: the instant at which each row happened, read from one of its columns.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use chrono_tz::Tz;

use super::time_pattern::TimePattern;
use crate::error::{Error, Result};

/// The first instant that a calendar date can be given for, in epoch milliseconds.
const EARLIEST: i64 = DateTime::<Utc>::MIN_UTC.timestamp_millis();
/// The last such instant.
const LATEST: i64 = DateTime::<Utc>::MAX_UTC.timestamp_millis();

const NANOS_IN_MILLI: i128 = 1_000_000;

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
    /// Text by a pattern in chrono's notation, such as `%Y-%m-%d %H:%M:%S%.3f`.
    Pattern(TimePattern),
}

impl EventTimeFormat {
    /// Reads the value of `event.time.format`, with `event.time.zone` for patterns.
    ///
    /// # Errors
    /// Invalid, when it is no format, a pattern that leaves the time open, or a zone stands beside what is no pattern.
    pub fn parse(text: &str, zone: Option<Tz>) -> Result<Self> {
        if zone.is_some() && !text.contains('%') {
            return Err(Error::invalid(format!(
                "`event.time.zone` says nothing beside `event.time.format` = '{text}'"
            ))
            .with_hint("it is the zone of a pattern without an offset, such as '%Y-%m-%d %H:%M:%S'"));
        }
        let epoch = |per_second| Ok(Self::Epoch { per_second });
        match text.to_ascii_lowercase().as_str() {
            "epoch_millis" => epoch(1_000),
            "epoch_seconds" | "epoch" => epoch(1),
            "epoch_micros" => epoch(1_000_000),
            "epoch_nanos" => epoch(1_000_000_000),
            "iso8601" => Ok(Self::Iso8601),
            _ if text.contains('%') => Ok(Self::Pattern(TimePattern::try_new(text, zone.unwrap_or(Tz::UTC))?)),
            _ => Err(Error::invalid(format!("`event.time.format` = '{text}' is not a format")).with_hint(
                "use `epoch_millis`, `epoch_seconds`, `epoch_micros`, `epoch_nanos`, `iso8601`, or a pattern such as \
                 '%Y-%m-%d %H:%M:%S%.3f'",
            )),
        }
    }

    /// Reads text as nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// What is wrong with the text, to be put behind it: `is not an ISO 8601 time`.
    pub fn read_text(&self, text: &str) -> Result<i128, String> {
        let iso = |otherwise: &str| parse_iso(text).map(nanos).ok_or_else(|| otherwise.to_owned());
        match self {
            Self::Detect => iso("is in no format that is recognised; say it with `event.time.format`"),
            Self::Iso8601 => iso("is not an ISO 8601 time"),
            Self::Epoch { per_second } => parse_epoch(text, *per_second),
            Self::Pattern(pattern) => pattern.read(text).map(nanos),
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
    /// Whether it has no event time at all: then it helps to say what its record has instead.
    pub missing: bool,
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
        let instant = matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
        let readable = instant || is_text(data_type);
        let fits = match &format {
            EventTimeFormat::Detect | EventTimeFormat::Pattern(_) => readable || data_type.is_integer(),
            EventTimeFormat::Iso8601 => readable,
            EventTimeFormat::Epoch { .. } => {
                is_text(data_type) || data_type.is_numeric() || matches!(data_type, DataType::Timestamp(..))
            }
        };
        if fits {
            return Ok(Self { column, name: name.to_owned(), format });
        }
        let what = format!("event time field `{name}` is of type {data_type}, which is not a time");
        Err(match format {
            EventTimeFormat::Detect if data_type.is_numeric() => Error::invalid(what).with_hint(
                "say what it counts with `event.time.format` = 'epoch_seconds' or another epoch, or declare it as \
                 TIMESTAMP, BIGINT or VARCHAR",
            ),
            EventTimeFormat::Detect => Error::invalid(what).with_hint(
                "declare it as TIMESTAMP, BIGINT or VARCHAR, or name another field in `event.time.field`",
            ),
            _ => Error::invalid(format!("{what} in this `event.time.format`"))
                .with_hint("declare it as TIMESTAMP or VARCHAR, or name another field in `event.time.field`"),
        })
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
            (EventTimeFormat::Pattern(pattern), DataType::Date32 | DataType::Date64)
                if pattern.zone() != Tz::UTC =>
            {
                self.read_dates(rows, pattern)?
            }
            (_, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) => self.read_instants(rows)?,
            // Numbers are read as their text for a pattern.
            (EventTimeFormat::Pattern(_), _) => self.read_text(rows)?,
            (_, data_type) if is_text(data_type) => self.read_text(rows)?,
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

    /// Reads dates as the midnights of a zone.
    fn read_dates(&self, rows: &RecordBatch, pattern: &TimePattern) -> Result<(Vec<i64>, Vec<BadTime>)> {
        let dates = cast(rows.column(self.column), &DataType::Date32)?;
        let mut bad = self.nulls(rows);
        let mut times = Vec::with_capacity(dates.len());
        for (row, date) in dates.as_primitive::<Date32Type>().iter().enumerate() {
            let date = date.and_then(Date32Type::to_naive_date_opt);
            times.push(match date.map(|date| (date, pattern.midnight(date))) {
                Some((_, Ok(instant))) => instant.timestamp_millis(),
                Some((date, Err(why))) => {
                    bad.push(self.bad(row, &format!("{date} 00:00 {why}")));
                    0
                }
                None => 0,
            });
        }
        bad.sort_by_key(|bad| bad.row);
        Ok((times, bad))
    }

    fn read_numbers(&self, rows: &RecordBatch, per_second: i64) -> Result<(Vec<i64>, Vec<BadTime>)> {
        let column = rows.column(self.column);
        let mut bad = self.nulls(rows);
        if column.data_type().is_floating() || matches!(column.data_type(), DataType::Decimal128(..)) {
            let numbers = cast(column, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            let mut times = Vec::with_capacity(numbers.len());
            for (row, &number) in numbers.values().iter().enumerate() {
                times.push(to_micros(number, per_second).div_euclid(1_000));
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

    fn read_text(&self, rows: &RecordBatch) -> Result<(Vec<i64>, Vec<BadTime>)> {
        let column = rows.column(self.column);
        let text = cast(column, &DataType::Utf8)?;
        let text = text.as_string::<i32>();
        let mut bad = self.nulls(rows);
        let mut times = Vec::with_capacity(text.len());
        for (row, value) in text.iter().enumerate() {
            times.push(match value.map(|value| (value, self.format.read_text(value))) {
                Some((_, Ok(nanos))) => saturated(nanos.div_euclid(NANOS_IN_MILLI)),
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
        nulls.map(|row| BadTime { missing: true, ..self.bad(row, "is missing or null") }).collect()
    }

    fn bad(&self, row: usize, why: &str) -> BadTime {
        BadTime { row, message: format!("event time `{}`: {why}", self.name), missing: false }
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn to_millis(number: i64, per_second: i64) -> Option<i64> {
    if per_second >= 1_000 {
        Some(number.div_euclid(per_second / 1_000))
    } else {
        number.checked_mul(1_000 / per_second)
    }
}

/// Converts a float to microseconds, which it holds exactly for all times near ours; what is beyond is out of range.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "saturates, and such a time is out of range"
)]
fn to_micros(number: f64, per_second: i64) -> i64 {
    (number * 1_000_000.0 / per_second as f64).round() as i64
}

fn nanos(instant: DateTime<Utc>) -> i128 {
    i128::from(instant.timestamp()) * 1_000_000_000 + i128::from(instant.timestamp_subsec_nanos())
}

fn saturated(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

/// Reads a number since the epoch as nanoseconds.
fn parse_epoch(text: &str, per_second: i64) -> Result<i128, String> {
    let (text, unit) = (text.trim(), unit(per_second));
    let nanos = match text.parse::<i64>() {
        Ok(whole) => Some(i128::from(whole) * i128::from(1_000_000_000 / per_second)),
        Err(_) => parse_fraction(text, per_second),
    };
    let nanos = nanos.ok_or_else(|| format!("is not a number of {unit}"))?;
    match i64::try_from(nanos.div_euclid(NANOS_IN_MILLI)) {
        Ok(_) => Ok(nanos),
        Err(_) => Err(format!("{unit} is out of range")),
    }
}

/// Reads a number with a fraction, exactly, or with an exponent.
fn parse_fraction(text: &str, per_second: i64) -> Option<i128> {
    let (negative, plain) = match text.strip_prefix('-') {
        Some(plain) => (true, plain),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, places) = plain.split_once('.').unwrap_or((plain, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + places.len() == 0
        || !plain.starts_with(|first: char| first.is_ascii_digit() || first == '.')
    {
        return None;
    }
    if whole.len() > 19 || !digits(whole) || !digits(places) {
        let number: f64 = text.parse().ok()?;
        return Some(match to_micros(number, per_second) {
            i64::MIN | i64::MAX => i128::MAX,
            micros => i128::from(micros) * 1_000,
        });
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let billionths = (0..9).fold(0, |billionths, place| {
        billionths * 10 + places.as_bytes().get(place).map_or(0, |digit| i128::from(digit - b'0'))
    });
    let nanos = (whole * 1_000_000_000 + billionths) / i128::from(per_second);
    Some(if negative { -nanos } else { nanos })
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

fn parse_iso(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(instant.to_utc());
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|pattern| NaiveDateTime::parse_from_str(text, pattern).ok())
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0));
    if let Some(naive) = naive {
        return Some(naive.and_utc());
    }
    DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").ok().map(|instant| instant.to_utc())
}
