//! [`Cells`]: the values of an Arrow array, ready to be written as text row by row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray,
    StringViewArray,
};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int64Type,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt64Type,
};

use arrow::util::display::{DurationFormat, FormatOptions};

use super::column::{civil_from_days, power_of_ten, sql_name};
use crate::error::{Error, Result};

/// The values of one column or nested field.
#[derive(Debug)]
pub(super) struct Cells {
    array: ArrayRef,
    pub(super) kind: Kind,
}

/// The values by type.
#[derive(Debug)]
pub(super) enum Kind {
    Boolean(BooleanArray),
    Signed(PrimitiveArray<Int64Type>),
    Unsigned(PrimitiveArray<UInt64Type>),
    Float32(PrimitiveArray<Float32Type>),
    Float64(PrimitiveArray<Float64Type>),
    Decimal(PrimitiveArray<Decimal128Type>, u32),
    Date(PrimitiveArray<Date32Type>),
    Time(PrimitiveArray<Time64MicrosecondType>),
    /// Ticks since the epoch and ticks in a second.
    Timestamp(PrimitiveArray<Int64Type>, i64),
    Text(StringArray),
    TextView(StringViewArray),
    Binary(BinaryArray),
    List(ListArray, Box<Cells>),
    Struct(Vec<(Vec<u8>, Cells)>),
    Map(MapArray, Box<Cells>, Box<Cells>),
    Null,
}

impl Cells {
    /// Prepares an array; fails for a type that cannot be written as text.
    ///
    /// `key` makes the written form of a nested field's name.
    pub(super) fn try_new(field: &Field, array: &ArrayRef, key: fn(&str) -> Vec<u8>) -> Result<Self> {
        let array = match array.data_type() {
            DataType::Dictionary(_, values) => cast(array, values)?,
            DataType::Int8 | DataType::Int16 | DataType::Int32 => cast(array, &DataType::Int64)?,
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => cast(array, &DataType::UInt64)?,
            DataType::LargeUtf8 => cast(array, &DataType::Utf8View)?,
            DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                cast(array, &DataType::Binary)?
            }
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                cast(array, &DataType::List(Arc::clone(item)))?
            }
            DataType::Time32(_) | DataType::Time64(TimeUnit::Nanosecond) => {
                cast(array, &DataType::Time64(TimeUnit::Microsecond))?
            }
            DataType::Duration(_) | DataType::Interval(_) => {
                // ISO 8601: `PT1M20S`.
                let format = FormatOptions::new().with_duration_format(DurationFormat::ISO8601);
                let options = CastOptions { format_options: format, ..CastOptions::default() };
                cast_with_options(array, &DataType::Utf8, &options)?
            }
            DataType::Date64 => cast(array, &DataType::Date32)?,
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => {
                cast(array, &DataType::Decimal128(*p, *s))?
            }
            _ => Arc::clone(array),
        };
        let kind = Kind::try_new(field, &array, key)?;
        Ok(Self { array, kind })
    }

    #[inline(always)]
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }
}

/// Returns timestamps of any unit as integers.
fn ticks<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, per_second: i64) -> Kind {
    Kind::Timestamp(array.as_primitive::<T>().reinterpret_cast::<Int64Type>(), per_second)
}

impl Kind {
    fn try_new(field: &Field, array: &ArrayRef, key: fn(&str) -> Vec<u8>) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean(array.as_boolean().clone()),
            DataType::Int64 => Self::Signed(array.as_primitive().clone()),
            DataType::UInt64 => Self::Unsigned(array.as_primitive().clone()),
            DataType::Float32 => Self::Float32(array.as_primitive().clone()),
            DataType::Float64 => Self::Float64(array.as_primitive().clone()),
            DataType::Decimal128(_, scale) if *scale >= 0 => {
                Self::Decimal(array.as_primitive().clone(), u32::from(scale.unsigned_abs()))
            }
            DataType::Date32 => Self::Date(array.as_primitive().clone()),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(array.as_primitive().clone()),
            DataType::Timestamp(unit, _) => match unit {
                TimeUnit::Second => ticks::<TimestampSecondType>(array, 1),
                TimeUnit::Millisecond => ticks::<TimestampMillisecondType>(array, 1_000),
                TimeUnit::Microsecond => ticks::<TimestampMicrosecondType>(array, 1_000_000),
                TimeUnit::Nanosecond => ticks::<TimestampNanosecondType>(array, 1_000_000_000),
            },
            DataType::Utf8 => Self::Text(array.as_string::<i32>().clone()),
            DataType::Utf8View => Self::TextView(array.as_string_view().clone()),
            DataType::Binary => Self::Binary(array.as_binary::<i32>().clone()),
            DataType::List(item) => {
                let list = array.as_list::<i32>().clone();
                let items = Cells::try_new(item, list.values(), key)?;
                Self::List(list, Box::new(items))
            }
            DataType::Struct(fields) => {
                let rows = array.as_struct();
                let inner = fields
                    .iter()
                    .zip(rows.columns())
                    .map(|(field, column)| Ok((key(field.name()), Cells::try_new(field, column, key)?)))
                    .collect::<Result<_>>()?;
                Self::Struct(inner)
            }
            DataType::Map(..) => {
                let map = array.as_map().clone();
                let keys = Cells::try_new(field, map.keys(), key)?;
                let values = Cells::try_new(field, map.values(), key)?;
                Self::Map(map, Box::new(keys), Box::new(values))
            }
            other => {
                let name = sql_name(other);
                return Err(Error::invalid(format!(
                    "column `{}` has the type {name}, which cannot be written as text",
                    field.name()
                ))
                .with_hint(format!("write `CAST({} AS VARCHAR)` in the query", field.name())));
            }
        })
    }
}

/// Appends an integer.
#[inline(always)]
pub(super) fn write_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `value` with leading zeros.
fn write_padded(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits);
}

#[inline(always)]
fn write_two(value: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + value / 10 % 10, b'0' + value % 10]);
}

/// Appends a decimal with its full scale.
pub(super) fn write_decimal(value: i128, scale: u32, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let magnitude = value.unsigned_abs();
    let unit = power_of_ten(scale).map_or(u128::MAX, i128::unsigned_abs);
    write_integer(magnitude / unit, out);
    if scale > 0 {
        out.push(b'.');
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(magnitude % unit).as_bytes();
        let width = usize::try_from(scale).unwrap_or(0);
        out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
        out.extend_from_slice(digits);
    }
}

/// Appends `YYYY-MM-DD`; years beyond four digits carry a sign.
pub(super) fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days);
    if (0..=9_999).contains(&year) {
        let [century, rest] = [year / 100, year % 100].map(|part| u8::try_from(part).unwrap_or(0));
        write_two(century, out);
        write_two(rest, out);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        write_padded(year.unsigned_abs(), 4, out);
    }
    out.push(b'-');
    write_two(month, out);
    out.push(b'-');
    write_two(day, out);
}

/// Appends `HH:MM:SS` and 0, 3, 6 or 9 digits of fraction, as many as are needed.
pub(super) fn write_time(second_of_day: i64, nanos: i64, out: &mut Vec<u8>) {
    let parts = [second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60];
    let [hour, minute, second] = parts.map(|part| u8::try_from(part).unwrap_or(0));
    write_two(hour, out);
    out.push(b':');
    write_two(minute, out);
    out.push(b':');
    write_two(second, out);
    let nanos = nanos.unsigned_abs();
    let (value, width) = match nanos {
        0 => return,
        _ if nanos.is_multiple_of(1_000_000) => (nanos / 1_000_000, 3),
        _ if nanos.is_multiple_of(1_000) => (nanos / 1_000, 6),
        _ => (nanos, 9),
    };
    out.push(b'.');
    write_padded(value, width, out);
}

/// Appends an instant as RFC 3339 in UTC.
pub(super) fn write_timestamp(ticks: i64, per_second: i64, out: &mut Vec<u8>) {
    let seconds = ticks.div_euclid(per_second);
    let nanos = ticks.rem_euclid(per_second) * (1_000_000_000 / per_second);
    write_date(seconds.div_euclid(86_400), out);
    out.push(b'T');
    write_time(seconds.rem_euclid(86_400), nanos, out);
    out.push(b'Z');
}

/// Appends bytes as base64 with padding.
pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let word =
            (0..3).fold(0_usize, |word, i| word << 8 | usize::from(chunk.get(i).copied().unwrap_or(0)));
        for place in 0..4 {
            let digit = DIGITS.get(word >> (18 - 6 * place) & 63).copied().unwrap_or(b'=');
            out.push(if place <= chunk.len() { digit } else { b'=' });
        }
    }
}
