//! Option text as values of a column's type.

use arrow::compute::kernels::cast_utils::{Parser, parse_decimal, string_to_timestamp_nanos};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, TimeUnit};

use crate::error::{Error, Result};

/// Returns the lowest and the highest whole number of `data_type`; none if it has no whole numbers.
pub(super) fn whole_bounds(data_type: &DataType) -> Option<(i128, i128)> {
    let signed = |bits: u32| (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1);
    Some(match data_type {
        DataType::Int8 => signed(8),
        DataType::Int16 => signed(16),
        DataType::Int32 | DataType::Date32 => signed(32),
        DataType::Int64 | DataType::Timestamp(..) => signed(64),
        DataType::Decimal128(precision, _) => {
            let end = 10i128.checked_pow(u32::from(*precision))?;
            (1 - end, end - 1)
        }
        _ => return None,
    })
}

/// Returns how many nanoseconds a unit of time has.
pub(super) fn unit_nanos(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// Returns the whole number that stands for `text` in a column of `data_type`.
pub(super) fn whole(text: &str, data_type: &DataType) -> Result<i128> {
    let value = match data_type {
        DataType::Decimal128(precision, scale) => {
            parse_decimal::<Decimal128Type>(text, *precision, *scale).ok()
        }
        DataType::Timestamp(unit, _) => nanos(text).map(|nanos| nanos.div_euclid(unit_nanos(*unit))),
        DataType::Date32 => Date32Type::parse(text).map(i128::from),
        _ => text.parse().ok(),
    };
    let fits = |value: &i128| whole_bounds(data_type).is_some_and(|(low, high)| (low..=high).contains(value));
    value.filter(fits).ok_or_else(|| unfit(text, data_type))
}

/// Returns how far it is from row to row: days, milliseconds or the column's own numbers.
pub(super) fn step(text: &str, data_type: &DataType) -> Result<i128> {
    match data_type {
        DataType::Timestamp(unit, _) => {
            let millis: i64 = number(text)?;
            Ok(i128::from(millis) * 1_000_000 / unit_nanos(*unit))
        }
        DataType::Date32 => number::<i32>(text).map(i128::from),
        _ => whole(text, data_type),
    }
}

/// Returns the time in `text`, epoch milliseconds or RFC 3339, in nanoseconds since the epoch.
pub(super) fn nanos(text: &str) -> Option<i128> {
    match text.parse::<i64>() {
        Ok(millis) => Some(i128::from(millis) * 1_000_000),
        Err(_) => string_to_timestamp_nanos(text).ok().map(i128::from),
    }
}

/// Parses a time, epoch milliseconds or RFC 3339, into epoch milliseconds.
///
/// # Errors
/// Invalid, when the text is neither.
pub fn time_millis(text: &str) -> Result<i64> {
    let millis = nanos(text).and_then(|nanos| i64::try_from(nanos.div_euclid(1_000_000)).ok());
    millis
        .ok_or_else(|| Error::invalid(format!("`{text}` is neither epoch milliseconds nor an RFC 3339 time")))
}

/// Parses a number.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::invalid(format!("`{text}` is not a number that is possible here")))
}

/// Parses a floating-point number that is neither infinite nor NaN.
pub(super) fn real(text: &str) -> Result<f64> {
    number::<f64>(text).and_then(|value| {
        if value.is_finite() {
            Ok(value)
        } else {
            Err(Error::invalid(format!("`{text}` is not a finite number")))
        }
    })
}

/// Splits a list: `a, b`, `[a, b]`, with or without quotes around the elements.
pub(super) fn list(text: &str) -> Vec<String> {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if inner.trim().is_empty() {
        return Vec::new();
    }
    let mut elements = vec![String::new()];
    let mut quote = None;
    for letter in inner.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') if elements.last().is_some_and(|text| text.trim().is_empty()) => {
                elements.pop();
                elements.push(String::new());
                quote = Some(letter);
            }
            (None, ',') => elements.push(String::new()),
            _ => {
                if let Some(element) = elements.last_mut() {
                    element.push(letter);
                }
            }
        }
    }
    elements.into_iter().map(|text| text.trim().to_owned()).collect()
}

fn unfit(text: &str, data_type: &DataType) -> Error {
    Error::invalid(format!("`{text}` is not a {data_type}"))
}
