//! Dates, times of day and timestamps from ISO 8601 text and from integers.

use std::sync::Arc;

use arrow::datatypes::{Date32Type, TimeUnit};

use super::number::{short_integer, wide_integer};
use super::text::Fault;
use crate::format::{DecodeOptions, IntegerTime};
use crate::time::EventTimeFormat;

const DAY_SECONDS: i64 = 86_400;

/// Returns how many ticks of `unit` a second has.
pub(super) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// How dates and timestamps are written in a column.
#[derive(Debug, Clone)]
pub(in crate::format) struct TimeWriting {
    unit: IntegerTime,
    /// How the event time is written, in its column.
    format: Option<Arc<EventTimeFormat>>,
}

impl TimeWriting {
    /// Returns how the column `name` is written.
    pub(in crate::format) fn of(name: &str, options: &DecodeOptions) -> Self {
        let own = options.event_time.as_ref().filter(|own| own.column.eq_ignore_ascii_case(name));
        let Some(own) = own else { return Self { unit: options.integer_time, format: None } };
        let unit = match own.format {
            EventTimeFormat::Epoch { per_second: 1 } => IntegerTime::Seconds,
            EventTimeFormat::Epoch { per_second: 1_000_000 } => IntegerTime::Micros,
            EventTimeFormat::Epoch { per_second: 1_000_000_000 } => IntegerTime::Nanos,
            _ => IntegerTime::Millis,
        };
        Self { unit, format: Some(Arc::new(own.format.clone())) }
    }

    /// Converts an integer to `unit`; nothing where the column wants its text instead.
    #[inline]
    pub(super) fn integer(&self, value: i64, unit: TimeUnit) -> Option<Result<i64, Fault>> {
        match self.format.as_deref() {
            None | Some(EventTimeFormat::Epoch { .. }) => Some(from_integer(value, self.unit, unit)),
            Some(_) => None,
        }
    }

    /// Reads text as ticks of `unit` since the epoch.
    pub(super) fn text(&self, text: &[u8], unit: TimeUnit) -> Result<i64, Fault> {
        if let Some(value) = short_integer(text).and_then(|value| self.integer(value, unit)) {
            return value;
        }
        if let Some(format) = &self.format {
            return by_format(format, text, unit);
        }
        match timestamp(text, unit) {
            Err(Fault::Mismatch) => self.number(text, unit).map_err(|fault| match fault {
                Fault::Fraction => Fault::Mismatch,
                other => other,
            }),
            other => other,
        }
    }

    /// Reads a number, from its text, as ticks of `unit` since the epoch.
    pub(super) fn number(&self, text: &[u8], unit: TimeUnit) -> Result<i64, Fault> {
        if let Some(format) = &self.format {
            return by_format(format, text, unit);
        }
        let value = i64::try_from(wide_integer(text)?).map_err(|_| Fault::OutOfRange)?;
        from_integer(value, self.unit, unit)
    }

    /// Reads a date as days since the epoch.
    pub(super) fn date(&self, text: &[u8]) -> Result<i32, Fault> {
        let Some(EventTimeFormat::Pattern(pattern)) = self.format.as_deref() else {
            return parse_date(text).ok_or(Fault::Mismatch);
        };
        let text = std::str::from_utf8(text).map_err(|_| Fault::Mismatch)?;
        pattern.read_date(text).map(Date32Type::from_naive_date).map_err(|_| Fault::Time)
    }

    /// Says what is wrong with the text of an event time, to be put behind it.
    #[cold]
    pub(super) fn complaint(&self, text: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(text).ok()?;
        self.format.as_ref()?.read_text(text.trim_matches('"')).err()
    }
}

/// Reads an event time as ticks of `unit` since the epoch; what is finer than the unit is cut towards the past.
fn by_format(format: &EventTimeFormat, text: &[u8], unit: TimeUnit) -> Result<i64, Fault> {
    if *format == EventTimeFormat::Iso8601
        && let Ok(ticks) = timestamp(text, unit)
    {
        return Ok(ticks);
    }
    let text = std::str::from_utf8(text).map_err(|_| Fault::Mismatch)?;
    let nanos = format.read_text(text).map_err(|_| Fault::Time)?;
    let ticks = nanos.div_euclid(i128::from(1_000_000_000 / per_second(unit)));
    i64::try_from(ticks).map_err(|_| Fault::OutOfRange)
}

/// Converts an integer since the epoch to `unit`; what is finer than the unit is cut towards the past.
#[inline]
pub(super) fn from_integer(value: i64, given: IntegerTime, unit: TimeUnit) -> Result<i64, Fault> {
    let from = match given {
        IntegerTime::Seconds => 1,
        IntegerTime::Millis => 1_000,
        IntegerTime::Micros => 1_000_000,
        IntegerTime::Nanos => 1_000_000_000,
    };
    let to = per_second(unit);
    if from == to {
        Ok(value)
    } else if from < to {
        value.checked_mul(to / from).ok_or(Fault::OutOfRange)
    } else {
        Ok(value.div_euclid(from / to))
    }
}

/// Reads an ISO 8601 date, with time and zone if they are there, as ticks of `unit` since the epoch.
///
/// Without a zone the text is in UTC. What is finer than the unit is cut towards the past.
pub(super) fn timestamp(text: &[u8], unit: TimeUnit) -> Result<i64, Fault> {
    let (seconds, nanos) = parse_timestamp(text).ok_or(Fault::Mismatch)?;
    let ticks = per_second(unit);
    i128::from(seconds)
        .checked_mul(i128::from(ticks))
        .and_then(|whole| i64::try_from(whole + i128::from(i64::from(nanos) / (1_000_000_000 / ticks))).ok())
        .ok_or(Fault::OutOfRange)
}

/// Reads an ISO 8601 date with optional time and zone as (seconds since the epoch, nanoseconds).
pub(in crate::format) fn parse_timestamp(text: &[u8]) -> Option<(i64, u32)> {
    let (days, rest) = date_prefix(text)?;
    let midnight = days.checked_mul(DAY_SECONDS)?;
    let Some((separator, rest)) = rest.split_first() else {
        return Some((midnight, 0));
    };
    if !matches!(separator, b'T' | b't' | b' ') {
        return None;
    }
    let (seconds, nanos, rest) = time_prefix(rest)?;
    let offset = zone(rest)?;
    Some((midnight.checked_add(seconds - offset)?, nanos))
}

/// Reads `YYYY-MM-DD` as days since the epoch.
pub(in crate::format) fn parse_date(text: &[u8]) -> Option<i32> {
    match date_prefix(text)? {
        (days, []) => i32::try_from(days).ok(),
        _ => None,
    }
}

/// Reads `HH:MM[:SS[.fraction]]` as microseconds since midnight.
pub(super) fn parse_time(text: &[u8]) -> Option<i64> {
    match time_prefix(text)? {
        (seconds, nanos, []) => Some(seconds * 1_000_000 + i64::from(nanos) / 1_000),
        _ => None,
    }
}

#[inline]
fn two(text: &[u8], at: usize) -> Option<i64> {
    let tens = text.get(at)?.wrapping_sub(b'0');
    let ones = text.get(at + 1)?.wrapping_sub(b'0');
    (tens <= 9 && ones <= 9).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// Splits a date from the front; years beyond four digits carry a sign.
fn date_prefix(text: &[u8]) -> Option<(i64, &[u8])> {
    let (year, rest) = match text.first()? {
        sign @ (b'+' | b'-') => {
            let digits = text.get(1..)?;
            let length = digits.iter().position(|byte| !byte.is_ascii_digit())?;
            if !(4..=12).contains(&length) {
                return None;
            }
            let (digits, rest) = digits.split_at_checked(length)?;
            let year = digits.iter().fold(0_i64, |year, digit| year * 10 + i64::from(digit - b'0'));
            (if *sign == b'-' { -year } else { year }, rest)
        }
        _ => (two(text, 0)? * 100 + two(text, 2)?, text.get(4..)?),
    };
    if rest.first() != Some(&b'-') || rest.get(3) != Some(&b'-') {
        return None;
    }
    let (month, day) = (two(rest, 1)?, two(rest, 4)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    Some((days_from_civil(year, month, day), rest.get(6..)?))
}

/// Splits a time of day from the front: seconds, nanoseconds, rest.
fn time_prefix(text: &[u8]) -> Option<(i64, u32, &[u8])> {
    let (hour, minute) = (two(text, 0)?, two(text, 3)?);
    if text.get(2) != Some(&b':') || hour > 23 || minute > 59 {
        return None;
    }
    let mut seconds = hour * 3_600 + minute * 60;
    let mut rest = text.get(5..)?;
    if rest.first() != Some(&b':') {
        return Some((seconds, 0, rest));
    }
    let second = two(rest, 1)?;
    if second > 59 {
        return None;
    }
    seconds += second;
    rest = rest.get(3..)?;
    if !matches!(rest.first(), Some(b'.' | b',')) {
        return Some((seconds, 0, rest));
    }
    let digits = rest.get(1..)?;
    let length = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (fraction, rest) = digits.split_at_checked(length)?;
    if fraction.is_empty() {
        return None;
    }
    let nanos = (0..9).fold(0_u32, |nanos, place| {
        nanos * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'))
    });
    Some((seconds, nanos, rest))
}

/// Reads what may follow a time: nothing, `Z`, `UTC`, `+02:00`, `+0200` or `+02`, as seconds east of UTC.
fn zone(text: &[u8]) -> Option<i64> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, rest) = match text {
        [] | [b'Z' | b'z'] | b"UTC" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let minutes = match rest.len() {
        2 => 0,
        4 => two(rest, 2)?,
        5 if rest.get(2) == Some(&b':') => two(rest, 3)?,
        _ => return None,
    };
    let hours = two(rest, 0)?;
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts the days from the epoch to a date of the proleptic Gregorian calendar.
///
/// Years begin in March here, so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Returns year, month and day of a number of days since the epoch.
pub(in crate::format) fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // Month and day are small by construction.
    (year, u8::try_from(month).unwrap_or(1), u8::try_from(day).unwrap_or(1))
}
