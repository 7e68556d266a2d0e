//! Durations as SQL writes them: `5m`, `30 seconds`, `INTERVAL '5' MINUTE`.

use std::time::Duration;

use super::suggest::nearest;
use crate::config::{BadQuantity, read_duration, time_units};
use crate::error::{Error, Result};

/// What a number without a unit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BareNumber {
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// Nothing: a unit is required.
    Refused,
}

/// Reads a duration that carries its unit, in milliseconds.
///
/// ```
/// use velostream::sql::parse_duration_ms;
///
/// assert_eq!(parse_duration_ms("2.5s").unwrap(), 2_500);
/// assert_eq!(parse_duration_ms("INTERVAL '5' MINUTE").unwrap(), 300_000);
/// assert_eq!(parse_duration_ms("1 hour 30 minutes").unwrap(), 5_400_000);
/// ```
///
/// # Errors
/// `Invalid` for an unknown unit, a missing one, a negative or too large value, or parts of a millisecond.
pub fn parse_duration_ms(text: &str) -> Result<i64> {
    parse_duration_ms_in(text, BareNumber::Refused)
}

/// Reads a duration in milliseconds; `bare` says what a number without a unit means.
///
/// # Errors
/// As [`parse_duration_ms`].
pub fn parse_duration_ms_in(text: &str, bare: BareNumber) -> Result<i64> {
    let bare_unit = match bare {
        BareNumber::Millis => Some(Duration::from_millis(1)),
        BareNumber::Seconds => Some(Duration::from_secs(1)),
        BareNumber::Refused => None,
    };
    let spaced = text.replace(['\'', '"'], " ");
    let trimmed = spaced.trim();
    let plain = match trimmed.split_at_checked(8) {
        Some((word, rest))
            if word.eq_ignore_ascii_case("interval") && !rest.starts_with(char::is_alphanumeric) =>
        {
            rest
        }
        _ => trimmed,
    };
    let nanos = read_duration(plain, bare_unit).map_err(|problem| explained(problem, text))?;
    if nanos % 1_000_000 != 0 {
        return Err(Error::invalid(format!("duration `{text}` is not a whole number of milliseconds")));
    }
    i64::try_from(nanos / 1_000_000).map_err(|_| Error::invalid(format!("duration `{text}` is too large")))
}

/// Says what is wrong with a duration, and how to write it.
fn explained(problem: BadQuantity, text: &str) -> Error {
    let text = text.trim();
    let message = match &problem {
        BadQuantity::Empty => "empty duration".to_owned(),
        BadQuantity::Negative => format!("duration `{text}` is negative"),
        BadQuantity::NotANumber(found) => {
            format!("duration `{text}`: expected a number, found `{found}`")
        }
        BadQuantity::NoUnit => format!("duration `{text}` has no unit"),
        BadQuantity::UnknownUnit(unit) if is_calendar(unit) => {
            format!("duration `{text}`: a {unit} has no fixed length")
        }
        BadQuantity::UnknownUnit(unit) => format!("duration `{text}`: unknown unit `{unit}`"),
        BadQuantity::TooFine => format!("duration `{text}` is finer than a nanosecond"),
        BadQuantity::TooLarge => format!("duration `{text}` is too large"),
    };
    let hint = match &problem {
        BadQuantity::UnknownUnit(unit) if is_calendar(unit) => Some("count in days".to_owned()),
        BadQuantity::UnknownUnit(unit) => {
            nearest(unit, time_units()).map(|near| format!("did you mean `{near}`?"))
        }
        _ => None,
    };
    Error::invalid(message)
        .with_hint(hint.unwrap_or_else(|| "write it like `500ms`, `30s`, `5m`, `1h` or `1d`".to_owned()))
}

fn is_calendar(unit: &str) -> bool {
    ["month", "months", "year", "years"].contains(&unit)
}
