//! `velo_session(time, '…')`: the session of each row of a partition, for queries that know their whole input.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, PrimitiveArray, StructArray};
use arrow::datatypes::{
    DataType, DurationMillisecondType, Field, FieldRef, Fields, TimeUnit, TimestampMillisecondType as Millis,
};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

use super::scalar::{Outcome, external};
use super::window::{DURATION_FIELD, END_FIELD, START_FIELD};
use crate::error::Error;
use crate::sql::window_spec::WindowSpec;
use crate::time::SessionWindow;

/// Returns the window function that gives each row the bounds of its session; the partition is the key, the order the
/// time.
pub fn session_function() -> Arc<WindowUDF> {
    static FUNCTION: LazyLock<Arc<WindowUDF>> =
        LazyLock::new(|| Arc::new(WindowUDF::new_from_impl(SessionOfRow::default())));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SessionOfRow {
    signature: Signature,
}

impl Default for SessionOfRow {
    fn default() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

fn fields() -> Fields {
    let instant = || DataType::Timestamp(TimeUnit::Millisecond, None);
    Fields::from(vec![
        Field::new(START_FIELD, instant(), true),
        Field::new(END_FIELD, instant(), true),
        Field::new(DURATION_FIELD, DataType::Duration(TimeUnit::Millisecond), true),
    ])
}

impl WindowUDFImpl for SessionOfRow {
    fn name(&self) -> &'static str {
        "velo_session"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs<'_>) -> Outcome<Box<dyn PartitionEvaluator>> {
        let literal = |expression: &Arc<dyn PhysicalExpr>| {
            let expression = expression.as_ref() as &dyn std::any::Any;
            let text = expression.downcast_ref::<Literal>()?.value().try_as_str().flatten()?;
            text.parse::<WindowSpec>().ok()?.session()
        };
        match args.input_exprs().get(1).and_then(literal) {
            Some(windows) => Ok(Box::new(Sessions { windows })),
            None => Err(external(Error::internal("a session function without sessions"))),
        }
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Outcome<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Struct(fields()), true)))
    }

    fn limit_effect(&self, _args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::Unknown
    }
}

#[derive(Debug)]
struct Sessions {
    windows: SessionWindow,
}

impl PartitionEvaluator for Sessions {
    fn evaluate_all(&mut self, values: &[ArrayRef], _rows: usize) -> Outcome<ArrayRef> {
        let times = values.first().map(|times| times.as_primitive::<Millis>().clone());
        let times = times.ok_or_else(|| external(Error::internal("a session function without times")))?;
        // For each session its first and last time, and how many rows it has.
        let mut sessions: Vec<(i64, i64, usize)> = vec![];
        for &time in times.values() {
            match sessions.last_mut() {
                Some((start, last, length)) if self.windows.continues(*start, *last, time) => {
                    *last = time;
                    *length += 1;
                }
                _ => sessions.push((time, time, 1)),
            }
        }
        let each = |value: fn(&SessionWindow, i64, i64) -> i64| {
            let windows = self.windows;
            let rows = sessions.iter().flat_map(move |(start, last, length)| {
                std::iter::repeat_n(value(&windows, *start, *last), *length)
            });
            rows.collect::<Vec<i64>>()
        };
        let starts = PrimitiveArray::<Millis>::from(each(|_, start, _| start));
        let ends = PrimitiveArray::<Millis>::from(each(|windows, _, last| windows.end(last)));
        let durations = PrimitiveArray::<DurationMillisecondType>::from(each(|_, start, last| {
            last.saturating_sub(start)
        }));
        let columns: Vec<ArrayRef> = vec![Arc::new(starts), Arc::new(ends), Arc::new(durations)];
        Ok(Arc::new(StructArray::try_new(fields(), columns, None)?))
    }

    fn evaluate(&mut self, _values: &[ArrayRef], _range: &std::ops::Range<usize>) -> Outcome<ScalarValue> {
        Err(external(Error::internal("sessions are found over whole partitions")))
    }
}
