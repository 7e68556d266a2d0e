//! Durations and sizes as people write them: `5m`, `30 seconds`, `INTERVAL '5' MINUTE`, `64KB`, `16MiB`.

use super::suggest::nearest;
use crate::error::{Error, Result};

/// Names of time units and their nanoseconds.
const TIME_UNITS: &[(&[&str], i128)] = &[
    (&["ns", "nanosecond", "nanoseconds"], 1),
    (&["us", "µs", "μs", "microsecond", "microseconds"], 1_000),
    (&["ms", "milli", "millis", "millisecond", "milliseconds"], 1_000_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000_000_000),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600_000_000_000),
    (&["d", "day", "days"], 86_400_000_000_000),
    (&["w", "week", "weeks"], 604_800_000_000_000),
];

/// Names of sizes and their bytes.
const SIZE_UNITS: &[(&[&str], i128)] = &[
    (&["b", "byte", "bytes"], 1),
    (&["k", "kb"], 1_000),
    (&["m", "mb"], 1_000_000),
    (&["g", "gb"], 1_000_000_000),
    (&["t", "tb"], 1_000_000_000_000),
    (&["ki", "kib"], 1 << 10),
    (&["mi", "mib"], 1 << 20),
    (&["gi", "gib"], 1 << 30),
    (&["ti", "tib"], 1 << 40),
];

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
        BareNumber::Millis => Some(1_000_000),
        BareNumber::Seconds => Some(1_000_000_000),
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
    let nanos = sum_of_parts(plain, TIME_UNITS, bare_unit).map_err(|problem| {
        problem.into_error("duration", text, "write it like `500ms`, `30s`, `5m`, `1h` or `1d`")
    })?;
    if nanos % 1_000_000 != 0 {
        return Err(Error::invalid(format!("duration `{text}` is not a whole number of milliseconds")));
    }
    i64::try_from(nanos / 1_000_000).map_err(|_| Error::invalid(format!("duration `{text}` is too large")))
}

/// Reads a size in bytes: `KB` is 1,000 bytes, `KiB` is 1,024; a bare number counts bytes.
///
/// ```
/// use velostream::sql::parse_size_bytes;
///
/// assert_eq!(parse_size_bytes("64KB").unwrap(), 64_000);
/// assert_eq!(parse_size_bytes("16 MiB").unwrap(), 16 << 20);
/// ```
///
/// # Errors
/// `Invalid` for an unknown unit, a negative or too large value, or parts of a byte.
pub fn parse_size_bytes(text: &str) -> Result<u64> {
    let bytes = sum_of_parts(text.trim(), SIZE_UNITS, Some(1)).map_err(|problem| {
        problem.into_error("size", text, "write it like `65536`, `64KB`, `64KiB` or `16MiB`")
    })?;
    u64::try_from(bytes).map_err(|_| Error::invalid(format!("size `{text}` is too large")))
}

/// Why a quantity could not be read.
enum Problem {
    Empty,
    Negative,
    NotANumber(String),
    NoUnit,
    UnknownUnit(String, Option<&'static str>),
    TooFine,
    TooLarge,
}

impl Problem {
    fn into_error(self, kind: &str, text: &str, hint: &str) -> Error {
        let text = text.trim();
        let (message, own_hint) = match self {
            Self::Empty => (format!("empty {kind}"), None),
            Self::Negative => (format!("{kind} `{text}` is negative"), None),
            Self::NotANumber(found) => (format!("{kind} `{text}`: expected a number, found `{found}`"), None),
            Self::NoUnit => (format!("{kind} `{text}` has no unit"), None),
            Self::UnknownUnit(unit, near)
                if ["month", "months", "year", "years"].contains(&unit.as_str()) =>
            {
                let _ = near;
                (format!("{kind} `{text}`: a {unit} has no fixed length"), Some("count in days".to_owned()))
            }
            Self::UnknownUnit(unit, near) => (
                format!("{kind} `{text}`: unknown unit `{unit}`"),
                near.map(|near| format!("did you mean `{near}`?")),
            ),
            Self::TooFine => (format!("{kind} `{text}` is finer than its smallest unit"), None),
            Self::TooLarge => (format!("{kind} `{text}` is too large"), None),
        };
        Error::invalid(message).with_hint(own_hint.unwrap_or_else(|| hint.to_owned()))
    }
}

/// Adds up `number unit number unit …` in the smallest unit of `units`.
fn sum_of_parts(
    text: &str,
    units: &'static [(&'static [&'static str], i128)],
    bare: Option<i128>,
) -> Result<i128, Problem> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(Problem::Empty);
    }
    let mut total = 0_i128;
    let mut parts = 0;
    while !rest.is_empty() {
        if rest.starts_with('-') {
            return Err(Problem::Negative);
        }
        let (number, after) = cut(rest, |c| c.is_ascii_digit() || c == '.' || c == '_');
        if number.is_empty() {
            return Err(Problem::NotANumber(rest.split_whitespace().next().unwrap_or_default().to_owned()));
        }
        let (unit, after) = cut(after.trim_start(), char::is_alphabetic);
        let factor = match (unit, bare) {
            ("", Some(factor)) if parts == 0 && after.trim().is_empty() => factor,
            ("", _) => return Err(Problem::NoUnit),
            _ => factor_of(unit, units)?,
        };
        let value = scaled(number, factor)?;
        total = total.checked_add(value).ok_or(Problem::TooLarge)?;
        parts += 1;
        rest = after.trim_start();
    }
    Ok(total)
}

/// Returns the longest start of `text` whose characters fit, and the rest.
fn cut(text: &str, fits: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn factor_of(unit: &str, units: &'static [(&'static [&'static str], i128)]) -> Result<i128, Problem> {
    let lower = unit.to_lowercase();
    match units.iter().find(|(names, _)| names.contains(&lower.as_str())) {
        Some((_, factor)) => Ok(*factor),
        None => {
            let near = nearest(&lower, units.iter().flat_map(|(names, _)| names.iter().copied()));
            Err(Problem::UnknownUnit(lower, near))
        }
    }
}

/// Multiplies a decimal number in text with `factor`, exactly.
fn scaled(number: &str, factor: i128) -> Result<i128, Problem> {
    let digits = number.replace('_', "");
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(Problem::NotANumber(number.to_owned()));
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<i128>().map_err(|_| Problem::TooLarge)? };
    let fraction = fraction.trim_end_matches('0');
    let value = whole.checked_mul(factor).ok_or(Problem::TooLarge)?;
    if fraction.is_empty() {
        return Ok(value);
    }
    let places = u32::try_from(fraction.len()).map_err(|_| Problem::TooFine)?;
    let scale = 10_i128.checked_pow(places).ok_or(Problem::TooFine)?;
    let part = fraction.parse::<i128>().map_err(|_| Problem::TooFine)?;
    let part = part.checked_mul(factor).ok_or(Problem::TooFine)?;
    if part % scale != 0 {
        return Err(Problem::TooFine);
    }
    value.checked_add(part / scale).ok_or(Problem::TooLarge)
}
