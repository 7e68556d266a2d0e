//! Windows as columns: the start and end of the window of a row, and placeholders that the planner replaces.
//!
//! A specification is text, such as `tumbling;size=60000;offset=0;grace=0`, all in milliseconds.

use std::num::NonZeroI64;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType as Millis};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::scalar::{Outcome, Scalar, external, is_text, wrong_arguments};
use super::text_column::{rows_of, shaped};
use crate::error::{Error, Result};
use crate::time::TumblingWindow;

/// The placeholder for the start of the window, which the planner replaces.
pub const WINDOW_START: &str = "__window_start";
/// The placeholder for the end of the window.
pub const WINDOW_END: &str = "__window_end";
/// The placeholder for the time from the first to the last row of a session.
pub const SESSION_DURATION: &str = "__session_duration";

/// Returns the function that gives each row the start of its window.
pub fn window_start_function() -> Arc<ScalarUDF> {
    Scalar::new("velo_window_start", coerce_start, |_| instant(), window_start).into_udf()
}

/// Returns the function that gives each row the end of its window.
pub fn window_end_function() -> Arc<ScalarUDF> {
    Scalar::new("velo_window_end", coerce_end, |_| instant(), window_end).into_udf()
}

/// Returns the functions of this family.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let duration = |_: &[DataType]| DataType::Duration(TimeUnit::Millisecond);
    vec![
        window_start_function(),
        window_end_function(),
        // Volatile, so that nothing takes them for constants before they are replaced.
        Scalar::new(WINDOW_START, coerce_spec, |_| instant(), placeholder).volatile().into_udf(),
        Scalar::new(WINDOW_END, coerce_spec, |_| instant(), placeholder).volatile().into_udf(),
        Scalar::new(SESSION_DURATION, coerce_spec, duration, placeholder).volatile().into_udf(),
    ]
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn coerce_start(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [_, _, spec] if is_text(spec) => Ok(vec![instant(), instant(), DataType::Utf8]),
        _ => {
            Err(wrong_arguments(name, arguments, &format!("{name}(time, watermark, 'tumbling;size=60000')")))
        }
    }
}

fn coerce_end(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [_, spec] if is_text(spec) => Ok(vec![instant(), DataType::Utf8]),
        _ => Err(wrong_arguments(name, arguments, &format!("{name}(time, 'tumbling;size=60000')"))),
    }
}

fn coerce_spec(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [spec] if is_text(spec) => Ok(vec![DataType::Utf8]),
        _ => Err(wrong_arguments(name, arguments, &format!("{name}('tumbling;size=60000')"))),
    }
}

fn placeholder(_args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    Err(external(Error::internal("a window placeholder was left in the plan")))
}

/// Reads the specification of a tumbling window.
///
/// Fails with an `Internal` error where it is not one: users never write it.
///
/// ```
/// use velostream::sql::functions::{format_window, parse_window};
///
/// let window = parse_window("tumbling;size=60000;offset=0;grace=5000").unwrap();
/// assert_eq!(window.grace_ms, 5_000);
/// assert_eq!(format_window(&window), "tumbling;size=60000;offset=0;grace=5000");
/// ```
pub fn parse_window(spec: &str) -> Result<TumblingWindow> {
    let wrong = || Error::internal(format!("`{spec}` is not the specification of a tumbling window"));
    let fields = spec.strip_prefix("tumbling").ok_or_else(wrong)?;
    let (mut size_ms, mut offset_ms, mut grace_ms) = (None, 0, 0);
    for field in fields.split(';').filter(|field| !field.is_empty()) {
        let (key, value) = field.split_once('=').ok_or_else(wrong)?;
        let value: i64 = value.parse().map_err(|_| wrong())?;
        match key {
            "size" => size_ms = NonZeroI64::new(value).filter(|size| size.get() > 0),
            "offset" => offset_ms = value,
            "grace" => grace_ms = value,
            _ => return Err(wrong()),
        }
    }
    Ok(TumblingWindow { size_ms: size_ms.ok_or_else(wrong)?, offset_ms, grace_ms })
}

/// Writes the specification of a tumbling window, for [`parse_window`] to read.
pub fn format_window(window: &TumblingWindow) -> String {
    format!("tumbling;size={};offset={};grace={}", window.size_ms, window.offset_ms, window.grace_ms)
}

fn window_of(value: Option<&ColumnarValue>) -> Outcome<TumblingWindow> {
    match value {
        Some(ColumnarValue::Scalar(spec)) => {
            parse_window(spec.try_as_str().flatten().unwrap_or_default()).map_err(external)
        }
        _ => Err(external(Error::internal("the specification of a window must be a literal"))),
    }
}

fn window_start(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let window = window_of(args.args.get(2))?;
    let [times, watermarks, ..] = args.args.as_slice() else {
        return Err(external(Error::internal("`velo_window_start` takes three arguments")));
    };
    let times = times.to_array(rows_of(&args.args, args.number_rows))?;
    let times = times.as_primitive::<Millis>();
    let starts: PrimitiveArray<Millis> = times.unary(|time| window.containing(time).start);
    let starts: ArrayRef = match watermarks {
        ColumnarValue::Scalar(ScalarValue::TimestampMillisecond(None, _) | ScalarValue::Null) => {
            Arc::new(starts)
        }
        ColumnarValue::Scalar(ScalarValue::TimestampMillisecond(Some(watermark), _)) => {
            let open: PrimitiveArray<Millis> =
                starts.unary_opt(|start| (window.closes_at(start) > *watermark).then_some(start));
            Arc::new(open)
        }
        watermarks => {
            let watermarks = watermarks.to_array(starts.len())?;
            let watermarks = watermarks.as_primitive::<Millis>();
            let marks = watermarks.values();
            let late = starts.values().iter().zip(marks.iter()).enumerate();
            let open =
                late.map(|(row, (&start, &mark))| watermarks.is_null(row) || window.closes_at(start) > mark);
            let open = arrow::buffer::BooleanBuffer::from_iter(open);
            let nulls = arrow::buffer::NullBuffer::new(open);
            let nulls = arrow::buffer::NullBuffer::union(starts.nulls(), Some(&nulls));
            Arc::new(PrimitiveArray::<Millis>::new(starts.values().clone(), nulls))
        }
    };
    shaped(starts, &args.args)
}

fn window_end(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let window = window_of(args.args.get(1))?;
    let Some(times) = args.args.first() else {
        return Err(external(Error::internal("`velo_window_end` takes two arguments")));
    };
    let times = times.to_array(rows_of(&args.args, args.number_rows))?;
    let ends: PrimitiveArray<Millis> =
        times.as_primitive::<Millis>().unary(|time| window.containing(time).end);
    shaped(Arc::new(ends), &args.args)
}
