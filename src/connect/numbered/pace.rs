//! [`Pace`]: when each row of a made-up stream is due.

use crate::error::{Error, Result};

/// At which monotonic time each row is due: evenly spaced, or all at once.
///
/// The first row is due when the pace starts. Who falls behind finds many rows due and catches up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    rows_per_second: Option<f64>,
    started: Option<Start>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Start {
    at_micros: i64,
    row: u64,
}

impl Pace {
    /// Creates a pace of `rows_per_second`; none means as fast as possible.
    ///
    /// Errors unless the rate is above zero and at most a billion.
    pub fn try_new(rows_per_second: Option<f64>) -> Result<Self> {
        match rows_per_second {
            Some(rate) if !(rate > 0.0 && rate <= 1e9) => Err(Error::invalid(format!(
                "{rate} rows per second is not a rate"
            ))
            .with_hint("give a number above 0 and at most 1e9, or leave it out for as fast as possible")),
            _ => Ok(Self { rows_per_second, started: None }),
        }
    }

    /// Returns whether [`start`](Self::start) was called.
    pub fn has_started(&self) -> bool {
        self.started.is_some()
    }

    /// Makes `row` due at `now_micros` (monotonic), and the rows after it one by one.
    pub fn start(&mut self, now_micros: i64, row: u64) {
        self.started = Some(Start { at_micros: now_micros, row });
    }

    /// Returns the monotonic microseconds at which `row` is due; none if it is due at any time.
    pub fn due_micros(&self, row: u64) -> Option<i64> {
        let (rate, start) = (self.rows_per_second?, self.started?);
        let rows = row.checked_sub(start.row)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a time beyond the range saturates, which is never"
        )]
        let after = (rows as f64 * 1e6 / rate).ceil() as i64;
        Some(start.at_micros.saturating_add(after))
    }

    /// Returns the first row that is not yet due at `now_micros`.
    pub fn due_rows(&self, now_micros: i64) -> u64 {
        let (Some(rate), Some(start)) = (self.rows_per_second, self.started) else {
            return u64::MAX;
        };
        let passed = now_micros.saturating_sub(start.at_micros).max(0) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, saturates"
        )]
        let guess = start.row.saturating_add((passed * rate / 1e6) as u64);
        let is_due = |row| self.due_micros(row).is_none_or(|due| due <= now_micros);
        // Floating point is off by a row at most; `due_micros` decides, so that both methods agree.
        let first = guess.saturating_sub(1).max(start.row);
        (first..=guess.saturating_add(2)).find(|row| !is_due(*row)).unwrap_or(guess)
    }
}
