//! Number × interval, and intervals as numbers.
//!
//! DataFusion multiplies no intervals, and it compares intervals field by field, so that 25 hours are less than a day.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::scalar::{Outcome, Scalar, external};
use super::text_column::{rows_of, shaped};
use crate::error::Error;

const DAY_NANOS: i128 = 86_400_000_000_000;
const MONTH_DAYS: i64 = 30;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// Returns the function `interval × number`.
pub(super) fn multiply_udf() -> Arc<ScalarUDF> {
    Scalar::new(
        "velo_interval_multiply",
        coerce_scale,
        |_| INTERVAL,
        |args| scale(args, |interval, n| interval * n),
    )
    .into_udf()
}

/// Returns the function `interval ÷ number`.
pub(super) fn divide_udf() -> Arc<ScalarUDF> {
    Scalar::new(
        "velo_interval_divide",
        coerce_scale,
        |_| INTERVAL,
        |args| scale(args, |interval, n| interval / n),
    )
    .into_udf()
}

/// Returns the function that gives the length of an interval in microseconds; a month has 30 days.
pub(super) fn micros_udf() -> Arc<ScalarUDF> {
    Scalar::new("velo_interval_micros", |_, _| Ok(vec![INTERVAL]), |_| DataType::Int64, micros).into_udf()
}

fn coerce_scale(_name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    let number = match arguments.get(1) {
        Some(number) if number.is_integer() => DataType::Int64,
        _ => DataType::Float64,
    };
    Ok(vec![INTERVAL, number])
}

/// Applies `by_fraction` to each field; what months and days lose by rounding goes to the next smaller field.
fn scale(args: &ScalarFunctionArgs, by_fraction: fn(f64, f64) -> f64) -> Outcome<ColumnarValue> {
    let [intervals, numbers] = args.args.as_slice() else {
        return Err(external(Error::internal("scaling an interval takes two arguments")));
    };
    let rows = rows_of(&args.args, args.number_rows);
    let (intervals, numbers) = (intervals.to_array(rows)?, numbers.to_array(rows)?);
    let exact = matches!(numbers.data_type(), DataType::Int64) && by_fraction(2.0, 4.0) > 1.0;
    let whole = cast(&numbers, &DataType::Int64)?;
    let fractions = cast(&numbers, &DataType::Float64)?;
    let (whole, fractions) = (whole.as_primitive::<Int64Type>(), fractions.as_primitive::<Float64Type>());
    let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
    let mut result = PrimitiveArray::<IntervalMonthDayNanoType>::builder(rows);
    for row in 0..rows {
        if intervals.is_null(row) || numbers.is_null(row) {
            result.append_null();
            continue;
        }
        let interval = intervals.value(row);
        let scaled = if exact {
            scale_exactly(interval, whole.value(row))
        } else {
            scale_by_fraction(interval, |field| by_fraction(field, fractions.value(row)))
        };
        result.append_value(scaled.ok_or_else(|| external(Error::data("an interval is out of range")))?);
    }
    shaped(Arc::new(result.finish()), &args.args)
}

fn scale_exactly(interval: IntervalMonthDayNano, by: i64) -> Option<IntervalMonthDayNano> {
    Some(IntervalMonthDayNano {
        months: i32::try_from(i64::from(interval.months).checked_mul(by)?).ok()?,
        days: i32::try_from(i64::from(interval.days).checked_mul(by)?).ok()?,
        nanoseconds: interval.nanoseconds.checked_mul(by)?,
    })
}

fn scale_by_fraction(
    interval: IntervalMonthDayNano,
    scale: impl Fn(f64) -> f64,
) -> Option<IntervalMonthDayNano> {
    let months = scale(f64::from(interval.months));
    #[expect(clippy::cast_precision_loss, reason = "30 and the nanoseconds of a day are exact")]
    let (month_days, day_nanos) = (MONTH_DAYS as f64, DAY_NANOS as f64);
    let days = scale(f64::from(interval.days)) + months.fract() * month_days;
    #[expect(clippy::cast_precision_loss, reason = "fractions of an interval are exact to 104 days")]
    let nanos = scale(interval.nanoseconds as f64) + days.fract() * day_nanos;
    Some(IntervalMonthDayNano {
        months: i32::try_from(to_whole(months)?).ok()?,
        days: i32::try_from(to_whole(days)?).ok()?,
        nanoseconds: to_whole(nanos.round())?,
    })
}

fn to_whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be well inside the range of i64")]
    (number.abs() < 9.0e18).then_some(number as i64)
}

fn micros(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let [intervals] = args.args.as_slice() else {
        return Err(external(Error::internal("the length of an interval takes one argument")));
    };
    let intervals = intervals.to_array(rows_of(&args.args, args.number_rows))?;
    let lengths: Int64Array = intervals.as_primitive::<IntervalMonthDayNanoType>().try_unary(|interval| {
        let days = i128::from(interval.months) * i128::from(MONTH_DAYS) + i128::from(interval.days);
        let nanos = days * DAY_NANOS + i128::from(interval.nanoseconds);
        i64::try_from(nanos / 1_000).map_err(|_| external(Error::data("an interval is out of range")))
    })?;
    shaped(Arc::new(lengths), &args.args)
}
