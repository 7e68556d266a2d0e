//! [`TimePattern`]: text that is written by a pattern in chrono's notation becomes an instant.

use std::fmt::Write;

use chrono::format::{Fixed, Item, Parsed, StrftimeItems, parse, parse_and_remainder};
use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::{OffsetName, Tz};

use crate::error::{Error, Result};

/// An instant that has all that a pattern may ask for, in epoch milliseconds.
const SAMPLE: i64 = 981_173_106_789;

/// A pattern such as `%Y-%m-%d %H:%M:%S%.3f`.
///
/// What it does not say of the time of day is 0, as long as hours come before minutes and minutes before seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimePattern {
    text: String,
    items: Vec<Item<'static>>,
    /// The zone of text without an offset.
    zone: Tz,
}

impl TimePattern {
    /// Reads a pattern; `zone` is that of text without an offset.
    ///
    /// # Errors
    /// Invalid, when a part of it means nothing, or when it does not say a whole date and time.
    pub fn try_new(text: &str, zone: Tz) -> Result<Self> {
        let items = StrftimeItems::new(text).parse_to_owned().map_err(|_| {
            Error::invalid(format!("`event.time.format` = '{text}' has a `%` that means nothing"))
                .with_hint("a pattern is written like '%Y-%m-%d %H:%M:%S%.3f'")
        })?;
        let pattern = Self { text: text.to_owned(), items, zone };
        let mut sample = String::new();
        let instant = DateTime::from_timestamp_millis(SAMPLE).unwrap_or_default().with_timezone(&zone);
        // Some parts can only be read, so that there is no sample of them.
        let written = write!(sample, "{}", instant.format_with_items(pattern.items.iter()));
        if written.is_ok() && pattern.read(&sample).is_err() {
            return Err(Error::invalid(format!("`event.time.format` = '{text}' does not say a whole time"))
                .with_hint(
                    "it needs a date, hours before minutes, minutes before seconds, and `%p` beside `%I`",
                ));
        }
        Ok(pattern)
    }

    /// Returns the zone of text without an offset.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// Reads text.
    ///
    /// # Errors
    /// What is wrong with the text, to be put behind it.
    pub fn read(&self, text: &str) -> Result<DateTime<Utc>, String> {
        let mismatch = || format!("does not match '{}'", self.text);
        let (parsed, name) = self.parse(text).ok_or_else(mismatch)?;
        if parsed.offset().is_some() || parsed.timestamp().is_some() {
            return parsed.to_datetime().map(|instant| instant.to_utc()).map_err(|_| mismatch());
        }
        let naive = parsed.to_naive_datetime_with_offset(0).map_err(|_| mismatch())?;
        match name {
            Some(name) => self.in_named_zone(naive, name),
            None => local(naive, self.zone),
        }
    }

    /// Reads the date of text, as it is written there.
    ///
    /// # Errors
    /// What is wrong with the text, to be put behind it.
    pub fn read_date(&self, text: &str) -> Result<NaiveDate, String> {
        let date = self.parse(text).and_then(|(parsed, _)| parsed.to_naive_date().ok());
        date.ok_or_else(|| format!("does not match '{}'", self.text))
    }

    /// Returns the first instant of a date in the zone.
    ///
    /// # Errors
    /// What is wrong with it, to be put behind it.
    pub fn midnight(&self, date: NaiveDate) -> Result<DateTime<Utc>, String> {
        local(date.into(), self.zone)
    }

    /// Returns what the text says, and the name of a zone in it, which means nothing to chrono.
    fn parse<'a>(&self, text: &'a str) -> Option<(Parsed, Option<&'a str>)> {
        let mut parsed = Parsed::new();
        let is_name = |item: &Item<'_>| matches!(item, Item::Fixed(Fixed::TimezoneName));
        let mut name = None;
        match self.items.iter().position(is_name) {
            Some(place) => {
                let (before, after) = self.items.split_at(place);
                let rest = parse_and_remainder(&mut parsed, text, before.iter()).ok()?;
                let (found, rest) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
                parse(&mut parsed, rest, after.iter().skip(1)).ok()?;
                name = Some(found);
            }
            None => parse(&mut parsed, text, self.items.iter()).ok()?,
        }
        if parsed.timestamp().is_none() {
            fill(&mut parsed);
        }
        Some((parsed, name))
    }

    fn in_named_zone(&self, naive: NaiveDateTime, name: &str) -> Result<DateTime<Utc>, String> {
        if ["UTC", "GMT", "UT", "Z"].contains(&name) {
            return Ok(naive.and_utc());
        }
        let there = self.zone.from_local_datetime(&naive);
        let named = |instant: &DateTime<Tz>| instant.offset().abbreviation() == Some(name);
        if let Some(found) = there.earliest().filter(named).or_else(|| there.latest().filter(named)) {
            return Ok(found.to_utc());
        }
        match name.parse::<Tz>() {
            // Abbreviations mean different things in different places, and tell summer from winter or do not.
            Ok(zone) if name.contains('/') => local(naive, zone),
            _ => Err(format!(
                "names the zone `{name}`, which `%Z` does not know: it knows UTC, GMT, names such as Europe/London, and \
                 what the clocks of `event.time.zone` are called; offsets such as +01:00 are read by `%z`"
            )),
        }
    }
}

/// Sets to 0 what a pattern leaves out at the end of a time of day.
fn fill(parsed: &mut Parsed) {
    let hour = parsed.hour_div_12().zip(parsed.hour_mod_12());
    let part = parsed.hour_div_12().or(parsed.hour_mod_12()).or(parsed.minute()).or(parsed.second());
    let filled = match (hour, part) {
        (None, Some(_)) => return,
        (None, None) => parsed.set_hour(0).and_then(|()| parsed.set_minute(0)),
        (Some(_), _) if parsed.minute().is_none() && parsed.second().is_none() => parsed.set_minute(0),
        (Some(_), _) => Ok(()),
    };
    if filled.is_ok() && parsed.second().is_none() && parsed.nanosecond().is_none() {
        // Nothing is there that 0 could contradict.
        parsed.set_second(0).unwrap_or_default();
    }
}

fn local(naive: NaiveDateTime, zone: Tz) -> Result<DateTime<Utc>, String> {
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(instant) => Ok(instant.to_utc()),
        LocalResult::Ambiguous(..) => Err(format!("is ambiguous in {zone}: the clocks go back then")),
        LocalResult::None => Err(format!("does not exist in {zone}: the clocks go forward then")),
    }
}
