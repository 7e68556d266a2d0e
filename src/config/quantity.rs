//! Quantities as people write them: durations, sizes in bytes, yes and no.

use std::time::Duration;

/// Names of units of time with their nanoseconds.
const TIME_UNITS: &[(&[&str], u128)] = &[
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
const SIZE_UNITS: &[(&[&str], u128)] = &[
    (&["", "b", "byte", "bytes"], 1),
    (&["kb"], 1_000),
    (&["mb"], 1_000_000),
    (&["gb"], 1_000_000_000),
    (&["tb"], 1_000_000_000_000),
    (&["k", "kib"], 1 << 10),
    (&["m", "mib"], 1 << 20),
    (&["g", "gib"], 1 << 30),
    (&["t", "tib"], 1 << 40),
];

/// Reads a duration: `500ms`, `2.5s`, `10 seconds`, `1 minute 30 seconds`; a bare number is milliseconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return rest.parse().ok().map(Duration::from_millis);
    }
    let mut nanos = 0_u128;
    loop {
        let (amount, after) = split_number(rest)?;
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        nanos = nanos.checked_add(amount.times(unit_size(TIME_UNITS, unit)?)?)?;
        rest = after.trim_start();
        if rest.is_empty() {
            break;
        }
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    let fraction = u32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, fraction))
}

/// Reads a size in bytes: `4096`, `64KB` (64,000), `64KiB` (65,536), `1.5 GB`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (amount, unit) = split_number(text.trim())?;
    u64::try_from(amount.times(unit_size(SIZE_UNITS, unit.trim())?)?).ok()
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

/// A decimal number without sign: all digits as one integer, of which `decimals` stand after the point.
struct Amount {
    digits: u128,
    decimals: u32,
}

impl Amount {
    /// Multiplies by a unit; what is smaller than one is cut off.
    fn times(&self, unit: u128) -> Option<u128> {
        Some(self.digits.checked_mul(unit)? / 10_u128.checked_pow(self.decimals)?)
    }
}

/// Splits a number from the front of `text`.
fn split_number(text: &str) -> Option<(Amount, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let number = number.replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some((Amount { digits, decimals: u32::try_from(fraction.len()).ok()? }, rest))
}

fn unit_size(units: &[(&[&str], u128)], name: &str) -> Option<u128> {
    let name = name.to_lowercase();
    units.iter().find(|(names, _)| names.contains(&name.as_str())).map(|(_, size)| *size)
}
