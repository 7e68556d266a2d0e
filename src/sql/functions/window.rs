//! Windows as columns: the bounds of the windows of a row, and placeholders that the planner replaces.
//!
//! The window is the text form of a [`WindowSpec`], which users never write.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, PrimitiveArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit, TimestampMillisecondType as Millis};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::scalar::{Outcome, Scalar, external, is_text, wrong_arguments};
use super::text_column::{rows_of, shaped};
use crate::error::{Error, Result};
use crate::sql::window_spec::WindowSpec;
use crate::time::AlignedWindow;

/// The placeholder for the start of the window, which the planner replaces.
pub const WINDOW_START: &str = "__window_start";
/// The placeholder for the end of the window.
pub const WINDOW_END: &str = "__window_end";
/// The placeholder for the time from the first to the last row of a session.
pub const SESSION_DURATION: &str = "__session_duration";

/// The field of a window's start where a row carries a list of its windows.
pub const START_FIELD: &str = "window_start";
/// The field of a window's end.
pub const END_FIELD: &str = "window_end";
/// The field of the time from a session's first row to its last.
pub const DURATION_FIELD: &str = "session_duration";

/// Returns the function that gives each row the start of its window, NULL when it came too late for it.
pub fn window_start_function() -> Arc<ScalarUDF> {
    Scalar::new("velo_window_start", coerce_bound, |_| instant(), window_start).into_udf()
}

/// Returns the function that gives each row the end of its window, of the last one if there are several.
pub fn window_end_function() -> Arc<ScalarUDF> {
    Scalar::new("velo_window_end", coerce_bound, |_| instant(), window_end).into_udf()
}

/// Returns the function that stands for the duration of a row's session.
pub fn session_duration_function() -> Arc<ScalarUDF> {
    Scalar::new("velo_session_duration", coerce_bound, |_| duration(), placeholder).into_udf()
}

/// Returns the function that gives each row the list of its windows that are open; one without bounds when none is.
pub fn windows_function() -> Arc<ScalarUDF> {
    Scalar::new("velo_windows", coerce_bound, |_| DataType::new_list(windows_type(), true), windows)
        .into_udf()
}

/// Returns the function that gives its argument, and through which the optimiser looks at nothing: a condition on the
/// bounds of a window must not be moved to the rows, which are in several or do not know theirs.
pub fn settled_function() -> Arc<ScalarUDF> {
    let same = |_: &str, arguments: &[DataType]| Ok(arguments.to_vec());
    let keep = |args: &ScalarFunctionArgs| {
        args.args
            .first()
            .cloned()
            .ok_or_else(|| external(Error::internal("`velo_settled` without an argument")))
    };
    let own = |arguments: &[DataType]| arguments.first().cloned().unwrap_or(DataType::Null);
    Scalar::new("velo_settled", same, own, keep).volatile().into_udf()
}

/// Returns the function that gives its argument, the event time that a query sets, and fails where it is NULL: a row
/// without a time would be nowhere, and never silently gets another.
pub fn required_time_function() -> Arc<ScalarUDF> {
    let of_time = |_: &str, _: &[DataType]| Ok(vec![instant()]);
    let check = |args: &ScalarFunctionArgs| match args.args.as_slice() {
        [ColumnarValue::Array(times)] if times.null_count() == 0 => {
            Ok(ColumnarValue::Array(Arc::clone(times)))
        }
        [ColumnarValue::Scalar(time)] if !time.is_null() => Ok(ColumnarValue::Scalar(time.clone())),
        _ => Err(external(Error::data("`_event_time` is NULL").with_hint(
            "give each row a time: COALESCE(…) AS _event_time, or leave those without one out in WHERE",
        ))),
    };
    Scalar::new("velo_required_time", of_time, |_| instant(), check).into_udf()
}

/// Returns the functions of this family.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        window_start_function(),
        window_end_function(),
        session_duration_function(),
        windows_function(),
        settled_function(),
        required_time_function(),
        // Volatile, so that nothing takes them for constants before they are replaced.
        Scalar::new(WINDOW_START, coerce_spec, |_| instant(), placeholder).volatile().into_udf(),
        Scalar::new(WINDOW_END, coerce_spec, |_| instant(), placeholder).volatile().into_udf(),
        Scalar::new(SESSION_DURATION, coerce_spec, |_| duration(), placeholder).volatile().into_udf(),
    ]
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn duration() -> DataType {
    DataType::Duration(TimeUnit::Millisecond)
}

fn windows_type() -> DataType {
    let bound = |name| Field::new(name, instant(), true);
    DataType::Struct(Fields::from(vec![bound(START_FIELD), bound(END_FIELD)]))
}

fn coerce_bound(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [_, _, spec] if is_text(spec) => Ok(vec![instant(), instant(), DataType::Utf8]),
        _ => {
            Err(wrong_arguments(name, arguments, &format!("{name}(time, watermark, 'tumbling;size=60000')")))
        }
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

/// What the functions are called with.
struct Arguments {
    windows: AlignedWindow,
    times: PrimitiveArray<Millis>,
    watermarks: PrimitiveArray<Millis>,
}

impl Arguments {
    fn read(args: &ScalarFunctionArgs) -> Outcome<Self> {
        let [times, watermarks, ColumnarValue::Scalar(spec)] = args.args.as_slice() else {
            return Err(external(Error::internal(
                "a window function takes a time, a watermark and a literal",
            )));
        };
        let text = spec.try_as_str().flatten().unwrap_or_default();
        let windows = text.parse().and_then(|spec: WindowSpec| aligned(&spec)).map_err(external)?;
        let rows = rows_of(&args.args, args.number_rows);
        let column = |value: &ColumnarValue| -> Outcome<PrimitiveArray<Millis>> {
            Ok(value.to_array(rows)?.as_primitive::<Millis>().clone())
        };
        Ok(Self { windows, times: column(times)?, watermarks: column(watermarks)? })
    }

    /// Returns the windows of a row from the first open one on; none where all are closed.
    fn open(&self, row: usize) -> Option<std::ops::RangeInclusive<i64>> {
        let pane = self.windows.pane_at(self.times.value(row));
        let watermark = if self.watermarks.is_null(row) { i64::MIN } else { self.watermarks.value(row) };
        match (self.windows.first_open(pane, watermark), self.windows.next_open(watermark)) {
            (Some(first), _) => Some(first..=*self.windows.windows_of(pane).end()),
            (None, Some((_, next))) => Some(next..=next),
            (None, None) => None,
        }
    }
}

fn aligned(spec: &WindowSpec) -> Result<AlignedWindow> {
    spec.aligned()?.ok_or_else(|| Error::internal("the bounds of a session depend on other rows"))
}

fn window_start(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let given = Arguments::read(args)?;
    if given.windows.overlap() {
        return Err(external(Error::internal("a row of overlapping windows has no single start")));
    }
    bounds(args, &given, |windows, window| windows.bounds(window).start)
}

fn window_end(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let given = Arguments::read(args)?;
    bounds(args, &given, |windows, window| windows.bounds(window).end)
}

fn bounds(
    args: &ScalarFunctionArgs,
    given: &Arguments,
    bound: fn(&AlignedWindow, i64) -> i64,
) -> Outcome<ColumnarValue> {
    let rows = (0..given.times.len()).map(|row| {
        (!given.times.is_null(row))
            .then(|| given.open(row).map(|open| bound(&given.windows, *open.end())))
            .flatten()
    });
    let column: PrimitiveArray<Millis> = rows.collect();
    shaped(Arc::new(column), &args.args)
}

fn windows(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let given = Arguments::read(args)?;
    let (mut starts, mut ends, mut lengths) = (vec![], vec![], vec![]);
    for row in 0..given.times.len() {
        let before = starts.len();
        for window in given.open(row).into_iter().flatten() {
            let bounds = given.windows.bounds(window);
            starts.push(Some(bounds.start));
            ends.push(Some(bounds.end));
        }
        if starts.len() == before {
            starts.push(None);
            ends.push(None);
        }
        lengths.push(starts.len() - before);
    }
    let columns: Vec<ArrayRef> = [starts, ends]
        .into_iter()
        .map(|bounds| Arc::new(PrimitiveArray::<Millis>::from(bounds)) as ArrayRef)
        .collect();
    let DataType::Struct(fields) = windows_type() else {
        return Err(external(Error::internal("windows are structs")));
    };
    let values = StructArray::try_new(fields, columns, None)?;
    let field = Arc::new(Field::new_list_field(windows_type(), true));
    let list = ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(values), None)?;
    shaped(Arc::new(list), &args.args)
}
