//! Dates and times: `datediff`, `from_unixtime`, `unix_timestamp(time)`, `timestamp(x)`, `date(x)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType as Millis,
};
use chrono::{DateTime, Datelike};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::scalar::{Outcome, Scalar, external, is_text, is_text_or_null, wrong_arguments};
use super::text_column::{TextColumn, rows_of, shaped};
use crate::error::{Error, Result};

/// Returns the functions of this family.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Scalar::new("datediff", coerce_datediff, |_| DataType::Int64, datediff)
            .alias("date_diff")
            .help("datediff(unit, a, b)", "Returns b - a in whole units, such as 'day' or 'minute'.")
            .into_udf(),
        Scalar::new("from_unixtime", coerce_seconds, |_| instant(), from_unixtime)
            .help("from_unixtime(seconds)", "Returns the time that is so many seconds after 1970.")
            .into_udf(),
        Scalar::new("timestamp", coerce_timestamp, |_| instant(), to_instant)
            .help("timestamp(x)", "Turns text, a date or epoch milliseconds into a TIMESTAMP.")
            .into_udf(),
        Scalar::new("date", coerce_timestamp, |_| DataType::Date32, to_date)
            .help("date(x)", "Returns the date of a time, of text or of epoch milliseconds.")
            .into_udf(),
        unix_seconds_udf(),
    ]
}

/// Returns the function behind `unix_timestamp(time)`.
pub(super) fn unix_seconds_udf() -> Arc<ScalarUDF> {
    Scalar::new("velo_unix_seconds", |_, _| Ok(vec![instant()]), |_| DataType::Int64, to_unix_seconds)
        .into_udf()
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// Returns whether a type is a time, or text that may hold one.
pub(super) fn is_time_or_text(data_type: &DataType) -> bool {
    is_text_or_null(data_type)
        || matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

fn coerce_timestamp(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [one] if is_time_or_text(one) => Ok(vec![instant()]),
        [one] if one.is_integer() => Ok(vec![DataType::Int64]),
        _ => Err(wrong_arguments(name, arguments, &format!("{name}(x)"))),
    }
}

fn coerce_datediff(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    let time = |data_type: &DataType| match data_type {
        integer if integer.is_integer() => Some(DataType::Int64),
        time if is_time_or_text(time) => Some(instant()),
        _ => None,
    };
    match arguments {
        [unit, from, to] if is_text(unit) => match (time(from), time(to)) {
            (Some(from), Some(to)) => Ok(vec![unit.clone(), from, to]),
            _ => Err(wrong_arguments(name, arguments, "datediff('day', from, to)")),
        },
        _ => Err(wrong_arguments(name, arguments, "datediff('day', from, to)")),
    }
}

fn coerce_seconds(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [one] if one.is_integer() || one.is_null() => Ok(vec![DataType::Int64]),
        [one] if one.is_numeric() => Ok(vec![DataType::Float64]),
        _ => Err(wrong_arguments(name, arguments, "from_unixtime(seconds)")),
    }
}

/// Returns the whole seconds since 1970 of the one argument; times before 1970 round down.
pub(super) fn to_unix_seconds(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let column = column(args, 0)?;
    let seconds: Int64Array = column.as_primitive::<Millis>().unary(|millis| millis.div_euclid(1_000));
    shaped(Arc::new(seconds), &args.args)
}

fn to_instant(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let column = cast(&column(args, 0)?, &instant())?;
    shaped(column, &args.args)
}

fn to_date(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let millis = cast(&column(args, 0)?, &instant())?;
    let days: PrimitiveArray<Date32Type> =
        millis.as_primitive::<Millis>().unary_opt(|millis| i32::try_from(millis.div_euclid(86_400_000)).ok());
    shaped(Arc::new(days), &args.args)
}

fn from_unixtime(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let seconds = column(args, 0)?;
    let times: PrimitiveArray<Millis> = match seconds.data_type() {
        DataType::Float64 => seconds.as_primitive::<Float64Type>().try_unary(|seconds| {
            let millis = (seconds * 1_000.0).round();
            #[expect(clippy::cast_possible_truncation, reason = "checked to be well inside the range of i64")]
            if millis.abs() < 9.0e18 { Ok(millis as i64) } else { Err(out_of_range(seconds)) }
        })?,
        _ => seconds
            .as_primitive::<Int64Type>()
            .try_unary(|seconds| seconds.checked_mul(1_000).ok_or_else(|| out_of_range(seconds)))?,
    };
    shaped(Arc::new(times), &args.args)
}

fn out_of_range(seconds: impl std::fmt::Display) -> datafusion::common::DataFusionError {
    external(Error::data(format!("`from_unixtime`: {seconds} seconds is out of range")))
}

/// Returns an argument as a column, of one row where all arguments are single values.
fn column(args: &ScalarFunctionArgs, ordinal: usize) -> Outcome<ArrayRef> {
    let rows = rows_of(&args.args, args.number_rows);
    match args.args.get(ordinal) {
        Some(argument) => argument.to_array(rows),
        None => Err(external(Error::internal(format!("argument {ordinal} is missing")))),
    }
}

/// What `datediff` counts.
#[derive(Debug, Clone, Copy)]
enum Unit {
    /// So many milliseconds, counted without regard to the calendar.
    Millis(i64),
    /// Microseconds, or nanoseconds, in a millisecond.
    PerMilli(i64),
    /// So many months of the calendar.
    Months(i64),
}

impl Unit {
    fn parse(text: &str) -> Result<Self> {
        let name = text.trim().to_ascii_lowercase();
        Ok(match name.strip_suffix('s').unwrap_or(&name) {
            "nanosecond" => Self::PerMilli(1_000_000),
            "microsecond" => Self::PerMilli(1_000),
            _ if name == "ms" => Self::Millis(1),
            "millisecond" => Self::Millis(1),
            "second" => Self::Millis(1_000),
            "minute" => Self::Millis(60_000),
            "hour" => Self::Millis(3_600_000),
            "day" => Self::Millis(86_400_000),
            "week" => Self::Millis(7 * 86_400_000),
            "month" => Self::Months(1),
            "quarter" => Self::Months(3),
            "year" => Self::Months(12),
            _ => return Err(Self::unknown(text)),
        })
    }

    fn unknown(text: &str) -> Error {
        Error::invalid(format!("`datediff`: '{text}' is not a unit")).with_hint(
            "use 'year', 'quarter', 'month', 'week', 'day', 'hour', 'minute', 'second', 'millisecond', \
             'microsecond' or 'nanosecond'",
        )
    }

    fn between(self, from: i64, to: i64) -> Option<i64> {
        match self {
            Self::Millis(size) => Some(to.checked_sub(from)? / size),
            Self::PerMilli(count) => to.checked_sub(from)?.checked_mul(count),
            Self::Months(size) => Some(months_between(from, to)? / size),
        }
    }
}

/// Returns the whole calendar months from one instant to the other; the fraction is dropped.
fn months_between(from: i64, to: i64) -> Option<i64> {
    if from > to {
        return months_between(to, from).map(|months| -months);
    }
    let (start, end) = (DateTime::from_timestamp_millis(from)?, DateTime::from_timestamp_millis(to)?);
    let month = |time: &DateTime<chrono::Utc>| i64::from(time.year()) * 12 + i64::from(time.month0());
    let within = |time: &DateTime<chrono::Utc>| (time.day(), time.time());
    let begun = month(&end) - month(&start);
    Some(if within(&end) < within(&start) { begun - 1 } else { begun })
}

fn datediff(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let [unit, ..] = args.args.as_slice() else {
        return Err(external(Error::internal("`datediff` without arguments")));
    };
    let units = TextColumn::try_new(unit)?;
    let constant = units.constant().map(Unit::parse).transpose().map_err(external)?;
    let from = cast(&cast(&column(args, 1)?, &instant())?, &DataType::Int64)?;
    let to = cast(&cast(&column(args, 2)?, &instant())?, &DataType::Int64)?;
    let (from, to) = (from.as_primitive::<Int64Type>(), to.as_primitive::<Int64Type>());
    let mut result = Int64Array::builder(from.len());
    for row in 0..from.len() {
        let unit = match constant {
            Some(unit) => Some(unit),
            None => units.get(row).map(Unit::parse).transpose().map_err(external)?,
        };
        let Some(unit) = unit.filter(|_| from.is_valid(row) && to.is_valid(row)) else {
            result.append_null();
            continue;
        };
        let difference = unit.between(from.value(row), to.value(row));
        let difference =
            difference.ok_or_else(|| external(Error::data("`datediff`: the difference is too large")))?;
        result.append_value(difference);
    }
    shaped(Arc::new(result.finish()), &args.args)
}
