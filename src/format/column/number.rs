//! Exact numbers from text.

use super::text::Fault;
use crate::format::swar;

/// Returns 10 to the power of `exponent`, or nothing above 10^38.
pub(in crate::format) fn power_of_ten(exponent: u32) -> Option<i128> {
    if exponent > 38 { None } else { 10_i128.checked_pow(exponent) }
}

/// Reads plain decimal digits with an optional sign; nothing where the text is anything else or longer than 18 digits.
#[inline(always)]
pub(super) fn short_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0_u64;
    let mut at = 0;
    while let Some(eight) = swar::word(digits, at).and_then(swar::eight_digits) {
        value = value * 100_000_000 + eight;
        at += 8;
    }
    for byte in digits.get(at..)? {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    let value = i64::try_from(value).ok()?;
    Some(if negative { -value } else { value })
}

/// A number as written: `digits` × 10^`exponent`, without trailing zeros.
struct Written {
    negative: bool,
    digits: i128,
    exponent: i64,
}

/// Reads sign, digits, fraction and exponent.
fn written(text: &[u8]) -> Result<Written, Fault> {
    let (negative, mut rest) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mut digits = 0_i128;
    // Zeros are held back until another digit follows, so that any number of trailing ones fits.
    let mut zeros = 0_u32;
    let mut seen = 0_usize;
    let mut fraction: Option<i64> = None;
    while let Some((&byte, tail)) = rest.split_first() {
        match byte {
            b'.' if fraction.is_none() => fraction = Some(0),
            b'0'..=b'9' => {
                seen += 1;
                fraction = fraction.map(|places| places + 1);
                if byte == b'0' {
                    zeros += u32::from(digits != 0);
                } else {
                    let fault = if fraction.is_some() { Fault::TooFine } else { Fault::OutOfRange };
                    digits = power_of_ten(zeros + 1)
                        .and_then(|power| digits.checked_mul(power))
                        .and_then(|shifted| shifted.checked_add(i128::from(byte - b'0')))
                        .ok_or(fault)?;
                    zeros = 0;
                }
            }
            b'e' | b'E' => break,
            _ => return Err(Fault::Mismatch),
        }
        rest = tail;
    }
    if seen == 0 {
        return Err(Fault::Mismatch);
    }
    let exponent = match rest.split_first() {
        None => 0,
        Some((_, power)) => exponent(power)?,
    };
    Ok(Written { negative, digits, exponent: exponent + i64::from(zeros) - fraction.unwrap_or(0) })
}

/// Reads the digits after `e`; beyond a million the exact figure no longer matters.
fn exponent(text: &[u8]) -> Result<i64, Fault> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return Err(Fault::Mismatch);
    }
    let mut value = 0_i64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return Err(Fault::Mismatch);
        }
        value = (value * 10 + i64::from(byte - b'0')).min(1_000_000_000);
    }
    Ok(if negative { -value } else { value })
}

/// Reads a number exactly as an integer count of 10^-`scale`.
///
/// Fails when the number has more decimal places (surplus zeros are fine) or more than `precision` digits.
pub(in crate::format) fn decimal(text: &[u8], precision: u8, scale: i8) -> Result<i128, Fault> {
    let limit = power_of_ten(u32::from(precision)).ok_or(Fault::OutOfRange)?;
    if let Some((value, places)) = short_decimal(text) {
        let shift = i32::from(scale) - places;
        if let Ok(shift) = u32::try_from(shift) {
            let scaled = power_of_ten(shift).and_then(|power| i128::from(value).checked_mul(power));
            return match scaled {
                Some(scaled) if scaled.abs() < limit => Ok(scaled),
                _ if value == 0 => Ok(0),
                _ => Err(Fault::OutOfRange),
            };
        }
    }
    let number = written(text)?;
    if number.digits == 0 {
        return Ok(0);
    }
    let shift = number.exponent + i64::from(scale);
    if shift < 0 {
        return Err(Fault::TooFine);
    }
    u32::try_from(shift)
        .ok()
        .and_then(power_of_ten)
        .and_then(|power| number.digits.checked_mul(power))
        .filter(|value| *value < limit)
        .map(|value| if number.negative { -value } else { value })
        .ok_or(Fault::OutOfRange)
}

/// Reads up to 18 digits with an optional point as (digits, decimal places).
#[inline]
fn short_decimal(text: &[u8]) -> Option<(i64, i32)> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    if digits.len() > 19 || digits.is_empty() {
        return None;
    }
    let mut value = 0_i64;
    let mut seen = 0;
    let mut places = None;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            if seen == 18 {
                return None;
            }
            value = value * 10 + i64::from(digit);
            seen += 1;
            places = places.map(|count: i32| count + 1);
        } else if *byte == b'.' && places.is_none() {
            places = Some(0);
        } else {
            return None;
        }
    }
    (seen > 0).then_some((if negative { -value } else { value }, places.unwrap_or(0)))
}

/// Reads an integer of any width; `1.0` and `1e3` count as integers.
pub(super) fn wide_integer(text: &[u8]) -> Result<i128, Fault> {
    match decimal(text, 38, 0) {
        Err(Fault::TooFine) => Err(Fault::Fraction),
        other => other,
    }
}

/// Reads a float; a finite number too large for it is out of range.
pub(super) fn float<T: std::str::FromStr + Into<f64> + Copy>(text: &[u8]) -> Result<T, Fault> {
    let value: T =
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Fault::Mismatch)?;
    let wide: f64 = value.into();
    if wide.is_infinite() && text.iter().any(u8::is_ascii_digit) {
        return Err(Fault::OutOfRange);
    }
    Ok(value)
}
