//! Quantities as people write them: durations, sizes in bytes, yes and no.

use std::time::Duration;

/// Names of units and what each is in the smallest.
type Units = &'static [(&'static [&'static str], u128)];

/// Names of units of time with their nanoseconds.
const TIME_UNITS: Units = &[
    (&["ns", "nano", "nanos", "nanosecond", "nanoseconds"], 1),
    (&["us", "µs", "μs", "micro", "micros", "microsecond", "microseconds"], 1_000),
    (&["ms", "milli", "millis", "millisecond", "milliseconds"], 1_000_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000_000_000),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600_000_000_000),
    (&["d", "day", "days"], 86_400_000_000_000),
    (&["w", "week", "weeks"], 604_800_000_000_000),
];

/// Names of units of size with their bytes. A bare letter is the binary unit, as for Java and DataFusion.
const SIZE_UNITS: Units = &[
    (&["b", "byte", "bytes"], 1),
    (&["kb"], 1_000),
    (&["mb"], 1_000_000),
    (&["gb"], 1_000_000_000),
    (&["tb"], 1_000_000_000_000),
    (&["k", "kib"], 1 << 10),
    (&["m", "mib"], 1 << 20),
    (&["g", "gib"], 1 << 30),
    (&["t", "tib"], 1 << 40),
];

/// Why a quantity could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadQuantity {
    /// There is no text.
    Empty,
    /// It is below zero.
    Negative,
    /// This stands where a number should.
    NotANumber(String),
    /// A number has no unit.
    NoUnit,
    /// This is no unit.
    UnknownUnit(String),
    /// It is no whole number of the smallest unit.
    TooFine,
    /// It is too large to count.
    TooLarge,
}

/// Reads a duration in nanoseconds; `bare` is the unit of a number that stands alone, where it may.
pub fn read_duration(text: &str, bare: Option<Duration>) -> Result<u128, BadQuantity> {
    sum_of_parts(text, TIME_UNITS, bare.map(|unit| unit.as_nanos()))
}

/// Returns the names of the units of time, for suggestions.
pub fn time_units() -> impl Iterator<Item = &'static str> {
    TIME_UNITS.iter().flat_map(|(names, _)| names.iter().copied())
}

/// Reads a duration: `500ms`, `2.5s`, `10 seconds`, `1 minute 30 seconds`; a bare number is milliseconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let whole = text.trim().bytes().all(|byte| byte.is_ascii_digit());
    let nanos = read_duration(text, whole.then_some(Duration::from_millis(1))).ok()?;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    let fraction = u32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, fraction))
}

/// Reads a size in bytes: `4096`, `64KB` (64,000), `64KiB` (65,536), `1.5 GB`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    u64::try_from(sum_of_parts(text, SIZE_UNITS, Some(1)).ok()?).ok()
}

/// Reads `true`, `yes`, `1`, `on` and their opposites, in any case.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "yes" | "1" | "on" => Some(true),
        "false" | "no" | "0" | "off" => Some(false),
        _ => None,
    }
}

/// Writes a duration in the largest unit that keeps it whole, as [`parse_duration`] reads it.
pub fn duration_text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units =
        [("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000)];
    let small = [("ms", 1_000_000), ("us", 1_000)];
    let whole =
        units.into_iter().chain(small).find(|(_, size)| nanos >= *size && nanos.is_multiple_of(*size));
    match whole {
        Some((unit, size)) => format!("{}{unit}", nanos / size),
        None if nanos == 0 => "0s".to_owned(),
        None => format!("{nanos}ns"),
    }
}

/// Adds up `number unit number unit …` in the smallest unit of `units`.
fn sum_of_parts(text: &str, units: Units, bare: Option<u128>) -> Result<u128, BadQuantity> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(BadQuantity::Empty);
    }
    let mut total = 0_u128;
    let mut parts = 0;
    while !rest.is_empty() {
        if rest.starts_with('-') {
            return Err(BadQuantity::Negative);
        }
        let (number, after) = cut(rest, |c| c.is_ascii_digit() || c == '.' || c == '_');
        if number.is_empty() {
            return Err(BadQuantity::NotANumber(
                rest.split_whitespace().next().unwrap_or_default().to_owned(),
            ));
        }
        let (unit, after) = cut(after.trim_start(), char::is_alphabetic);
        let factor = match (unit, bare) {
            ("", Some(factor)) if parts == 0 && after.trim().is_empty() => factor,
            ("", _) => return Err(BadQuantity::NoUnit),
            _ => factor_of(unit, units)?,
        };
        let value = scaled(number, factor)?;
        total = total.checked_add(value).ok_or(BadQuantity::TooLarge)?;
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

fn factor_of(unit: &str, units: Units) -> Result<u128, BadQuantity> {
    let lower = unit.to_lowercase();
    match units.iter().find(|(names, _)| names.contains(&lower.as_str())) {
        Some((_, factor)) => Ok(*factor),
        None => Err(BadQuantity::UnknownUnit(lower)),
    }
}

/// Multiplies a decimal number in text with `factor`, exactly.
fn scaled(number: &str, factor: u128) -> Result<u128, BadQuantity> {
    let digits = number.replace('_', "");
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(BadQuantity::NotANumber(number.to_owned()));
    }
    let whole =
        if whole.is_empty() { 0 } else { whole.parse::<u128>().map_err(|_| BadQuantity::TooLarge)? };
    let fraction = fraction.trim_end_matches('0');
    let value = whole.checked_mul(factor).ok_or(BadQuantity::TooLarge)?;
    if fraction.is_empty() {
        return Ok(value);
    }
    let places = u32::try_from(fraction.len()).map_err(|_| BadQuantity::TooFine)?;
    let scale = 10_u128.checked_pow(places).ok_or(BadQuantity::TooFine)?;
    let part = fraction.parse::<u128>().map_err(|_| BadQuantity::TooFine)?;
    let part = part.checked_mul(factor).ok_or(BadQuantity::TooFine)?;
    if part % scale != 0 {
        return Err(BadQuantity::TooFine);
    }
    value.checked_add(part / scale).ok_or(BadQuantity::TooLarge)
}
