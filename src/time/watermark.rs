//! [`Watermark`]: the promise that no row older than an instant is expected any more.

use std::fmt;

use chrono::{DateTime, SecondsFormat};

/// An instant in epoch milliseconds before which no row is expected; it never goes back.
///
/// ```
/// use velostream::time::Watermark;
///
/// let mut watermark = Watermark::from_millis(5_000);
/// watermark.advance_to(Watermark::from_millis(4_000));
/// assert_eq!(watermark, Watermark::from_millis(5_000));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watermark(i64);

impl Watermark {
    /// Before the first row: nothing is promised.
    pub const NONE: Self = Self(i64::MIN);
    /// After the last row of a bounded input: the end of time.
    pub const END: Self = Self(i64::MAX);

    /// Creates the watermark at `millis` since the Unix epoch.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the Unix epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Moves forward to `other`, if that is later.
    pub fn advance_to(&mut self, other: Self) {
        self.0 = self.0.max(other.0);
    }

    /// Returns the watermark of rows that may come this much later; the end of time stays what it is.
    #[must_use]
    pub fn minus(self, millis: i64) -> Self {
        if self == Self::END { self } else { Self(self.0.saturating_sub(millis)) }
    }

    /// Returns whether an instant (in epoch milliseconds) is reached: nothing before it is expected any more.
    pub fn has_reached(self, instant: i64) -> bool {
        self.0 >= instant
    }
}

impl Default for Watermark {
    fn default() -> Self {
        Self::NONE
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.write_str("none"),
            Self::END => f.write_str("end of input"),
            Self(millis) => match DateTime::from_timestamp_millis(millis) {
                Some(instant) => f.write_str(&instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
                None => write!(f, "{millis} ms"),
            },
        }
    }
}

/// How a source derives its watermark: the highest event time seen in a partition minus a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatermarkStrategy {
    /// How far out of order rows may be, in milliseconds (0 for `ascending`).
    pub bound_ms: i64,
    /// After how long without rows a partition stops holding the others back, in milliseconds.
    pub idle_timeout_ms: i64,
}

impl Default for WatermarkStrategy {
    fn default() -> Self {
        Self { bound_ms: 5_000, idle_timeout_ms: 30_000 }
    }
}

/// Returns for each row the watermark of its partition at that row, the row itself included.
///
/// `seen` is the highest event time of the rows before, `floor` a watermark that the partition starts from. Decided
/// row by row, so that it does not depend on how the rows are cut into batches.
///
/// ```
/// use velostream::time::{Watermark, running_watermarks};
///
/// let marks = running_watermarks(&[10, 30, 20], i64::MIN, Watermark::NONE, 5);
/// assert_eq!(marks, vec![5, 25, 25]);
/// ```
pub fn running_watermarks(times: &[i64], seen: i64, floor: Watermark, bound_ms: i64) -> Vec<i64> {
    let mut highest = seen;
    times
        .iter()
        .map(|&time| {
            highest = highest.max(time);
            highest.saturating_sub(bound_ms).max(floor.millis())
        })
        .collect()
}
